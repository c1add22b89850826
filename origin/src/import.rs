//! Revocations from elsewhere, read one by one: OpenSSL's `index.txt`, CSV, and CRLs. No storage.

mod crl;
mod csv;
mod openssl;

pub use crl::{ImportedCrl, read_crl};
pub use csv::read_csv;
pub use openssl::read_index;

use crate::ca::SerialError;
use crate::revocation::RevocationRequest;
use crate::wire::ReasonError;

/// A revocation that was read, and where: the number of its line, or of its entry in a CRL, from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// The line's number.
    pub line: u64,
    /// What it says.
    pub request: RevocationRequest,
}

/// A line that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("line {line}: {fault}")]
pub struct BadLine {
    /// Its number, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub fault: LineFault,
}

/// What is wrong with a line.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LineFault {
    /// The file cannot be read any further.
    #[error("cannot be read: {0}")]
    Unreadable(String),
    /// A field is missing.
    #[error("no {0}")]
    Missing(&'static str),
    /// A status that `openssl ca` does not write.
    #[error("the status is not V, R or E")]
    Status,
    /// Not a serial number.
    #[error(transparent)]
    Serial(#[from] SerialError),
    /// Not a reason.
    #[error(transparent)]
    Reason(#[from] ReasonError),
    /// Not a time.
    #[error("{0:?} is not a time")]
    Time(String),
    /// Not a shard's number.
    #[error("{0:?} is not the number of a shard")]
    Shard(String),
    /// An entry of an indirect CRL (RFC 5280, section 5.3.3): the serial number is not one of ours.
    #[error("the certificate is of another issuer: an indirect CRL")]
    OtherIssuer,
    /// A column that is not known.
    #[error(
        "no column is named {0:?}; there are serial, revoked_at, reason, invalidity_date, not_after, shard"
    )]
    Column(String),
}
