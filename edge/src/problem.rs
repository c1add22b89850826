//! What goes wrong towards a client: each error's status, stable code and one helpful line. Causes
//! stay in the log.

use std::borrow::Cow;
use std::time::Duration;

use origin_api::{CrlName, IssuerId, Problem};

use crate::config::SettingsError;
use crate::http::{Answer, Body, Headers};

/// The longest that a 404 may be kept: a new issuer is not to be missing for longer.
const NOT_FOUND_MAX_AGE: Duration = Duration::from_mins(1);

/// An error that a client is told of. It displays as the line that the client reads, so it holds no
/// internal text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EdgeError {
    /// The registry does not know the issuer.
    #[error("there is no issuer {issuer:?} here", issuer = .issuer.as_str())]
    UnknownIssuer {
        /// Who was asked for.
        issuer: IssuerId,
        /// How long this answer may be kept; no more than a minute is.
        max_age: Duration,
    },
    /// The issuer has no CRL of this name.
    #[error("issuer {issuer:?} has no CRL {name}", issuer = .issuer.as_str())]
    UnknownCrl {
        /// Who was asked for.
        issuer: IssuerId,
        /// Which of its CRLs.
        name: CrlName,
        /// How long this answer may be kept; no more than a minute is.
        max_age: Duration,
    },
    /// The issuer is known, and its CRLs are not served here.
    #[error("issuer {issuer:?} publishes its CRLs elsewhere: its certificates say where", issuer = .issuer.as_str())]
    PublishedElsewhere {
        /// Who was asked for.
        issuer: IssuerId,
        /// How long this answer may be kept; no more than a minute is.
        max_age: Duration,
    },
    /// Nothing is at this path.
    #[error(
        "nothing is here; CRLs are at /crl/{{issuer}}.crl and /crl/{{issuer}}/{{name}}.crl, in PEM with .pem for .crl"
    )]
    NotFound,
    /// The path is known, and this method is not for it.
    #[error("use one of: {allow}")]
    MethodNotAllowed {
        /// The methods that are, as in `Allow`.
        allow: &'static str,
    },
    /// `If-Match` or `If-Unmodified-Since` does not hold.
    #[error(
        "the CRL does not match If-Match or If-Unmodified-Since; repeat the request without it"
    )]
    PreconditionFailed,
    /// The range that was asked for begins past the end.
    #[error("the range starts after the end of the CRL, which has {size} bytes")]
    RangeNotSatisfiable {
        /// The length of the CRL in the encoding asked for, in bytes.
        size: u64,
    },
    /// No valid CRL is held, and none could be fetched.
    #[error(
        "no valid CRL of the issuer is available right now; ask again in {} s", seconds(*.retry_after)
    )]
    CrlUnavailable {
        /// When to ask again.
        retry_after: Duration,
    },
    /// A setting that this request needs is missing or wrong.
    #[error("the edge is not set up for this: {0}")]
    Misconfigured(SettingsError),
    /// What should not happen.
    #[error("the edge failed on this request; its log says why")]
    Internal,
    /// The token is missing or wrong.
    #[error(
        "this call needs `Authorization: Bearer` with a token of OPERATOR_TOKEN or, to read, VIEWER_TOKEN"
    )]
    Unauthorized,
    /// Cloudflare Access let the request through, and what it says of it opens nothing.
    #[error("this identity of Cloudflare Access has no rights here: {reason}")]
    AccessRefused {
        /// Why, as a part of a sentence.
        reason: String,
    },
    /// The keys that prove identities of Cloudflare Access cannot be read.
    #[error("the identity of Cloudflare Access cannot be checked, because the team's keys cannot be read; tokens are taken all the same. Try again in {} s", seconds(*.retry_after))]
    AccessUnavailable {
        /// When to try again.
        retry_after: Duration,
    },
    /// Too many wrong tokens of one network wait for their answers.
    #[error("too many sign-ins with wrong tokens from your network; a right token is taken at any time. Try again in {} s", seconds(*.retry_after))]
    TooManySignIns {
        /// When to try again.
        retry_after: Duration,
    },
    /// The token is valid, but does not allow this call.
    #[error(
        "this token does not allow this call: HOOK_TOKEN refreshes one issuer, VIEWER_TOKEN reads"
    )]
    TokenNotAllowed,
    /// There is no token that a caller could show.
    #[error("operators' calls are closed until the secret OPERATOR_TOKEN or VIEWER_TOKEN is set")]
    OperatorTokenNotSet,
    /// A token must not be sent over plain http.
    #[error("this call takes tokens, which must not cross a network in the clear: use https")]
    HttpsRequired,
    /// The operator's form, or a call with an identity of Access, was not sent by a page of this
    /// edge, or the session has ended.
    #[error(
        "this was not sent from a page of this dashboard; go back, reload the page and send it again"
    )]
    ForeignForm,
    /// Nobody has asked for a refresh of everything.
    #[error("nobody has asked for a refresh of all issuers yet; POST to this path to begin one")]
    NoRefreshJob,
    /// There is no changed certificate that could be trusted.
    #[error("no changed certificate of issuer {issuer:?} is waiting for trust", issuer = .issuer.as_str())]
    NoCertificateWaiting {
        /// Whose.
        issuer: IssuerId,
    },
    /// Another changed certificate is waiting than the one that the operator named.
    #[error("the changed certificate of issuer {issuer:?} that is waiting has the SHA-256 {waiting}, not the one that was named; compare that one", issuer = .issuer.as_str())]
    CertificateMismatch {
        /// The issuer.
        issuer: IssuerId,
        /// The SHA-256 of the certificate that is waiting, in hexadecimal.
        waiting: String,
    },
    /// The origin lists what an operator wants to retire.
    #[error("the origin lists this, or its issuer vanished from the registry with too many others: only what the origin no longer lists can be retired; see issuer {issuer:?} at GET /v1/issuers", issuer = .issuer.as_str())]
    StillListed {
        /// The issuer.
        issuer: IssuerId,
    },
    /// The origin has lost state of the issuer, and what an operator wants to retire may be all
    /// that has it.
    #[error("the origin knows less of issuer {issuer:?} than is served, and this may be all that is left of it: run crl-origin recover first", issuer = .issuer.as_str())]
    NeededToRecover {
        /// The issuer.
        issuer: IssuerId,
    },
    /// No issuers wait for an operator to let them go.
    #[error("the registry has not shrunk by more than half: there is nothing to confirm")]
    RegistryNotShrunk,
    /// The CRL that was refused last is none that an operator may accept, or none was refused.
    #[error("no CRL {name} of issuer {issuer:?} was refused by a rule that an operator may overrule", issuer = .issuer.as_str())]
    NoCandidate {
        /// The issuer.
        issuer: IssuerId,
        /// Which of its CRLs.
        name: CrlName,
    },
    /// Another CRL was refused last than the one that the operator named.
    #[error("the CRL {name} of issuer {issuer:?} that was refused last has the SHA-256 {refused}, not the one that was named; look at that one", issuer = .issuer.as_str())]
    CandidateMismatch {
        /// The issuer.
        issuer: IssuerId,
        /// Which of its CRLs.
        name: CrlName,
        /// The SHA-256 of the CRL that was refused last, in hexadecimal.
        refused: String,
    },
    /// The changes that the operator asks for are not kept.
    #[error("the changes since that CRL are not kept{}: read the CRL itself, then ask with its number", known(.known_since.as_deref()))]
    ChangesForgotten {
        /// The changes since the CRL with this number are; none if there are none.
        known_since: Option<String>,
    },
    /// The caller accepts none of the media types that there are.
    #[error("this call answers with one of: {offered}")]
    NotAcceptable {
        /// The media types that there are.
        offered: &'static str,
    },
    /// There is no list of issuers, and none can be read.
    #[error("the origin has not given the list of issuers yet; ask again in {} s", seconds(*.retry_after))]
    RegistryUnavailable {
        /// When to ask again.
        retry_after: Duration,
    },
    /// D1 did not answer.
    #[error("the tables (D1) cannot be read right now. CRLs are served and refreshed all the same, and GET /v1/issuers/{{id}} still tells how they stand. Ask again in {} s", seconds(*.retry_after))]
    EventsUnavailable {
        /// When to ask again.
        retry_after: Duration,
    },
    /// A parameter is not known, or has a value that is not allowed.
    #[error("the parameter {name} {problem}")]
    BadParameter {
        /// Which one.
        name: Cow<'static, str>,
        /// What is wrong, and what is allowed: the end of a sentence that begins with the
        /// parameter.
        problem: Cow<'static, str>,
    },
}

