//! Finds one certificate in a CRL.

use core::ops::ControlFlow;

use der::asn1::ObjectIdentifier;

use crate::contents::{Crl, Header};
use crate::entry::Entry;
use crate::name::DistinguishedName;
use crate::read_error::ReadError;
use crate::reader::{self, Limits};
use crate::reason::Reason;
use crate::scope::Scope;
use crate::serial::Serial;
use crate::time::UnixTime;
use crate::tlv::{self, Fault, SEQUENCE, constructed};
use crate::visitor::Visitor;

/// Looks for one serial number in a CRL in one slice. The certificate must be one that the CRL's
/// issuer issued. Neither the signature nor the validity of the CRL is checked: see
/// [`verify`](crate::verify()).
///
/// ```
/// use crl::{Reason, Serial, Status};
///
/// # let der = include_bytes!("../tests/data/openssl-p256.crl");
/// let serial = Serial::from_be_bytes(&[0x7c, 0xab, 0xab, 0xab, 0xab]);
/// match crl::find(der, serial)? {
///     Status::Revoked(listed) => assert_eq!(listed.reason, Some(Reason::CaCompromise)),
///     Status::NotListed => println!("good"),
///     other => println!("this CRL alone does not say: {other:?}"),
/// }
/// # Ok::<(), crl::ReadError>(())
/// ```
///
/// # Errors
/// [`ReadError`]: all of the CRL is read, also what follows the entry.
pub fn find(der: &[u8], serial: Serial<'_>) -> Result<Status, ReadError> {
    let mut lookup = Lookup::new(serial);
    let limits = Limits {
        max_bytes: der.len() as u64,
        ..Limits::default()
    };
    let crl = reader::read(der, limits, &mut lookup)?;
    Ok(lookup.status(&crl))
}

/// What one CRL says of one certificate of its issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Status {
    /// The certificate is listed: it is revoked, or on hold.
    Revoked(Listed),
    /// The certificate is not listed, and the CRL covers every certificate of its issuer.
    NotListed,
    /// The certificate is not listed, but the CRL covers only a part of its issuer's certificates
    /// or reasons, or only changes. Whether that includes the certificate, the caller must judge.
    NotListedInPart(Scope),
    /// A delta CRL says that the complete CRL's entry no longer holds: removeFromCRL.
    Removed(Listed),
    /// RFC 5280, sections 5.2 and 5.3: a critical extension of this type is unknown, so the CRL
    /// must not be used to judge any certificate.
    Unusable {
        /// The extension's type.
        oid: ObjectIdentifier,
        /// The certificate's entry all the same, if it has one.
        listed: Option<Listed>,
    },
}

/// What an entry says of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Listed {
    /// When the CA processed the revocation.
    pub revocation_date: UnixTime,
    /// Why; absent means [`Reason::Unspecified`].
    pub reason: Option<Reason>,
    /// Since when the certificate is known or suspected to be invalid.
    pub invalidity_date: Option<UnixTime>,
}

/// A visitor that looks for one certificate, for CRLs that come in pieces. See [`find`].
#[derive(Clone, Debug)]
pub struct Lookup<'a> {
    serial: Serial<'a>,
    issuer: Option<DistinguishedName>,
    /// In an indirect CRL, whether the entries are now for certificates of another issuer
    /// (RFC 5280, section 5.3.3).
    is_other_issuer: bool,
    listed: Option<Listed>,
}

impl<'a> Lookup<'a> {
    /// Before the first entry.
    #[must_use]
    pub fn new(serial: Serial<'a>) -> Self {
        Self {
            serial,
            issuer: None,
            is_other_issuer: false,
            listed: None,
        }
    }

    /// The answer, after the whole `crl` has been visited.
    #[must_use]
    pub fn status(&self, crl: &Crl) -> Status {
        let listed = self.listed;
        let mut unknown = crl.extensions.unknown.iter();
        let of_crl = unknown.find(|extension| extension.critical);
        let critical = of_crl
            .map(|extension| extension.oid)
            .or(crl.unknown_critical_entry_extension);
        if let Some(oid) = critical {
            return Status::Unusable { oid, listed };
        }
        match listed {
            Some(listed) if listed.reason == Some(Reason::RemoveFromCrl) => Status::Removed(listed),
            Some(listed) => Status::Revoked(listed),
            None => {
                let scope = crl.scope();
                if scope.is_complete() {
                    Status::NotListed
                } else {
                    Status::NotListedInPart(scope)
                }
            }
        }
    }

