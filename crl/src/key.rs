//! The public keys that verify CRLs: their kinds, and the algorithms that each kind fits.

use der::asn1::{AnyRef, BitStringRef};
use der::{Decode, Encode};
use ed25519_dalek::StreamVerifier;
use pkcs1::RsaPublicKeyRef;
use x509_cert::spki::{AlgorithmIdentifierRef, SubjectPublicKeyInfoRef};

use crate::algorithm::Algorithm;
use crate::oid;
use crate::signature::SignatureKey;

/// A public key of a supported kind.
#[derive(Clone, Debug)]
pub(crate) enum PublicKey {
    Rsa(SignatureKey),
    /// A key for RSASSA-PSS alone. If it names an algorithm, it is for that one alone, and its salt
    /// length is the least allowed (RFC 4055, section 3.1).
    RsaPss(SignatureKey, Option<Algorithm>),
    P256(SignatureKey),
    P384(SignatureKey),
    P521(SignatureKey),
    Ed25519(ed25519_dalek::VerifyingKey),
}

/// Why a key is not supported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unsupported(pub(crate) &'static str);

impl PublicKey {
    /// Reads a `SubjectPublicKeyInfo` (RFC 5280, section 4.1.2.7).
    pub(crate) fn from_spki(spki: &SubjectPublicKeyInfoRef<'_>) -> Result<Self, Unsupported> {
        let key = spki
            .subject_public_key
            .as_bytes()
            .ok_or(Unsupported("the public key is not whole octets"))?;
        let algorithm = &spki.algorithm;
        match algorithm.oid {
            // RFC 3279, section 2.3.1: the parameters are NULL.
            oid::RSA_ENCRYPTION => Ok(Self::Rsa(rsa_key(key)?)),
            oid::RSASSA_PSS => Ok(Self::RsaPss(rsa_key(key)?, pss_restriction(algorithm)?)),
            oid::EC_PUBLIC_KEY => Self::on_curve(spki),
            oid::ED25519 => ed25519_key(key).map(Self::Ed25519),
            _ => Err(Unsupported("the key is not RSA, ECDSA or Ed25519")),
        }
    }

    /// RFC 5480, section 2.1.1: the parameters name the curve.
    fn on_curve(spki: &SubjectPublicKeyInfoRef<'_>) -> Result<Self, Unsupported> {
        let der = encoded(spki)?;
        match spki.algorithm.parameters_oid() {
            Ok(oid::P256) => Ok(Self::P256(der)),
            Ok(oid::P384) => Ok(Self::P384(der)),
            Ok(oid::P521) => Ok(Self::P521(der)),
            _ => Err(Unsupported("the key's curve is not P-256, P-384 or P-521")),
        }
    }

    /// The name of its kind.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Rsa(_) => "RSA",
            Self::RsaPss(..) => "RSA-PSS",
            Self::P256(_) => "P-256",
            Self::P384(_) => "P-384",
            Self::P521(_) => "P-521",
            Self::Ed25519(_) => "Ed25519",
        }
    }

    /// Whether this key can make a signature of this algorithm.
    pub(crate) fn fits(&self, algorithm: Algorithm) -> bool {
        match (self, algorithm) {
            (Self::Rsa(_), Algorithm::RsaPkcs1(_) | Algorithm::RsaPss { .. })
            | (Self::RsaPss(_, None), Algorithm::RsaPss { .. })
            | (Self::P256(_) | Self::P384(_) | Self::P521(_), Algorithm::Ecdsa(_))
            | (Self::Ed25519(_), Algorithm::Ed25519) => true,
            (
                Self::RsaPss(
                    _,
                    Some(Algorithm::RsaPss {
                        digest: key_digest,
                        salt_length: shortest,
                    }),
                ),
                Algorithm::RsaPss {
                    digest,
                    salt_length,
                },
            ) => *key_digest == digest && *shortest <= salt_length,
            _ => false,
        }
    }

    /// The key, for signatures over a hash; none for Ed25519, which hashes by itself.
    pub(crate) fn for_hash(&self) -> Option<&SignatureKey> {
        match self {
            Self::Rsa(key)
            | Self::RsaPss(key, _)
            | Self::P256(key)
            | Self::P384(key)
            | Self::P521(key) => Some(key),
            Self::Ed25519(_) => None,
        }
    }

    /// Begins to verify an Ed25519 signature over a message that comes in pieces; `None` if it
    /// cannot be one by this key.
    pub(crate) fn verify_stream(&self, signature: &[u8]) -> Option<StreamVerifier> {
        let Self::Ed25519(key) = self else {
            return None;
        };
        let signature = ed25519_dalek::Signature::from_slice(signature).ok()?;
        key.verify_stream(&signature).ok()
    }
}

