//! The issuer that a CRL must be from. Whether it is trusted is for the caller to decide.

use alloc::vec::Vec;

use der::Decode;
use der::referenced::OwnedToRef;
use x509_cert::Certificate;
use x509_cert::ext::pkix::{KeyUsage, SubjectKeyIdentifier};
use x509_cert::spki::SubjectPublicKeyInfoRef;

use crate::key::PublicKey;
use crate::name::DistinguishedName;
use crate::oid;

/// What of an issuer counts for its CRLs: name, key, key identifier and key usage.
#[derive(Clone, Debug)]
pub struct Issuer {
    subject: DistinguishedName,
    subject_key_id: Option<Vec<u8>>,
    may_sign_crls: bool,
    key: PublicKey,
}

/// Why a certificate or key cannot verify CRLs. [`IssuerError::code`] gives the stable code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IssuerError {
    /// Not the DER of a certificate.
    #[error("the issuer's certificate is malformed: {0}")]
    Malformed(&'static str),
    /// A kind of key that is not supported.
    #[error("the issuer's key is not supported: {0}")]
    UnsupportedKey(&'static str),
}

impl IssuerError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed",
            Self::UnsupportedKey(_) => "unsupported_algorithm",
        }
    }
}

impl Issuer {
    /// Reads a certificate.
    ///
    /// # Errors
    /// [`IssuerError`].
    pub fn from_der(der: &[u8]) -> Result<Self, IssuerError> {
        let certificate = Certificate::from_der(der)
            .map_err(|_| IssuerError::Malformed("it is not a certificate"))?;
        let tbs = certificate.tbs_certificate();
        let extension = |oid| {
            let mut extensions = tbs.extensions().into_iter().flatten();
            extensions
                .find(|extension| extension.extn_id == oid)
                .map(|extension| extension.extn_value.as_bytes())
        };
        let subject_key_id = extension(oid::SUBJECT_KEY_IDENTIFIER)
            .map(SubjectKeyIdentifier::from_der)
            .transpose()
            .map_err(|_| IssuerError::Malformed("its subject key identifier is malformed"))?;
        let key_usage = extension(oid::KEY_USAGE)
            .map(KeyUsage::from_der)
            .transpose()
            .map_err(|_| IssuerError::Malformed("its key usage is malformed"))?;
        Ok(Self {
            subject: DistinguishedName::try_from(tbs.subject())
                .map_err(|_| IssuerError::Malformed("its subject is malformed"))?,
            subject_key_id: subject_key_id.map(|id| id.0.as_bytes().to_vec()),
            // Without the extension every use is allowed (RFC 5280, section 4.2.1.3).
            may_sign_crls: key_usage.is_none_or(|usage| usage.crl_sign()),
            key: PublicKey::from_spki(&tbs.subject_public_key_info().owned_to_ref())
                .map_err(|unsupported| IssuerError::UnsupportedKey(unsupported.0))?,
        })
    }

    /// An issuer of which only the name and the key are known, such as a trust anchor: `spki` is
    /// the DER of its `SubjectPublicKeyInfo`. Any key identifier is then accepted.
    ///
    /// # Errors
    /// [`IssuerError`].
    pub fn from_name_and_key(subject: DistinguishedName, spki: &[u8]) -> Result<Self, IssuerError> {
        let spki = SubjectPublicKeyInfoRef::from_der(spki)
            .map_err(|_| IssuerError::Malformed("its key is not a SubjectPublicKeyInfo"))?;
        Ok(Self {
            subject,
            subject_key_id: None,
            may_sign_crls: true,
            key: PublicKey::from_spki(&spki)
                .map_err(|unsupported| IssuerError::UnsupportedKey(unsupported.0))?,
        })
    }

    /// The name that its CRLs must have as issuer.
    #[must_use]
    pub fn subject(&self) -> &DistinguishedName {
        &self.subject
    }

    /// The identifier that its CRLs have as authority key identifier (RFC 5280, section 4.2.1.2),
    /// if it is known.
    #[must_use]
    pub fn subject_key_id(&self) -> Option<&[u8]> {
        self.subject_key_id.as_deref()
    }

    /// Whether its key usage allows it to sign CRLs (RFC 5280, section 4.2.1.3).
    #[must_use]
    pub fn may_sign_crls(&self) -> bool {
        self.may_sign_crls
    }

    /// The kind of its key: `RSA`, `RSA-PSS`, `P-256`, `P-384`, `P-521` or `Ed25519`.
    #[must_use]
    pub fn key_kind(&self) -> &'static str {
        self.key.kind()
    }

    pub(crate) fn key(&self) -> &PublicKey {
        &self.key
    }
}
