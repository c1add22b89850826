//! The order of a tick: the longest-unrefreshed issuers first, and one tick at a time.

use std::time::Duration;

use origin_api::IssuerId;
use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// How many issuers a tick takes at once: three for each that it may ask at once.
pub const TICK_BATCH: usize = 18;

/// How long a tick that is not heard of keeps others from beginning: longer than a batch takes, at
/// two minutes an issuer and six at once; shorter than it takes to worry.
const LEASE_TIME: Duration = Duration::from_mins(7);

/// The right to walk the registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// When the tick began: issuers asked since then are done.
    pub began_at: Timestamp,
    /// When the right ends, unless the next batch is asked for before.
    pub until: Timestamp,
}

impl Lease {
    /// A lease for a tick that begins now, unless another tick holds `current`.
    #[must_use]
    pub fn begin(current: Option<&Self>, now: Timestamp) -> Option<Self> {
        match current {
            Some(lease) if lease.until > now => None,
            _ => Some(Self {
                began_at: now,
                until: now.after(LEASE_TIME),
            }),
        }
    }

    /// The same tick, heard of at `now`.
    #[must_use]
    pub fn renewed(&self, now: Timestamp) -> Self {
        Self {
            until: now.after(LEASE_TIME),
            ..self.clone()
        }
    }
}

/// The issuers that a tick asks next.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// The longest-unrefreshed first; empty when all are done.
    pub issuers: Vec<IssuerId>,
    /// How many are left after these.
    pub left: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    #[test]
    fn a_second_tick_does_not_begin_while_the_first_is_heard_of() {
        let lease = Lease::begin(None, NOW).unwrap();
        assert_eq!(Lease::begin(Some(&lease), NOW.after(LEASE_TIME / 2)), None);
        let renewed = lease.renewed(NOW.after(LEASE_TIME / 2));
        assert_eq!(Lease::begin(Some(&renewed), NOW.after(LEASE_TIME)), None);
        assert_eq!(renewed.began_at, NOW);
    }

    #[test]
    fn a_tick_that_died_does_not_keep_the_next_from_beginning() {
        let lease = Lease::begin(None, NOW).unwrap();
        assert!(Lease::begin(Some(&lease), NOW.after(LEASE_TIME)).is_some());
    }
}
