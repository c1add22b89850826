//! Why a CRL was not admitted: one variant for each stable code, with what a person needs to understand it.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use der::asn1::ObjectIdentifier;

use crate::algorithm::Algorithm;
use crate::name::DistinguishedName;
use crate::number::CrlNumber;
use crate::signature::Unverified;
use crate::time::UnixTime;

/// A rule that a CRL breaks. [`Refusal::code`] gives the stable code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// `unsupported_version`
    #[error("the CRL is of version 1, not 2 (RFC 5280 §5.1.2.1)")]
    UnsupportedVersion,
    /// `algorithm_mismatch`
    #[error(
        "the signature algorithm inside, {inner}, is not the one outside, {outer} (RFC 5280 §5.1.1.2)"
    )]
    AlgorithmMismatch {
        /// The one in tbsCertList.
        inner: String,
        /// The one beside the signature.
        outer: String,
    },
    /// `unsupported_algorithm`
    #[error("the signature algorithm {0} is not supported")]
    UnsupportedAlgorithm(String),
    /// `unknown_critical_extension`
    #[error(
        "the critical extension {oid} of {} is unknown (RFC 5280 {})",
        if *.of_entry { "an entry" } else { "the CRL" },
        if *.of_entry { "§5.3" } else { "§5.2" }
    )]
    UnknownCriticalExtension {
        /// Which it is.
        oid: ObjectIdentifier,
        /// Whether it is an entry's, and not the CRL's own.
        of_entry: bool,
    },
    /// `wrong_issuer`
    #[error(transparent)]
    WrongIssuer(WrongIssuer),
    /// `wrong_scope`
    #[error(transparent)]
    WrongScope(WrongScope),
    /// `wrong_distribution_point`
    #[error("the CRL {found}, not {expected:?} (RFC 5280 §5.2.5)")]
    WrongDistributionPoint {
        /// The URL that is due; empty if none is known.
        expected: String,
        /// What stands there instead.
        found: WrongPoint,
    },
    /// `next_update_missing`
    #[error("the CRL has no nextUpdate (RFC 5280 §5.1.2.5)")]
    NextUpdateMissing,
    /// `not_yet_valid`
    #[error("thisUpdate {this_update} is after now, {now} (RFC 5280 §5.1.2.4)")]
    NotYetValid {
        /// The CRL's.
        this_update: UnixTime,
        /// The time given.
        now: UnixTime,
    },
    /// `expired`
    #[error("nextUpdate {next_update} is not after now, {now} (RFC 5280 §5.1.2.5)")]
    Expired {
        /// The CRL's.
        next_update: UnixTime,
        /// The time given.
        now: UnixTime,
    },
    /// `number_missing`
    #[error("the CRL has no CRLNumber (RFC 5280 §5.2.3)")]
    NumberMissing,
    /// `number_regressed`
    #[error(
        "CRLNumber {number} is not greater than {held}, the one being served (RFC 5280 §5.2.3)"
    )]
    NumberRegressed {
        /// The CRL's.
        number: CrlNumber,
        /// That of the CRL before.
        held: CrlNumber,
    },
    /// `number_reused`
    #[error("CRLNumber {number} is that of other bytes, which are being served (RFC 5280 §5.2.3)")]
    NumberReused {
        /// Of both.
        number: CrlNumber,
    },
    /// `this_update_regressed`
    #[error(
        "thisUpdate {this_update} is before {held}, that of the CRL being served (RFC 5280 §5.1.2.4)"
    )]
    ThisUpdateRegressed {
        /// The CRL's.
        this_update: UnixTime,
        /// That of the CRL before.
        held: UnixTime,
    },
    /// `watermark_regressed`
    #[error("the origin's watermark {watermark} is less than {held}, which it gave before")]
    WatermarkRegressed {
        /// What came with the CRL.
        watermark: u64,
        /// What came with the CRL before.
        held: u64,
    },
    /// `bad_signature`
    #[error(transparent)]
    BadSignature(Unsigned),
}

