//! A CRL of other software. Its signature is not verified here: the operator who imports it vouches
//! for it.

use std::ops::ControlFlow;

use crl::{CrlNumber, DistinguishedName, Entry, Limits, ReadError, Reason, UnixTime, Visitor};

use super::{BadLine, Imported, LineFault};
use crate::ca::Serial;
use crate::revocation::{NamedList, RevocationRequest};

/// The contents of a CRL.
#[derive(Debug)]
pub struct ImportedCrl {
    /// Its issuer.
    pub issuer: DistinguishedName,
    /// Its number, if it has one: the next CRL must have a greater one.
    pub number: Option<CrlNumber>,
    /// Its thisUpdate.
    pub this_update: UnixTime,
    /// Its nextUpdate, if it has one.
    pub next_update: Option<UnixTime>,
    /// The number of its base if it is a delta (RFC 5280, section 5.2.4).
    pub base_number: Option<CrlNumber>,
    /// The URLs of its issuing distribution point; none for a full CRL.
    pub distribution_points: Vec<String>,
    /// Its entries, and the faults of those that cannot be imported, numbered from 1.
    pub entries: Vec<Result<Imported, BadLine>>,
}

/// Reads a CRL from its DER.
///
/// # Errors
/// [`ReadError`].
pub fn read_crl(der: &[u8]) -> Result<ImportedCrl, ReadError> {
    let mut entries = Entries::default();
    let limits = Limits {
        max_bytes: u64::MAX,
        ..Limits::default()
    };
    let crl = crl::read(der, limits, &mut entries)?;
    Ok(ImportedCrl {
        issuer: crl.header.issuer,
        number: crl.extensions.number,
        this_update: crl.header.this_update,
        next_update: crl.header.next_update,
        base_number: crl.extensions.base_number,
        distribution_points: crl
            .extensions
            .distribution_point_urls()
            .map(str::to_owned)
            .collect(),
        entries: entries.read,
    })
}

#[derive(Default)]
struct Entries {
    read: Vec<Result<Imported, BadLine>>,
    /// The certificate issuer of an entry also applies to the following ones (RFC 5280,
    /// section 5.3.3).
    of_another: bool,
}

impl Visitor for Entries {
    fn entry(&mut self, entry: &Entry<'_>) -> ControlFlow<()> {
        self.of_another |= entry.certificate_issuer.is_some();
        let line = (self.read.len() as u64).saturating_add(1);
        let read = if self.of_another {
            Err(LineFault::OtherIssuer)
        } else {
            request(entry)
        };
        self.read.push(match read {
            Ok(request) => Ok(Imported { line, request }),
            Err(fault) => Err(BadLine { line, fault }),
        });
        ControlFlow::Continue(())
    }
}

fn request(entry: &Entry<'_>) -> Result<RevocationRequest, LineFault> {
    Ok(RevocationRequest {
        serial: Serial::foreign(entry.serial)?,
        reason: entry.reason.unwrap_or(Reason::Unspecified),
        revoked_at: Some(entry.revocation_date),
        invalidity_date: entry.invalidity_date,
        not_after: None,
        list: NamedList::Unknown,
        certificate: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_of_other_issuers_are_left_out_by_number() {
        let der = b"\x30\x12\x02\x01\x0a\x17\x0d240102030405Z";
        let entry = |certificate_issuer| {
            let mut entry = Entry::from_der(der).unwrap();
            entry.certificate_issuer = certificate_issuer;
            entry
        };
        let mut entries = Entries::default();
        for issuer in [None, Some(&b"\x30\x00"[..]), None] {
            let _ = entries.entry(&entry(issuer));
        }
        let faults: Vec<String> = entries
            .read
            .iter()
            .filter_map(|read| Some(read.as_ref().err()?.to_string()))
            .collect();
        let fault = "the certificate is of another issuer: an indirect CRL";
        assert_eq!(
            faults,
            [format!("line 2: {fault}"), format!("line 3: {fault}")]
        );
    }
}
