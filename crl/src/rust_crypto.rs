//! RSA and ECDSA by the crates of the RustCrypto project.

use alloc::vec::Vec;

use der::Decode;
use der::asn1::UintRef;
use p256::ecdsa::signature::hazmat::PrehashVerifier;
use pkcs1::RsaPublicKeyRef;
use rsa::{BoxedUint, pkcs1v15, pss};
use sha2::{Digest as _, Sha256, Sha384, Sha512};
use x509_cert::spki::SubjectPublicKeyInfoRef;

use crate::algorithm::{Algorithm, Digest};
use crate::oid;
use crate::signature::{Hashed, Unverified};

/// A hash and signature check by the crates of the `RustCrypto` project.
#[derive(Clone, Debug)]
pub struct RustCrypto(Hasher);

#[derive(Clone, Debug)]
enum Hasher {
    Sha256(Sha256),
    Sha384(Sha384),
    Sha512(Sha512),
}

impl Hashed for RustCrypto {
    fn new(digest: Digest) -> Self {
        Self(match digest {
            Digest::Sha256 => Hasher::Sha256(Sha256::new()),
            Digest::Sha384 => Hasher::Sha384(Sha384::new()),
            Digest::Sha512 => Hasher::Sha512(Sha512::new()),
        })
    }

    fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            Hasher::Sha256(hasher) => hasher.update(bytes),
            Hasher::Sha384(hasher) => hasher.update(bytes),
            Hasher::Sha512(hasher) => hasher.update(bytes),
        }
    }

    fn verify(&self, key: &[u8], algorithm: Algorithm, signature: &[u8]) -> Result<(), Unverified> {
        let key = Key::from_spki(key).ok_or(Unverified::UnusableKey)?;
        key.verify_hash(algorithm, &self.hash(), signature)
            .map_err(|Invalid| Unverified::Invalid)
    }
}

impl RustCrypto {
    fn hash(&self) -> Vec<u8> {
        match &self.0 {
            Hasher::Sha256(hasher) => hasher.clone().finalize().to_vec(),
            Hasher::Sha384(hasher) => hasher.clone().finalize().to_vec(),
            Hasher::Sha512(hasher) => hasher.clone().finalize().to_vec(),
        }
    }
}

/// A decoded key.
enum Key {
    Rsa(rsa::PublicKey),
    P256(p256::ecdsa::VerifyingKey),
    P384(p384::ecdsa::VerifyingKey),
    P521(p521::ecdsa::VerifyingKey),
}

/// The signature is not by this key over that hash.
struct Invalid;

impl<E: core::error::Error> From<E> for Invalid {
    fn from(_: E) -> Self {
        Self
    }
}

impl Key {
    fn from_spki(spki: &[u8]) -> Option<Self> {
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
    fn verify_hash(
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_impossible_key_is_not_a_wrong_signature() {
        let certificate = include_bytes!("../tests/data/openssl-p256.cer");
        let issuer = crate::Issuer::from_der(certificate).unwrap();
        let mut key = issuer.key().spki().unwrap().to_vec();
        let verify = |key: &[u8]| {
            let algorithm = Algorithm::Ecdsa(Digest::Sha256);
            RustCrypto::new(Digest::Sha256).verify(key, algorithm, b"")
        };
        assert_eq!(verify(&key), Err(Unverified::Invalid));
        *key.last_mut().unwrap() ^= 1;
        assert_eq!(verify(&key), Err(Unverified::UnusableKey));

        let certificate = include_bytes!("../tests/data/openssl-rsa2048.cer");
        let issuer = crate::Issuer::from_der(certificate).unwrap();
        let mut key = issuer.key().spki().unwrap().to_vec();
        let verify = |key: &[u8]| {
            let algorithm = Algorithm::RsaPkcs1(Digest::Sha256);
            RustCrypto::new(Digest::Sha256).verify(key, algorithm, &[0; 256])
        };
        assert_eq!(verify(&key), Err(Unverified::Invalid));
        // The exponent is at the end. It must be odd.
        *key.last_mut().unwrap() ^= 1;
        assert_eq!(verify(&key), Err(Unverified::UnusableKey));
    }
}
