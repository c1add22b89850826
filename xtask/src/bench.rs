//! `cargo xtask bench`: the benchmarks by name.

use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::build::{self, Profile};
use crate::workspace::Workspace;
use crate::{process, toolchain};

/// A benchmark: its name, what it shows, and the cargo arguments that run it.
struct Bench {
    name: &'static str,
    shows: &'static str,
    cargo: &'static [&'static str],
    /// A package that is built for wasm first, and its module, whose path is the last argument.
    wasm: Option<(&'static str, &'static str)>,
}

const BENCHES: [Bench; 6] = [
    Bench {
        name: "crl",
        shows: "reading and writing up to 2,000,000 entries, native and in wasm, beside webpki, x509-cert, x509-parser, rcgen and openssl",
        cargo: &[
            "run",
            "--package",
            "bench-crl",
            "--profile",
            "native",
            "--",
            "--wasm",
        ],
        wasm: Some(("bench-crl-wasm", "bench_crl_wasm.wasm")),
    },
    Bench {
        name: "leavers",
        shows: "memory and the time of /healthz while 20,000 clients leave before their answer, and 1,000 within a large PEM",
        cargo: &[
            "bench",
            "--package",
            "end-to-end",
            "--bench",
            "leavers",
            "--profile",
            "native",
        ],
        wasm: None,
    },
    Bench {
        name: "operators",
        shows: "operators' calls and pages with 1,000 issuers and 200,000 events: time, size, rows that D1 reads",
        cargo: &[
            "bench",
            "--package",
            "end-to-end",
            "--bench",
            "operators",
            "--profile",
            "native",
        ],
        wasm: None,
    },
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
        wasm: None,
    },
    Bench {
        name: "refresh",
        shows: "a whole refresh in workerd by the CRL's size, 128 shards by one hook, 10,000 at once on a cold issuer, a tick over 1,000 issuers, a registry of 10,000",
        cargo: &[
            "bench",
            "--package",
            "end-to-end",
            "--bench",
            "refresh",
            "--profile",
            "native",
        ],
        wasm: None,
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
        wasm: None,
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
    // Benchmarks measure what is deployed.
    build::ensure(workspace, Profile::Release)?;
    for bench in chosen {
        println!("{}: {}", bench.name, bench.shows);
        let module = bench
            .wasm
            .map(|(package, module)| build_wasm(workspace, package, module))
            .transpose()?;
        let mut cargo = workspace.cargo();
        cargo.env(build::BUILT, "1");
        cargo.args(bench.cargo).args(module);
        if !process::status(&mut cargo)?.success() {
            bail!("{} failed", bench.name);
        }
    }
    Ok(())
}

/// Compiles a package to a wasm module; gives where it lies.
fn build_wasm(workspace: &Workspace, package: &str, module: &str) -> Result<PathBuf> {
    let toolchain = toolchain::ensure(workspace)?;
    let target = workspace.join("target/bench-wasm");
    let mut cargo = workspace.command("cargo");
    cargo
        .args(["build", "--release", "--target", toolchain::TARGET])
        .args(["--package", package, "--target-dir"])
        .arg(&target);
    toolchain.apply(&mut cargo)?;
    workspace.progress().run(
        &format!("building {package}"),
        &mut cargo,
        "The errors above are the compiler's.",
    )?;
    Ok(target.join(toolchain::TARGET).join("release").join(module))
}
