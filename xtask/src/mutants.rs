//! `cargo xtask mutants`: changes the code of some files, one change at a time, and names those
//! that no native test notices.
//!
//! A mutant is tried with the unit tests first, and only one that they miss with all tests. The
//! build is what takes the time of a mutant: unit tests are one program, and the `mutants` profile
//! compiles it without optimisation.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Component, PathBuf};

use anyhow::{Result, bail};

use crate::process;
use crate::tools::Tools;
use crate::workspace::Workspace;

/// The files with the conditions and timings that everything else relies on.
const USUAL: [&str; 4] = [
    "edge/src/public/conditions.rs",
    "edge/src/public/freshness.rs",
    "edge/src/issuer/singleflight.rs",
    "edge/src/refresh/backoff.rs",
];

/// The packages whose mutants can be tried: those that are tested without the platform. Each is in
/// the folder of its name.
const PACKAGES: [&str; 2] = ["crl", "edge"];

/// Seconds that a mutant's tests have at least; they have five times as many as without a mutant,
/// which depends on the machine. A mutant counts as caught if its tests do not end.
const SHORTEST_TIME_LIMIT: &str = "60";

/// Tries every mutant of these files, of [`USUAL`] if there are none, with the native tests of the
/// package that has the file. `.cargo/mutants.toml` has those that no test can notice, and why.
pub(crate) fn run(workspace: &Workspace, files: &[PathBuf]) -> Result<()> {
    let usual = USUAL.map(PathBuf::from);
    let files = if files.is_empty() { &usual } else { files };
    let mut packages = BTreeSet::new();
    for file in files {
        match file.components().next() {
            Some(Component::Normal(package)) if PACKAGES.map(OsStr::new).contains(&package) => {
                packages.insert(package);
            }
            _ => bail!("{}: a file of {}", file.display(), PACKAGES.join("/, ")),
        }
    }
    let program = Tools::ensure(workspace)?.cargo_mutants()?;
    let command = || {
        let mut mutants = workspace.command(&program);
        mutants
            .args(["mutants", "--output", "target", "--no-shuffle"])
            .args(["--minimum-test-timeout", SHORTEST_TIME_LIMIT])
            // Dependencies are compiled once, not in each run.
            .env("CARGO_TARGET_DIR", workspace.join("target/mutants"));
        for package in &packages {
            mutants.arg("--package").arg(package);
        }
        for file in files {
            mutants.arg("--file").arg(file);
        }
        mutants
    };
    let mut by_unit_tests = command();
    by_unit_tests
        .args(["--profile", "mutants", "--", "--lib"])
        // A quarter of the usual cases, and no smaller one once a case has failed.
        .env("PROPTEST_CASES", "64")
        .env("PROPTEST_MAX_SHRINK_ITERS", "0");
    if process::status(&mut by_unit_tests)?.success() {
        return Ok(());
    }
    let mut by_all_tests = command();
    by_all_tests
        .arg("--iterate")
        // Each mutant is linked anew.
        .env("CARGO_PROFILE_DEV_DEBUG", "0");
    if !process::status(&mut by_all_tests)?.success() {
        bail!("some mutants were not caught: target/mutants.out/missed.txt names them");
    }
    Ok(())
}
