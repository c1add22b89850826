//! `crl-origin backup` and `crl-origin restore`.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::error::CliError;
use super::output::Output;
use crate::store::backup;

#[derive(Debug, Args)]
pub(super) struct Backup {
    /// The file to write (mode 0600); an existing one is replaced
    file: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct Restore {
    /// A file that `backup` wrote
    file: PathBuf,
}

#[derive(Debug, Serialize)]
struct Done {
    file: String,
}

impl Backup {
    pub(super) fn run(&self, database: &Path, output: Output) -> Result<(), CliError> {
        backup::back_up(database, &self.file)?;
        let file = self.file.display().to_string();
        output.value(&Done { file }, |done| format!("backed up to {}", done.file))
    }
}

impl Restore {
    pub(super) fn run(&self, database: &Path, output: Output) -> Result<(), CliError> {
        backup::restore(&self.file, database)?;
        let file = self.file.display().to_string();
        output.value(&Done { file }, |done| {
            format!(
                "restored from {}; run `crl-origin recover` for each issuer whose edge serves a newer CRL",
                done.file
            )
        })
    }
}
