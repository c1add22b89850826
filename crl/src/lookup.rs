//! Finds one certificate in a CRL.

use der::Decode;
use x509_cert::ext::pkix::name::{GeneralName, GeneralNames};

use crate::contents::Header;
use crate::entry::{Entry, Reason};
use crate::name::DistinguishedName;
use crate::number::Serial;
use crate::read_error::ReadError;
use crate::reader::{self, Limits};
use crate::time::UnixTime;
use crate::visitor::Visitor;

/// Looks for one serial number in a CRL that lies in one slice, whose signature it does not check.
///
/// ```
/// use crl::{Reason, Serial};
///
/// # let der = include_bytes!("../tests/data/openssl-p256.crl");
/// let found = crl::find(der, Serial::from_be_bytes(&[0x7c, 0xab, 0xab, 0xab, 0xab]))?;
/// assert_eq!(found.and_then(|found| found.reason), Some(Reason::CaCompromise));
/// # Ok::<(), crl::ReadError>(())
/// ```
///
/// # Errors
/// [`ReadError`], as the whole CRL is read, also what stands behind the entry.
pub fn find(der: &[u8], serial: Serial<'_>) -> Result<Option<Listed>, ReadError> {
    let mut lookup = Lookup::new(serial);
    let limits = Limits {
        max_bytes: der.len() as u64,
        ..Limits::default()
    };
    reader::read(der, limits, &mut lookup)?;
    Ok(lookup.listed())
}

/// A visitor that looks for the serial number of one certificate, which the CRL's issuer issued. See [`find`].
#[derive(Clone, Debug)]
pub struct Lookup<'a> {
    serial: Serial<'a>,
    issuer: Option<DistinguishedName>,
    /// In an indirect CRL, whether the entries are of another issuer's certificates now (RFC 5280 §5.3.3).
    other_issuer: bool,
    listed: Option<Listed>,
}

/// What a CRL says of one certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed {
    /// When the CA processed the revocation.
    pub revocation_date: UnixTime,
    /// Why; absent means [`Reason::Unspecified`].
    pub reason: Option<Reason>,
    /// Since when the certificate is known or suspected to be invalid.
    pub invalidity_date: Option<UnixTime>,
}

impl<'a> Lookup<'a> {
    /// Nothing found yet.
    #[must_use]
    pub fn new(serial: Serial<'a>) -> Self {
        Self {
            serial,
            issuer: None,
            other_issuer: false,
            listed: None,
        }
    }

    /// What was found: the first entry of that serial number.
    #[must_use]
    pub fn listed(&self) -> Option<Listed> {
        self.listed
    }
}

impl Visitor for Lookup<'_> {
    fn header(&mut self, header: &Header) {
        self.issuer = Some(header.issuer.clone());
    }

    #[inline]
    fn entry(&mut self, entry: &Entry<'_>) {
        if let Some(names) = entry.certificate_issuer {
            self.other_issuer = !self.is_of_issuer(names);
        }
        if entry.serial == self.serial && !self.other_issuer && self.listed.is_none() {
            self.listed = Some(Listed {
                revocation_date: entry.revocation_date,
                reason: entry.reason,
                invalidity_date: entry.invalidity_date,
            });
        }
    }
}

impl Lookup<'_> {
    fn is_of_issuer(&self, names: &[u8]) -> bool {
        let names = GeneralNames::from_der(names).unwrap_or_default();
        names.iter().any(|name| match (name, &self.issuer) {
            (GeneralName::DirectoryName(name), Some(issuer)) => {
                DistinguishedName::try_from(name).is_ok_and(|name| name.matches(issuer))
            }
            _ => false,
        })
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    const P256: &[u8] = include_bytes!("../tests/data/openssl-p256.crl");

    #[test]
    fn every_entry_is_found_and_nothing_else() {
        struct All(Vec<(Vec<u8>, UnixTime)>);
        impl Visitor for All {
            fn entry(&mut self, entry: &Entry<'_>) {
                let serial = entry.serial.as_be_bytes().to_vec();
                self.0.push((serial, entry.revocation_date));
            }
        }
        let mut all = All(Vec::new());
        reader::read(P256, Limits::default(), &mut all).unwrap();
        assert_eq!(all.0.len(), 8);
        for (serial, date) in all.0 {
            let listed = find(P256, Serial::from_be_bytes(&serial)).unwrap().unwrap();
            assert_eq!(listed.revocation_date, date);
            let shorter = &serial[1..];
            assert_eq!(find(P256, Serial::from_be_bytes(shorter)), Ok(None));
        }
        assert!(find(&P256[1..], Serial::from_be_bytes(&[1])).is_err());
    }

    #[test]
    fn entries_of_other_issuers_do_not_count() {
        let issuer =
            DistinguishedName::from_der(b"\x30\x0f1\x0d0\x0b\x06\x03\x55\x04\x03\x13\x04Root")
                .unwrap();
        // GeneralNames with that name, and with another one.
        let own = [&b"\x30\x13\xa4\x11"[..], issuer.as_der()].concat();
        let mut other = own.clone();
        *other.last_mut().unwrap() = b'x';
        let contents = b"\x02\x01\x01\x17\x0d240102030405Z";
        let entry = |certificate_issuer| Entry {
            certificate_issuer,
            ..Entry::from_contents(contents).unwrap()
        };
        let found = |entries: &[Entry<'_>]| {
            let mut lookup = Lookup::new(Serial::from_be_bytes(&[1]));
            lookup.issuer = Some(issuer.clone());
            for entry in entries {
                lookup.entry(entry);
            }
            lookup.listed().is_some()
        };
        assert!(found(&[entry(None)]));
        assert!(!found(&[entry(Some(&other[..])), entry(None)]));
        assert!(found(&[entry(Some(&other[..])), entry(Some(&own[..]))]));
        assert!(!found(&[entry(Some(b"\x30\x00"))]));
    }
}
