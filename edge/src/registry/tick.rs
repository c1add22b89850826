//! The order of a tick: the longest-unrefreshed issuers first, and one tick at a time; and what a
//! tick did.

use std::time::Duration;

use origin_api::IssuerId;
use serde::{Deserialize, Serialize};

use crate::events::{Event, Outcome};
use crate::time::Timestamp;

/// How many issuers a tick takes at once: three for each that it may ask at once.
pub const TICK_BATCH: usize = 18;

/// How long one issuer may keep a place among those that are asked at once. Its object goes on
/// without the tick.
pub(crate) const ISSUER_TIME_LIMIT: Duration = Duration::from_mins(2);

/// How long a tick that is not heard of keeps others from beginning: longer than a batch takes, at
/// two minutes an issuer and six at once; short enough that a tick that died delays the next one
/// little.
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

/// What a tick or a job did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// How many issuers were asked.
    pub issuers: u64,
    /// CRLs by outcome.
    pub published: u64,
    /// Those that were current.
    pub unchanged: u64,
    /// Those that are published elsewhere.
    pub skipped: u64,
    /// Those that were refused.
    pub rejected: u64,
    /// Those for which none came.
    pub failed: u64,
    /// Issuers whose object did not answer.
    pub unanswered: u64,
    /// Issuers not asked: a job has yet to ask them; after a tick, the next one begins with them.
    pub not_reached: u64,
}

impl Summary {
    /// Whether there was something to do, and nothing of it was done.
    #[must_use]
    pub const fn everything_failed(&self) -> bool {
        self.published == 0
            && self.unchanged == 0
            && self.skipped == 0
            && (self.rejected > 0 || self.failed > 0 || self.unanswered > 0)
    }

    /// Counts an issuer, by what its object answered, if it did.
    pub(crate) fn count(&mut self, events: Option<&[Event]>) {
        let increment = |counter: &mut u64| *counter = counter.saturating_add(1);
        increment(&mut self.issuers);
        let Some(events) = events else {
            return increment(&mut self.unanswered);
        };
        for event in events {
            increment(match event.outcome {
                Outcome::Published => &mut self.published,
                Outcome::Unchanged => &mut self.unchanged,
                Outcome::Skipped => &mut self.skipped,
                Outcome::Rejected => &mut self.rejected,
                Outcome::Failed => &mut self.failed,
            });
        }
    }
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
