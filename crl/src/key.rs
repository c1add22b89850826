//! The public keys that verify CRLs, one door to the crates that know the mathematics.

use der::Decode;
use der::asn1::UintRef;
use ed25519_dalek::StreamVerifier;
use p256::ecdsa::signature::hazmat::PrehashVerifier;
use pkcs1::RsaPublicKeyRef;
use rsa::{BoxedUint, pkcs1v15, pss};
use sha2::{Sha256, Sha384, Sha512};
use x509_cert::spki::{AlgorithmIdentifierRef, SubjectPublicKeyInfoRef};

use crate::algorithm::{Algorithm, Digest};
use crate::oid;

/// A public key of a kind that we verify with.
#[derive(Clone, Debug)]
pub(crate) enum PublicKey {
    Rsa(rsa::PublicKey),
    /// A key that says it is for RSASSA-PSS alone; with an algorithm, for that one, whose salt is the shortest allowed (RFC 4055 §3.1).
    RsaPss(rsa::PublicKey, Option<Algorithm>),
    P256(p256::ecdsa::VerifyingKey),
    P384(p384::ecdsa::VerifyingKey),
    P521(p521::ecdsa::VerifyingKey),
    Ed25519(ed25519_dalek::VerifyingKey),
}

/// A key that we do not verify with, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unsupported(pub(crate) &'static str);

/// The signature is not by this key over that hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Invalid;

impl<E: core::error::Error> From<E> for Invalid {
    fn from(_: E) -> Self {
        Self
    }
}

impl PublicKey {
    /// Reads a `SubjectPublicKeyInfo` (RFC 5280 §4.1.2.7).
    pub(crate) fn from_spki(spki: &SubjectPublicKeyInfoRef<'_>) -> Result<Self, Unsupported> {
        let key = spki
            .subject_public_key
            .as_bytes()
            .ok_or(Unsupported("the public key is not whole octets"))?;
        let algorithm = &spki.algorithm;
        match algorithm.oid {
            // RFC 3279 §2.3.1: the parameters are NULL.
            oid::RSA_ENCRYPTION => Ok(Self::Rsa(rsa_key(key)?)),
            oid::RSASSA_PSS => Ok(Self::RsaPss(rsa_key(key)?, pss_restriction(algorithm)?)),
            oid::EC_PUBLIC_KEY => Self::from_point(algorithm, key),
            oid::ED25519 => ed25519_key(key).map(Self::Ed25519),
            _ => Err(Unsupported("the key is not RSA, ECDSA or Ed25519")),
        }
    }

    /// RFC 5480 §2.1.1: the parameters name the curve.
    fn from_point(
        algorithm: &AlgorithmIdentifierRef<'_>,
        point: &[u8],
    ) -> Result<Self, Unsupported> {
        let off_curve = |_| Unsupported("the public key is not a point on its curve");
        match algorithm.parameters_oid() {
            Ok(oid::P256) => p256::ecdsa::VerifyingKey::from_sec1_bytes(point)
                .map(Self::P256)
                .map_err(off_curve),
            Ok(oid::P384) => p384::ecdsa::VerifyingKey::from_sec1_bytes(point)
                .map(Self::P384)
                .map_err(off_curve),
            Ok(oid::P521) => p521::ecdsa::VerifyingKey::from_sec1_bytes(point)
                .map(Self::P521)
                .map_err(off_curve),
            _ => Err(Unsupported("the key's curve is not P-256, P-384 or P-521")),
        }
    }

    /// What it is, in words.
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

    /// Whether a signature of that algorithm can be made with this key.
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

    /// Whether `signature` is by this key over the hash, which must be the algorithm's. Not for Ed25519.
    pub(crate) fn verify_hash(
        &self,
        algorithm: Algorithm,
        hash: &[u8],
        signature: &[u8],
    ) -> Result<(), Invalid> {
        match (self, algorithm) {
            (Self::Rsa(key), Algorithm::RsaPkcs1(digest)) => {
                let signature = pkcs1v15::Signature::try_from(signature)?;
                let key = key.clone();
                match digest {
                    Digest::Sha256 => pkcs1v15::VerifyingKey::<Sha256>::new(key)
                        .verify_prehash(hash, &signature)?,
                    Digest::Sha384 => pkcs1v15::VerifyingKey::<Sha384>::new(key)
                        .verify_prehash(hash, &signature)?,
                    Digest::Sha512 => pkcs1v15::VerifyingKey::<Sha512>::new(key)
                        .verify_prehash(hash, &signature)?,
                }
            }
            (
                Self::Rsa(key) | Self::RsaPss(key, _),
                Algorithm::RsaPss {
                    digest,
                    salt_length,
                },
            ) => {
                let signature = pss::Signature::try_from(signature)?;
                let (key, salt) = (key.clone(), usize::from(salt_length));
                match digest {
                    Digest::Sha256 => pss::VerifyingKey::<Sha256>::new_with_salt_len(key, salt)
                        .verify_prehash(hash, &signature)?,
                    Digest::Sha384 => pss::VerifyingKey::<Sha384>::new_with_salt_len(key, salt)
                        .verify_prehash(hash, &signature)?,
                    Digest::Sha512 => pss::VerifyingKey::<Sha512>::new_with_salt_len(key, salt)
                        .verify_prehash(hash, &signature)?,
                }
            }
            (Self::P256(key), Algorithm::Ecdsa(_)) => {
                key.verify_prehash(hash, &p256::ecdsa::Signature::from_der(signature)?)?;
            }
            (Self::P384(key), Algorithm::Ecdsa(_)) => {
                key.verify_prehash(hash, &p384::ecdsa::Signature::from_der(signature)?)?;
            }
            (Self::P521(key), Algorithm::Ecdsa(_)) => {
                // The hash is a number (FIPS 186-5 §6.4.2), so zeros in front change nothing; p521 refuses one under half the
                // curve's size, which SHA-256's is.
                let mut padded = [0; 64];
                for (to, from) in padded.iter_mut().rev().zip(hash.iter().rev()) {
                    *to = *from;
                }
                key.verify_prehash(&padded, &p521::ecdsa::Signature::from_der(signature)?)?;
            }
            _ => return Err(Invalid),
        }
        Ok(())
    }

    /// Begins to verify an Ed25519 signature over a message that comes in pieces.
    pub(crate) fn verify_stream(&self, signature: &[u8]) -> Result<StreamVerifier, Invalid> {
        let Self::Ed25519(key) = self else {
            return Err(Invalid);
        };
        Ok(key.verify_stream(&ed25519_dalek::Signature::from_slice(signature)?)?)
    }
}

fn rsa_key(key: &[u8]) -> Result<rsa::PublicKey, Unsupported> {
    // NIST SP 800-131A §3 asks for 2048 bits and more; no one uses more than 8192, and verifying would become a burden.
    const BITS: core::ops::RangeInclusive<usize> = 2048..=8192;
    let key = RsaPublicKeyRef::from_der(key)
        .map_err(|_| Unsupported("the public key is not an RSAPublicKey"))?;
    let integer = |integer: UintRef<'_>| BoxedUint::from_be_slice_vartime(integer.as_bytes());
    rsa::PublicKey::new_with_size_limits(integer(key.modulus), integer(key.public_exponent), BITS)
        .map_err(|_| Unsupported("the RSA key is not one of 2048 to 8192 bits"))
}

/// The parameters of a key for RSASSA-PSS alone: the algorithm and shortest salt, or no restriction.
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
    // Of small order: anyone can make signatures that it verifies.
    if key.is_weak() {
        return Err(Unsupported("the Ed25519 key is of small order"));
    }
    Ok(key)
}
