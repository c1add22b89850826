//! Time as an argument: the shared [`Timestamp`], its form in text, and time-outs. No clock.

use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, select};
use serde::{Deserialize, Serialize};

pub use origin_api::{Timestamp, TimestampError};

/// How long one write to D1 may take before it counts as failed.
pub(crate) const D1_WRITE_LIMIT: Duration = Duration::from_mins(1);

/// A moment that is text in JSON and in tables: RFC 3339 in UTC with milliseconds, which sorts as
/// time does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Rfc3339(pub Timestamp);

impl From<Rfc3339> for String {
    fn from(Rfc3339(moment): Rfc3339) -> Self {
        moment.to_string()
    }
}

impl TryFrom<String> for Rfc3339 {
    type Error = TimestampError;

    fn try_from(text: String) -> Result<Self, TimestampError> {
        text.parse().map(Self)
    }
}

/// What `step` comes to, unless `time_out` ends before it: then `step` is dropped.
pub async fn within<T>(
    time_out: impl Future<Output = ()>,
    step: impl Future<Output = T>,
) -> Option<T> {
    match select(pin!(step), pin!(time_out)).await {
        Either::Left((done, _)) => Some(done),
        Either::Right(_) => None,
    }
}
