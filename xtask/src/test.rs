//! `cargo xtask test`: every test there is, and one summary.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result, bail};
use clap::Args;

use crate::build::{self, Profile};
use crate::progress::Progress;
use crate::summary::Summary;
use crate::toolchain::path_with;
use crate::workspace::Workspace;
use crate::{fuzz, optional, process};

/// Says to the end-to-end tests that xtask and crl-origin are built and fresh.
const BINARIES_BUILT: &str = "CRL_EDGE_BINARIES_BUILT";

#[derive(Args)]
pub(crate) struct Options {
    /// Test the Worker as it is deployed; without it, one that builds fast
    #[arg(long)]
    release: bool,
    /// How many test programs run at once; by default one more than the machine has cores, since
    /// end-to-end tests mostly wait
    #[arg(long)]
    jobs: Option<usize>,
}

pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let started = Instant::now();
    if optional::is_ci() {
        optional::install(workspace)?;
    }
    let programs = Mutex::default();
    build::ensure_beside(workspace, Profile::chosen(options.release), || {
        let built = build_tests(workspace)?;
        *programs.lock().unwrap_or_else(PoisonError::into_inner) = built;
        Ok(())
    })?;
    let programs = programs
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);

    let cores = thread::available_parallelism().map_or(1, usize::from);
    let jobs = options.jobs.unwrap_or(cores + 1).max(1);
    let summary = Mutex::new(Summary::default());
    let mut failed = run_all(workspace, programs, jobs, &summary)?;
    let mut summary = summary.into_inner().unwrap_or_else(PoisonError::into_inner);
    failed.retain_mut(|program| !passes_alone(program, &mut summary));
    println!(
        "\nafter {:.0} s:\n{summary}",
        started.elapsed().as_secs_f64()
    );
    if summary.has_failures() || !failed.is_empty() {
        bail!(
            "tests failed ({}); CONTRIBUTING.md says how to run one alone",
            failed
                .iter()
                .map(|failed| failed.program.name.as_str())
                .collect::<Vec<_>>()
                .join(", ")
        );
    }
    if !summary.skipped().is_empty() {
        eprintln!("`cargo xtask setup --all` installs what the skipped tests need");
        if optional::is_ci() {
            bail!("in CI nothing may be skipped");
        }
    }
    Ok(())
}

/// A program that runs tests.
struct TestProgram {
    name: String,
    command: Command,
    /// Whether its tests run servers and wait for them, so that a busy machine may fail them.
    is_end_to_end: bool,
}

/// A program that failed, and which of its tests did.
struct FailedProgram {
    program: TestProgram,
    tests: Vec<String>,
}

/// Builds every test program, and the programs and examples that tests run.
fn build_tests(workspace: &Workspace) -> Result<Vec<TestProgram>> {
    build::build_native(
        workspace,
        "compiling the tests",
        &["--lib", "--bins", "--examples", "--tests"],
    )?;
    // Nothing is left to compile: this only lists them.
    let listed = workspace
        .cargo()
        .arg("build")
        .args(build::PACKAGES)
        .args(["--lib", "--bins", "--examples", "--tests"])
        .args(["--message-format", "json"])
        .stderr(Stdio::null())
        .output()?;
    let mut programs = String::from_utf8(listed.stdout)?
        .lines()
        .filter_map(|message| test_program(message, workspace).transpose())
        .collect::<Result<Vec<_>>>()?;
    // Examples in doc comments.
    let mut docs = workspace.cargo();
    docs.args(["test", "--doc"]).args(build::PACKAGES).arg("--");
    programs.push(TestProgram {
        name: "doc tests".to_owned(),
        command: docs,
        is_end_to_end: false,
    });
    Ok(programs)
}

/// The test program of a message by cargo, if it is about one.
fn test_program(message: &str, workspace: &Workspace) -> Result<Option<TestProgram>> {
    let message: serde_json::Value =
        serde_json::from_str(message).context("cargo printed a message that is not JSON")?;
    let is_test = message["profile"]["test"].as_bool() == Some(true);
    let (Some(executable), true) = (message["executable"].as_str(), is_test) else {
        return Ok(None);
    };
    let manifest = PathBuf::from(text(&message, "manifest_path")?);
    let folder = manifest.parent().context("a manifest in no folder")?;
    let package = folder.strip_prefix(workspace.root()).unwrap_or(folder);
    let mut command = Command::new(executable);
    // As `cargo test` runs it.
    command
        .current_dir(folder)
        .env("CARGO_MANIFEST_DIR", folder);
    Ok(Some(TestProgram {
        name: format!(
            "{}: {}",
            package.display(),
            text(&message["target"], "name")?
        ),
        command,
        is_end_to_end: package == Path::new("tests"),
    }))
}

