//! RSA and ECDSA keys as the crates of the RustCrypto project have them.

use der::Decode;
use der::asn1::UintRef;
use p256::ecdsa::signature::hazmat::PrehashVerifier;
use pkcs1::RsaPublicKeyRef;
use rsa::{BoxedUint, pkcs1v15, pss};
use sha2::{Sha256, Sha384, Sha512};
use x509_cert::spki::SubjectPublicKeyInfoRef;

use crate::algorithm::{Algorithm, Digest};
use crate::oid;

/// A decoded key.
#[derive(Clone, Debug)]
pub(crate) enum DecodedKey {
    Rsa(rsa::PublicKey),
    P256(p256::ecdsa::VerifyingKey),
    P384(p384::ecdsa::VerifyingKey),
    P521(p521::ecdsa::VerifyingKey),
}

/// The signature is not by this key over that hash.
pub(crate) struct Invalid;

impl<E: core::error::Error> From<E> for Invalid {
    fn from(_: E) -> Self {
        Self
    }
}

impl DecodedKey {
    pub(crate) fn from_spki(spki: &[u8]) -> Option<Self> {
        let spki = SubjectPublicKeyInfoRef::from_der(spki).ok()?;
        let key = spki.subject_public_key.as_bytes()?;
        match spki.algorithm.parameters_oid() {
            Ok(oid::P256) => p256::ecdsa::VerifyingKey::from_sec1_bytes(key)
                .map(Self::P256)
                .ok(),
            Ok(oid::P384) => p384::ecdsa::VerifyingKey::from_sec1_bytes(key)
                .map(Self::P384)
                .ok(),
            Ok(oid::P521) => p521::ecdsa::VerifyingKey::from_sec1_bytes(key)
                .map(Self::P521)
                .ok(),
            _ => {
                let key = RsaPublicKeyRef::from_der(key).ok()?;
                let integer =
                    |integer: UintRef<'_>| BoxedUint::from_be_slice_vartime(integer.as_bytes());
                let (modulus, exponent) = (integer(key.modulus), integer(key.public_exponent));
                // `PublicKey::from_spki` has checked the size.
                rsa::PublicKey::new_with_size_limits(modulus, exponent, 0..=usize::MAX)
                    .map(Self::Rsa)
                    .ok()
            }
        }
    }

    /// Checks that `signature` is by this key over the hash, which must be the algorithm's.
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
                Self::Rsa(key),
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
                // The hash is a number (FIPS 186-5, section 6.4.2), so leading zeros change
                // nothing; p521 refuses a hash under half the curve's size, which that of SHA-256
                // is.
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
}
