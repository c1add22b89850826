//! Where the time comes from. It is read at the edges of the process (a request, a command, a
//! timer) and passed down as an argument, so that tests and the simulator can set it.

use std::time::{SystemTime, UNIX_EPOCH};

use origin_api::Timestamp;

/// A source of the current time. It may jump and step back.
pub trait Clock: Send + Sync {
    /// The current time.
    fn now(&self) -> Timestamp;
}

/// The operating system's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Timestamp::from_millis(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
    }
}
