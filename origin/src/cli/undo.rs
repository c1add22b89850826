//! `crl-origin undo` and `crl-origin imports`: imports that were made, and undoing one.

use clap::Args;
use origin_api::IssuerId;
use serde::Serialize;

use super::common::Session;
use super::error::CliError;

#[derive(Debug, Args)]
pub(super) struct Imports {
    /// The issuer's id
    issuer: IssuerId,
}

#[derive(Debug, Args)]
pub(super) struct Undo {
    /// The issuer's id
    issuer: IssuerId,
    /// The import's id, which `import` printed and `imports` lists
    import: i64,
    /// Show what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Serialize)]
struct ImportView {
    import: i64,
    source: String,
    created_at: String,
    changes: u64,
    undone_at: Option<String>,
}

#[derive(Debug, Serialize)]
struct UndoneView {
    undone: u64,
    changed_since: u64,
}

impl Imports {
    pub(super) fn run(self, session: &Session) -> Result<(), CliError> {
        let imports = session.origin.imports(&self.issuer)?;
        let views: Vec<ImportView> = imports
            .into_iter()
            .map(|import| ImportView {
                import: import.id,
                source: import.source,
                created_at: import.created_at.to_string(),
                changes: import.changes,
                undone_at: import.undone_at.map(|time| time.to_string()),
            })
            .collect();
        let heads = ["IMPORT", "SOURCE", "CREATED", "CHANGES", "UNDONE"];
        session.output.rows(&views, heads, |view| {
            [
                view.import.to_string(),
                view.source.clone(),
                view.created_at.clone(),
                view.changes.to_string(),
                view.undone_at.clone().unwrap_or_default(),
            ]
        })
    }
}

impl Undo {
    pub(super) fn run(self, session: &Session) -> Result<(), CliError> {
        let now = session.clock.now();
        let undone = session
            .origin
            .undo_import(&self.issuer, self.import, self.dry_run, now)?;
        let view = UndoneView {
            undone: undone.undone,
            changed_since: undone.changed_since,
        };
        session.output.value(&view, |view| {
            format!(
                "{} as before the import, {} changed since and left alone",
                view.undone, view.changed_since
            )
        })
    }
}
