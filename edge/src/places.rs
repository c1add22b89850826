//! A bound on the requests that wait at once: the rest are turned away, or a slow origin would let
//! anyone fill an isolate's 128 MB.

use std::cell::RefCell;

use crate::time::Timestamp;

/// How many requests may wait in one isolate, and how many in one object: up to 75 KB each, most of
/// it the runtime's.
pub const MOST_WAITING: usize = 1_000;

/// The requests that wait, and until when.
#[derive(Debug, Default)]
pub struct Places(RefCell<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    /// By the number of the place; a list, as there are few.
    deadlines: Vec<(u64, Timestamp)>,
    next: u64,
}

/// The place of one request that waits. Dropping it frees the place.
#[derive(Debug)]
pub struct Place<'p> {
    places: &'p Places,
    number: u64,
}

impl Places {
    /// A place to wait until `deadline`; none if all are taken. The runtime may end a request
    /// without dropping what it held: a place is free again after its deadline in any case.
    #[must_use]
    pub fn take(&self, now: Timestamp, deadline: Timestamp) -> Option<Place<'_>> {
        let mut waiting = self.0.borrow_mut();
        if waiting.deadlines.len() >= MOST_WAITING {
            waiting.deadlines.retain(|(_, deadline)| *deadline > now);
        }
        if waiting.deadlines.len() >= MOST_WAITING {
            return None;
        }
        let number = waiting.next;
        waiting.next = number.wrapping_add(1);
        waiting.deadlines.push((number, deadline));
        Some(Place {
            places: self,
            number,
        })
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut waiting = self.places.0.borrow_mut();
        let mut taken = waiting.deadlines.iter();
        if let Some(index) = taken.position(|(number, _)| *number == self.number) {
            waiting.deadlines.swap_remove(index);
        }
    }
}
