//! Why a CRL is refused: one variant for each rule, with what a person needs to understand it.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use der::asn1::ObjectIdentifier;

use crate::algorithm::Algorithm;
use crate::finding::Finding;
use crate::name::DistinguishedName;
use crate::number::CrlNumber;
use crate::reason::Reasons;
use crate::signature::Unverified;
use crate::time::UnixTime;

/// A rule of RFC 5280 or X.509 that a CRL breaks. [`Refusal::code`] gives the stable code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// `unsupported_version`
    #[error("the CRL is of version 1, not 2 (RFC 5280, section 5.1.2.1)")]
    UnsupportedVersion,
    /// `algorithm_mismatch`
    #[error(
        "the inner signature algorithm, {inner}, differs from the outer one, {outer} \
         (RFC 5280, section 5.1.1.2)"
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
        "the critical extension {oid} of {} is unknown (RFC 5280, section {})",
        if *.of_entry { "an entry" } else { "the CRL" },
        if *.of_entry { "5.3" } else { "5.2" }
    )]
    UnknownCriticalExtension {
        /// Its type.
        oid: ObjectIdentifier,
        /// Whether an entry has it, and not the CRL itself.
        of_entry: bool,
    },
    /// `wrong_issuer`
    #[error(transparent)]
    WrongIssuer(WrongIssuer),
    /// `wrong_scope`
    #[error(transparent)]
    WrongScope(WrongScope),
    /// `delta_base`
    #[error(
        "the delta CRL has the base number {base}, above its own number, {number} \
         (RFC 5280, section 5.2.4)"
    )]
    DeltaBase {
        /// The number of the complete CRL that it starts from.
        base: CrlNumber,
        /// Its own number.
        number: CrlNumber,
    },
    /// `wrong_distribution_point`
    #[error("the CRL {found}, not {expected:?} (RFC 5280, section 5.2.5)")]
    WrongDistributionPoint {
        /// The URL that is required; empty if none is known.
        expected: String,
        /// What the CRL has instead.
        found: WrongPoint,
    },
    /// `next_update_missing`
    #[error("the CRL has no nextUpdate (RFC 5280, section 5.1.2.5)")]
    NextUpdateMissing,
    /// `not_yet_valid`
    #[error("thisUpdate {this_update} is after now, {now} (RFC 5280, section 5.1.2.4)")]
    NotYetValid {
        /// The CRL's thisUpdate.
        this_update: UnixTime,
        /// The time given.
        now: UnixTime,
    },
    /// `expired`
    #[error("nextUpdate {next_update} is not after now, {now} (RFC 5280, section 5.1.2.5)")]
    Expired {
        /// The CRL's nextUpdate.
        next_update: UnixTime,
        /// The time given.
        now: UnixTime,
    },
    /// `number_missing`
    #[error("the CRL has no CRLNumber (RFC 5280, section 5.2.3)")]
    NumberMissing,
    /// `bad_signature`
    #[error(transparent)]
    BadSignature(Unsigned),
    /// The code of the finding: [`Requirements::strict`](crate::Requirements::strict) refuses what
    /// is a finding otherwise.
    #[error("{}", .0.kind)]
    Strict(Finding),
}

/// How the CRL's issuer differs from the certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WrongIssuer {
    /// By name.
    #[error("the CRL's issuer is \"{found}\", not \"{expected}\" (RFC 5280, section 5.1.2.3)")]
    Name {
        /// The CRL's issuer.
        found: DistinguishedName,
        /// The certificate's subject.
        expected: DistinguishedName,
    },
    /// By key.
    #[error(
        "the CRL's authority key identifier is {}, not {} (RFC 5280, section 5.2.1)",
        Hex(found),
        Hex(expected)
    )]
    KeyId {
        /// The CRL's authority key identifier.
        found: Vec<u8>,
        /// The certificate's subject key identifier.
        expected: Vec<u8>,
    },
    /// The certificate does not allow its key to sign CRLs.
    #[error("the issuer's certificate has a key usage without cRLSign (RFC 5280, section 4.2.1.3)")]
    KeyUsage,
}

