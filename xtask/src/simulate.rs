//! `cargo xtask simulate`: origin and edge on virtual time, built for speed.

use std::ffi::OsString;

use anyhow::{Result, bail};

use crate::process;
use crate::workspace::Workspace;

/// Runs the simulator with these arguments.
pub(crate) fn run(workspace: &Workspace, arguments: &[OsString]) -> Result<()> {
    let mut simulate = workspace.cargo();
    simulate.args(["run", "--quiet", "--package", "simulation"]);
    simulate.args(["--profile", "simulation", "--"]);
    simulate.args(arguments);
    if !process::status(&mut simulate)?.success() {
        bail!(
            "the simulator found something, or could not run: docs/assurance.md says how to go on"
        );
    }
    Ok(())
}
