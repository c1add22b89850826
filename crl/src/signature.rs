//! The seam between what is signed and the mathematics of signatures.

use crate::algorithm::{Algorithm, Digest};

/// Hashes a message that comes in pieces, then checks the signature that stands behind it, as in a CRL.
///
/// [`RustCrypto`](crate::RustCrypto) does it in Rust. A platform that has signatures of its own can do without that.
pub trait Hashed {
    /// Before the first byte.
    fn new(digest: Digest) -> Self;

    /// Takes the next bytes.
    fn update(&mut self, bytes: &[u8]);

    /// After the last byte, and once: whether `signature` is by the key over what was hashed.
    ///
    /// `key` is the DER of a `SubjectPublicKeyInfo` for RSA, P-256, P-384 or P-521, whichever is right for the algorithm. An RSA key
    /// that is for RSASSA-PSS alone is given as one for any RSA signature.
    ///
    /// # Errors
    /// [`Unverified`].
    fn verify(&self, key: &[u8], algorithm: Algorithm, signature: &[u8]) -> Result<(), Unverified>;
}

/// Why a signature was not found good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unverified {
    /// It is not by this key over that message.
    Invalid,
    /// The key is none: a point that is not on its curve, or an RSA exponent that cannot be.
    UnusableKey,
    /// It could not be checked.
    Failed,
}
