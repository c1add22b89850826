//! Fetches a CRL from the CA behind an issuer, and lets it pass only if the issuer's certificate
//! verifies it.
//!
//! The edge judges again, by what it holds. The check here separates a CRL that is broken, expired
//! or another issuer's from a CA that cannot be reached.

use std::hash::{DefaultHasher, Hasher};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use crl::{
    CrlKind, CrlNumber, Entry, Examination, IssuerError, ReadError, Refusal, Requirements,
    RustCrypto, UnixTime, Verification, Verified, Visitor,
};
use futures_util::StreamExt;
use http::header::{self, HeaderMap};
use http::{Request, StatusCode};
use origin_api::CrlName;
use sha2::{Digest, Sha256};

use super::{Answer, CrlBody, CrlRequest};
use crate::http_client::{HttpClient, HttpError, Limits, Reach, Response};

/// How long a CA may take for one answer: less than the edge waits for ours (`ORIGIN_TIMEOUT_MS`,
/// 30 s by default).
const TIMEOUT: Duration = Duration::from_secs(25);

/// The limits of a request to a CA.
pub(super) fn limits(reach: Reach) -> Limits {
    Limits {
        timeout: TIMEOUT,
        reach,
    }
}

/// What is wrong with the CA behind an issuer, or with what it sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum UpstreamFault {
    /// There is no answer, or only a part of one.
    #[error("cannot be reached: {0}")]
    Unreachable(#[from] HttpError),
    /// It answered with another status than 200.
    #[error("answered {0} to {1}")]
    Status(StatusCode, String),
    /// It answered with a redirect. None is followed: tokens are for the configured host.
    #[error("answered {0} to {1}, and redirects are not followed: configure the address of {2}")]
    Redirect(StatusCode, String, String),
    /// It answered with something that cannot be read.
    #[error("{0}")]
    Answer(String),
    /// It did not send a CRL.
    #[error("did not send a CRL: {0}")]
    Malformed(#[from] ReadError),
    /// The issuer's certificate cannot verify CRLs.
    #[error(transparent)]
    Issuer(#[from] IssuerError),
    /// It sent a CRL that must not be passed on.
    #[error("its CRL is refused: {0}")]
    Refused(#[from] Refusal),
    /// Its CRL is older than one that was passed on: a standby or a cache lags behind, or the CA
    /// was restored from a backup.
    #[error(
        "its CRL has the number {found}, and {passed_on} was passed on before: a standby or a cache lags behind, \
         or the CA was restored from a backup"
    )]
    Behind {
        /// The CRLNumber found.
        found: CrlNumber,
        /// The greatest one known.
        passed_on: CrlNumber,
    },
    /// A PKI engine does not list what was revoked.
    #[error(
        "its config/crl has disable=true: it signs an empty CRL, and every revoked certificate would be valid again; \
         `bao write {mount}/config/crl disable=false` ends that"
    )]
    Disabled {
        /// Where the engine is mounted.
        mount: String,
    },
    /// An empty CRL, and no way to find out whether its engine lists what was revoked.
    #[error(
        "its CRL is empty, and the token may not read whether config/crl has disable=true: \
         add `path \"{mount}/config/crl\" {{ capabilities = [\"read\"] }}` to its policy"
    )]
    ConfigForbidden {
        /// Where the engine is mounted.
        mount: String,
    },
    /// A secret cannot be read.
    #[error("cannot read {path}: {source}")]
    Secret {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file of the CA cannot be read.
    #[error("cannot read {path}: {fault}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        fault: String,
    },
}

impl UpstreamFault {
    /// The stable name of the error, for programs.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Unreachable(HttpError::Local(_)) => "upstream_local",
            Self::Unreachable(_) => "upstream_unreachable",
            Self::Status(..) | Self::Redirect(..) | Self::Answer(_) => "upstream_failed",
            Self::Behind { .. } => "upstream_behind",
            Self::Disabled { .. } | Self::ConfigForbidden { .. } => "upstream_crl_disabled",
            Self::Malformed(_) | Self::Refused(_) | Self::Issuer(_) => "upstream_crl_refused",
            Self::Secret { .. } | Self::File { .. } => "upstream_file_unreadable",
        }
    }

    /// Whether the same request may succeed soon.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable(HttpError::Local(_) | HttpError::Url(_)) => false,
            Self::Unreachable(_) | Self::Behind { .. } => true,
            Self::Status(status, _) => {
                status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS
            }
            _ => false,
        }
    }
}

/// A CRL that was verified.
#[derive(Debug)]
pub(super) struct Fetched {
    body: CrlBody,
    verified: Verified,
    entries: Entries,
    /// The response's headers, with the validators among them.
    headers: HeaderMap,
}

impl Fetched {
    pub(super) fn sha256(&self) -> [u8; 32] {
        self.body.sha256
    }

