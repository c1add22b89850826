//! `cargo xtask test`: every test there is, and one summary.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context, Result, bail};

use crate::{
    build::{self, Profile},
    fuzz, optional,
    summary::Summary,
    toolchain::path_with,
    tools::Tools,
    workspace::Workspace,
};

/// Tells the end-to-end tests that xtask and crl-origin are built and fresh.
const BINARIES_BUILT: &str = "CRL_EDGE_BINARIES_BUILT";

pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let started = Instant::now();
    let tools = Tools::ensure(workspace)?;
    optional::ensure(workspace)?;
    build::ensure(workspace, &tools, Profile::Release)?;

    let mut summary = Summary::default();
    let built = workspace
        .cargo()
        .args(["build", "--workspace", "--bins"])
        .status()?
        .success();
    let tested = built && cargo_test(workspace, &mut summary)?;
    if built {
        fuzz::run(workspace, &tools, &mut summary)?;
    }

    println!(
        "\nafter {:.0} s:\n{summary}",
        started.elapsed().as_secs_f64()
    );
    if !built {
        bail!("the workspace does not build");
    }
    if summary.has_failures() || !tested {
        bail!("tests failed");
    }
    if optional::is_ci() && !summary.skipped().is_empty() {
        bail!("in CI nothing may be skipped");
    }
    Ok(())
}

/// Unit, integration and end-to-end tests: one cargo run, so that nothing is compiled twice.
fn cargo_test(workspace: &Workspace, summary: &mut Summary) -> Result<bool> {
    let mut tests = workspace.cargo();
    tests
        // Output of tests that pass is shown too: a skipped one says so there.
        .args([
            "test",
            "--workspace",
            "--no-fail-fast",
            "--color",
            "always",
            "--",
            "--show-output",
        ])
        .env("PATH", path_with(&optional::paths(workspace))?)
        .env(BINARIES_BUILT, "1")
        .env(build::BUILT, "1");
    stream(&mut tests, summary)
}

/// Runs `command`, shows what it prints and counts the results in it.
fn stream(command: &mut Command, summary: &mut Summary) -> Result<bool> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let output = child.stdout.take().context("cargo's output is not piped")?;
    let mut shown = std::io::stdout().lock();
    for line in BufReader::new(output).lines() {
        let line = line?;
        writeln!(shown, "{line}")?;
        summary.read(&line);
    }
    Ok(child.wait()?.success())
}