impl EdgeError {
    /// The HTTP status and the stable name, for programs, which never changes its meaning.
    #[must_use]
    pub const fn status_and_code(&self) -> (u16, &'static str) {
        match self {
            Self::BadParameter { .. } => (400, "bad_parameter"),
            Self::Unauthorized => (401, "unauthorized"),
            Self::TokenNotAllowed => (401, "token_not_allowed"),
            Self::AccessRefused { .. } => (401, "access_refused"),
            Self::ForeignForm => (403, "foreign_form"),
            Self::HttpsRequired => (403, "https_required"),
            Self::UnknownIssuer { .. } => (404, "unknown_issuer"),
            Self::UnknownCrl { .. } => (404, "unknown_crl"),
            Self::PublishedElsewhere { .. } => (404, "published_elsewhere"),
            Self::NotFound => (404, "not_found"),
            Self::NoRefreshJob => (404, "no_refresh_job"),
            Self::MethodNotAllowed { .. } => (405, "method_not_allowed"),
            Self::NotAcceptable { .. } => (406, "not_acceptable"),
            Self::NoCertificateWaiting { .. } => (409, "no_certificate_waiting"),
            Self::CertificateMismatch { .. } => (409, "certificate_mismatch"),
            Self::StillListed { .. } => (409, "still_listed"),
            Self::NeededToRecover { .. } => (409, "needed_to_recover"),
            Self::RegistryNotShrunk => (409, "registry_not_shrunk"),
            Self::NoCandidate { .. } => (409, "no_candidate"),
            Self::CandidateMismatch { .. } => (409, "candidate_mismatch"),
            Self::ChangesForgotten { .. } => (410, "changes_forgotten"),
            Self::PreconditionFailed => (412, "precondition_failed"),
            Self::RangeNotSatisfiable { .. } => (416, "range_not_satisfiable"),
            Self::TooManySignIns { .. } => (429, "too_many_sign_ins"),
            Self::Internal => (500, "internal"),
            Self::Misconfigured(_) => (503, "misconfigured"),
            Self::CrlUnavailable { .. } => (503, "crl_unavailable"),
            Self::RegistryUnavailable { .. } => (503, "registry_unavailable"),
            Self::EventsUnavailable { .. } => (503, "events_unavailable"),
            Self::AccessUnavailable { .. } => (503, "access_unavailable"),
            Self::OperatorTokenNotSet => (503, "operator_token_not_set"),
        }
    }