    pub(super) fn number(&self) -> CrlNumber {
        self.verified.number()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.count == 0
    }

    pub(super) fn entries(&self) -> Entries {
        self.entries
    }

    /// The URLs that the CRL names as its distribution point.
    pub(super) fn distribution_points(&self) -> Vec<String> {
        let extensions = &self.verified.crl().extensions;
        extensions
            .distribution_point_urls()
            .map(str::to_owned)
            .collect()
    }

    /// The headers that ask for the CRL only if it has changed (RFC 9110, section 13.1).
    pub(super) fn conditions(&self) -> HeaderMap {
        let pairs = [
            (header::ETAG, header::IF_NONE_MATCH),
            (header::LAST_MODIFIED, header::IF_MODIFIED_SINCE),
        ];
        pairs
            .into_iter()
            .filter_map(|(validator, condition)| {
                Some((condition, self.headers.get(validator)?.clone()))
            })
            .collect()
    }

    pub(super) fn validity(&self) -> Validity {
        Validity {
            this_update: self.verified.this_update(),
            next_update: self.verified.next_update(),
        }
    }

    pub(super) fn is_held(&self, request: &CrlRequest) -> bool {
        request.holds(&self.body.sha256)
    }

    pub(super) fn answer(self, request: &CrlRequest) -> Answer {
        if self.is_held(request) {
            Answer::Unchanged
        } else {
            Answer::Crl(self.body)
        }
    }
}

/// From when until when a CRL is valid.
#[derive(Clone, Copy, Debug)]
pub(super) struct Validity {
    pub(super) this_update: UnixTime,
    pub(super) next_update: UnixTime,
}

impl Validity {
    /// Whether half of it is over. By then a CA is expected to have made the next CRL.
    pub(super) fn is_half_over(&self, now: UnixTime) -> bool {
        let whole = self.next_update.since(self.this_update).unwrap_or_default();
        now >= self.this_update.saturating_add(whole / 2)
    }
}

/// Fetches a CRL and verifies it as it arrives.
pub(super) async fn crl(
    client: &dyn HttpClient,
    get: Request<Bytes>,
    reach: Reach,
    request: &CrlRequest,
) -> Result<Fetched, UpstreamFault> {
    let issuer = crl::Issuer::from_der(&request.issuer.certificate.0)?;
    let path = get.uri().path().to_owned();
    let mut response = client.send(get, limits(reach)).await?;
    if response.status != StatusCode::OK {
        return Err(unexpected(&response, path));
    }
    let mut examination = Examination::<RustCrypto>::new(crl::Limits::default());
    let mut entries = Entries::default();
    let mut hash = Sha256::new();
    let mut parts: Vec<Bytes> = Vec::new();
    while let Some(part) = response.body.next().await {
        let part = part?;
        examination.push_with(&part, &mut entries)?;
        hash.update(&part);
        parts.push(part);
    }
    let examined = examination.finish()?;
    let sha256: [u8; 32] = hash.finalize().into();
    let kind = match request.name {
        CrlName::Full => CrlKind::Full,
        CrlName::Delta => CrlKind::Delta,
        CrlName::Shard(_) => CrlKind::Shard,
    };
    // The distribution point is for the edge to judge.
    let requirements = Requirements::new(&issuer, kind, request.now.as_unix_time());
    let verified = match crl::verify(&examined, &requirements)? {
        Verification::Verified(verified) => verified,
        Verification::NeedsSecondPass(mut pass) => {
            for part in &parts {
                pass.push(part);
            }
            pass.finish()?
        }
    };
    let size = examined.crl().size;
    Ok(Fetched {
        body: CrlBody {
            parts,
            size,
            sha256,
            watermark: None,
        },
        verified,
        entries,
        headers: response.headers,
    })
}

/// A digest of a CRL's entries, which is the same whatever their order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Entries {
    count: u64,
    sum: u64,
}

impl Visitor for Entries {
    fn entry(&mut self, entry: &Entry<'_>) -> ControlFlow<()> {
        let mut hasher = DefaultHasher::new();
        hasher.write(entry.der);
        self.count = self.count.saturating_add(1);
        self.sum = self.sum.wrapping_add(hasher.finish());
        ControlFlow::Continue(())
    }
}

/// The fault of a response with another status than 200.
pub(super) fn unexpected(response: &Response, path: String) -> UpstreamFault {
    let location = response.headers.get(header::LOCATION);
    match location.and_then(|location| location.to_str().ok()) {
        Some(location) if response.status.is_redirection() => {
            UpstreamFault::Redirect(response.status, path, location.to_owned())
        }
        _ => UpstreamFault::Status(response.status, path),
    }
}

/// A GET of that URL.
pub(super) fn get(url: &str) -> Result<Request<Bytes>, UpstreamFault> {
    Request::get(url)
        .body(Bytes::new())
        .map_err(|error| HttpError::Url(format!("{url}: {error}")).into())
}
