//! Reads, checks, compares and writes X.509 certificate revocation lists (RFC 5280, section 5) of
//! any size, in flat memory.
//!
//! The crate is `no_std` and has no I/O and no clock: bytes are pushed in, and the time is an
//! argument. It does not panic, whatever the bytes, and the time that it takes grows with their
//! number alone.
//!
//! | to | use |
//! | --- | --- |
//! | read a CRL that comes in pieces | [`Reader`] with a [`Visitor`]; [`read`] for one slice |
//! | read, hash and check it | [`Examination`], then [`verify()`] |
//! | decide whether it may replace another | [`supersedes`] |
//! | look up one certificate | [`find`] in a slice, [`Lookup`] in pieces, [`Index`] for many |
//! | see what changed between two | [`diff()`] |
//! | write one | [`Template`] and [`Revocation`] |
//!
//! A reader keeps at most one entry, and what comes before and after the list, each within
//! [`Limits`]: about a kilobyte for a CRL of a hundred megabytes.
//!
//! DER is strict, except for what CAs are known to write and relying parties accept: an empty list,
//! empty entry extensions, a `FALSE` that is written out, and a GeneralizedTime before 2050. The
//! last is a [`Finding`], with other oddities of usable CRLs; [`Requirements::strict`] refuses
//! those.
//!
//! # From bytes to a decision
//!
//! ```
//! use crl::{
//!     CrlKind, Examination, Issuer, Limits, Requirements, RustCrypto, Succession, Verification,
//! };
//!
//! # let certificate = include_bytes!("../tests/data/openssl-p256.cer");
//! # let pieces = include_bytes!("../tests/data/openssl-p256.crl").chunks(100);
//! # let held: Option<crl::Edition> = None;
//! # let sha256 = [0; 32];
//! let mut examination = Examination::<RustCrypto>::new(Limits::default());
//! for piece in pieces.clone() {
//!     examination.push(piece)?;
//! }
//! let examined = examination.finish()?;
//! # let now = examined.crl().header.this_update;
//!
//! let issuer = Issuer::from_der(certificate)?;
//! let requirements = Requirements::new(&issuer, CrlKind::Full, now);
//! let verified = match crl::verify(&examined, &requirements)? {
//!     Verification::Verified(verified) => verified,
//!     // Ed25519
//!     Verification::NeedsSecondPass(mut second_pass) => {
//!         pieces.for_each(|piece| second_pass.push(piece));
//!         second_pass.finish()?
//!     }
//! };
//!
//! let edition = verified.edition(sha256); // of all pieces
//! match held {
//!     Some(held) if crl::supersedes(&edition, &held)? == Succession::Same => {}
//!     _ => println!("number {} may be served", verified.number()),
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Features
//!
//! `rust-crypto`, on by default, brings [`RustCrypto`]: RSA and ECDSA by the crates of that
//! project. Without it, implement [`Hashed`] over another library or the platform. Ed25519 is
//! always there.
//! `rustls-pki-types` converts from the types of rustls and webpki.
//!
//! # Errors
//!
//! Each rule that a CRL breaks has a stable code: [`ReadError::code`], [`Refusal::code`],
//! [`Conflict::code`].
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

mod algorithm;
mod contents;
#[cfg(feature = "rust-crypto")]
mod decoded_key;
mod diff;
mod entry;
mod examination;
mod extension;
mod extensions;
mod finding;
mod hash;
mod index;
mod issuer;
mod key;
mod lookup;
mod name;
mod number;
mod oid;
#[cfg(feature = "rustls-pki-types")]
mod pki_types;
mod read_error;
mod reader;
mod reason;
mod refusal;
mod revocation;
#[cfg(feature = "rust-crypto")]
mod rust_crypto;
mod scope;
mod serial;
mod signature;
mod source;
mod supersede;
#[cfg(test)]
mod testing;
mod time;
mod tlv;
mod verify;
mod visitor;
mod walk;
mod write_error;
mod writer;

pub use algorithm::{Algorithm, AlgorithmIdentifier, Digest};
pub use contents::{Crl, Header, Version};
pub use diff::{Change, Differences, diff};
pub use entry::Entry;
pub use examination::{Examination, Examined};
pub use extension::{Extension, ExtensionRef};
pub use extensions::{AuthorityKeyId, Extensions, IssuingDistributionPoint};
pub use finding::{Finding, FindingKind};
pub use index::{Found, Index, Rows};
pub use issuer::{Issuer, IssuerError};
pub use lookup::{Listed, Lookup, Status, find};
pub use name::{DistinguishedName, NameError};
pub use number::{CrlNumber, NumberError};
pub use read_error::ReadError;
pub use reader::{Limits, Reader, read};
pub use reason::{Reason, Reasons};
pub use refusal::{Refusal, Unsigned, WrongIssuer, WrongPoint, WrongScope};
pub use revocation::Revocation;
#[cfg(feature = "rust-crypto")]
pub use rust_crypto::RustCrypto;
pub use scope::{Certificates, Coverage, CrlKind, Scope};
pub use serial::Serial;
pub use signature::{Hashed, SignatureKey, Unverified};
pub use source::{Source, same_contents};
pub use supersede::{Conflict, Edition, Succession, check_delta_base, supersedes};
pub use time::{OutOfRange, TimeError, UnixTime};
pub use verify::{Requirements, SecondPass, Verification, Verified, verify};
pub use visitor::Visitor;
pub use walk::WalkError;
pub use write_error::WriteError;
pub use writer::{Seal, SignError, Tbs, Template};

// The crates of the types in this one's interface.
pub use der;
pub use x509_cert;
