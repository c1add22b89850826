//! The present moment, read once for each request; everything below gets it as an argument.

use std::time::{SystemTime, UNIX_EPOCH};

use crl::UnixTime;

/// A moment: milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub u64);

impl Moment {
    /// What the system's clock says.
    #[must_use]
    pub fn now() -> Self {
        let since_1970 = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self(u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX))
    }

    /// The same, in whole seconds.
    #[must_use]
    pub fn time(self) -> UnixTime {
        UnixTime((self.0 / 1000).cast_signed())
    }
}
