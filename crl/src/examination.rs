//! Reads a CRL and hashes what is signed, in one pass over its pieces.

use crate::algorithm::Algorithm;
use crate::contents::{Crl, Header};
use crate::read_error::ReadError;
use crate::reader::{Limits, Reader};
use crate::signature::Hashed;
use crate::visitor::Visitor;

/// A [`Reader`] and the hash of tbsCertList, by the CRL's own signature algorithm. What comes out can be judged by
/// [`admit`](crate::admit).
#[derive(Clone, Debug)]
pub struct Examination<H> {
    reader: Reader,
    signed: Option<H>,
}

/// A CRL that was read to its end, but not judged.
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
        self.reader.push(bytes, &mut Hashing(&mut self.signed))
    }

    /// Takes the next bytes, and shows what they say to a visitor of yours.
    ///
    /// # Errors
    /// [`ReadError`], as [`Reader::push`].
    pub fn push_with(&mut self, bytes: &[u8], visitor: &mut impl Visitor) -> Result<(), ReadError> {
        let hashing = Hashing(&mut self.signed);
        self.reader.push(bytes, &mut (hashing, visitor))
    }

    /// What stands before the list, once it was read.
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
    /// All that the CRL says, apart from its entries.
    #[must_use]
    pub fn crl(&self) -> &Crl {
        &self.crl
    }

    /// tbsCertList, hashed; `None` for an algorithm that hashes by itself, or that we do not know.
    pub(crate) fn signed(&self) -> Option<&H> {
        self.signed.as_ref()
    }
}

/// Hashes as the header asks for. Ed25519 hashes a part of the signature first, which is not there yet.
struct Hashing<'a, H>(&'a mut Option<H>);

impl<H: Hashed> Visitor for Hashing<'_, H> {
    fn header(&mut self, header: &Header) {
        let algorithm = header.algorithm.algorithm();
        *self.0 = algorithm.and_then(Algorithm::digest).map(H::new);
    }

    fn signed(&mut self, bytes: &[u8]) {
        if let Some(hashed) = self.0 {
            hashed.update(bytes);
        }
    }
}