    /// Keeps the first entry, except that an entry that revokes counts more than removeFromCRL.
    #[cold]
    fn keep(&mut self, entry: &Entry<'_>) {
        let is_removed = |reason| reason == Some(Reason::RemoveFromCrl);
        let counts = match self.listed {
            None => true,
            Some(listed) => is_removed(listed.reason) && !is_removed(entry.reason),
        };
        if counts {
            self.listed = Some(Listed {
                revocation_date: entry.revocation_date,
                reason: entry.reason,
                invalidity_date: entry.invalidity_date,
            });
        }
    }

    fn is_of_issuer(&self, names: &[u8]) -> bool {
        self.issuer
            .as_ref()
            .is_some_and(|issuer| has_directory_name(names, issuer).unwrap_or(false))
    }
}

impl Visitor for Lookup<'_> {
    fn header(&mut self, header: &Header) {
        self.issuer = Some(header.issuer.clone());
    }

    #[inline]
    fn entry(&mut self, entry: &Entry<'_>) -> ControlFlow<()> {
        if let Some(names) = entry.certificate_issuer {
            self.is_other_issuer = !self.is_of_issuer(names);
        }
        if entry.serial == self.serial && !self.is_other_issuer {
            self.keep(entry);
        }
        ControlFlow::Continue(())
    }
}

