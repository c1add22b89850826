//! The interface to implementations of signatures.

use crate::algorithm::{Algorithm, Digest};

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
    /// `key` is the DER of a `SubjectPublicKeyInfo` for RSA, P-256, P-384 or P-521, whichever fits
    /// the algorithm. An RSA key that is for RSASSA-PSS alone is given as one for any RSA
    /// signature.
    ///
    /// # Errors
    /// [`Unverified`].
    fn verify(&self, key: &[u8], algorithm: Algorithm, signature: &[u8]) -> Result<(), Unverified>;
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
