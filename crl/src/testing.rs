//! CRLs for unit tests.

use alloc::vec;
use alloc::vec::Vec;

use crate::algorithm::{Algorithm, Digest};
use crate::name::DistinguishedName;
use crate::number::CrlNumber;
use crate::reason::Reason;
use crate::revocation::Revocation;
use crate::serial::Serial;
use crate::time::UnixTime;
use crate::writer::Template;

/// A CRL with these serial numbers and reasons, and a made-up signature.
pub(crate) fn crl(entries: &[(u16, u8)]) -> Vec<u8> {
    let template = template();
    let serials: Vec<_> = entries
        .iter()
        .map(|(serial, _)| serial.to_be_bytes())
        .collect();
    let revocations = serials
        .iter()
        .zip(entries)
        .map(|(serial, (_, reason))| Revocation {
            serial: Serial::from_be_bytes(serial),
            date: UnixTime(1_600_000_000),
            reason: Reason::from_code(*reason).unwrap(),
            invalidity_date: None,
        });
    template
        .sign(revocations, |_| Ok::<_, ()>(vec![7; 70]))
        .unwrap()
}

/// What a CRL of the issuer `CN=Root` says.
pub(crate) fn template() -> Template {
    Template::new(
        DistinguishedName::from_der(b"\x30\x0f1\x0d0\x0b\x06\x03\x55\x04\x03\x13\x04Root").unwrap(),
        Algorithm::Ecdsa(Digest::Sha256).identifier().unwrap(),
        CrlNumber::from(1),
        UnixTime(1_700_000_000)..UnixTime(1_800_000_000),
    )
}