/// Whether the GeneralNames have a directoryName that matches.
fn has_directory_name(names: &[u8], name: &DistinguishedName) -> Result<bool, Fault> {
    let directory_name = constructed(4);
    let mut names = tlv::only(names, SEQUENCE, "")?;
    while !names.is_empty() {
        let (tag, contents) = tlv::take_any(&mut names)?;
        if tag == directory_name && name.matches_der(contents) {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use super::*;
    use crate::algorithm::{Algorithm, Digest};
    use crate::number::CrlNumber;
    use crate::revocation::Revocation;
    use crate::writer::Template;

    const P256: &[u8] = include_bytes!("../tests/data/openssl-p256.crl");

    #[test]
    fn every_entry_is_found_and_nothing_else() {
        struct All(Vec<(Vec<u8>, UnixTime)>);
        impl Visitor for All {
            fn entry(&mut self, entry: &Entry<'_>) -> ControlFlow<()> {
                let serial = entry.serial.as_be_bytes().to_vec();
                self.0.push((serial, entry.revocation_date));
                ControlFlow::Continue(())
            }
        }
        let mut all = All(Vec::new());
        reader::read(P256, Limits::default(), &mut all).unwrap();
        assert_eq!(all.0.len(), 8);
        for (serial, date) in all.0 {
            let Status::Revoked(listed) = find(P256, Serial::from_be_bytes(&serial)).unwrap()
            else {
                panic!("{serial:02x?}");
            };
            assert_eq!(listed.revocation_date, date);
            let shorter = &serial[1..];
            let status = find(P256, Serial::from_be_bytes(shorter));
            assert_eq!(status, Ok(Status::NotListed));
        }
        assert!(find(&P256[1..], Serial::from_be_bytes(&[1])).is_err());
    }

    #[test]
    fn a_list_in_memory_is_searched_however_long_it_is() {
        let issuer =
            DistinguishedName::from_der(b"\x30\x0f1\x0d0\x0b\x06\x03\x55\x04\x03\x13\x04Root")
                .unwrap();
        let algorithm = Algorithm::Ecdsa(Digest::Sha256).identifier().unwrap();
        let template = Template::new(
            issuer,
            algorithm,
            CrlNumber::from(1),
            UnixTime(0)..UnixTime(1),
        );
        // Long serial numbers: entries by the million take long to read.
        let serials: Vec<_> = (1..=4200_u32)
            .map(|number| {
                let mut serial = vec![1; 32 << 10];
                serial[..4].copy_from_slice(&number.to_be_bytes());
                serial
            })
            .collect();
        let revocations = serials.iter().map(|serial| Revocation {
            serial: Serial::from_be_bytes(serial),
            date: UnixTime(0),
            reason: Reason::Unspecified,
            invalidity_date: None,
        });
        let signed = template.sign(revocations, |_| Ok::<_, ()>(Vec::from([0; 70])));
        let crl = signed.unwrap();
        assert!(crl.len() as u64 > Limits::default().max_bytes);
        let last = serials.last().unwrap();
        let status = find(&crl, Serial::from_be_bytes(last));
        assert!(matches!(status, Ok(Status::Revoked(_))), "{status:?}");
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
        let der = b"\x30\x12\x02\x01\x01\x17\x0d240102030405Z";
        let entry = |certificate_issuer| {
            let mut entry = Entry::from_der(der).unwrap();
            entry.certificate_issuer = certificate_issuer;
            entry
        };
        let found = |entries: &[Entry<'_>]| {
            let mut lookup = Lookup::new(Serial::from_be_bytes(&[1]));
            lookup.issuer = Some(issuer.clone());
            for entry in entries {
                let _ = lookup.entry(entry);
            }
            lookup.listed.is_some()
        };
        assert!(found(&[entry(None)]));
        assert!(!found(&[entry(Some(&other[..])), entry(None)]));
        assert!(found(&[entry(Some(&other[..])), entry(Some(&own[..]))]));
        assert!(!found(&[entry(Some(b"\x30\x00"))]));
    }

    #[test]
    fn an_entry_that_revokes_counts_more_than_one_that_removes() {
        let der = b"\x30\x12\x02\x01\x01\x17\x0d240102030405Z";
        let entry = |reason| {
            let mut entry = Entry::from_der(der).unwrap();
            entry.reason = reason;
            entry
        };
        let (remove, revoke) = (Some(Reason::RemoveFromCrl), Some(Reason::KeyCompromise));
        for (reasons, reason) in [
            ([remove, revoke], revoke),
            ([revoke, remove], revoke),
            ([remove, remove], remove),
            ([revoke, Some(Reason::Superseded)], revoke),
        ] {
            let mut lookup = Lookup::new(Serial::from_be_bytes(&[1]));
            for reason in reasons {
                let _ = lookup.entry(&entry(reason));
            }
            assert_eq!(lookup.listed.unwrap().reason, reason);
        }
    }

    /// The issuer is the one of the header: an entry that names it is for its own certificate.
    #[test]
    fn an_entry_that_names_the_issuer_of_the_crl_counts() {
        let element = |tag: u8, parts: &[&[u8]]| {
            let mut der = Vec::new();
            tlv::put(&mut der, tag, &parts.concat()).unwrap();
            der
        };
        let find = |name: &[u8]| {
            let names = element(SEQUENCE, &[&element(constructed(4), &[name])]);
            let value = element(0x04, &[&names]);
            let fields = [&b"\x06\x03\x55\x1d\x1d\x01\x01\xff"[..], &value];
            let extensions = element(SEQUENCE, &[&element(SEQUENCE, &fields)]);
            let entry = [&b"\x02\x01\x01\x17\x0d240102030405Z"[..], &extensions];
            let list = element(SEQUENCE, &entry);
            let tbs = crate::testing::template().tbs(list.len() as u64).unwrap();
            let seal = tbs.seal(&[7; 70]).unwrap();
            let parts = [&seal.prefix, tbs.before(), &list, tbs.after(), &seal.suffix];
            super::find(&parts.concat(), Serial::from_be_bytes(&[1])).unwrap()
        };
        let root = b"\x30\x0f1\x0d0\x0b\x06\x03\x55\x04\x03\x13\x04Root";
        assert!(matches!(find(root), Status::Revoked(_)));
        let mut other = *root;
        *other.last_mut().unwrap() = b'x';
        let Status::NotListedInPart(scope) = find(&other) else {
            panic!();
        };
        assert!(scope.is_indirect);
    }
}
