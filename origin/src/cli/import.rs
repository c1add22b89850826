//! `crl-origin import`: imports revocations from other software.

use std::fs::File;
use std::io::{BufReader, IsTerminal};
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use crl::DistinguishedName;
use indicatif::{ProgressBar, ProgressStyle};
use origin_api::IssuerId;
use serde::Serialize;

use super::common::read_der;
use super::{CliError, Session};
use crate::ca::{self, CertificateError};
use crate::import::{self, BadLine, Imported, ImportedCrl};
use crate::revocation::RevocationRequest;

#[derive(Debug, Args)]
pub(super) struct Import {
    /// The issuer's id
    issuer: IssuerId,
    /// The file to read
    file: PathBuf,
    /// The format of the file [default: by its name: .txt, .csv, .crl, .der, .pem]
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// How many revocations to import in one transaction; after a crash, run the same command again
    #[arg(long, value_name = "COUNT", default_value = "50000", value_parser = clap::value_parser!(u32).range(1..))]
    batch: u32,
    /// Import a CRL although its issuer has another name
    #[arg(long)]
    other_issuer: bool,
    /// The shard that the certificates' distribution point names
    #[arg(long, value_name = "NUMBER")]
    shard: Option<u32>,
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
    revoked: u64,
    already_revoked: u64,
    not_taken_over: u64,
}

impl Import {
    pub(super) fn run(self, session: &Session) -> Result<(), CliError> {
        session.origin.issuer(&self.issuer)?;
        let bad_head = |bad: BadLine| CliError::Usage(format!("{}: {bad}", self.file.display()));
        let summary = match self.format()? {
            Format::Openssl => {
                let progress = self.progress()?;
                let file = progress.wrap_read(self.open()?);
                self.import(session, import::read_index(BufReader::new(file)))?
            }
            Format::Csv => {
                let progress = self.progress()?;
                let file = progress.wrap_read(self.open()?);
                self.import(session, import::read_csv(file).map_err(bad_head)?)?
            }
            Format::Crl => {
                let crl = import::read_crl(&read_der(&self.file)?).map_err(|source| {
                    CliError::NotCrl {
                        path: self.file.clone(),
                        source,
                    }
                })?;
                if !self.other_issuer {
                    self.refuse_others(session, &crl)?;
                }
                if let Some(number) = crl.number {
                    session.origin.continue_numbers(&self.issuer, number)?;
                }
                let progress = bar(
                    "{wide_bar} {pos}/{len}, {eta} left",
                    crl.entries.len() as u64,
                );
                self.import(session, progress.wrap_iter(crl.entries.into_iter()))?
            }
        };
        let bad = summary.not_taken_over;
        session.output.value(&summary, |summary| {
            format!(
                "{} revoked, {} already were",
                summary.revoked, summary.already_revoked
            )
        })?;
        if bad == 0 {
            Ok(())
        } else {
            Err(CliError::BadLines(bad))
        }
    }

    /// A CRL covers the certificates of the CA that it names. Imported for another CA, it would revoke
    /// unrelated certificates with the same serial numbers.
    fn refuse_others(&self, session: &Session, crl: &ImportedCrl) -> Result<(), CliError> {
        let certificate =
            ca::certificate_from_pem_or_der(&session.origin.issuer(&self.issuer)?.certificate.0)?;
        let subject = certificate.tbs_certificate().subject();
        let own = DistinguishedName::try_from(subject).map_err(CertificateError::from)?;
        if own.matches(&crl.issuer) {
            return Ok(());
        }
        let complaint = format!(
            "the CRL is of {}, and {} is {own}; --other-issuer imports it all the same",
            crl.issuer, self.issuer
        );
        Err(CliError::Refused(complaint))
    }

    fn import(
        &self,
        session: &Session,
        lines: impl Iterator<Item = Result<Imported, BadLine>>,
    ) -> Result<Summary, CliError> {
        let mut summary = Summary::default();
        let mut batch = Vec::new();
        for line in lines {
            match line {
                Ok(mut imported) => {
                    imported.request.shard = imported.request.shard.or(self.shard);
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
        let result = session
            .origin
            .revoke_all(&self.issuer, &requests, session.clock.now())?;
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