fn text<'m>(message: &'m serde_json::Value, field: &str) -> Result<&'m str> {
    message[field]
        .as_str()
        .with_context(|| format!("cargo's message has no {field}"))
}

/// Runs all programs, `jobs` at once, the slowest of last time first; and the fuzz targets beside
/// them. Returns the programs that failed.
fn run_all(
    workspace: &Workspace,
    mut programs: Vec<TestProgram>,
    jobs: usize,
    summary: &Mutex<Summary>,
) -> Result<Vec<FailedProgram>> {
    let progress = workspace.progress();
    let path = path_with(&optional::paths(workspace))?;
    programs.sort_by_key(|program| {
        // One that never ran here may be a slow one.
        let last = progress.last(&program.name).unwrap_or(Duration::MAX);
        std::cmp::Reverse(last)
    });
    for program in &mut programs {
        program
            .command
            // Output of tests that pass is shown too, since a skipped one says so there.
            .args(["--show-output", "--color", "always"])
            .env("PATH", &path)
            .env(BINARIES_BUILT, "1")
            .env(build::BUILT, "1");
    }
    let queue = Mutex::new(VecDeque::from(programs));
    let failed = Mutex::new(Vec::new());
    let work = || -> Result<()> {
        loop {
            let next = queue
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .pop_front();
            let Some(program) = next else { return Ok(()) };
            if let Some(program) = run_program(program, &progress, summary)? {
                let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
                failed.push(program);
            }
        }
    };
    thread::scope(|scope| -> Result<()> {
        let fuzzing = scope.spawn(|| fuzz::run(workspace, summary));
        let workers: Vec<_> = (0..jobs).map(|_| scope.spawn(work)).collect();
        for worker in workers.into_iter().chain([fuzzing]) {
            worker
                .join()
                .map_err(|panic| Error::msg(format!("a thread panicked: {panic:?}")))??;
        }
        Ok(())
    })?;
    Ok(failed.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// Runs one program, shows what it printed once it has ended, and counts the results in it. Returns
/// the program if it failed.
fn run_program(
    mut program: TestProgram,
    progress: &Progress,
    summary: &Mutex<Summary>,
) -> Result<Option<FailedProgram>> {
    let name = &program.name;
    let step = progress.begin(name);
    let started = Instant::now();
    let output =
        process::output(&mut program.command).with_context(|| format!("cannot run {name}"))?;
    progress.remember(name, started.elapsed());
    let printed = [output.stdout, output.stderr].concat();
    let printed = String::from_utf8_lossy(&printed);
    let mut results = Summary::default();
    for line in printed.lines() {
        results.read(line);
    }
    let tests = results
        .failures()
        .iter()
        .map(|failure| failure.test.clone());
    let tests = tests.collect();
    let mut summary = summary.lock().unwrap_or_else(PoisonError::into_inner);
    println!("{printed}");
    summary.add(results);
    if output.status.success() {
        step.end("passed");
        return Ok(None);
    }
    step.end("failed");
    Ok(Some(FailedProgram { program, tests }))
}

/// Runs the failed tests of an end-to-end program once more, one at a time and beside nothing else:
/// on a machine that others keep busy, a server may answer too late. Keeps those that fail again;
/// the summary shows what the others had printed.
fn passes_alone(failed: &mut FailedProgram, summary: &mut Summary) -> bool {
    let FailedProgram { program, tests } = failed;
    if !program.is_end_to_end || tests.is_empty() {
        return false;
    }
    tests.retain(|test| {
        let passed = process::output(&mut alone(&program.command, test)).is_ok_and(|output| {
            println!("{}", String::from_utf8_lossy(&output.stdout));
            eprintln!("{}", String::from_utf8_lossy(&output.stderr));
            output.status.success()
        });
        if passed {
            summary.passed_alone(test);
        }
        !passed
    });
    tests.is_empty()
}

/// The command that runs one test of a program.
fn alone(program: &Command, test: &str) -> Command {
    let mut command = Command::new(program.get_program());
    command.args(["--exact", test]);
    if let Some(folder) = program.get_current_dir() {
        command.current_dir(folder);
    }
    for (name, value) in program.get_envs() {
        if let Some(value) = value {
            command.env(name, value);
        }
    }
    command
}
