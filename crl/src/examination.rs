//! Reads a CRL and hashes the signed part, in one pass over its pieces.

use crate::algorithm::{Algorithm, Digest};
use crate::contents::{Crl, Header};
use crate::read_error::ReadError;
use crate::reader::{Limits, Reader};
use crate::signature::Hashed;
use crate::visitor::Visitor;

/// A [`Reader`] that also hashes tbsCertList as the CRL's signature algorithm requires. The result
/// is for [`verify`](crate::verify()).
#[derive(Clone, Debug)]
pub struct Examination<H> {
    reader: Reader,
    signed: Option<H>,
}

/// A CRL that was read to its end, but not verified.
#[derive(Clone, Debug)]
pub struct Examined<H> {
    crl: Crl,
    signed: Option<H>,
}

impl<H: Hashed> Examination<H> {
    /// Before the first byte.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            reader: Reader::new(limits),
            signed: None,
        }
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// [`ReadError`], as [`Reader::push`].
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), ReadError> {
        read(&mut self.reader, bytes, Hashing(&mut self.signed))
    }

    /// Takes the next bytes, and gives `visitor` what they say.
    ///
    /// # Errors
    /// [`ReadError`], as [`Reader::push`].
    pub fn push_with(&mut self, bytes: &[u8], visitor: &mut impl Visitor) -> Result<(), ReadError> {
        let hashing = Hashing(&mut self.signed);
        self.reader.push(bytes, &mut (hashing, visitor))
    }

    /// What precedes the list, once it has been read.
    #[must_use]
    pub fn header(&self) -> Option<&Header> {
        self.reader.header()
    }

    /// After the last byte.
    ///
    /// # Errors
    /// [`ReadError`], as [`Reader::finish`].
    pub fn finish(self) -> Result<Examined<H>, ReadError> {
        Ok(Examined {
            crl: self.reader.finish()?,
            signed: self.signed,
        })
    }
}

impl<H> Examined<H> {
    /// All that the CRL says, without its entries.
    #[must_use]
    pub fn crl(&self) -> &Crl {
        &self.crl
    }

    /// The hash of tbsCertList; `None` if the algorithm is unknown here, or hashes by itself.
    pub(crate) fn signed(&self) -> Option<&H> {
        self.signed.as_ref()
    }
}

/// Not generic over the hash, so that it is compiled with this crate's optimisation level and not
/// with that of the crate that uses it.
fn read(reader: &mut Reader, bytes: &[u8], mut hashing: Hashing<'_>) -> Result<(), ReadError> {
    reader.push(bytes, &mut hashing)
}

/// Hashes as the header says. Ed25519 hashes a part of the signature first, which comes last, so it
/// is left to the second pass.
struct Hashing<'a>(&'a mut dyn Signed);

impl Visitor for Hashing<'_> {
    fn header(&mut self, header: &Header) {
        let algorithm = header.algorithm.algorithm();
        if let Some(digest) = algorithm.and_then(Algorithm::digest) {
            self.0.begin(digest);
        }
    }

    fn signed(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }
}

/// A [`Hashed`] that begins once the header says which hash it is.
trait Signed {
    fn begin(&mut self, digest: Digest);
    fn update(&mut self, bytes: &[u8]);
}

impl<H: Hashed> Signed for Option<H> {
    fn begin(&mut self, digest: Digest) {
        *self = Some(H::new(digest));
    }

    fn update(&mut self, bytes: &[u8]) {
        if let Some(hashed) = self {
            hashed.update(bytes);
        }
    }
}