    /// The problem details (RFC 9457) that the client reads.
    #[must_use]
    pub fn problem(&self) -> Problem {
        let (status, code) = self.status_and_code();
        Problem::new(status, code, phrase(status)).with_detail(self.to_string())
    }

    /// The whole answer.
    #[must_use]
    pub fn answer(&self) -> Answer {
        // Every field is text or a number, so that this cannot fail.
        let text = serde_json::to_string(&self.problem()).unwrap_or_default();
        let mut headers: Headers = vec![
            ("Content-Type", Problem::MEDIA_TYPE.into()),
            ("Content-Length", text.len().to_string().into()),
            ("Cache-Control", self.cache_control()),
            ("X-Content-Type-Options", "nosniff".into()),
            ("Access-Control-Allow-Origin", "*".into()),
            ("Access-Control-Expose-Headers", "*".into()),
        ];
        headers.extend(self.own_header());
        Answer {
            status: self.status_and_code().0,
            headers,
            body: Body::Text(text),
        }
    }

    fn cache_control(&self) -> Cow<'static, str> {
        match self {
            Self::UnknownIssuer { max_age, .. }
            | Self::UnknownCrl { max_age, .. }
            | Self::PublishedElsewhere { max_age, .. }
                if max_age.as_secs() > 0 =>
            {
                let max_age = max_age.min(&NOT_FOUND_MAX_AGE).as_secs();
                format!("public, max-age={max_age}").into()
            }
            _ => "no-store".into(),
        }
    }

    /// The header that this error's status asks for.
    #[must_use]
    pub fn own_header(&self) -> Option<(&'static str, Cow<'static, str>)> {
        Some(match self {
            Self::MethodNotAllowed { allow } => ("Allow", (*allow).into()),
            Self::Unauthorized | Self::TokenNotAllowed | Self::AccessRefused { .. } => {
                ("WWW-Authenticate", "Bearer realm=\"crl-edge\"".into())
            }
            Self::RangeNotSatisfiable { size } => {
                ("Content-Range", format!("bytes */{size}").into())
            }
            Self::CrlUnavailable { retry_after }
            | Self::AccessUnavailable { retry_after }
            | Self::TooManySignIns { retry_after }
            | Self::RegistryUnavailable { retry_after }
            | Self::EventsUnavailable { retry_after } => {
                ("Retry-After", seconds(*retry_after).to_string().into())
            }
            _ => return None,
        })
    }
}

