//! The types of rustls and webpki, converted.

use alloc::vec::Vec;

use rustls_pki_types::{CertificateDer, TrustAnchor};

use crate::issuer::{Issuer, IssuerError};
use crate::name::DistinguishedName;
use crate::time::UnixTime;
use crate::tlv::{self, SEQUENCE};

impl TryFrom<&CertificateDer<'_>> for Issuer {
    type Error = IssuerError;

    fn try_from(certificate: &CertificateDer<'_>) -> Result<Self, IssuerError> {
        Self::from_der(certificate)
    }
}

impl TryFrom<&TrustAnchor<'_>> for Issuer {
    type Error = IssuerError;

    fn try_from(anchor: &TrustAnchor<'_>) -> Result<Self, IssuerError> {
        let subject = DistinguishedName::from_der(&sequence(&anchor.subject)?)
            .map_err(|_| IssuerError::Malformed("its subject is malformed"))?;
        Self::from_name_and_key(subject, &sequence(&anchor.subject_public_key_info)?)
    }
}

/// A trust anchor's fields are the contents of a SEQUENCE.
fn sequence(contents: &[u8]) -> Result<Vec<u8>, IssuerError> {
    let mut der = Vec::new();
    tlv::put(&mut der, SEQUENCE, contents).ok_or(IssuerError::Malformed("it is over 4 GiB"))?;
    Ok(der)
}

/// The latest moment if it is beyond `i64`.
impl From<rustls_pki_types::UnixTime> for UnixTime {
    fn from(time: rustls_pki_types::UnixTime) -> Self {
        Self(i64::try_from(time.as_secs()).unwrap_or(i64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trust_anchor_is_an_issuer() {
        let certificate =
            CertificateDer::from(&include_bytes!("../tests/data/openssl-p256.cer")[..]);
        let anchor = webpki::anchor_from_trusted_cert(&certificate).unwrap();
        let from_anchor = Issuer::try_from(&anchor).unwrap();
        let from_certificate = Issuer::try_from(&certificate).unwrap();
        assert_eq!(from_anchor.subject(), from_certificate.subject());
        let spki = |issuer: &Issuer| issuer.key().for_hash().unwrap().spki().to_vec();
        assert_eq!(spki(&from_anchor), spki(&from_certificate));
        assert_eq!(from_anchor.subject_key_id(), None);
    }

    #[test]
    fn times_are_the_same() {
        let time = rustls_pki_types::UnixTime::since_unix_epoch(core::time::Duration::from_secs(7));
        assert_eq!(UnixTime::from(time), UnixTime(7));
    }
}
