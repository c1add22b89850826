//! `cargo xtask mutants`: changes the code of some files, one change at a time, and names those
//! that no native test notices.

use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::tools::Tools;
use crate::workspace::Workspace;

/// The files with the conditions and timings that everything else relies on.
const USUAL: [&str; 4] = [
    "edge/src/public/conditions.rs",
    "edge/src/public/freshness.rs",
    "edge/src/issuer/singleflight.rs",
    "edge/src/refresh/backoff.rs",
];

/// Seconds that a mutant's tests have at least; they have five times as many as without a mutant,
/// which depends on the machine. A mutant counts as caught if its tests do not end.
const SHORTEST_TIME_LIMIT: &str = "180";

/// Tries every mutant of these files, of [`USUAL`] if there are none. All of them belong to `edge`.
pub(crate) fn run(workspace: &Workspace, files: &[PathBuf]) -> Result<()> {
    let program = Tools::ensure(workspace)?.cargo_mutants()?;
    let mut mutants = workspace.command(program);
    mutants
        .args(["mutants", "--package", "edge", "--output", "target"])
        .args(["--minimum-test-timeout", SHORTEST_TIME_LIMIT])
        .arg("--no-shuffle")
        // Each mutant is linked anew.
        .env("CARGO_PROFILE_DEV_DEBUG", "0");
    for file in files {
        mutants.arg("--file").arg(file);
    }
    if files.is_empty() {
        mutants.args(USUAL.iter().flat_map(|file| ["--file", file]));
    }
    mutants.args(["--", "--lib"]);
    if !mutants.status()?.success() {
        bail!("some mutants were not caught: target/mutants.out/missed.txt names them");
    }
    Ok(())
}
