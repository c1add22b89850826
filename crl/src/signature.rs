//! The interface to implementations of signatures.

use alloc::vec::Vec;

use crate::algorithm::{Algorithm, Digest};
#[cfg(feature = "rust-crypto")]
use crate::decoded_key::DecodedKey;

/// Hashes a message that comes in pieces, then checks the signature that follows it, as in a CRL.
///
/// [`RustCrypto`](crate::RustCrypto) is the implementation in Rust; a platform may have its own.
pub trait Hashed {
    /// Before the first byte.
    fn new(digest: Digest) -> Self;

    /// Takes the next bytes.
    fn update(&mut self, bytes: &[u8]);

    /// Checks that `signature` is by the key over what was hashed. Called once, after the last
    /// byte.
    ///
    /// # Errors
    /// [`Unverified`].
    fn verify(
        &self,
        key: &SignatureKey,
        algorithm: Algorithm,
        signature: &[u8],
    ) -> Result<(), Unverified>;
}

/// A public key for RSA, P-256, P-384 or P-521. An RSA key that is for RSASSA-PSS alone is given as
/// one for any RSA signature.
///
/// An [`Issuer`](crate::Issuer) keeps it in the form in which [`RustCrypto`](crate::RustCrypto)
/// needs it: for a short CRL, decoding it would take as long as checking the signature.
#[derive(Clone, Debug)]
pub struct SignatureKey {
    spki: Vec<u8>,
    #[cfg(feature = "rust-crypto")]
    decoded: Option<DecodedKey>,
}

impl SignatureKey {
    pub(crate) fn new(spki: Vec<u8>) -> Self {
        Self {
            #[cfg(feature = "rust-crypto")]
            decoded: DecodedKey::from_spki(&spki),
            spki,
        }
    }

    /// The DER of its `SubjectPublicKeyInfo`.
    #[must_use]
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// `None` if it is not usable.
    #[cfg(feature = "rust-crypto")]
    pub(crate) fn decoded(&self) -> Option<&DecodedKey> {
        self.decoded.as_ref()
    }
}

/// Why a signature is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unverified {
    /// It is not by this key over that message.
    Invalid,
    /// Not a usable public key: not a point on its curve, or an impossible RSA exponent.
    UnusableKey,
    /// The check could not run.
    Failed,
}

#[cfg(all(test, feature = "rust-crypto"))]
mod tests {
    use super::*;
    use crate::examination::Examination;
    use crate::issuer::Issuer;
    use crate::reader::Limits;
    use crate::rust_crypto::RustCrypto;

    /// A key that is not there in DER any more cannot be decoded again.
    #[test]
    fn the_key_that_an_issuer_keeps_is_not_decoded_again() {
        let p256 = (
            &include_bytes!("../tests/data/openssl-p256.cer")[..],
            &include_bytes!("../tests/data/openssl-p256.crl")[..],
        );
        let rsa = (
            &include_bytes!("../tests/data/openssl-rsa2048.cer")[..],
            &include_bytes!("../tests/data/openssl-rsa2048.crl")[..],
        );
        for (certificate, crl) in [p256, rsa] {
            let issuer = Issuer::from_der(certificate).unwrap();
            let mut key = issuer.key().for_hash().unwrap().clone();
            key.spki.clear();
            let mut examination = Examination::<RustCrypto>::new(Limits::default());
            examination.push(crl).unwrap();
            let examined = examination.finish().unwrap();
            let crl = examined.crl();
            let algorithm = crl.algorithm.algorithm().unwrap();
            let signed = examined.signed().unwrap();
            assert_eq!(signed.verify(&key, algorithm, &crl.signature), Ok(()));
        }
    }
}
