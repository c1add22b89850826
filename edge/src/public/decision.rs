//! The answer to a relying party, decided from the request and the head alone, for one moment.

use std::time::Duration;

use crl::CrlNumber;
use origin_api::CRL_MEDIA_TYPE;

use super::Validity;
use super::conditions::{self, Verdict};
use super::freshness::{Freshness, Policy};
use super::range::{self, Selection};
use super::representation::{Encoding, Representation};
use crate::config::WrongSetting;
use crate::http::{Answer, Body, Headers, Method, format_date};
use crate::problem::EdgeError;
use crate::refresh::head::Head;
use crate::time::Timestamp;

/// When to ask again for a CRL that has expired, if nobody knows better: about as long as a refresh
/// may take.
const RETRY_AFTER: Duration = Duration::from_secs(30);

/// How long a browser may keep a preflight's answer; none keeps it for more than a day.
const PREFLIGHT_SECONDS: &str = "86400";

/// What is to be answered. Headers are written by [`Decision::answer`], once it is known that this
/// will be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// The CRL, a part of it, or that the client has it.
    Crl(CrlAnswer),
    /// Why not.
    Refused(Answer),
}

/// An answer about a CRL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CrlAnswer {
    status: u16,
    body: Body,
    current: Representation,
    number: CrlNumber,
    freshness: Freshness,
}

impl Decision {
    /// What follows the headers.
    #[must_use]
    pub(super) const fn body(&self) -> &Body {
        match self {
            Self::Crl(answer) => answer.body(),
            Self::Refused(answer) => &answer.body,
        }
    }

    /// The answer in full.
    #[must_use]
    pub(super) fn answer(self) -> Answer {
        match self {
            Self::Crl(answer) => answer.answer(),
            Self::Refused(answer) => answer,
        }
    }

    /// The answer to a HEAD request: the same without its body (RFC 9110, section 9.3.2).
    fn without_body(self) -> Self {
        match self {
            Self::Crl(answer) => Self::Crl(CrlAnswer {
                body: Body::None,
                ..answer
            }),
            Self::Refused(answer) => Self::Refused(answer.without_body()),
        }
    }
}

/// Decides the response at `now` to a request for the CRL with this head and validity.
///
/// `header` gives a request header's value by its name, those of repeated headers joined by `, `
/// (RFC 9110, section 5.3). `src/fast_path/replay.js` lists those that are asked for here. A CRL
/// that has expired is answered by 503 unless the policy allows it, so the caller looks for a newer
/// one first.
#[must_use]
pub(super) fn decide(
    method: Method,
    header: impl Fn(&str) -> Option<String>,
    head: &Head,
    validity: Validity,
    encoding: Encoding,
    policy: &Policy,
    now: Timestamp,
) -> Decision {
    let decision = match answer(method, header, head, validity, encoding, policy, now) {
        Ok(answer) => Decision::Crl(answer),
        Err(error) => Decision::Refused(error.answer()),
    };
    match method {
        Method::Head => decision.without_body(),
        _ => decision,
    }
}

/// The answer to an operator who reads the CRL that is held. It may have expired, so no cache keeps
/// it.
pub(super) fn held(method: Method, head: &Head) -> Answer {
    let answer = Answer {
        status: 200,
        headers: vec![
            ("Content-Type", CRL_MEDIA_TYPE.into()),
            ("Content-Length", head.size.to_string().into()),
            ("Cache-Control", "no-store".into()),
            ("X-Content-Type-Options", "nosniff".into()),
            ("CRL-Number", head.number.to_string().into()),
        ],
        body: Body::Whole,
    };
    match method {
        Method::Head => answer.without_body(),
        _ => answer,
    }
}

