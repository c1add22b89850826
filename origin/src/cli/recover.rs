//! `crl-origin recover`: takes over what the edge serves, after the database was restored from a
//! backup.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use crl::{CrlKind, Examination, Requirements, RustCrypto, Verification};
use der::Encode;
use origin_api::{CrlName, IssuerId};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::common::{Session, crl_der, fetch, list_named, read, read_der, unlimited};
use super::error::CliError;
use crate::ca::{self, CertificateError, Serial};
use crate::hex;
use crate::import::{self, ImportedCrl};
use crate::list_config::ListConfig;
use crate::origin::{Evidence, OriginError, ServedCrl, Setup};
use crate::revocation::CertificateFacts;
use crate::store::records::{AdoptedCrl, UnknownCrl};

#[derive(Debug, Args)]
pub(super) struct Recover {
    /// The issuer's id
    issuer: IssuerId,
    /// The CRLs that the edge serves, each a file or an http(s) URL, in DER or PEM: the full CRL
    /// and every shard
    #[arg(required_unless_present = "dismiss", value_name = "FILE|URL")]
    crls: Vec<String>,
    /// Recover nothing from the CRL with this SHA-256, which an edge holds: it is not this
    /// issuer's, or its entries are not needed
    #[arg(long, value_name = "SHA256", conflicts_with_all = ["crls", "certificates", "no_shard"])]
    dismiss: Option<String>,
    /// A file of certificates, in PEM or DER: they say which shard lists them
    #[arg(long = "certificate", value_name = "FILE")]
    certificates: Vec<PathBuf>,
    /// Entries on no shard's CRL are of certificates that name the full CRL
    #[arg(long)]
    no_shard: bool,
}

#[derive(Debug, Serialize)]
struct Summary {
    recovered: u64,
    already_revoked: u64,
    watermark: u64,
    missing: Vec<MissingCrl>,
}

#[derive(Debug, Serialize)]
struct MissingCrl {
    name: CrlName,
    number: String,
}

#[derive(Debug, Serialize)]
struct Dismissed {
    dismissed: String,
    missing: Vec<MissingCrl>,
}

impl From<&UnknownCrl> for MissingCrl {
    fn from(crl: &UnknownCrl) -> Self {
        Self {
            name: crl.name,
            number: crl.number.to_string(),
        }
    }
}

impl Recover {
    pub(super) fn run(self, session: &Session) -> Result<(), CliError> {
        if let Some(sha256) = &self.dismiss {
            return self.dismiss(sha256, session);
        }
        let setup = session.origin.setup(&self.issuer)?;
        let served = self
            .crls
            .iter()
            .map(|source| read_crl(source, &setup, session))
            .collect::<Result<Vec<_>, _>>()?;
        let evidence = Evidence {
            served,
            certificates: self.read_certificates(session)?,
            otherwise: list_named(None, self.no_shard),
        };
        let recovery = session
            .origin
            .recover(&self.issuer, &evidence, session.clock.now())?;
        let summary = Summary {
            recovered: recovery.recovered,
            already_revoked: recovery.known,
            watermark: recovery.watermark.0,
            missing: recovery
                .missing
                .iter()
                .map(|(name, number)| MissingCrl {
                    name: *name,
                    number: number.to_string(),
                })
                .collect(),
        };
        session.output.value(&summary, |summary| {
            format!(
                "{} recovered, {} already revoked; the watermark is {}",
                summary.recovered, summary.already_revoked, summary.watermark
            )
        })?;
        match recovery.missing.first() {
            None => Ok(()),
            Some((name, number)) => Err(OriginError::StateLost(self.issuer, *name, *number).into()),
        }
    }
}

impl Recover {
    fn dismiss(&self, sha256: &str, session: &Session) -> Result<(), CliError> {
        let hash = hex::decode(sha256);
        let hash = hash.ok_or_else(|| {
            CliError::Usage(format!(
                "{sha256} is not a SHA-256 of 64 hexadecimal digits"
            ))
        })?;
        let now = session.clock.now();
        let missing = session.origin.dismiss(&self.issuer, hash, now)?;
        let dismissed = Dismissed {
            dismissed: sha256.to_owned(),
            missing: missing.iter().map(MissingCrl::from).collect(),
        };
        session.output.value(&dismissed, |dismissed| {
            format!(
                "dismissed; {} unknown CRLs are left",
                dismissed.missing.len()
            )
        })
    }

