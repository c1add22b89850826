//! `cargo xtask lint`: what must hold before a commit, beside the tests.

use std::process::{Command, Stdio};

use anyhow::{Result, bail};

use crate::{
    progress::Progress,
    toolchain::{self, TARGET, Toolchain},
    tools::Tools,
    workspace::Workspace,
};

pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let tools = Tools::ensure(workspace)?;
    let mut failed = Vec::new();
    for (name, mut check) in checks(workspace, &tools)? {
        eprintln!("lint: {name}");
        if !check.stdout(Stdio::null()).status()?.success() {
            failed.push(name);
        }
    }
    if failed.is_empty() {
        eprintln!("lint: all is well");
        return Ok(());
    }
    bail!("lint failed: {}", failed.join(", "))
}

fn checks(workspace: &Workspace, tools: &Tools) -> Result<Vec<(&'static str, Command)>> {
    let cargo = |line: &str| {
        let mut cargo = workspace.cargo();
        cargo.args(line.split(' '));
        cargo
    };
    let mut docs = cargo("doc --workspace --no-deps --document-private-items");
    docs.env("RUSTDOCFLAGS", "-D warnings");
    // Advisories are not checked here; deny.toml says why.
    let mut policy = tools.cargo_deny(&Progress::default())?;
    policy.args("--workspace --log-level error check bans licenses sources".split(' '));

    let mut checks = vec![
        (
            "Cargo.lock is up to date",
            cargo("metadata --locked --format-version 1"),
        ),
        ("formatting", cargo("fmt --all --check")),
        (
            "clippy",
            cargo("clippy --workspace --all-targets -- -D warnings"),
        ),
        ("docs", docs),
        ("dependency policy", policy),
    ];
    // Debian's toolchain has no clippy; what it would see is what the native run sees, but for the bindings.
    if matches!(toolchain::ensure(workspace)?, Toolchain::Default) {
        let mut bindings = cargo(&format!(
            "clippy --package crl-edge --target {TARGET} -- -D warnings"
        ));
        bindings.env("CARGO_TARGET_DIR", workspace.join("target/wasm"));
        checks.push(("clippy for wasm32", bindings));
    }
    Ok(checks)
}
