//! JavaScript by Biome, as biome.jsonc at the root sets it up: its layout and its recommended
//! rules.

use anyhow::Result;

use crate::lint::command::passes;
use crate::lint::npm;
use crate::workspace::Workspace;

pub(crate) fn check(workspace: &Workspace) -> Result<Vec<String>> {
    passes(npm::program(workspace, "biome")?.args(["check", "--error-on-warnings"]))
}

pub(crate) fn fix(workspace: &Workspace) -> Result<()> {
    // What it cannot repair, the check names.
    passes(npm::program(workspace, "biome")?.args(["check", "--write"]))?;
    Ok(())
}