    fn read_certificates(
        &self,
        session: &Session,
    ) -> Result<BTreeMap<Serial, CertificateFacts>, CliError> {
        let mut facts_by_serial = BTreeMap::new();
        for path in &self.certificates {
            for certificate in ca::certificates_from_pem_or_der(&read(path)?)? {
                let (serial, facts) = session
                    .origin
                    .certificate_facts(&self.issuer, &certificate)?;
                facts_by_serial.insert(serial, facts);
            }
        }
        Ok(facts_by_serial)
    }
}

/// Reads and verifies a CRL, and finds its list.
fn read_crl(source: &str, setup: &Setup, session: &Session) -> Result<ServedCrl, CliError> {
    let der = if source.starts_with("http://") || source.starts_with("https://") {
        crl_der(source, fetch(source)?)?
    } else {
        read_der(source.as_ref())?
    };
    let not_crl = |error| CliError::NotCrl {
        path: source.into(),
        source: error,
    };
    let imported = import::read_crl(&der).map_err(not_crl)?;
    let name = list_of(source, &imported, &setup.lists)?;
    verify(source, &der, name, setup, session)?;
    let number = imported.number.ok_or_else(|| {
        CliError::Refused(format!(
            "{source}: a CRL without CRLNumber is not the origin's"
        ))
    })?;
    let entries = imported
        .entries
        .into_iter()
        .filter_map(|entry| match entry {
            Ok(entry) if entry.request.reason == crl::Reason::RemoveFromCrl => None,
            Ok(entry) => Some(Ok(entry.request)),
            Err(bad) => Some(Err(CliError::Refused(format!("{source}: {bad}")))),
        });
    Ok(ServedCrl {
        crl: AdoptedCrl {
            name,
            sha256: Sha256::digest(&der).into(),
            number,
            this_update: imported.this_update,
            next_update: imported.next_update.unwrap_or(imported.this_update),
        },
        base_number: imported.base_number,
        entries: entries.collect::<Result<_, _>>()?,
    })
}

/// The list that a CRL belongs to: a delta by its base, a shard by its distribution point.
pub(super) fn list_of(
    source: &str,
    crl: &ImportedCrl,
    lists: &[ListConfig],
) -> Result<CrlName, CliError> {
    if crl.base_number.is_some() {
        return Ok(CrlName::Delta);
    }
    if crl.distribution_points.is_empty() {
        return Ok(CrlName::Full);
    }
    let at_point = |list: &&ListConfig| {
        let url = list.distribution_point.as_ref();
        matches!(list.name, CrlName::Shard(_))
            && url.is_some_and(|url| crl.distribution_points.contains(url))
    };
    let found = lists.iter().find(at_point).map(|list| list.name);
    found.ok_or_else(|| {
        CliError::Refused(format!(
            "{source}: its distribution point, {}, is none of the issuer's shards: if the backup is from before that shard, create it first",
            crl.distribution_points.join(" ")
        ))
    })
}

/// The CRL must be the issuer's own; it may have expired.
fn verify(
    source: &str,
    der: &[u8],
    name: CrlName,
    setup: &Setup,
    session: &Session,
) -> Result<(), CliError> {
    let certificate = ca::certificate_from_pem_or_der(&setup.certificate)?;
    let certificate = certificate.to_der().map_err(CertificateError::from)?;
    let issuer = crl::Issuer::from_der(&certificate)
        .map_err(|error| CliError::Refused(error.to_string()))?;
    let not_crl = |error| CliError::NotCrl {
        path: source.into(),
        source: error,
    };
    let refused = |refusal: crl::Refusal| {
        CliError::Refused(format!("{source}: {refusal} ({})", refusal.code()))
    };
    let mut examination = Examination::<RustCrypto>::new(unlimited());
    examination.push(der).map_err(not_crl)?;
    let examined = examination.finish().map_err(not_crl)?;
    let kind = match name {
        CrlName::Full => CrlKind::Full,
        CrlName::Delta => CrlKind::Delta,
        CrlName::Shard(_) => CrlKind::Shard,
    };
    // At its own thisUpdate it was valid: what it lists counts even if it has expired since.
    let this_update = examined.crl().header.this_update;
    let at = this_update.min(session.clock.now().as_unix_time());
    let requirements = Requirements::new(&issuer, kind, at.max(this_update));
    if let Verification::NeedsSecondPass(mut pass) =
        crl::verify(&examined, &requirements).map_err(refused)?
    {
        pass.push(der);
        pass.finish().map_err(refused)?;
    }
    Ok(())
}
