//! A bound on the requests that wait at once: the rest are turned away, or a slow origin would let
//! anyone fill an isolate's 128 MB.

use std::cell::RefCell;
use std::time::Duration;

use crate::time::Timestamp;

/// How many requests may wait in one isolate, and how many in one object: up to 75 KB each, most of
/// it the runtime's.
pub const MOST_WAITING: usize = 1_000;

/// How many of them may wait for one CRL: an origin that is slow with one leaves slots for the
/// others.
pub const MOST_FOR_ONE: usize = 600;

/// How many of those that are turned away come back within the same second: an object answers some
/// 1,000 requests a second.
const BACK_AT_ONCE: u32 = 500;

/// Over how many seconds they come back.
const BACK_WITHIN_SECONDS: u32 = 20;

/// The requests that wait, and until when.
#[derive(Debug, Default)]
pub struct WaitSlots(RefCell<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    /// A list, as there are few.
    taken: Vec<Taken>,
    next: u64,
}

/// A slot that is taken.
#[derive(Debug)]
struct Taken {
    number: u64,
    /// What the request waits for.
    subject: String,
    deadline: Timestamp,
    /// How many were turned away while no other slot had an earlier deadline.
    turned_away: u32,
}

/// Too many wait already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crowded {
    /// When to ask again: in whole seconds, one at least.
    pub retry_after: Duration,
}

/// The slot of one request that waits. Dropping it frees the slot.
#[derive(Debug)]
pub struct WaitSlot<'p> {
    slots: &'p WaitSlots,
    number: u64,
}

impl WaitSlots {
    /// A slot to wait for `subject` until `deadline`. The runtime may end a request without
    /// dropping what it held, and does not see every client leave (one that only closes its side
    /// of the connection): a slot is free again after its deadline in any case.
    ///
    /// # Errors
    /// Too many wait. What they wait for has come, or failed, by the deadline of the first of them:
    /// then the rest may ask again, a part of them in each second.
    pub fn take(
        &self,
        subject: &str,
        now: Timestamp,
        deadline: Timestamp,
    ) -> Result<WaitSlot<'_>, Crowded> {
        let mut waiting = self.0.borrow_mut();
        if waiting.is_full(subject) {
            waiting.taken.retain(|slot| slot.deadline > now);
            if waiting.is_full(subject) {
                return Err(waiting.turn_away(subject, now));
            }
        }
        let number = waiting.next;
        waiting.next = number.wrapping_add(1);
        waiting.taken.push(Taken {
            number,
            subject: subject.to_owned(),
            deadline,
            turned_away: 0,
        });
        Ok(WaitSlot {
            slots: self,
            number,
        })
    }
}

impl Waiting {
    fn is_full(&self, subject: &str) -> bool {
        let for_one = self.taken.iter().filter(|slot| slot.subject == subject);
        self.taken.len() >= MOST_WAITING || for_one.count() >= MOST_FOR_ONE
    }

    /// Counts a request that is turned away, and says when it may come back.
    fn turn_away(&mut self, subject: &str, now: Timestamp) -> Crowded {
        // Those for the same subject share its refresh; if there is none, any slot will do.
        let first = self
            .taken
            .iter_mut()
            .min_by_key(|slot| (slot.subject != subject, slot.deadline));
        let (left, turned_away) = first.map_or((Duration::ZERO, 0), |first| {
            let before = first.turned_away;
            first.turned_away = before.wrapping_add(1);
            (first.deadline.since(now), before)
        });
        let queue = (turned_away / BACK_AT_ONCE) % BACK_WITHIN_SECONDS;
        let seconds = left.as_secs().saturating_add(u64::from(queue));
        Crowded {
            // Rounded up: it is never in vain.
            retry_after: Duration::from_secs(seconds.saturating_add(1)),
        }
    }
}

