//! The answer to OPTIONS: scripts of other origins may send conditions and ranges (Fetch standard,
//! CORS protocol).

use crate::answer::{Answer, Body};

/// How long a browser may keep the answer; none keeps it for more than a day.
const MAX_AGE_SECONDS: &str = "86400";

/// The answer to OPTIONS for any path of relying parties.
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
            ("Access-Control-Max-Age", MAX_AGE_SECONDS.into()),
        ],
        body: Body::None,
    }
}
