//! The supported signature algorithms, and how an AlgorithmIdentifier names them.

use alloc::vec::Vec;
use core::fmt;

use der::asn1::{AnyRef, ObjectIdentifier};
use der::{Decode, Encode};
use pkcs1::{RsaPssParamsOwned, RsaPssParamsRef};
use x509_cert::spki::AlgorithmIdentifierRef;

use crate::oid;

/// A hash function that signatures use. SHA-1 is not supported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Digest {
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

/// A supported signature algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 (RFC 8017, section 8.2).
    RsaPkcs1(Digest),
    /// RSASSA-PSS (RFC 8017, section 8.1), with MGF1 over the same hash.
    RsaPss {
        /// The hash of the message and of MGF1.
        digest: Digest,
        /// Octets of salt.
        salt_length: u8,
    },
    /// ECDSA, on the curve of the key (RFC 5758, section 3.2).
    Ecdsa(Digest),
    /// Ed25519 (RFC 8410, section 3). It hashes a part of the signature before the message,
    /// although the signature comes last in a CRL: see [`SecondPass`](crate::SecondPass).
    Ed25519,
}

/// An AlgorithmIdentifier (RFC 5280, section 4.1.1.2) of any algorithm, supported or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlgorithmIdentifier {
    der: Vec<u8>,
    oid: ObjectIdentifier,
    algorithm: Option<Algorithm>,
}

impl AlgorithmIdentifier {
    /// Reads an AlgorithmIdentifier, of any algorithm.
    ///
    /// # Errors
    /// The error of `der`.
    pub fn from_der(der: &[u8]) -> Result<Self, der::Error> {
        let identifier = AlgorithmIdentifierRef::from_der(der)?;
        Ok(Self {
            der: der.into(),
            oid: identifier.oid,
            algorithm: Algorithm::from_identifier(&identifier),
        })
    }

    /// Its DER.
    #[must_use]
    pub fn as_der(&self) -> &[u8] {
        &self.der
    }

    /// The algorithm; `None` if it is not supported.
    #[must_use]
    pub fn algorithm(&self) -> Option<Algorithm> {
        self.algorithm
    }
}

/// The algorithm's name, or its object identifier.
impl fmt::Display for AlgorithmIdentifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.algorithm {
            Some(algorithm) => algorithm.fmt(f),
            None => self.oid.fmt(f),
        }
    }
}

impl Algorithm {
    /// The hash that the signature uses; `None` for Ed25519, which hashes by itself.
    #[must_use]
    pub fn digest(self) -> Option<Digest> {
        match self {
            Self::RsaPkcs1(digest) | Self::RsaPss { digest, .. } | Self::Ecdsa(digest) => {
                Some(digest)
            }
            Self::Ed25519 => None,
        }
    }

    /// RSASSA-PSS with a salt as long as the hash, the usual choice.
    #[must_use]
    pub fn rsa_pss(digest: Digest) -> Self {
        Self::RsaPss {
            digest,
            salt_length: digest.size(),
        }
    }

    /// Its AlgorithmIdentifier.
    ///
    /// # Errors
    /// None in practice: the encoder of `der` can fail in principle.
    pub fn identifier(self) -> Result<AlgorithmIdentifier, der::Error> {
        let (oid, parameters) = match self {
            Self::RsaPkcs1(digest) => (
                match digest {
                    Digest::Sha256 => oid::SHA256_WITH_RSA,
                    Digest::Sha384 => oid::SHA384_WITH_RSA,
                    Digest::Sha512 => oid::SHA512_WITH_RSA,
                },
                Some(der::Any::null()),
            ),
            Self::RsaPss {
                digest,
                salt_length,
            } => {
                let parameters = RsaPssParamsRef {
                    hash: digest.identifier(),
                    mask_gen: AlgorithmIdentifierWithIdentifier {
                        oid: oid::MGF1,
                        parameters: Some(digest.identifier()),
                    },
                    salt_len: salt_length,
                    trailer_field: pkcs1::TrailerField::default(),
                };
                (oid::RSASSA_PSS, Some(der::Any::encode_from(&parameters)?))
            }
            Self::Ecdsa(digest) => (
                match digest {
                    Digest::Sha256 => oid::ECDSA_WITH_SHA256,
                    Digest::Sha384 => oid::ECDSA_WITH_SHA384,
                    Digest::Sha512 => oid::ECDSA_WITH_SHA512,
                },
                None,
            ),
            Self::Ed25519 => (oid::ED25519, None),
        };
        let identifier = x509_cert::spki::AlgorithmIdentifierOwned { oid, parameters };
        Ok(AlgorithmIdentifier {
            der: identifier.to_der()?,
            oid,
            algorithm: Some(self),
        })
    }

