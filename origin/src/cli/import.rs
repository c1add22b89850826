//! `crl-origin import`: imports revocations from other software.

use std::fs::File;
use std::io::{BufReader, IsTerminal};
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use crl::DistinguishedName;
use indicatif::{ProgressBar, ProgressStyle};
use origin_api::{CrlName, IssuerId};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::common::{Session, list_named, read_der};
use super::error::CliError;
use super::recover::list_of;
use crate::ca::{self, CertificateError};
use crate::import::{self, BadLine, Imported, ImportedCrl};
use crate::origin::Setup;
use crate::revocation::{NamedList, RevocationRequest};
use crate::store::records::AdoptedCrl;

#[derive(Debug, Args)]
pub(super) struct Import {
    /// The issuer's id
    issuer: IssuerId,
    /// The file to read
    file: PathBuf,
    /// The format of the file [default: by its name: .txt, .csv, .crl, .der, .pem]
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// How many revocations to import in one transaction, which other writers wait for; after a
    /// crash, run the same command again
    #[arg(long, value_name = "COUNT", default_value = "5000", value_parser = clap::value_parser!(u32).range(1..))]
    batch: u32,
    /// Import a CRL although its issuer has another name
    #[arg(long)]
    other_issuer: bool,
    /// The shard that the certificates' distribution point names [default: from the CRL's
    /// distribution point]
    #[arg(long, value_name = "NUMBER")]
    shard: Option<u32>,
    /// The certificates name the full CRL, although the issuer has shards
    #[arg(long, conflicts_with = "shard")]
    no_shard: bool,
    /// Show what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// The index.txt of `openssl ca`
    Openssl,
    /// CSV: a line of column names, then one line per certificate
    Csv,
    /// A CRL, in DER or PEM; its number counts as used
    Crl,
}

#[derive(Debug, Default, Serialize)]
struct Summary {
    /// The id by which the import can be undone; absent for a dry run.
    import: Option<i64>,
    revoked: u64,
    already_revoked: u64,
    not_taken_over: u64,
}

impl Import {
    pub(super) fn run(self, session: &Session) -> Result<(), CliError> {
        let issuer = session.origin.setup(&self.issuer)?;
        let bad_head = |bad: BadLine| CliError::Usage(format!("{}: {bad}", self.file.display()));
        let summary = match self.format()? {
            Format::Openssl => {
                let progress = self.progress()?;
                let file = progress.wrap_read(self.open()?);
                let lines = import::read_index(BufReader::new(file));
                self.import(session, self.list(), lines)?
            }
            Format::Csv => {
                let progress = self.progress()?;
                let file = progress.wrap_read(self.open()?);
                let lines = import::read_csv(file).map_err(bad_head)?;
                self.import(session, self.list(), lines)?
            }
            Format::Crl => self.import_crl(session, &issuer)?,
        };
        let bad = summary.not_taken_over;
        session.output.value(&summary, |summary| {
            let undo = match summary.import {
                Some(id) => format!("; `crl-origin undo {} {id}` undoes it", self.issuer),
                None => "; nothing was changed".to_owned(),
            };
            format!(
                "{} revoked, {} already were{undo}",
                summary.revoked, summary.already_revoked
            )
        })?;
        if bad == 0 {
            Ok(())
        } else {
            Err(CliError::BadLines(bad))
        }
    }

    fn import_crl(&self, session: &Session, issuer: &Setup) -> Result<Summary, CliError> {
        let der = read_der(&self.file)?;
        let source = self.file.display().to_string();
        let crl = import::read_crl(&der).map_err(|source| CliError::NotCrl {
            path: self.file.clone(),
            source,
        })?;
        let own = self.is_own(issuer, &crl)?;
        let list = match self.list() {
            NamedList::Unknown if own => match list_of(&source, &crl, &issuer.lists)? {
                CrlName::Shard(number) => NamedList::Shard(number),
                CrlName::Full | CrlName::Delta => NamedList::Unknown,
            },
            list => list,
        };
        if let Some(number) = crl.number.filter(|_| !self.dry_run) {
            session.origin.continue_numbers(&self.issuer, number)?;
            if own {
                let name = list_of(&source, &crl, &issuer.lists).unwrap_or(CrlName::Full);
                let adopted = AdoptedCrl {
                    name,
                    sha256: Sha256::digest(&der).into(),
                    number,
                    this_update: crl.this_update,
                    next_update: crl.next_update.unwrap_or(crl.this_update),
                };
                session.origin.adopt_crl(&self.issuer, &adopted)?;
            }
        }
        let progress = bar(
            "{wide_bar} {pos}/{len}, {eta} left",
            crl.entries.len() as u64,
        );
        self.import(session, list, progress.wrap_iter(crl.entries.into_iter()))
    }