/// How the issuer is another one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WrongIssuer {
    /// By name.
    #[error("the CRL's issuer is \"{found}\", not \"{expected}\" (RFC 5280 §5.1.2.3)")]
    Name {
        /// The CRL's.
        found: DistinguishedName,
        /// The certificate's subject.
        expected: DistinguishedName,
    },
    /// By key.
    #[error(
        "the CRL's authority key identifier is {}, not {} (RFC 5280 §5.2.1)",
        Hex(found),
        Hex(expected)
    )]
    KeyId {
        /// The CRL's.
        found: Vec<u8>,
        /// The certificate's subject key identifier.
        expected: Vec<u8>,
    },
    /// By what it may do.
    #[error("the issuer's certificate has a key usage without cRLSign (RFC 5280 §4.2.1.3)")]
    KeyUsage,
}

/// How the CRL is of another kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WrongScope {
    /// A delta CRL is due.
    #[error("the CRL has no delta CRL indicator, where a delta CRL is due (RFC 5280 §5.2.4)")]
    NotDelta,
    /// A complete CRL is due.
    #[error("the CRL is a delta to number {base}, where a complete one is due (RFC 5280 §5.2.4)")]
    Delta {
        /// The number it starts from.
        base: CrlNumber,
    },
    /// It lists certificates of other issuers, too.
    #[error("the CRL is an indirect one (RFC 5280 §5.2.5, §5.3.3)")]
    Indirect,
    /// It lists attribute certificates alone.
    #[error("the CRL is for attribute certificates only (RFC 5280 §5.2.5)")]
    AttributeCertificates,
}

/// What stands where a distribution point is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WrongPoint {
    /// None.
    None,
    /// One that has no URL.
    NoUrl,
    /// Another one.
    Url(String),
}

impl fmt::Display for WrongPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("names no issuing distribution point"),
            Self::NoUrl => f.write_str("names an issuing distribution point without a URL"),
            Self::Url(url) => write!(f, "is for the distribution point {url:?}"),
        }
    }
}

/// How the signature is not the issuer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsigned {
    /// It does not verify.
    #[error("the signature does not verify with the issuer's key (RFC 5280 §5.1.1.3)")]
    Invalid,
    /// Nothing verifies with a key like that.
    #[error("the issuer's key is none: not a point on its curve, or an impossible RSA exponent")]
    UnusableKey,
    /// Who checks it failed.
    #[error("the signature could not be checked: whoever does that failed")]
    Unchecked,
    /// It cannot be by that key.
    #[error("the signature is by {algorithm}, which the issuer's {key} key does not make")]
    OtherKey {
        /// The CRL's.
        algorithm: Algorithm,
        /// The kind of the issuer's key.
        key: &'static str,
    },
    /// The second pass was not over the bytes of the first.
    #[error("the second pass saw {seen} octets of a CRL of {size}")]
    OtherBytes {
        /// In the second pass.
        seen: u64,
        /// In the first.
        size: u64,
    },
}

impl From<Unverified> for Unsigned {
    fn from(unverified: Unverified) -> Self {
        match unverified {
            Unverified::Invalid => Self::Invalid,
            Unverified::UnusableKey => Self::UnusableKey,
            Unverified::Failed => Self::Unchecked,
        }
    }
}

impl Refusal {
    /// The stable code, which users and the event table see.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnsupportedVersion => "unsupported_version",
            Self::AlgorithmMismatch { .. } => "algorithm_mismatch",
            Self::UnsupportedAlgorithm(_) => "unsupported_algorithm",
            Self::UnknownCriticalExtension { .. } => "unknown_critical_extension",
            Self::WrongIssuer(_) => "wrong_issuer",
            Self::WrongScope(_) => "wrong_scope",
            Self::WrongDistributionPoint { .. } => "wrong_distribution_point",
            Self::NextUpdateMissing => "next_update_missing",
            Self::NotYetValid { .. } => "not_yet_valid",
            Self::Expired { .. } => "expired",
            Self::NumberMissing => "number_missing",
            Self::NumberRegressed { .. } => "number_regressed",
            Self::NumberReused { .. } => "number_reused",
            Self::ThisUpdateRegressed { .. } => "this_update_regressed",
            Self::WatermarkRegressed { .. } => "watermark_regressed",
            Self::BadSignature(_) => "bad_signature",
        }
    }
}

struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02X}"))
    }
}
