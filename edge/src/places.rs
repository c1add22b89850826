//! A bound on the requests that wait at once: the rest are turned away, or a slow origin would let
//! anyone fill an isolate's 128 MB.

use std::cell::RefCell;

use crate::time::Timestamp;

/// How many requests may wait in one isolate, and how many in one object: up to 75 KB each, most of
/// it the runtime's.
pub const MOST_WAITING: usize = 1_000;

/// How many of them may wait for one CRL: an origin that is slow with one leaves places for the
/// others.
pub const MOST_FOR_ONE: usize = 600;

/// The requests that wait, and until when.
#[derive(Debug, Default)]
pub struct Places(RefCell<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    /// A list, as there are few.
    taken: Vec<Taken>,
    next: u64,
}

/// A place that is taken.
#[derive(Debug)]
struct Taken {
    number: u64,
    /// What the request waits for.
    subject: String,
    deadline: Timestamp,
}

/// The place of one request that waits. Dropping it frees the place.
#[derive(Debug)]
pub struct Place<'p> {
    places: &'p Places,
    number: u64,
}

impl Places {
    /// A place to wait for `subject` until `deadline`; none if too many wait. The runtime may end a
    /// request without dropping what it held, and does not see every client leave (one that only
    /// closes its side of the connection): a place is free again after its deadline in any case.
    #[must_use]
    pub fn take(&self, subject: &str, now: Timestamp, deadline: Timestamp) -> Option<Place<'_>> {
        let mut waiting = self.0.borrow_mut();
        if waiting.is_full(subject) {
            waiting.taken.retain(|place| place.deadline > now);
            if waiting.is_full(subject) {
                return None;
            }
        }
        let number = waiting.next;
        waiting.next = number.wrapping_add(1);
        waiting.taken.push(Taken {
            number,
            subject: subject.to_owned(),
            deadline,
        });
        Some(Place {
            places: self,
            number,
        })
    }
}

impl Waiting {
    fn is_full(&self, subject: &str) -> bool {
        let for_one = self.taken.iter().filter(|place| place.subject == subject);
        self.taken.len() >= MOST_WAITING || for_one.count() >= MOST_FOR_ONE
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut waiting = self.places.0.borrow_mut();
        let mut taken = waiting.taken.iter();
        if let Some(index) = taken.position(|place| place.number == self.number) {
            waiting.taken.swap_remove(index);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    #[test]
    fn one_crl_does_not_take_the_places_of_the_others() {
        let (places, until) = (Places::default(), NOW.after(Duration::from_secs(30)));
        let take = |subject| places.take(subject, NOW, until);
        let slow: Vec<_> = (0..MOST_FOR_ONE).map(|_| take("slow")).collect();
        assert!(slow.iter().all(Option::is_some));
        assert!(take("slow").is_none());
        let others: Vec<_> = (MOST_FOR_ONE..MOST_WAITING)
            .map(|_| take("other"))
            .collect();
        assert!(others.iter().all(Option::is_some));
        assert!(take("third").is_none());
        drop(slow);
        assert!(take("third").is_some());
    }

    #[test]
    fn a_place_is_free_after_its_deadline_even_if_nobody_leaves_it() {
        let (places, until) = (Places::default(), NOW.after(Duration::from_secs(30)));
        for _ in 0..MOST_FOR_ONE {
            std::mem::forget(places.take("slow", NOW, until));
        }
        assert!(places.take("slow", NOW, until).is_none());
        assert!(places.take("slow", until, until).is_some());
    }
}
