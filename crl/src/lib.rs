//! Reads, checks and writes X.509 certificate revocation lists (RFC 5280 §5) of any size, in flat memory.
//!
//! No I/O and no clock live here: bytes are pushed in, and the time is an argument.
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::panic
    )
)]
#![cfg_attr(
    test,
    allow(clippy::cast_possible_truncation, reason = "what tests make is small")
)]

extern crate alloc;

mod admission;
mod algorithm;
mod entry;
mod examination;
mod extensions;
mod issuer;
mod key;
mod lookup;
mod name;
mod number;
mod oid;
mod reader;
mod refusal;
mod time;
mod tlv;
mod writer;

pub use admission::{Admission, Admitted, Expected, Held, Policy, Scope, SecondPass, admit};
pub use algorithm::{Algorithm, AlgorithmIdentifier, Digest};
pub use entry::{Entry, Reason, Revocation};
pub use examination::{Examination, Examined};
pub use extensions::{Extensions, UnknownExtension};
pub use issuer::{Issuer, IssuerError};
pub use lookup::{Listed, Lookup, find};
pub use name::DistinguishedName;
pub use number::{CrlNumber, NumberError, Serial};
pub use reader::{Crl, Header, Limits, ReadError, Reader, Version, Visitor, read};
pub use refusal::{Refusal, Unsigned, WrongIssuer, WrongPoint, WrongScope};
pub use time::{OutOfRange, TimeError, UnixTime};
pub use writer::{Seal, SignError, Tbs, Template, WriteError, issuing_distribution_point};

// The crates whose types stand in this one's, for those who name them.
pub use der;
pub use x509_cert;
pub use x509_cert::ext::pkix::crl::IssuingDistributionPoint;
