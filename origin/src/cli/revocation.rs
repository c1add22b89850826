//! `crl-origin revoke` and `crl-origin release`. A running `serve --edge` pushes the change to the
//! edge ([`crate::push`]).

use std::path::PathBuf;

use clap::Args;
use crl::UnixTime;
use origin_api::IssuerId;

use super::common::{Session, list_named, read};
use super::error::CliError;
use super::output::Output;
use crate::ca::{self, Serial};
use crate::origin::Revoked;
use crate::revocation::{CertificateFacts, NamedList, RevocationRequest};
use crate::wire::{ReasonName, RevocationView};

/// The certificate to revoke or release.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Certificate {
    /// Its serial number, in hexadecimal
    serial: Option<Serial>,
    /// The certificate, in PEM or DER
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct Revoke {
    /// The issuer's id
    issuer: IssuerId,
    #[command(flatten)]
    certificate: Certificate,
    /// The reason: unspecified, keyCompromise, cACompromise, affiliationChanged, superseded,
    /// cessationOfOperation, certificateHold, privilegeWithdrawn or aACompromise
    #[arg(long, default_value = "unspecified")]
    reason: ReasonName,
    /// The revocation date, such as 2026-11-23T12:00:00Z [default: now]
    #[arg(long, value_name = "TIME")]
    date: Option<UnixTime>,
    /// When the certificate became, or may have become, invalid
    #[arg(long, value_name = "TIME")]
    invalidity_date: Option<UnixTime>,
    /// When the certificate expires [default: from the certificate, if it is given or was issued
    /// here]
    #[arg(long, value_name = "TIME")]
    not_after: Option<UnixTime>,
    /// The shard that the certificate's distribution point names [default: from the certificate, if
    /// it was issued here]
    #[arg(long, value_name = "NUMBER")]
    shard: Option<u32>,
    /// The certificate names the full CRL, although the issuer has shards
    #[arg(long, conflicts_with = "shard")]
    no_shard: bool,
}

#[derive(Debug, Args)]
pub(super) struct Release {
    /// The issuer's id
    issuer: IssuerId,
    #[command(flatten)]
    certificate: Certificate,
}

impl Revoke {
    pub(super) fn run(self, session: &Session) -> Result<(), CliError> {
        let (serial, certificate) = self.certificate.read(session, &self.issuer)?;
        let request = RevocationRequest {
            serial,
            reason: self.reason.0,
            revoked_at: self.date,
            invalidity_date: self.invalidity_date,
            not_after: self.not_after,
            list: list_named(self.shard, self.no_shard),
            certificate,
        };
        let revoked = session
            .origin
            .revoke(&self.issuer, &request, session.clock.now())?;
        report(session.output, revoked)
    }
}

impl Release {
    pub(super) fn run(self, session: &Session) -> Result<(), CliError> {
        let (serial, _) = self.certificate.read(session, &self.issuer)?;
        let released = session.origin.release(&self.issuer, &serial)?;
        report(session.output, released)
    }
}

impl Certificate {
    /// The serial number and, if the certificate is given, what it states.
    fn read(
        &self,
        session: &Session,
        issuer: &IssuerId,
    ) -> Result<(Serial, Option<CertificateFacts>), CliError> {
        if let Some(serial) = &self.serial {
            return Ok((serial.clone(), None));
        }
        let path = self
            .certificate
            .as_ref()
            .ok_or_else(|| CliError::Usage("give a serial number".to_owned()))?;
        let certificate = ca::certificate_from_pem_or_der(&read(path)?)?;
        let (serial, facts) = session.origin.certificate_facts(issuer, &certificate)?;
        if facts.list == NamedList::Unknown {
            let points = ca::distribution_points(&certificate).join(" ");
            eprintln!(
                "note: the certificate names the CRL at {points}, which is not one of {issuer}'s"
            );
        }
        Ok((serial, Some(facts)))
    }
}

fn report(output: Output, revoked: Revoked) -> Result<(), CliError> {
    let changed = revoked.changed;
    output.value(&RevocationView::from(revoked.certificate), |revocation| {
        let already = if changed { "" } else { " already" };
        let serial = String::from(revocation.serial.clone());
        match revocation.state {
            "released" => format!("{serial} released{already}"),
            "expired" => format!("{serial} has expired and is on no CRL"),
            _ => format!(
                "{serial} revoked{already} at {} ({})",
                revocation.revoked_at.0,
                revocation.reason.0.name()
            ),
        }
    })
}
