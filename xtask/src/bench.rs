//! `cargo xtask bench`: the benchmarks by name.

use anyhow::{Result, bail};

use crate::workspace::Workspace;

/// A benchmark: its name, what it shows, and the cargo arguments that run it.
struct Bench {
    name: &'static str,
    shows: &'static str,
    cargo: &'static [&'static str],
}

const BENCHES: [Bench; 3] = [
    Bench {
        name: "origin",
        shows: "CRLs of up to 1,000,000 entries made by crl-origin, beside openssl ca -gencrl",
        cargo: &[
            "bench",
            "--package",
            "crl-origin",
            "--bench",
            "origin",
            "--profile",
            "native",
        ],
    },
    Bench {
        name: "refresh",
        shows: "a whole refresh in workerd by the CRL's size, a crowd on a cold issuer, a tick over 1,000 issuers",
        cargo: &[
            "bench",
            "--package",
            "end-to-end",
            "--bench",
            "refresh",
            "--profile",
            "native",
        ],
    },
    Bench {
        name: "serve",
        shows: "requests a second and their cost in workerd, beside simpler Workers and nginx",
        cargo: &[
            "bench",
            "--package",
            "end-to-end",
            "--bench",
            "serve",
            "--profile",
            "native",
        ],
    },
];

pub(crate) fn run(workspace: &Workspace, name: Option<&str>) -> Result<()> {
    let chosen = BENCHES
        .iter()
        .filter(|bench| name.is_none_or(|name| name == bench.name))
        .collect::<Vec<_>>();
    if chosen.is_empty() {
        let known = BENCHES
            .map(|bench| format!("  {}: {}", bench.name, bench.shows))
            .join("\n");
        bail!("no such benchmark; there are:\n{known}");
    }
    for bench in chosen {
        println!("{}: {}", bench.name, bench.shows);
        if !workspace.cargo().args(bench.cargo).status()?.success() {
            bail!("{} failed", bench.name);
        }
    }
    Ok(())
}
