//! Reads a CRL and hashes what is signed, in one pass over its pieces.

use alloc::vec::Vec;

use sha2::{Digest as _, Sha256, Sha384, Sha512};

use crate::algorithm::Digest;
use crate::contents::{Crl, Header};
use crate::read_error::ReadError;
use crate::reader::{Limits, Reader};
use crate::visitor::Visitor;

/// A [`Reader`] and the hash of tbsCertList, by the CRL's own signature algorithm. What comes out can be judged by
/// [`admit`](crate::admit).
#[derive(Clone, Debug)]
pub struct Examination {
    reader: Reader,
    hasher: Hasher,
}

/// A CRL that was read to its end, but not judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Examined {
    crl: Crl,
    hash: Option<Vec<u8>>,
}

impl Examination {
    /// Before the first byte.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            reader: Reader::new(limits),
            hasher: Hasher::None,
        }
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// [`ReadError`], as [`Reader::push`].
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), ReadError> {
        self.reader.push(bytes, &mut self.hasher)
    }

    /// Takes the next bytes, and shows what they say to a visitor of yours.
    ///
    /// # Errors
    /// [`ReadError`], as [`Reader::push`].
    pub fn push_with(&mut self, bytes: &[u8], visitor: &mut impl Visitor) -> Result<(), ReadError> {
        self.reader.push(bytes, &mut (&mut self.hasher, visitor))
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
    pub fn finish(self) -> Result<Examined, ReadError> {
        Ok(Examined {
            crl: self.reader.finish()?,
            hash: self.hasher.finish(),
        })
    }
}

impl Examined {
    /// All that the CRL says, apart from its entries.
    #[must_use]
    pub fn crl(&self) -> &Crl {
        &self.crl
    }

    /// The hash of tbsCertList; `None` for an algorithm that has none, or that we do not know.
    pub(crate) fn hash(&self) -> Option<&[u8]> {
        self.hash.as_deref()
    }
}

/// The hash that the header asks for. Ed25519 hashes a part of the signature first, which is not there yet.
#[derive(Clone, Debug)]
enum Hasher {
    None,
    Sha256(Sha256),
    Sha384(Sha384),
    Sha512(Sha512),
}

impl Visitor for Hasher {
    fn header(&mut self, header: &Header) {
        let algorithm = header.algorithm.algorithm();
        *self = match algorithm.and_then(crate::algorithm::Algorithm::digest) {
            Some(Digest::Sha256) => Self::Sha256(Sha256::new()),
            Some(Digest::Sha384) => Self::Sha384(Sha384::new()),
            Some(Digest::Sha512) => Self::Sha512(Sha512::new()),
            None => Self::None,
        };
    }

    fn signed(&mut self, bytes: &[u8]) {
        match self {
            Self::None => {}
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::Sha384(hasher) => hasher.update(bytes),
            Self::Sha512(hasher) => hasher.update(bytes),
        }
    }
}

impl Hasher {
    fn finish(self) -> Option<Vec<u8>> {
        match self {
            Self::None => None,
            Self::Sha256(hasher) => Some(hasher.finalize().to_vec()),
            Self::Sha384(hasher) => Some(hasher.finalize().to_vec()),
            Self::Sha512(hasher) => Some(hasher.finalize().to_vec()),
        }
    }
}
