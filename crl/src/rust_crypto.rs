//! RSA and ECDSA by the crates of the RustCrypto project.

use alloc::vec::Vec;

use sha2::{Digest as _, Sha256, Sha384, Sha512};

use crate::algorithm::{Algorithm, Digest};
use crate::decoded_key::Invalid;
use crate::signature::{Hashed, SignatureKey, Unverified};

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

    fn verify(
        &self,
        key: &SignatureKey,
        algorithm: Algorithm,
        signature: &[u8],
    ) -> Result<(), Unverified> {
        let key = key.decoded().ok_or(Unverified::UnusableKey)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_impossible_key_is_not_a_wrong_signature() {
        let certificate = include_bytes!("../tests/data/openssl-p256.cer");
        let issuer = crate::Issuer::from_der(certificate).unwrap();
        let mut key = issuer.key().for_hash().unwrap().spki().to_vec();
        let verify = |key: &[u8]| {
            let algorithm = Algorithm::Ecdsa(Digest::Sha256);
            let key = SignatureKey::new(key.to_vec());
            RustCrypto::new(Digest::Sha256).verify(&key, algorithm, b"")
        };
        assert_eq!(verify(&key), Err(Unverified::Invalid));
        *key.last_mut().unwrap() ^= 1;
        assert_eq!(verify(&key), Err(Unverified::UnusableKey));

        let certificate = include_bytes!("../tests/data/openssl-rsa2048.cer");
        let issuer = crate::Issuer::from_der(certificate).unwrap();
        let mut key = issuer.key().for_hash().unwrap().spki().to_vec();
        let verify = |key: &[u8]| {
            let algorithm = Algorithm::RsaPkcs1(Digest::Sha256);
            let key = SignatureKey::new(key.to_vec());
            RustCrypto::new(Digest::Sha256).verify(&key, algorithm, &[0; 256])
        };
        assert_eq!(verify(&key), Err(Unverified::Invalid));
        // The exponent is at the end. It must be odd.
        *key.last_mut().unwrap() ^= 1;
        assert_eq!(verify(&key), Err(Unverified::UnusableKey));
    }
}
