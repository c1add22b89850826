//! Retention: events older than `EVENT_RETENTION_DAYS` go, in steps small enough for one statement
//! each.

#![expect(
    async_fn_in_trait,
    reason = "an isolate has one thread: no future here needs Send"
)]

use std::time::Duration;

use crate::refresh::EventLogError;
use crate::time::Timestamp;

/// How many events one step removes.
const STEP: u32 = 1_000;
/// How many steps one tick takes: what is left waits for the next.
const MOST_STEPS: u32 = 50;

/// The event table, for removing from it.
pub trait OldEvents {
    /// Removes up to `limit` of the events that started before `before`, the oldest first, and
    /// returns how many.
    async fn remove(&self, before: Timestamp, limit: u32) -> Result<u64, EventLogError>;
}

/// Removes the events that are older than `retention`, and returns how many.
///
/// # Errors
/// If D1 fails: what was removed before is gone all the same, and the next tick goes on.
pub async fn prune(
    events: &impl OldEvents,
    now: Timestamp,
    retention: Duration,
) -> Result<u64, EventLogError> {
    let before = now.before(retention);
    let mut all = 0_u64;
    for _ in 0..MOST_STEPS {
        let removed = events.remove(before, STEP).await?;
        all = all.saturating_add(removed);
        if removed < u64::from(STEP) {
            break;
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use futures_executor::block_on;

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    struct Table(RefCell<Vec<Timestamp>>);

    impl OldEvents for Table {
        async fn remove(&self, before: Timestamp, limit: u32) -> Result<u64, EventLogError> {
            let mut rows = self.0.borrow_mut();
            rows.sort();
            let old = rows.iter().take_while(|at| **at < before).count();
            let removed = old.min(limit as usize);
            rows.drain(..removed);
            Ok(removed as u64)
        }
    }

    #[test]
    fn what_is_older_than_the_retention_goes_and_the_rest_stays() {
        let retention = Duration::from_hours(24);
        let end = NOW.before(retention);
        let just_old = end.before(Duration::from_millis(1));
        let table = Table(RefCell::new(
            [vec![just_old; 2_500], vec![end, NOW]].concat(),
        ));
        assert_eq!(block_on(prune(&table, NOW, retention)).unwrap(), 2_500);
        assert_eq!(*table.0.borrow(), [end, NOW]);
    }

    #[test]
    fn one_tick_removes_a_bounded_number() {
        let table = Table(RefCell::new(vec![Timestamp::from_millis(0); 60_000]));
        let removed = block_on(prune(&table, NOW, Duration::ZERO)).unwrap();
        assert_eq!(removed, u64::from(STEP * MOST_STEPS));
    }
}
