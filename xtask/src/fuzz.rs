//! A bounded run of each fuzz target in fuzz/: enough to see that it works and that the seeds pass.
//! Longer runs are started by hand.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use anyhow::Result;

use crate::summary::{Outcome, Summary};
use crate::workspace::Workspace;

/// Inputs tried of each target, beside its seeds; some seconds.
const RUNS: u32 = 100_000;

/// The coverage that libFuzzer reads, as cargo-fuzz asks for it; compiling cargo-fuzz itself would
/// take longer than the targets. No sanitizer: crl forbids unsafe code.
const INSTRUMENTED: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 --cfg=fuzzing";

/// Runs all targets, and counts each as one test.
pub(crate) fn run(workspace: &Workspace, summary: &Mutex<Summary>) -> Result<()> {
    let count = |target: &str, outcome| {
        let mut summary = summary.lock().unwrap_or_else(PoisonError::into_inner);
        summary.count(&format!("fuzz {target}"), outcome);
    };
    let targets = targets(workspace)?;
    if !has_nightly() {
        let why = "libFuzzer needs a nightly toolchain: rustup toolchain install nightly";
        for target in targets {
            count(&target, Outcome::Skipped(why.to_owned()));
        }
        return Ok(());
    }
    let programs = workspace.join("target/fuzz/programs");
    let built = build(workspace, &programs);
    if let Err(error) = &built {
        eprintln!("{error:#}");
    }
    for target in targets {
        let passed = built.is_ok()
            && run_target(workspace, &programs, &target)
                .inspect_err(|error| eprintln!("{error:#}"))
                .is_ok();
        let outcome = if passed {
            Outcome::Passed
        } else {
            Outcome::Failed
        };
        count(&target, outcome);
    }
    Ok(())
}

/// Builds all targets into this folder.
fn build(workspace: &Workspace, programs: &Path) -> Result<()> {
    let mut build = workspace.command("cargo");
    build
        .current_dir(workspace.join("fuzz"))
        .args(["build", "--release", "--target", "host-tuple"])
        .args(["-Zunstable-options", "--artifact-dir"])
        .arg(programs)
        .env("CARGO_TARGET_DIR", workspace.join("target/fuzz"))
        .env("RUSTFLAGS", INSTRUMENTED)
        .env("RUSTUP_TOOLCHAIN", "nightly")
        // The stable one that runs xtask.
        .env_remove("CARGO");
    workspace.progress().run(
        "building the fuzz targets",
        &mut build,
        "fuzz/README.md says what a fuzz target needs.",
    )
}

fn run_target(workspace: &Workspace, programs: &Path, target: &str) -> Result<()> {
    // What is found on the way stays out of the committed seeds.
    let found = workspace.join("target/fuzz/found").join(target);
    let artifacts = workspace.join("fuzz/artifacts").join(target);
    fs::create_dir_all(&found)?;
    fs::create_dir_all(&artifacts)?;
    let mut run = workspace.command(programs.join(target));
    run.arg(format!("-artifact_prefix={}/", artifacts.display()))
        .args([&format!("-runs={RUNS}"), "-max_total_time=60"])
        .arg(&found)
        .arg(workspace.join("fuzz/corpus").join(target));
    workspace.progress().run(
        &format!("fuzzing {target}"),
        &mut run,
        "The input that failed is under fuzz/artifacts; fuzz/README.md says how to replay it.",
    )
}

/// The targets' names: one file each.
fn targets(workspace: &Workspace) -> Result<Vec<String>> {
    let mut targets = Vec::new();
    for entry in fs::read_dir(workspace.join("fuzz/fuzz_targets"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            targets.extend(
                path.file_stem()
                    .map(|stem| stem.to_string_lossy().into_owned()),
            );
        }
    }
    targets.sort();
    Ok(targets)
}

fn has_nightly() -> bool {
    Command::new("rustup")
        .args(["run", "nightly", "rustc", "--version"])
        .output()
        .is_ok_and(|output| output.status.success())
}
