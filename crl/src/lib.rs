//! Reads, checks and writes X.509 certificate revocation lists (RFC 5280 §5) of any size, in flat memory.
//!
//! No I/O and no clock live here: bytes are pushed in, and the time is an argument. Nothing here panics, whatever the bytes.
//!
//! | to | take |
//! | --- | --- |
//! | read a CRL that comes in pieces | [`Reader`], with a [`Visitor`] for the entries; [`read`] for a slice |
//! | read, hash, and judge it | [`Examination`], then [`admit`] |
//! | find one certificate | [`find`] in a slice, [`Lookup`] in pieces |
//! | write one | [`Template`] and [`Revocation`] |
//!
//! A reader holds one entry at the most, and what stands before and behind the list, each within [`Limits`]: about a kilobyte
//! for a CRL of a hundred megabytes. Names, algorithm identifiers and a CRL's own extensions are decoded by x509-cert; the list
//! itself never is, as that takes some twenty times as long and eight times the memory.
//!
//! DER is strict, but for what CAs are known to write and what webpki and OpenSSL take: an empty list, empty entry extensions,
//! and a `FALSE` that is written out. A date in the wrong one of UTCTime and GeneralizedTime is refused, although they take it:
//! RFC 5280 §4.1.2.5 is plain, and no CA is known to need it.
//!
//! # From bytes to a decision
//!
//! ```
//! use crl::{Admission, Examination, Expected, Issuer, Limits, Policy, RustCrypto, Scope};
//!
//! # let certificate = include_bytes!("../tests/data/openssl-p256.cer");
//! # let pieces = include_bytes!("../tests/data/openssl-p256.crl").chunks(100);
//! # let sha256 = [0; 32];
//! let issuer = Issuer::from_der(certificate)?;
//! let mut examination = Examination::<RustCrypto>::new(Limits::default());
//! for piece in pieces {
//!     examination.push(piece)?;
//! }
//! let examined = examination.finish()?;
//! let expected = Expected {
//!     scope: Scope::Full,
//!     distribution_point: None,
//!     sha256, // of all pieces
//!     watermark: None,
//! };
//! # let now = examined.crl().header.this_update;
//! match crl::admit(&examined, &issuer, &expected, None, &Policy::default(), now)? {
//!     Admission::Admitted(admitted) => println!("number {} may be served", admitted.number()),
//!     Admission::NeedsSecondPass(_) => println!("Ed25519: push the same pieces again, then finish"),
//!     Admission::Unchanged => println!("it is what is held"),
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What is refused has a stable [`Refusal::code`] or [`ReadError::code`], and says in words which rule it breaks.
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
mod contents;
mod entry;
mod examination;
mod extensions;
mod issuer;
mod key;
mod lookup;
mod name;
mod number;
mod oid;
mod read_error;
mod reader;
mod refusal;
#[cfg(feature = "rust-crypto")]
mod rust_crypto;
mod signature;
mod time;
mod tlv;
mod visitor;
mod writer;

pub use admission::{Admission, Admitted, Expected, Held, Policy, Scope, SecondPass, admit};
pub use algorithm::{Algorithm, AlgorithmIdentifier, Digest};
pub use contents::{Crl, Header, Version};
pub use entry::{Entry, Reason, Revocation};
pub use examination::{Examination, Examined};
pub use extensions::{Extensions, UnknownExtension};
pub use issuer::{Issuer, IssuerError};
pub use lookup::{Listed, Lookup, find};
pub use name::DistinguishedName;
pub use number::{CrlNumber, NumberError, Serial};
pub use read_error::ReadError;
pub use reader::{Limits, Reader, read};
pub use refusal::{Refusal, Unsigned, WrongIssuer, WrongPoint, WrongScope};
#[cfg(feature = "rust-crypto")]
pub use rust_crypto::RustCrypto;
pub use signature::{Hashed, Unverified};
pub use time::{OutOfRange, TimeError, UnixTime};
pub use visitor::Visitor;
pub use writer::{Seal, SignError, Tbs, Template, WriteError, issuing_distribution_point};

// The crates whose types stand in this one's, for those who name them.
pub use der;
pub use x509_cert;
pub use x509_cert::ext::pkix::crl::IssuingDistributionPoint;
