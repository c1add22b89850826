//! The edge's refresh call.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, header};
use origin_api::IssuerId;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::queue::Outcome;
use crate::http_client::{HttpClient, HttpError, Limits, Reach};

/// How long a push may take. The edge itself waits up to `ORIGIN_TIMEOUT_MS` (30 s by default) for
/// each answer of ours, and asks for the issuer, its CRLs, and why entries have departed: a push
/// that gave up before the edge did would be repeated while the edge still works on it.
const TIMEOUT: Duration = Duration::from_mins(3);

/// The largest answer that is read: one event for each of an issuer's CRLs.
const ANSWER_LIMIT: usize = 4 * 1024 * 1024;

/// Calls one edge.
pub(crate) struct EdgeClient {
    client: Arc<dyn HttpClient>,
    /// The edge's URL, without a slash at its end.
    url: String,
    token: Zeroizing<String>,
}

/// Why the edge did not refresh an issuer.
#[derive(Debug, thiserror::Error)]
pub(super) enum EdgeError {
    /// There is no answer.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The edge could not refresh, or would not.
    #[error("it answered {0}")]
    Status(StatusCode),
    /// Something else than the edge answered: a login page, a captive portal, another service.
    #[error("it answered 200, but not with a refresh's events: is it the edge's URL?")]
    NotTheEdge,
}

impl EdgeClient {
    /// The edge at this URL, with its `HOOK_TOKEN`.
    pub(crate) fn new(client: Arc<dyn HttpClient>, url: &str, token: Zeroizing<String>) -> Self {
        Self {
            client,
            url: url.trim_end_matches('/').to_owned(),
            token,
        }
    }

    /// Has the edge refresh all CRLs of an issuer, and waits for the outcome.
    pub(super) async fn refresh(&self, issuer: &IssuerId) -> Result<(), EdgeError> {
        #[derive(Deserialize)]
        struct Answer {
            #[serde(rename = "events")]
            _events: Vec<serde::de::IgnoredAny>,
        }
        let url = format!("{}/v1/issuers/{issuer}/refresh", self.url);
        let authorization = Zeroizing::new(format!("Bearer {}", self.token.as_str()));
        let request = Request::post(url)
            .header(header::AUTHORIZATION, authorization.as_str())
            .body(Bytes::new())
            .map_err(|error| HttpError::Url(error.to_string()))?;
        let limits = Limits {
            timeout: TIMEOUT,
            reach: Reach::Anywhere,
        };
        let response = self.client.send(request, limits).await?;
        if response.status != StatusCode::OK {
            return Err(EdgeError::Status(response.status));
        }
        let body = response.read(ANSWER_LIMIT).await?;
        match serde_json::from_slice::<Answer>(&body) {
            Ok(_) => Ok(()),
            Err(_) => Err(EdgeError::NotTheEdge),
        }
    }
}

impl EdgeError {
    /// A stable name for metrics and the log.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Http(HttpError::Connect(_)) => "unreachable",
            Self::Http(HttpError::Timeout) => "timeout",
            Self::Http(_) => "broken",
            Self::Status(_) => "status",
            Self::NotTheEdge => "not_the_edge",
        }
    }

    /// What the failure means for the next attempts.
    pub(super) fn outcome(&self) -> Outcome {
        match self {
            Self::Http(HttpError::Connect(_)) => Outcome::EdgeDown,
            Self::Http(_) => Outcome::Unheard,
            Self::Status(_) | Self::NotTheEdge => Outcome::Refused,
        }
    }
}
