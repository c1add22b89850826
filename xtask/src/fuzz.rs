//! A bounded run of each fuzz target in fuzz/: enough to see that it works and that the seeds pass.
//! Longer runs are started by hand.

use std::fs;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use anyhow::Result;

use crate::summary::{Outcome, Summary};
use crate::workspace::Workspace;

/// Inputs tried of each target, beside its seeds; some seconds.
const RUNS: u32 = 50_000;

/// Runs all targets, and counts each as one test.
pub(crate) fn run(workspace: &Workspace, summary: &Mutex<Summary>) -> Result<()> {
    let count = |target: &str, outcome| {
        let mut summary = summary.lock().unwrap_or_else(PoisonError::into_inner);
        summary.count(&format!("fuzz {target}"), outcome);
    };
    let targets = targets(workspace)?;
    if !has_cpp_compiler() {
        for target in targets {
            let why = "libFuzzer is compiled by a C++ compiler, such as g++, and there is none";
            count(&target, Outcome::Skipped(why.to_owned()));
        }
        return Ok(());
    }
    let built = build(workspace);
    if let Err(error) = &built {
        eprintln!("{error:#}");
    }
    for target in targets {
        let passed = built.is_ok()
            && run_target(workspace, &target)
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

/// Builds all targets. cargo-fuzz would take longer to compile than they do, and asks for a nightly
/// compiler for the sake of its sanitizers, which crl has no use for: it forbids unsafe code.
fn build(workspace: &Workspace) -> Result<()> {
    let fuzz = workspace.join("fuzz");
    let mut build = workspace.cargo();
    build
        .current_dir(&fuzz)
        .args(["build", "--release"])
        .env("CARGO_TARGET_DIR", workspace.join("target/fuzz"))
        .env("RUSTC_WRAPPER", fuzz.join("instrumented.sh"));
    workspace.progress().run(
        "building the fuzz targets",
        &mut build,
        "fuzz/README.md says what a fuzz target needs.",
    )
}

fn run_target(workspace: &Workspace, target: &str) -> Result<()> {
    // What is found on the way stays out of the committed seeds.
    let found = workspace.join("target/fuzz/found").join(target);
    let artifacts = workspace.join("fuzz/artifacts").join(target);
    fs::create_dir_all(&found)?;
    fs::create_dir_all(&artifacts)?;
    let program = workspace.join("target/fuzz/release").join(target);
    let mut run = workspace.command(program);
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

/// Whether there is the compiler that the package cc takes.
fn has_cpp_compiler() -> bool {
    let compiler = std::env::var_os("CXX").unwrap_or_else(|| "c++".into());
    let version = Command::new(compiler).arg("--version").output();
    version.is_ok_and(|output| output.status.success())
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