    /// A CRL covers the certificates of the CA that it names. Imported for another CA, it would
    /// revoke unrelated certificates with the same serial numbers.
    fn is_own(&self, issuer: &Setup, crl: &ImportedCrl) -> Result<bool, CliError> {
        let certificate = ca::certificate_from_pem_or_der(&issuer.certificate)?;
        let subject = certificate.tbs_certificate().subject();
        let own = DistinguishedName::try_from(subject).map_err(CertificateError::from)?;
        if own.matches(&crl.issuer) {
            return Ok(true);
        }
        if self.other_issuer {
            return Ok(false);
        }
        let complaint = format!(
            "the CRL is of {}, and {} is {own}; --other-issuer imports it all the same",
            crl.issuer, self.issuer
        );
        Err(CliError::Refused(complaint))
    }

    /// The list that the options say the certificates name.
    fn list(&self) -> NamedList {
        list_named(self.shard, self.no_shard)
    }

    fn import(
        &self,
        session: &Session,
        list: NamedList,
        lines: impl Iterator<Item = Result<Imported, BadLine>>,
    ) -> Result<Summary, CliError> {
        let mut summary = Summary::default();
        if !self.dry_run {
            let (source, now) = (self.file.display().to_string(), session.clock.now());
            summary.import = Some(session.origin.begin_import(&self.issuer, &source, now)?);
        }
        let mut batch = Vec::new();
        for line in lines {
            match line {
                Ok(mut imported) => {
                    if imported.request.list == NamedList::Unknown {
                        imported.request.list = list;
                    }
                    batch.push(imported);
                }
                Err(bad) => self.report(&mut summary, &bad),
            }
            if batch.len() >= self.batch as usize {
                self.commit(session, &mut batch, &mut summary)?;
            }
        }
        self.commit(session, &mut batch, &mut summary)?;
        Ok(summary)
    }

    fn commit(
        &self,
        session: &Session,
        batch: &mut Vec<Imported>,
        summary: &mut Summary,
    ) -> Result<(), CliError> {
        let (lines, requests): (Vec<u64>, Vec<RevocationRequest>) =
            batch.drain(..).map(|one| (one.line, one.request)).unzip();
        let now = session.clock.now();
        let result = session
            .origin
            .import(&self.issuer, &requests, summary.import, now)?;
        summary.revoked = summary.revoked.saturating_add(result.changed);
        summary.already_revoked = summary.already_revoked.saturating_add(result.unchanged);
        for (index, fault) in result.refused {
            let line = lines.get(index).copied().unwrap_or_default();
            self.report(summary, &format!("line {line}: {fault}"));
        }
        Ok(())
    }

    fn report(&self, summary: &mut Summary, fault: &dyn std::fmt::Display) {
        summary.not_taken_over = summary.not_taken_over.saturating_add(1);
        eprintln!("{}: {fault}", self.file.display());
    }

    fn format(&self) -> Result<Format, CliError> {
        if let Some(format) = self.format {
            return Ok(format);
        }
        let extension = self
            .file
            .extension()
            .and_then(|extension| extension.to_str())
            .unwrap_or_default();
        match extension.to_ascii_lowercase().as_str() {
            "txt" => Ok(Format::Openssl),
            "csv" => Ok(Format::Csv),
            "crl" | "der" | "pem" => Ok(Format::Crl),
            _ => Err(CliError::Usage(
                "the name of the file does not show its format: give --format".to_owned(),
            )),
        }
    }

    fn open(&self) -> Result<File, CliError> {
        File::open(&self.file).map_err(|source| CliError::File {
            path: self.file.clone(),
            source,
        })
    }

    /// A progress bar for reading the file.
    fn progress(&self) -> Result<ProgressBar, CliError> {
        let size = self.open()?.metadata().map_or(0, |metadata| metadata.len());
        Ok(bar("{wide_bar} {bytes}/{total_bytes}, {eta} left", size))
    }
}

/// A progress bar, if standard error is a terminal.
fn bar(template: &str, length: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template(template);
    ProgressBar::new(length).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
