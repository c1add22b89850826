//! The types of the origin CA API, version 1, which the origin and the edge share. No I/O, no
//! rules.

mod crl_name;
mod issuer;
mod issuer_id;
#[cfg(feature = "openapi")]
mod openapi;
mod problem;
mod timestamp;
mod watermark;

pub use crl_name::{CrlName, CrlNameError};
pub use issuer::{Crl, Der, Issuer, IssuersPage};
pub use issuer_id::{IssuerId, IssuerIdError};
pub use problem::Problem;
pub use timestamp::{Timestamp, TimestampError};
pub use watermark::{Watermark, WatermarkError};

/// The media type of a DER-encoded CRL (RFC 2585, section 4.2).
pub const CRL_MEDIA_TYPE: &str = "application/pkix-crl";

/// The request header with the number of the CRL that the edge holds, in decimal digits.
pub const CRL_NUMBER_HEADER: &str = "crl-number";

/// The request and response header that carries a [`Watermark`].
pub const WATERMARK_HEADER: &str = "revocation-watermark";

/// The number of issuers on one page.
pub const PAGE_LIMIT: std::ops::RangeInclusive<u32> = 1..=1000;

/// The README's example, compiled as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