impl Drop for WaitSlot<'_> {
    fn drop(&mut self) {
        let mut waiting = self.slots.0.borrow_mut();
        let mut taken = waiting.taken.iter();
        if let Some(index) = taken.position(|slot| slot.number == self.number) {
            waiting.taken.swap_remove(index);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
    const LIMIT: Duration = Duration::from_secs(30);

    #[test]
    fn one_crl_does_not_take_the_slots_of_the_others() {
        let (slots, until) = (WaitSlots::default(), NOW.after(LIMIT));
        let take = |subject| slots.take(subject, NOW, until);
        let slow: Vec<_> = (0..MOST_FOR_ONE).map(|_| take("slow")).collect();
        assert!(slow.iter().all(Result::is_ok));
        assert!(take("slow").is_err());
        let others: Vec<_> = (MOST_FOR_ONE..MOST_WAITING)
            .map(|_| take("other"))
            .collect();
        assert!(others.iter().all(Result::is_ok));
        assert!(take("third").is_err());
        drop(slow);
        assert!(take("third").is_ok());
    }

    #[test]
    fn a_slot_is_free_after_its_deadline_even_if_nobody_leaves_it() {
        let (slots, until) = (WaitSlots::default(), NOW.after(LIMIT));
        for _ in 0..MOST_FOR_ONE {
            std::mem::forget(slots.take("slow", NOW, until));
        }
        assert!(slots.take("slow", NOW, until).is_err());
        assert!(slots.take("slow", until, until).is_ok());
    }

    #[test]
    fn who_is_turned_away_comes_back_when_the_first_that_waits_has_its_answer() {
        let slots = WaitSlots::default();
        let take = |subject, at: Timestamp| slots.take(subject, at, at.after(LIMIT));
        let retry_after = |subject, at| {
            let turned_away = take(subject, at).unwrap_err();
            turned_away.retry_after.as_secs()
        };
        let later = |seconds| NOW.after(Duration::from_secs(seconds));
        let first = take("slow", NOW);
        let _rest: Vec<_> = (1..MOST_FOR_ONE)
            .map(|_| take("slow", later(5)).unwrap())
            .collect();
        assert_eq!(retry_after("slow", later(5)), 26);
        assert_eq!(retry_after("slow", later(29)), 2);
        let _others: Vec<_> = (MOST_FOR_ONE..MOST_WAITING)
            .map(|_| take("other", later(10)).unwrap())
            .collect();
        assert_eq!(retry_after("other", later(12)), 29, "that of the same CRL");
        assert_eq!(retry_after("third", later(12)), 19, "any slot will do");
        drop(first);
        let _next = take("slow", later(20)).unwrap();
        assert_eq!(retry_after("slow", later(20)), 16);
    }

    /// A crowd for a CRL that takes as long as it may: each client obeys its Retry-After.
    #[test]
    fn everyone_in_a_crowd_has_the_crl_at_the_first_or_the_next_try() {
        const CLIENTS: usize = 10_000;
        let arrives = |client: usize| {
            // Within ten seconds.
            let millis = u64::try_from(client).unwrap();
            NOW.after(Duration::from_millis(millis))
        };
        for takes in [0, 1, 5, 29, 30] {
            let ready = NOW.after(Duration::from_secs(takes));
            let slots = WaitSlots::default();
            let mut waiting = Vec::new();
            let mut back: BTreeMap<u64, usize> = BTreeMap::new();
            for now in (0..CLIENTS).map(arrives) {
                if now >= ready {
                    // It is there, and nobody waits.
                    waiting.clear();
                    continue;
                }
                match slots.take("cold", now, now.after(LIMIT)) {
                    Ok(slot) => waiting.push(slot),
                    Err(Crowded { retry_after }) => {
                        let at = now.after(retry_after);
                        assert!(at > ready, "{takes} s: it comes back in vain");
                        assert!(retry_after <= LIMIT + Duration::from_secs(20));
                        *back.entry(at.since(NOW).as_secs()).or_default() += 1;
                    }
                }
            }
            let turned_away: usize = back.values().sum();
            assert_eq!(turned_away > 0, takes > 0, "{takes} s");
            let busiest = back.values().max().copied().unwrap_or(0);
            assert!(busiest <= 1_000, "{takes} s: {busiest} in one second");
        }
    }
}