/// Encodes an `RSAPublicKey` as a key for any RSA signature: platforms know no other kind.
fn rsa_key(key: &[u8]) -> Result<SignatureKey, Unsupported> {
    // NIST SP 800-131A, section 3, requires at least 2048 bits. Over 8192 bits, which nobody uses,
    // verifying would cost too much.
    const BITS: core::ops::RangeInclusive<u32> = 2048..=8192;
    let not_one = Unsupported("the public key is not an RSAPublicKey");
    let modulus = RsaPublicKeyRef::from_der(key).map_err(|_| not_one)?.modulus;
    let bits = bits(modulus.as_bytes()).filter(|bits| BITS.contains(bits));
    bits.ok_or(Unsupported("the RSA key is not one of 2048 to 8192 bits"))?;
    encoded(&SubjectPublicKeyInfoRef {
        algorithm: AlgorithmIdentifierRef {
            oid: oid::RSA_ENCRYPTION,
            parameters: Some(AnyRef::NULL),
        },
        subject_public_key: BitStringRef::from_bytes(key).map_err(|_| not_one)?,
    })
}

/// The bit length of a number without leading zeros.
fn bits(number: &[u8]) -> Option<u32> {
    let octets = u32::try_from(number.len()).ok()?;
    octets
        .checked_mul(8)?
        .checked_sub(number.first()?.leading_zeros())
}

fn encoded(spki: &SubjectPublicKeyInfoRef<'_>) -> Result<SignatureKey, Unsupported> {
    spki.to_der()
        .map(SignatureKey::new)
        .map_err(|_| Unsupported("the public key cannot be written again"))
}

/// The parameters of a key for RSASSA-PSS alone: the algorithm with the least salt length, or no
/// restriction.
fn pss_restriction(
    algorithm: &AlgorithmIdentifierRef<'_>,
) -> Result<Option<Algorithm>, Unsupported> {
    if algorithm.parameters.is_none() {
        return Ok(None);
    }
    Algorithm::from_identifier(algorithm)
        .map(Some)
        .ok_or(Unsupported(
            "the RSA-PSS key is for a hash that is not SHA-256, SHA-384 or SHA-512",
        ))
}

fn ed25519_key(key: &[u8]) -> Result<ed25519_dalek::VerifyingKey, Unsupported> {
    let invalid = Unsupported("the public key is not an Ed25519 key");
    let key: &[u8; 32] = key.try_into().map_err(|_| invalid)?;
    let key = ed25519_dalek::VerifyingKey::from_bytes(key).map_err(|_| invalid)?;
    // Anyone can make signatures that a key of small order verifies.
    if key.is_weak() {
        return Err(Unsupported("the Ed25519 key is of small order"));
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    #[test]
    fn rsa_keys_have_2048_to_8192_bits() {
        let judge = |octets: usize, first: u8| {
            let mut modulus = vec![0xff; octets];
            modulus[0] = first;
            let key = pkcs1::RsaPublicKey {
                modulus: der::asn1::UintRef::new(&modulus).unwrap(),
                public_exponent: der::asn1::UintRef::new(&[1, 0, 1]).unwrap(),
            };
            rsa_key(&key.to_der().unwrap()).is_ok()
        };
        assert!(!judge(256, 0x7f));
        assert!(judge(256, 0x80));
        assert!(judge(1024, 0xff));
        assert!(!judge(1025, 0x01));
        assert!(rsa_key(b"\x30\x00").is_err());
    }
}
