//! `crl-origin revoke` and `crl-origin release`.

use std::path::PathBuf;

use clap::Args;
use crl::UnixTime;
use origin_api::IssuerId;

use super::output::Output;
use super::{CliError, read};
use crate::ca::{self, CertificateError, Serial};
use crate::clock::Moment;
use crate::origin::{Origin, Revoked};
use crate::revocation::Ask;
use crate::wire::{ReasonName, Revocation};

/// Which certificate.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Certificate {
    /// Its serial number, in hexadecimal.
    serial: Option<Serial>,
    /// The certificate itself, in PEM or DER.
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct Revoke {
    /// The issuer's id.
    issuer: IssuerId,
    #[command(flatten)]
    certificate: Certificate,
    /// Why: unspecified, keyCompromise, cACompromise, affiliationChanged, superseded, cessationOfOperation,
    /// certificateHold, privilegeWithdrawn or aACompromise.
    #[arg(long, default_value = "unspecified")]
    reason: ReasonName,
    /// When it was revoked, such as 2026-11-23T12:00:00Z [default: now]
    #[arg(long, value_name = "TIME")]
    date: Option<UnixTime>,
    /// Since when it is, or may be, invalid.
    #[arg(long, value_name = "TIME")]
    invalidity_date: Option<UnixTime>,
    /// When the certificate expires [default: what the certificate says, if it is known here]
    #[arg(long, value_name = "TIME")]
    not_after: Option<UnixTime>,
    /// The shard that the certificate's distribution point names [default: known if it was issued here]
    #[arg(long, value_name = "NUMBER")]
    shard: Option<u32>,
}

#[derive(Debug, Args)]
pub(super) struct Release {
    /// The issuer's id.
    issuer: IssuerId,
    #[command(flatten)]
    certificate: Certificate,
}

impl Revoke {
    pub(super) fn run(self, origin: &Origin, output: Output) -> Result<(), CliError> {
        let (serial, not_after) = self.certificate.read()?;
        let ask = Ask {
            serial,
            reason: self.reason.0,
            revoked_at: self.date,
            invalidity_date: self.invalidity_date,
            not_after: self.not_after.or(not_after),
            shard: self.shard,
        };
        report(output, origin.revoke(&self.issuer, &ask, Moment::now())?)
    }
}

impl Release {
    pub(super) fn run(self, origin: &Origin, output: Output) -> Result<(), CliError> {
        let (serial, _) = self.certificate.read()?;
        report(
            output,
            origin.release(&self.issuer, &serial, Moment::now())?,
        )
    }
}

impl Certificate {
    /// The serial number and, if the certificate is at hand, its expiry.
    fn read(&self) -> Result<(Serial, Option<UnixTime>), CliError> {
        if let Some(serial) = &self.serial {
            return Ok((serial.clone(), None));
        }
        let path = self
            .certificate
            .as_ref()
            .ok_or_else(|| CliError::Usage("give a serial number".to_owned()))?;
        let certificate = ca::certificate_from_pem_or_der(&read(path)?)?;
        let tbs = certificate.tbs_certificate();
        let serial = Serial::from_be_bytes(tbs.serial_number().as_bytes())
            .map_err(CertificateError::from)?;
        let not_after = tbs.validity().not_after.to_unix_duration().as_secs();
        Ok((serial, Some(UnixTime(not_after.cast_signed()))))
    }
}

fn report(output: Output, revoked: Revoked) -> Result<(), CliError> {
    let changed = revoked.changed;
    output.value(&Revocation::from(revoked.row), |revocation| {
        let since = if changed { "" } else { " already" };
        let serial = String::from(revocation.serial.clone());
        match revocation.state {
            "released" => format!("{serial} released{since}"),
            "expired" => format!("{serial} has expired and is on no CRL"),
            _ => format!(
                "{serial} revoked{since} at {} ({})",
                revocation.revoked_at.0,
                revocation.reason.0.name()
            ),
        }
    })
}