/// How the CRL's scope differs from what is required.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WrongScope {
    /// A delta CRL is required.
    #[error(
        "a delta CRL is required, and the CRL has no delta CRL indicator \
         (RFC 5280, section 5.2.4)"
    )]
    NotDelta,
    /// A complete CRL is required.
    #[error(
        "a complete CRL is required, and the CRL is a delta to number {base} \
         (RFC 5280, section 5.2.4)"
    )]
    Delta {
        /// The number it starts from.
        base: CrlNumber,
    },
    /// It also lists certificates of other issuers.
    #[error("the CRL is an indirect one (RFC 5280, sections 5.2.5 and 5.3.3)")]
    Indirect,
    /// It lists attribute certificates alone.
    #[error("the CRL is for attribute certificates only (RFC 5280, section 5.2.5)")]
    AttributeCertificates,
    /// It lists only certificates that were revoked for some reasons, so that the absence of a
    /// certificate does not say that it is good.
    #[error(
        "the CRL is for some reasons only, {reasons}, so it is not a complete one \
         (RFC 5280, section 5.2.5)"
    )]
    SomeReasons {
        /// The reasons.
        reasons: Reasons,
    },
    /// It is for user certificates only and also for CA certificates only, say.
    #[error("the CRL sets over one of the only… flags (RFC 5280, section 5.2.5)")]
    Contradictory,
    /// The issuing distribution point limits nothing.
    #[error("the CRL's issuing distribution point is empty (RFC 5280, section 5.2.5)")]
    EmptyPoint,
    /// A delta CRL that points to a delta CRL.
    #[error("the CRL is a delta and has a freshest CRL (RFC 5280, section 5.2.6)")]
    FreshestInDelta,
}

/// What the CRL has instead of the required distribution point.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WrongPoint {
    /// No distribution point.
    None,
    /// A distribution point without a URL.
    NoUrl,
    /// Another URL.
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

/// Why the signature does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unsigned {
    /// It does not verify.
    #[error("the signature does not verify with the issuer's key (RFC 5280, section 5.1.1.3)")]
    Invalid,
    /// No signature can be verified with this key.
    #[error(
        "the issuer's key is not a usable public key: it is not a point on its curve, or has an \
         impossible RSA exponent"
    )]
    UnusableKey,
    /// The implementation of the signature check failed.
    #[error("the signature check could not run")]
    Unchecked,
    /// The issuer's key cannot make such a signature.
    #[error("the signature is by {algorithm}, which the issuer's {key} key does not make")]
    OtherKey {
        /// The CRL's algorithm.
        algorithm: Algorithm,
        /// The kind of the issuer's key.
        key: &'static str,
    },
    /// The second pass was not over the bytes of the first.
    #[error("the second pass saw {seen} octets of a CRL of {size}")]
    OtherBytes {
        /// Octets of the second pass.
        seen: u64,
        /// Octets of the first pass.
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
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnsupportedVersion => "unsupported_version",
            Self::AlgorithmMismatch { .. } => "algorithm_mismatch",
            Self::UnsupportedAlgorithm(_) => "unsupported_algorithm",
            Self::UnknownCriticalExtension { .. } => "unknown_critical_extension",
            Self::WrongIssuer(_) => "wrong_issuer",
            Self::WrongScope(_) => "wrong_scope",
            Self::DeltaBase { .. } => "delta_base",
            Self::WrongDistributionPoint { .. } => "wrong_distribution_point",
            Self::NextUpdateMissing => "next_update_missing",
            Self::NotYetValid { .. } => "not_yet_valid",
            Self::Expired { .. } => "expired",
            Self::NumberMissing => "number_missing",
            Self::BadSignature(_) => "bad_signature",
            Self::Strict(finding) => finding.kind.code(),
        }
    }
}

struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02X}"))
    }
}