/// The answer to OPTIONS for any path of relying parties: scripts of other origins may send
/// conditions and ranges (Fetch standard, CORS protocol).
#[must_use]
pub fn preflight() -> Answer {
    Answer {
        status: 204,
        headers: vec![
            ("Allow", "GET, HEAD, OPTIONS".into()),
            ("Access-Control-Allow-Origin", "*".into()),
            ("Access-Control-Allow-Methods", "GET, HEAD, OPTIONS".into()),
            (
                "Access-Control-Allow-Headers",
                "If-Match, If-Modified-Since, If-None-Match, If-Range, If-Unmodified-Since, Range"
                    .into(),
            ),
            ("Access-Control-Max-Age", PREFLIGHT_SECONDS.into()),
        ],
        body: Body::None,
    }
}

/// The answer to `/healthz`: the edge runs, and these settings are wrong.
#[must_use]
pub fn health(method: Method, wrong: &[WrongSetting]) -> Answer {
    let wrong = wrong.iter().map(|wrong| format!("{wrong}\n"));
    let text = "ok\n".to_owned() + &wrong.collect::<String>();
    let answer = Answer {
        status: 200,
        headers: vec![
            ("Content-Type", "text/plain; charset=utf-8".into()),
            ("Content-Length", text.len().to_string().into()),
            ("Cache-Control", "no-store".into()),
        ],
        body: Body::Text(text),
    };
    match method {
        Method::Head => answer.without_body(),
        _ => answer,
    }
}

fn answer(
    method: Method,
    header: impl Fn(&str) -> Option<String>,
    head: &Head,
    validity: Validity,
    encoding: Encoding,
    policy: &Policy,
    now: Timestamp,
) -> Result<CrlAnswer, EdgeError> {
    if validity == Validity::Expired && !policy.serve_expired {
        return Err(EdgeError::CrlUnavailable {
            retry_after: RETRY_AFTER,
        });
    }
    let current = Representation::of(head, encoding, now);
    let size = current.length;
    let (status, body) = match conditions::evaluate(&header, &current) {
        Verdict::PreconditionFailed => return Err(EdgeError::PreconditionFailed),
        Verdict::NotModified => (304, Body::None),
        Verdict::Proceed => match method {
            Method::Head => (200, Body::Whole),
            _ => match range::select(&header, &current) {
                Selection::Whole => (200, Body::Whole),
                Selection::Part(part) => (206, Body::Part(part)),
                Selection::Unsatisfiable => return Err(EdgeError::RangeNotSatisfiable { size }),
            },
        },
    };
    Ok(CrlAnswer {
        status,
        body,
        current,
        number: head.number,
        freshness: Freshness::at(now, head, validity, policy),
    })
}

impl CrlAnswer {
    /// What follows the headers.
    #[must_use]
    pub(super) const fn body(&self) -> &Body {
        &self.body
    }

    /// The answer in full.
    #[must_use]
    pub(super) fn answer(&self) -> Answer {
        Answer {
            status: self.status,
            headers: self.headers(),
            body: self.body.clone(),
        }
    }

    fn headers(&self) -> Headers {
        let Self {
            body,
            current,
            number,
            freshness,
            ..
        } = self;
        let mut headers = Headers::with_capacity(13);
        headers.push(("Content-Type", current.encoding.media_type().into()));
        let length = match body {
            Body::Part(part) => {
                let (first, last, size) = (part.first, part.last(), current.length);
                headers.push((
                    "Content-Range",
                    format!("bytes {first}-{last}/{size}").into(),
                ));
                part.length
            }
            _ => current.length,
        };
        headers.extend([
            ("Content-Length", length.to_string().into()),
            ("ETag", current.etag().into()),
            (
                "Last-Modified",
                format_date(current.last_modified.shown()).into(),
            ),
            ("Cache-Control", freshness.cache_control()),
            ("Expires", format_date(freshness.expires()).into()),
            ("Accept-Ranges", "bytes".into()),
            ("X-Content-Type-Options", "nosniff".into()),
            ("Access-Control-Allow-Origin", "*".into()),
            // Or a script of another origin would not see the tag, the number and the range.
            ("Access-Control-Expose-Headers", "*".into()),
            ("CRL-Number", number.to_string().into()),
        ]);
        headers
    }
}