/// Whole seconds, rounded up and at least one: a client that comes back sooner comes in vain.
fn seconds(span: Duration) -> u64 {
    span.as_secs()
        .saturating_add(u64::from(span.subsec_nanos() > 0))
        .max(1)
}

fn known(since: Option<&str>) -> String {
    since.map_or_else(String::new, |since| {
        format!(", only those since number {since}")
    })
}

/// The status's own phrase (RFC 9110, section 15), which `about:blank` problems have as their title
/// (RFC 9457, section 4.2.1).
const fn phrase(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        409 => "Conflict",
        410 => "Gone",
        412 => "Precondition Failed",
        416 => "Range Not Satisfiable",
        429 => "Too Many Requests",
        503 => "Service Unavailable",
        _ => "Internal Server Error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issuer() -> IssuerId {
        "demo-p256".parse().unwrap()
    }

    fn every_error() -> Vec<EdgeError> {
        let max_age = Duration::from_secs(30);
        vec![
            EdgeError::UnknownIssuer {
                issuer: issuer(),
                max_age,
            },
            EdgeError::UnknownCrl {
                issuer: issuer(),
                name: CrlName::Shard(3),
                max_age,
            },
            EdgeError::PublishedElsewhere {
                issuer: issuer(),
                max_age,
            },
            EdgeError::NotFound,
            EdgeError::ChangesForgotten {
                known_since: Some("7".to_owned()),
            },
            EdgeError::MethodNotAllowed { allow: "GET, HEAD" },
            EdgeError::PreconditionFailed,
            EdgeError::RangeNotSatisfiable { size: 10 },
            EdgeError::CrlUnavailable {
                retry_after: Duration::from_millis(1500),
            },
            EdgeError::Misconfigured(SettingsError(Vec::new())),
            EdgeError::HttpsRequired,
            EdgeError::Internal,
            EdgeError::Unauthorized,
            EdgeError::TokenNotAllowed,
            EdgeError::OperatorTokenNotSet,
            EdgeError::BadParameter {
                name: "limit".into(),
                problem: "is 0: use 1 to 1000".into(),
            },
            EdgeError::TooManySignIns {
                retry_after: Duration::from_secs(5),
            },
            EdgeError::AccessRefused {
                reason: "its token has expired".to_owned(),
            },
            EdgeError::AccessUnavailable {
                retry_after: Duration::from_secs(5),
            },
            EdgeError::ForeignForm,
            EdgeError::NoRefreshJob,
            EdgeError::NoCertificateWaiting { issuer: issuer() },
            EdgeError::StillListed { issuer: issuer() },
            EdgeError::NeededToRecover { issuer: issuer() },
            EdgeError::RegistryNotShrunk,
            EdgeError::CertificateMismatch {
                issuer: issuer(),
                waiting: "00ff".to_owned(),
            },
            EdgeError::NoCandidate {
                issuer: issuer(),
                name: CrlName::Full,
            },
            EdgeError::CandidateMismatch {
                issuer: issuer(),
                name: CrlName::Full,
                refused: "00ff".to_owned(),
            },
            EdgeError::NotAcceptable {
                offered: "application/json",
            },
            EdgeError::RegistryUnavailable {
                retry_after: Duration::from_secs(5),
            },
            EdgeError::EventsUnavailable {
                retry_after: Duration::from_secs(5),
            },
        ]
    }

    #[test]
    fn every_answer_is_problem_details_that_repeat_its_status_and_code() {
        for error in every_error() {
            let answer = error.answer();
            let Body::Text(text) = &answer.body else {
                panic!("{error:?} has no text")
            };
            let problem: Problem = serde_json::from_str(text).unwrap();
            assert_eq!(
                (problem.status, problem.code.as_ref()),
                error.status_and_code()
            );
            assert_eq!(problem.status, answer.status);
            assert!(problem.detail.is_some_and(|detail| detail.len() > 10));
            assert_eq!(
                answer.header("content-type"),
                Some("application/problem+json")
            );
            assert_eq!(
                answer.header("content-length"),
                Some(text.len().to_string().as_str())
            );
        }
    }

    #[test]
    fn every_code_has_an_entry_in_the_runbook() {
        let runbook = include_str!("../../docs/runbook.md");
        for error in every_error() {
            let entry = format!("\n### {}\n", error.status_and_code().1);
            assert!(runbook.contains(&entry), "{entry}");
        }
    }

    #[test]
    fn codes_are_distinct_and_lower_case() {
        let mut codes: Vec<_> = every_error()
            .iter()
            .map(|error| error.status_and_code().1)
            .collect();
        assert!(
            codes
                .iter()
                .all(|code| code.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'))
        );
        codes.sort_unstable();
        let count = codes.len();
        codes.dedup();
        assert_eq!(codes.len(), count);
    }

    #[test]
    fn nothing_but_a_404_may_be_kept_and_that_for_a_minute_at_most() {
        let kept = |seconds| {
            EdgeError::UnknownIssuer {
                issuer: issuer(),
                max_age: Duration::from_secs(seconds),
            }
            .answer()
            .header("cache-control")
            .map(str::to_owned)
        };
        assert_eq!(kept(0).as_deref(), Some("no-store"));
        assert_eq!(kept(59).as_deref(), Some("public, max-age=59"));
        assert_eq!(kept(3600).as_deref(), Some("public, max-age=60"));
        for error in every_error() {
            let answer = error.answer();
            assert!(
                answer.status == 404 || answer.header("cache-control") == Some("no-store"),
                "{error:?}"
            );
        }
    }

    #[test]
    fn a_status_that_asks_for_a_header_has_it() {
        let header = |error: EdgeError, name| error.answer().header(name).map(str::to_owned);
        assert_eq!(
            header(EdgeError::MethodNotAllowed { allow: "GET, HEAD" }, "allow").unwrap(),
            "GET, HEAD"
        );
        assert!(
            header(EdgeError::Unauthorized, "www-authenticate")
                .unwrap()
                .starts_with("Bearer ")
        );
        assert_eq!(
            header(EdgeError::RangeNotSatisfiable { size: 7 }, "content-range").unwrap(),
            "bytes */7"
        );
    }

    #[test]
    fn retry_after_is_rounded_up_so_that_it_is_never_in_vain() {
        for (millis, expected) in [(0, "1"), (999, "1"), (1000, "1"), (1001, "2")] {
            let error = EdgeError::CrlUnavailable {
                retry_after: Duration::from_millis(millis),
            };
            assert_eq!(error.answer().header("retry-after"), Some(expected));
        }
    }
}
