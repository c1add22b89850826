//! Why a refresh did not publish: typed inside, a stable code and one line outside.

use std::time::Duration;

use crl::{Conflict, ReadError, Refusal};
use origin_api::CrlName;

use crate::events::Outcome;

/// Why a refresh ended without a CRL.
#[derive(Debug, thiserror::Error)]
pub enum RefreshError {
    /// The exchange with the origin failed.
    #[error(transparent)]
    Origin(#[from] OriginError),
    /// What the origin sent is not a CRL as RFC 5280 has it.
    #[error(transparent)]
    Unreadable(#[from] ReadError),
    /// The origin's CRL breaks a rule of RFC 5280 or X.509.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The origin's CRL must not replace the one that is held.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// The origin's CRL is made from older revocations than the one that is held.
    #[error("the origin's watermark {watermark} is less than {held}, which it gave before")]
    WatermarkRegressed {
        /// The `Revocation-Watermark` of this CRL.
        watermark: u64,
        /// That of the CRL that is held.
        held: u64,
    },
    /// The removal gate withholds the CRL.
    #[error(
        "{unexplained} of the {held} entries held are missing, and nothing explains it: find out why, then accept the CRL with POST /v1/issuers/{{id}}/crls/{{name}}/accept, or have the CA list them again"
    )]
    EntriesVanished {
        /// How many entries of the CRL held are missing without an explanation.
        unexplained: u64,
        /// How many entries the CRL held has.
        held: u64,
    },
    /// Entries left a shard, and it is not known whether they have moved to another.
    #[error(
        "{missing} entries left this shard, and the other shards could not all be asked whether they have them now: the CRL held stays until they answer, an hour at most"
    )]
    MoveUnconfirmed {
        /// How many entries.
        missing: u64,
    },
    /// The origin names another certificate than the pinned one.
    #[error(
        "the origin names another certificate for this issuer than the pinned one: compare them, then accept the new one with POST /v1/issuers/{{id}}/trust"
    )]
    IssuerChanged,
    /// The issuer's certificate cannot be used to verify a CRL.
    #[error("the issuer's certificate cannot verify a CRL: {0}")]
    UnusableCertificate(#[from] crl::IssuerError),
    /// The origin does not list this CRL.
    #[error("the origin does not list a CRL named {0} for this issuer")]
    NotListed(CrlName),
    /// The object's storage failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl RefreshError {
    /// The stable code, as the event table and operators see it.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Origin(error) => error.code(),
            Self::Unreadable(error) => error.code(),
            Self::Refused(refusal) => refusal.code(),
            Self::Conflict(conflict) => conflict.code(),
            Self::WatermarkRegressed { .. } => "watermark_regressed",
            Self::EntriesVanished { .. } => "entries_vanished",
            Self::MoveUnconfirmed { .. } => "move_unconfirmed",
            Self::IssuerChanged => "issuer_changed",
            Self::UnusableCertificate(error) => error.code(),
            Self::NotListed(_) => "crl_not_listed",
            Self::Store(_) => "storage_failed",
        }
    }

    /// Whether a CRL came and was refused, or none came.
    #[must_use]
    pub const fn outcome(&self) -> Outcome {
        match self {
            Self::Unreadable(_)
            | Self::Refused(_)
            | Self::Conflict(_)
            | Self::WatermarkRegressed { .. }
            | Self::EntriesVanished { .. }
            | Self::IssuerChanged => Outcome::Rejected,
            Self::Origin(_)
            | Self::MoveUnconfirmed { .. }
            | Self::UnusableCertificate(_)
            | Self::NotListed(_)
            | Self::Store(_) => Outcome::Failed,
        }
    }

    /// Whether an operator may accept the CRL all the same: what is wrong is its relation to the
    /// CRL held, or where it is published, and not the CRL itself.
    #[must_use]
    pub const fn can_be_overruled(&self) -> bool {
        matches!(
            self,
            Self::Conflict(
                Conflict::NumberRegressed { .. }
                    | Conflict::NumberReused { .. }
                    | Conflict::ThisUpdateRegressed { .. }
                    | Conflict::ScopeChanged { .. }
            ) | Self::Refused(Refusal::WrongDistributionPoint { .. })
                | Self::WatermarkRegressed { .. }
                | Self::EntriesVanished { .. }
        )
    }

    /// How long the origin wants to be left alone.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Origin(error) => error.retry_after(),
            _ => None,
        }
    }

    /// Whether the origin does not know the issuer, or the list.
    #[must_use]
    pub const fn says_unknown(&self) -> bool {
        match self {
            Self::Origin(error) => error.says_unknown(),
            Self::NotListed(_) => true,
            _ => false,
        }
    }
}