    pub(crate) fn from_identifier(identifier: &AlgorithmIdentifierRef<'_>) -> Option<Self> {
        let algorithm = match identifier.oid {
            oid::SHA256_WITH_RSA => Self::RsaPkcs1(Digest::Sha256),
            oid::SHA384_WITH_RSA => Self::RsaPkcs1(Digest::Sha384),
            oid::SHA512_WITH_RSA => Self::RsaPkcs1(Digest::Sha512),
            oid::ECDSA_WITH_SHA256 => Self::Ecdsa(Digest::Sha256),
            oid::ECDSA_WITH_SHA384 => Self::Ecdsa(Digest::Sha384),
            oid::ECDSA_WITH_SHA512 => Self::Ecdsa(Digest::Sha512),
            oid::ED25519 => Self::Ed25519,
            oid::RSASSA_PSS => return Self::from_pss_parameters(identifier.parameters?),
            _ => return None,
        };
        let parameters_fit = match algorithm {
            // RFC 4055, section 5: NULL; absent must be accepted, too.
            Self::RsaPkcs1(_) => identifier.parameters.is_none_or(AnyRef::is_null),
            // RFC 5758, section 3.2; RFC 8410, section 3: absent.
            _ => identifier.parameters.is_none(),
        };
        parameters_fit.then_some(algorithm)
    }

    /// RFC 4055, section 3.1: parameters that are left out mean SHA-1.
    fn from_pss_parameters(parameters: AnyRef<'_>) -> Option<Self> {
        let parameters: RsaPssParamsOwned = parameters.decode_as().ok()?;
        let digest = Digest::from_identifier((&parameters.hash).into())?;
        let mask = parameters.mask_gen;
        let mask_digest = Digest::from_identifier((&mask.parameters?).into())?;
        (mask.oid == oid::MGF1 && mask_digest == digest).then_some(Self::RsaPss {
            digest,
            salt_length: parameters.salt_len,
        })
    }
}

/// What `pkcs1` calls the identifier of a mask generation function.
type AlgorithmIdentifierWithIdentifier<'a> =
    x509_cert::spki::AlgorithmIdentifier<AlgorithmIdentifierRef<'a>>;

impl Digest {
    /// Octets of a hash: 32, 48 or 64.
    #[must_use]
    pub const fn size(self) -> u8 {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    fn identifier(self) -> AlgorithmIdentifierRef<'static> {
        AlgorithmIdentifierRef {
            oid: match self {
                Self::Sha256 => oid::SHA256,
                Self::Sha384 => oid::SHA384,
                Self::Sha512 => oid::SHA512,
            },
            parameters: Some(AnyRef::NULL),
        }
    }

    /// RFC 4055, section 2.1: the parameters are NULL or absent.
    fn from_identifier(identifier: AlgorithmIdentifierRef<'_>) -> Option<Self> {
        let digest = match identifier.oid {
            oid::SHA256 => Self::Sha256,
            oid::SHA384 => Self::Sha384,
            oid::SHA512 => Self::Sha512,
            _ => return None,
        };
        identifier
            .parameters
            .is_none_or(AnyRef::is_null)
            .then_some(digest)
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RsaPkcs1(digest) => write!(f, "RSA PKCS#1 v1.5 with {digest}"),
            Self::RsaPss { digest, .. } => write!(f, "RSA-PSS with {digest}"),
            Self::Ecdsa(digest) => write!(f, "ECDSA with {digest}"),
            Self::Ed25519 => f.write_str("Ed25519"),
        }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sha256 => "SHA-256",
            Self::Sha384 => "SHA-384",
            Self::Sha512 => "SHA-512",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_read_as_they_are_written() {
        for digest in [Digest::Sha256, Digest::Sha384, Digest::Sha512] {
            for algorithm in [
                Algorithm::RsaPkcs1(digest),
                Algorithm::rsa_pss(digest),
                Algorithm::RsaPss {
                    digest,
                    salt_length: 20,
                },
                Algorithm::Ecdsa(digest),
                Algorithm::Ed25519,
            ] {
                let identifier = algorithm.identifier().unwrap();
                assert_eq!(identifier.algorithm(), Some(algorithm));
                assert_eq!(
                    AlgorithmIdentifier::from_der(identifier.as_der()),
                    Ok(identifier)
                );
            }
        }
    }

    #[test]
    fn sha_1_is_unknown() {
        let sha1_with_rsa = b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x05\x05\x00";
        let ecdsa_with_sha1 = b"\x30\x09\x06\x07\x2a\x86\x48\xce\x3d\x04\x01";
        // RSASSA-PSS with default parameters alone: SHA-1.
        let pss = b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a\x30\x00";
        for der in [&sha1_with_rsa[..], ecdsa_with_sha1, pss] {
            let identifier = AlgorithmIdentifier::from_der(der).unwrap();
            assert_eq!(identifier.algorithm(), None);
        }
    }

    #[test]
    fn parameters_must_fit() {
        let ed25519_with_null = b"\x30\x07\x06\x03\x2b\x65\x70\x05\x00";
        let ecdsa_with_null = b"\x30\x0c\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02\x05\x00";
        let rsa_with_integer = b"\x30\x0e\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b\x02\x01\x00";
        for der in [&ed25519_with_null[..], ecdsa_with_null, rsa_with_integer] {
            let identifier = AlgorithmIdentifier::from_der(der).unwrap();
            assert_eq!(identifier.algorithm(), None);
        }
        let rsa_without = b"\x30\x0b\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b";
        assert_eq!(
            AlgorithmIdentifier::from_der(rsa_without)
                .unwrap()
                .algorithm(),
            Some(Algorithm::RsaPkcs1(Digest::Sha256))
        );
    }
}
