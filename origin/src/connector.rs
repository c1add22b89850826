//! Where an issuer's CRLs come from: a key that is kept here, or a CA that runs elsewhere. One
//! trait, one file for each kind.

mod check;
mod connectors;
mod directories;
mod external;
mod fetch;
mod follow;
mod lanes;
mod local;
mod metrics;
mod openbao;
mod openssl;
mod passed_on;
mod url;

use bytes::Bytes;
use crl::CrlNumber;
use futures_util::future::BoxFuture;
use origin_api::{CrlName, Issuer, IssuerId, Timestamp, Watermark};

use crate::origin::{Caller, CrlAnswer, OriginError};

pub(crate) use check::check;
pub(crate) use connectors::Connectors;
pub(crate) use fetch::UpstreamFault;
pub(crate) use metrics::ConnectorMetrics;
pub(crate) use openbao::{Engine, EngineIssuer};

/// A request for the current CRL.
#[derive(Clone, Debug)]
pub(crate) struct CrlRequest {
    /// The issuer; its certificate verifies what comes from elsewhere.
    pub(crate) issuer: Issuer,
    /// The CRL's name.
    pub(crate) name: CrlName,
    /// The edge that asks, and what it holds. A caller that holds no CRL gets a new one.
    pub(crate) caller: Caller,
    /// The present moment.
    pub(crate) now: Timestamp,
}

impl CrlRequest {
    /// Whether a new CRL is to be made, whatever the caller holds.
    fn wants_new(&self) -> bool {
        self.caller.renew || self.caller.held.is_none()
    }

    fn held_number(&self) -> Option<CrlNumber> {
        self.caller.held.and_then(|held| held.number)
    }

    fn holds(&self, sha256: &[u8; 32]) -> bool {
        self.caller.held.is_some_and(|held| held.sha256 == *sha256)
    }
}

/// A connector's answer.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// This CRL is current.
    Crl(CrlBody),
    /// The CRL that the caller holds is current.
    Unchanged,
    /// The issuer has no CRL to publish.
    Nothing,
}

/// A CRL's bytes.
#[derive(Clone, Debug)]
pub(crate) struct CrlBody {
    /// The DER, in parts.
    pub(crate) parts: Vec<Bytes>,
    /// Its length in bytes.
    pub(crate) size: u64,
    /// Its SHA-256.
    pub(crate) sha256: [u8; 32],
    /// The issuer's watermark when it was made; absent if a CA elsewhere made it.
    pub(crate) watermark: Option<Watermark>,
}

/// A source of CRLs.
trait Connector: Send + Sync {
    /// The current CRL. May be called again at any time, also while it runs; a call may be dropped
    /// half-way.
    fn crl<'a>(&'a self, request: &'a CrlRequest) -> BoxFuture<'a, Result<Answer, ConnectorError>>;
}

/// Why a connector has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum ConnectorError {
    /// The origin itself failed.
    #[error(transparent)]
    Origin(#[from] OriginError),
    /// The CA behind the issuer failed.
    #[error("the CA behind issuer {issuer}: {fault}")]
    Upstream {
        /// The issuer.
        issuer: IssuerId,
        /// What is wrong.
        fault: UpstreamFault,
    },
    /// Earlier calls for this issuer have not come back: its HSM, directory or CA hangs.
    #[error("earlier calls for issuer {0} are still running")]
    Busy(IssuerId),
    /// The call panicked.
    #[error("the call panicked; the log says where")]
    Panicked,
}

impl ConnectorError {
    /// The stable name of the error, for programs.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Origin(error) => error.code(),
            Self::Upstream { fault, .. } => fault.code(),
            Self::Busy(_) => "issuer_busy",
            Self::Panicked => "internal",
        }
    }
}

impl From<CrlAnswer> for Answer {
    fn from(answer: CrlAnswer) -> Self {
        match answer {
            CrlAnswer::Crl(made) => Self::Crl(CrlBody {
                parts: made.parts,
                size: made.size,
                sha256: made.sha256,
                watermark: Some(made.watermark),
            }),
            CrlAnswer::Unchanged => Self::Unchanged,
            CrlAnswer::Nothing => Self::Nothing,
        }
    }
}

#[cfg(test)]
mod tests;
