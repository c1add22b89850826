//! `crl-origin crl`: makes and examines CRLs.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, Subcommand};
use crl::{
    Crl, CrlKind, Entry, Examination, Reader, Reason, Requirements, RustCrypto, Verification,
    Visitor,
};
use der::Encode;
use origin_api::{CrlName, IssuerId, Timestamp};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::common::{Session, read, read_der, unlimited};
use super::error::CliError;
use super::output::{self, Output};
use crate::connector::{Answer, Connectors};
use crate::http_client::NetworkClient;
use crate::origin::{Caller, OriginError};
use crate::runtime::TokioRuntime;
use crate::{ca, hex};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a CRL with a new number
    Make(Make),
    #[command(flatten)]
    File(FileCommand),
}

/// Commands on files, which need no database.
#[derive(Debug, Subcommand)]
pub(super) enum FileCommand {
    /// Show the contents of a CRL
    Show {
        /// The CRL, in DER or PEM
        file: PathBuf,
        /// Show its entries as well
        #[arg(long)]
        entries: bool,
    },
    /// Verify a CRL by the edge's rules: encoding, issuer, signature, times
    Verify {
        /// The CRL, in DER or PEM
        file: PathBuf,
        /// The certificate of its issuer, in PEM or DER
        #[arg(long, value_name = "FILE")]
        issuer: PathBuf,
        /// The CRL that it should be: full, delta, shard-0, …
        #[arg(long, default_value = "full")]
        name: CrlName,
    },
    /// Show the differences between two CRLs
    Diff {
        /// The earlier CRL, in DER or PEM
        before: PathBuf,
        /// The later CRL, in DER or PEM
        after: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(super) struct Make {
    /// The issuer's id
    issuer: IssuerId,
    /// The CRL's name: full, delta, shard-0, …
    #[arg(default_value = "full")]
    name: CrlName,
    /// Write the DER to this file
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl FileCommand {
    pub(super) fn run(self, now: Timestamp, output: Output) -> Result<(), CliError> {
        match self {
            Self::Show { file, entries } => show(&file, entries, output),
            Self::Verify { file, issuer, name } => verify(&file, &issuer, name, now, output),
            Self::Diff { before, after } => diff(&before, &after, output),
        }
    }
}

impl Make {
    pub(super) fn run(self, session: &Session) -> Result<(), CliError> {
        let output = session.output;
        let failed = |error: &dyn std::fmt::Display| CliError::Serve(error.to_string());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let runtime = runtime.map_err(|error| failed(&error))?;
        let client = NetworkClient::new().map_err(|error| failed(&error))?;
        let connectors = Connectors::new(
            Arc::clone(&session.origin),
            Arc::new(TokioRuntime::new(Arc::clone(&session.clock))),
            Arc::new(client),
        );
        let made = connectors.crl(self.issuer, self.name, Caller::default());
        let body = match runtime.block_on(made)? {
            Answer::Crl(body) => body,
            Answer::Unchanged | Answer::Nothing => {
                return output.value(&None::<Summary>, |_| {
                    "there is no CRL to publish".to_owned()
                });
            }
        };
        if let Some(path) = &self.out {
            output::write_parts(path, &body.parts)?;
        }
        let parts = body.parts.iter().map(AsRef::as_ref);
        let summary = summary(parts, body.sha256, &mut ()).map_err(|source| CliError::NotCrl {
            path: "the CRL".into(),
            source,
        })?;
        output.value(&summary, Summary::text)
    }
}

/// The contents of a CRL except its entries.
#[derive(Debug, Serialize)]
struct Summary {
    issuer: String,
    algorithm: String,
    number: Option<String>,
    base_number: Option<String>,
    this_update: String,
    next_update: Option<String>,
    distribution_points: Vec<String>,
    entries: u64,
    size_bytes: u64,
    sha256: String,
}

impl Summary {
    fn text(&self) -> String {
        let next_update = self.next_update.as_deref().unwrap_or("(never)");
        let mut lines = vec![
            format!("issuer   {}", self.issuer),
            format!("number   {}", self.number.as_deref().unwrap_or("(none)")),
        ];
        lines.extend(
            self.base_number
                .iter()
                .map(|base| format!("base     {base}")),
        );
        lines.extend(
            self.distribution_points
                .iter()
                .map(|url| format!("limited  to certificates that name {url}")),
        );
        lines.extend([
            format!("valid    {} to {next_update}", self.this_update),
            format!("entries  {}", self.entries),
            format!("signed   {}", self.algorithm),
            format!("size     {} bytes", self.size_bytes),
            format!("sha256   {}", self.sha256),
        ]);
        lines.join("\n")
    }
}

fn summary<'a>(
    parts: impl IntoIterator<Item = &'a [u8]>,
    sha256: [u8; 32],
    visitor: &mut impl Visitor,
) -> Result<Summary, ::crl::ReadError> {
    let mut reader = Reader::new(unlimited());
    for part in parts {
        reader.push(part, visitor)?;
    }
    let crl = reader.finish()?;
    let extensions = &crl.extensions;
    Ok(Summary {
        issuer: crl.header.issuer.to_string(),
        algorithm: crl.algorithm.to_string(),
        number: extensions.number.map(|number| number.to_string()),
        base_number: extensions.base_number.map(|number| number.to_string()),
        this_update: crl.header.this_update.to_string(),
        next_update: crl.header.next_update.map(|time| time.to_string()),
        distribution_points: extensions
            .distribution_point_urls()
            .map(str::to_owned)
            .collect(),
        entries: crl.entry_count,
        size_bytes: crl.size,
        sha256: hex::encode(&sha256),
    })
}

/// A CRL entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct EntryView {
    serial: String,
    revoked_at: String,
    reason: &'static str,
    invalidity_date: Option<String>,
}

/// Collects every entry.
#[derive(Default)]
struct Entries(Vec<EntryView>);

impl Visitor for Entries {
    fn entry(&mut self, entry: &Entry<'_>) -> ControlFlow<()> {
        self.0.push(EntryView {
            serial: hex::encode(entry.serial.as_be_bytes()),
            revoked_at: entry.revocation_date.to_string(),
            reason: entry.reason.unwrap_or(Reason::Unspecified).name(),
            invalidity_date: entry.invalidity_date.map(|time| time.to_string()),
        });
        ControlFlow::Continue(())
    }
}

/// Reads the CRL in a file.
fn read_summary(file: &Path, visitor: &mut impl Visitor) -> Result<Summary, CliError> {
    let der = read_der(file)?;
    let sha256 = Sha256::digest(&der).into();
    summary([der.as_slice()], sha256, visitor).map_err(|source| CliError::NotCrl {
        path: file.to_owned(),
        source,
    })
}

fn show(file: &Path, entries: bool, output: Output) -> Result<(), CliError> {
    let mut kept = Entries::default();
    let summary = read_summary(file, &mut kept)?;
    output.value(&summary, Summary::text)?;
    if !entries {
        return Ok(());
    }
    output.rows(
        &kept.0,
        ["SERIAL", "REVOKED", "REASON", "INVALID SINCE"],
        |entry| {
            let invalid = entry.invalidity_date.clone().unwrap_or_default();
            [
                entry.serial.clone(),
                entry.revoked_at.clone(),
                entry.reason.to_owned(),
                invalid,
            ]
        },
    )
}

#[derive(Debug, Serialize)]
struct Verdict {
    verified: bool,
    issuer: String,
    entries: u64,
}

fn verify(
    file: &Path,
    issuer: &Path,
    name: CrlName,
    now: Timestamp,
    output: Output,
) -> Result<(), CliError> {
    let der = read_der(file)?;
    let not_crl = |source| CliError::NotCrl {
        path: file.to_owned(),
        source,
    };
    let certificate = ca::certificate_from_pem_or_der(&read(issuer)?)?;
    let certificate = certificate
        .to_der()
        .map_err(|error| OriginError::from(ca::CertificateError::from(error)))?;
    let issuer = ::crl::Issuer::from_der(&certificate)
        .map_err(|error| CliError::Refused(error.to_string()))?;
    let mut examination = Examination::<RustCrypto>::new(unlimited());
    examination.push(&der).map_err(not_crl)?;
    let examined = examination.finish().map_err(not_crl)?;
    let kind = match name {
        CrlName::Full => CrlKind::Full,
        CrlName::Delta => CrlKind::Delta,
        CrlName::Shard(_) => CrlKind::Shard,
    };
    let refused =
        |refusal: ::crl::Refusal| CliError::Refused(format!("{} ({})", refusal, refusal.code()));
    let requirements = Requirements::new(&issuer, kind, now.as_unix_time());
    let verification = ::crl::verify(&examined, &requirements);
    if let Verification::NeedsSecondPass(mut pass) = verification.map_err(refused)? {
        pass.push(&der);
        pass.finish().map_err(refused)?;
    }
    let crl: &Crl = examined.crl();
    let verdict = Verdict {
        verified: true,
        issuer: crl.header.issuer.to_string(),
        entries: crl.entry_count,
    };
    output.value(&verdict, |verdict| {
        format!(
            "verified: {} entries, by {}",
            verdict.entries, verdict.issuer
        )
    })
}

/// One difference between two CRLs.
#[derive(Debug, Serialize)]
struct Difference {
    change: &'static str,
    what: String,
    before: Option<String>,
    after: Option<String>,
}

fn diff(before: &Path, after: &Path, output: Output) -> Result<(), CliError> {
    let read = |path: &Path| {
        let mut entries = Entries::default();
        let summary = read_summary(path, &mut entries)?;
        let entries: BTreeMap<String, EntryView> = entries
            .0
            .into_iter()
            .map(|entry| (entry.serial.clone(), entry))
            .collect();
        Ok::<_, CliError>((summary, entries))
    };
    let (old, old_entries) = read(before)?;
    let (new, new_entries) = read(after)?;
    let mut differences = Vec::new();
    let mut compare = |what: &str, before: Option<String>, after: Option<String>| {
        let change = match (&before, &after) {
            (before, after) if before == after => return,
            (None, _) => "added",
            (_, None) => "removed",
            _ => "changed",
        };
        differences.push(Difference {
            change,
            what: what.to_owned(),
            before,
            after,
        });
    };
    compare("issuer", Some(old.issuer), Some(new.issuer));
    compare("number", old.number, new.number);
    compare("base number", old.base_number, new.base_number);
    compare("thisUpdate", Some(old.this_update), Some(new.this_update));
    compare("nextUpdate", old.next_update, new.next_update);
    let text = |entry: Option<&EntryView>| {
        entry.map(|entry| {
            let invalid = entry
                .invalidity_date
                .as_ref()
                .map(|time| format!(", invalid since {time}"));
            format!(
                "{} {}{}",
                entry.revoked_at,
                entry.reason,
                invalid.unwrap_or_default()
            )
        })
    };
    for serial in old_entries.keys().chain(
        new_entries
            .keys()
            .filter(|serial| !old_entries.contains_key(*serial)),
    ) {
        compare(
            serial,
            text(old_entries.get(serial)),
            text(new_entries.get(serial)),
        );
    }
    output.rows(
        &differences,
        ["CHANGE", "WHAT", "BEFORE", "AFTER"],
        |difference| {
            let cell = |text: &Option<String>| text.clone().unwrap_or_default();
            [
                difference.change.to_owned(),
                difference.what.clone(),
                cell(&difference.before),
                cell(&difference.after),
            ]
        },
    )
}
