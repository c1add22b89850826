//! `cargo xtask lint`: what must hold before a commit, beside the tests.

use std::process::{Command, Stdio};

use anyhow::{Result, bail};

use crate::{progress::Progress, tools::Tools, workspace::Workspace};

/// Reads deny.toml.
const CARGO_DENY: &str = "0.20.2";

pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let tools = Tools::ensure(workspace)?;
    let mut checks = vec![
        (
            "Cargo.lock is up to date",
            cargo(
                workspace,
                &["metadata", "--locked", "--format-version", "1"],
            ),
        ),
        ("formatting", cargo(workspace, &["fmt", "--all", "--check"])),
        (
            "clippy",
            cargo(
                workspace,
                &[
                    "clippy",
                    "--workspace",
                    "--all-targets",
                    "--",
                    "-D",
                    "warnings",
                ],
            ),
        ),
        (
            "docs",
            cargo(
                workspace,
                &[
                    "doc",
                    "--workspace",
                    "--no-deps",
                    "--document-private-items",
                ],
            ),
        ),
    ];
    for (_, check) in &mut checks {
        check
            .env("RUSTDOCFLAGS", "-D warnings")
            .stdout(Stdio::null());
    }
    checks.push((
        "dependency policy",
        tools.cargo_deny(&Progress::default(), CARGO_DENY)?,
    ));

    let mut failed = Vec::new();
    for (name, mut check) in checks {
        eprintln!("lint: {name}");
        if !check.status()?.success() {
            failed.push(name);
        }
    }
    if failed.is_empty() {
        eprintln!("lint: all is well");
        return Ok(());
    }
    bail!("lint failed: {}", failed.join(", "))
}

fn cargo(workspace: &Workspace, args: &[&str]) -> Command {
    let mut command = workspace.cargo();
    command.args(args);
    command
}
