//! `crl-origin crl`: make and examine CRLs.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use origin_api::{CrlName, IssuerId};
use serde::Serialize;

use super::output::{self, Output};
use super::{CliError, Global};
use crate::clock::Moment;
use crate::hex;
use crate::origin::CrlAnswer;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a CRL, with a new number, and write it.
    Make(Make),
}

#[derive(Debug, Args)]
pub(super) struct Make {
    /// The issuer's id.
    issuer: IssuerId,
    /// Which CRL: full, delta, shard-0, …
    #[arg(default_value = "full")]
    name: CrlName,
    /// Write the DER here.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
struct Made {
    issuer: IssuerId,
    name: CrlName,
    number: String,
    this_update: String,
    next_update: String,
    entries: u64,
    size_bytes: u64,
    sha256: String,
}

impl Command {
    pub(super) fn run(self, global: &Global, output: Output) -> Result<(), CliError> {
        let Self::Make(asked) = self;
        let CrlAnswer::Crl(crl) =
            global
                .open()?
                .make_crl(&asked.issuer, asked.name, None, Moment::now())?
        else {
            return output::print("there is no CRL to publish");
        };
        if let Some(path) = &asked.out {
            output::write(path, &crl.to_der())?;
        }
        let made = Made {
            issuer: asked.issuer,
            name: asked.name,
            number: crl.number.to_string(),
            this_update: crl.this_update.to_string(),
            next_update: crl.next_update.to_string(),
            entries: crl.entries,
            size_bytes: crl.size,
            sha256: hex::encode(&crl.sha256),
        };
        output.value(&made, |made| {
            format!(
                "CRL {} of {}\nnumber   {}\nvalid    {} to {}\nentries  {}\nsize     {} bytes\nsha256   {}",
                made.name,
                made.issuer,
                made.number,
                made.this_update,
                made.next_update,
                made.entries,
                made.size_bytes,
                made.sha256
            )
        })
    }
}
