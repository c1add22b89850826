//! What HTTP lets a cache do with an answer (RFC 9111), by a clock that may be wrong.

use std::time::Duration;

use origin_api::Timestamp;

use crate::edge_node::Answer;

/// The `max-age` of an answer.
pub(crate) fn max_age(answer: &Answer) -> Duration {
    let header = answer.header("cache-control").unwrap_or_default();
    let directives = header.split(',').map(str::trim);
    let mut seconds = directives.filter_map(|directive| directive.strip_prefix("max-age="));
    let seconds = seconds.find_map(|seconds| seconds.parse().ok());
    Duration::from_secs(seconds.unwrap_or(0))
}

/// From `Date` to `Expires`: the lifetime, for caches that do not know `max-age`.
pub(crate) fn expires_after(answer: &Answer) -> Option<Duration> {
    let at = |name| httpdate::parse_http_date(answer.header(name)?).ok();
    let (date, expires) = (at("date")?, at("expires")?);
    Some(expires.duration_since(date).unwrap_or_default())
}

/// How old an answer is that arrived at `now` of the cache's own clock (section 4.2.3).
pub(crate) fn initial_age(answer: &Answer, now: Timestamp) -> Duration {
    let date = answer.header("date");
    let date = date.and_then(|date| httpdate::parse_http_date(date).ok());
    let since_epoch = date.and_then(|date| date.duration_since(std::time::UNIX_EPOCH).ok());
    let millis = since_epoch.and_then(|span| i64::try_from(span.as_millis()).ok());
    let apparent = millis.map(|millis| now.since(Timestamp::from_millis(millis)));
    apparent.unwrap_or_default().max(stated_age(answer))
}

/// The `Age` that a cache on the way has stated.
pub(crate) fn stated_age(answer: &Answer) -> Duration {
    let age = answer.header("age").and_then(|age| age.parse().ok());
    Duration::from_secs(age.unwrap_or(0))
}