/// Why an exchange with the origin failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OriginError {
    /// No connection, or it broke before the answer began.
    #[error("the origin could not be reached: {0}")]
    Unreachable(String),
    /// The exchange took longer than `ORIGIN_TIMEOUT_MS`.
    #[error("the origin did not finish within {} ms (ORIGIN_TIMEOUT_MS)", .0.as_millis())]
    Timeout(Duration),
    /// A status that is not in the contract, or one that says no.
    #[error("the origin answered {status}{}", explain(*.status))]
    Status {
        /// The status.
        status: u16,
        /// Its `Retry-After`.
        retry_after: Option<Duration>,
    },
    /// 503 with the code `state_lost`: the origin was restored from a backup, or moved.
    #[error(
        "the origin knows less than what is served: restore what it lost with crl-origin recover"
    )]
    StateLost {
        /// Its `Retry-After`.
        retry_after: Option<Duration>,
    },
    /// The body ended before its announced length, or broke.
    #[error("the origin's answer broke off after {received} bytes: {cause}")]
    Truncated {
        /// How many bytes came.
        received: u64,
        /// What is missing, or what the platform said.
        cause: String,
    },
    /// Another media type than that of a CRL.
    #[error("the origin sent {}, not application/pkix-crl", .0.as_deref().unwrap_or("no Content-Type"))]
    WrongContentType(Option<String>),
    /// JSON of the origin is not as its API has it, or too large.
    #[error("the origin's answer is not as its API has it: {0}")]
    MalformedRecord(String),
}

impl OriginError {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "origin_unreachable",
            Self::Timeout(_) => "origin_timeout",
            Self::Status { .. } => "origin_status",
            Self::StateLost { .. } => "state_lost",
            Self::Truncated { .. } => "origin_truncated",
            Self::WrongContentType(_) => "wrong_content_type",
            Self::MalformedRecord(_) => "malformed_record",
        }
    }

    /// Whether the origin does not know the issuer, or the list.
    #[must_use]
    pub const fn says_unknown(&self) -> bool {
        matches!(self, Self::Status { status: 404, .. })
    }

    /// How long the origin wants to be left alone.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } | Self::StateLost { retry_after } => *retry_after,
            _ => None,
        }
    }
}

const fn explain(status: u16) -> &'static str {
    match status {
        401 | 403 => ": it does not accept ORIGIN_TOKEN",
        404 => ": it does not know this issuer or CRL name",
        429 => ": it wants fewer requests",
        300..=399 => ": redirects are not followed, set ORIGIN_URL to where the API is",
        _ => "",
    }
}

/// Why a call of the object's storage failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The CRL held is not the one that a conclusion was drawn from.
    #[error("the CRL was replaced while it was being refreshed")]
    Conflict,
    /// The platform reported an error. A write may have been kept all the same.
    #[error("the object's storage failed: {0}")]
    Failed(String),
    /// What is stored is not readable by this release.
    #[error("what is stored cannot be read by this release: {0}")]
    Unreadable(String),
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_code_has_an_entry_in_the_runbook() {
        let runbook = include_str!("../../../docs/runbook.md");
        let sources = [
            include_str!("error.rs"),
            include_str!("../../../crl/src/issuer.rs"),
            include_str!("../../../crl/src/read_error.rs"),
            include_str!("../../../crl/src/refusal.rs"),
            include_str!("../../../crl/src/supersede.rs"),
        ];
        let mut count = 0;
        for function in sources
            .iter()
            .flat_map(|source| source.split(concat!("fn code", "(&self)")).skip(1))
        {
            let arms = function.split("\n    }\n").next().unwrap();
            for code in arms.split('"').skip(1).step_by(2) {
                // The visitors here never stop a reader.
                if code == "stopped" {
                    continue;
                }
                let entry = format!("\n### {code}\n");
                assert!(runbook.contains(&entry), "{entry}");
                count += 1;
            }
        }
        assert!(count > 30, "{count}");
    }
}
