//! A bounded run of each fuzz target in fuzz/: enough to see that it works and that the seeds pass.
//! Longer runs are started by hand.

use std::fs;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use anyhow::Result;

use crate::summary::{Outcome, Summary};
use crate::tools::Tools;
use crate::workspace::Workspace;

/// Inputs tried of each target, beside its seeds; some seconds.
const RUNS: u32 = 100_000;

/// Runs all targets, and counts each as one test.
pub(crate) fn run(
    workspace: &Workspace,
    tools: &Tools<'_>,
    summary: &Mutex<Summary>,
) -> Result<()> {
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
    let progress = workspace.progress();
    let cargo_fuzz = tools.cargo_fuzz()?;
    let fuzz = |verb: &str, target: &str| {
        let mut command = workspace.command(&cargo_fuzz);
        command
            .args([
                "fuzz",
                verb,
                "--fuzz-dir",
                "fuzz",
                "--target-dir",
                "target/fuzz",
                target,
            ])
            .env("RUSTUP_TOOLCHAIN", "nightly")
            // The stable one that runs xtask.
            .env_remove("CARGO");
        command
    };
    for target in targets {
        // What is found on the way stays out of the committed seeds.
        let found = workspace.join("target/fuzz/found").join(&target);
        fs::create_dir_all(&found)?;
        let built = progress.run(
            &format!("building fuzz target {target}"),
            &mut fuzz("build", &target),
            "fuzz/README.md says what a fuzz target needs.",
        );
        let passed = built.and_then(|()| {
            let mut run = fuzz("run", &target);
            run.arg(&found)
                .arg(workspace.join("fuzz/corpus").join(&target))
                .args(["--", &format!("-runs={RUNS}"), "-max_total_time=60"]);
            progress.run(
                &format!("fuzzing {target}"),
                &mut run,
                "The input that failed is under fuzz/artifacts; fuzz/README.md says how to replay it.",
            )
        });
        match passed {
            Ok(()) => count(&target, Outcome::Passed),
            Err(error) => {
                eprintln!("{error:#}");
                count(&target, Outcome::Failed);
            }
        }
    }
    Ok(())
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
