//! Leases on bodies: a body that is being read is not swept, even if it was replaced.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use crate::refresh::BodyId;
use crate::time::Timestamp;

/// How long a reader may pause. The runtime does not always say that nobody reads any more: a lease
/// that is not renewed ends, and a reader that comes back all the same finds its body broken off.
const LONGEST_PAUSE: Duration = Duration::from_mins(10);

/// The bodies that are being read now. An object that restarts has no readers, so memory is enough.
#[derive(Clone, Debug, Default)]
pub(super) struct Leases(Rc<RefCell<Readers>>);

#[derive(Debug, Default)]
struct Readers {
    /// By the lease's number.
    leases: HashMap<u64, (BodyId, Timestamp)>,
    next: u64,
}

impl Leases {
    /// Keeps a body for as long as the lease lives and is renewed.
    pub(super) fn take(&self, body: BodyId, now: Timestamp) -> BodyLease {
        let mut readers = self.0.borrow_mut();
        let number = readers.next;
        readers.next = number.wrapping_add(1);
        let until = now.after(LONGEST_PAUSE);
        readers.leases.insert(number, (body, until));
        BodyLease {
            leases: self.clone(),
            body,
            number,
            renewed_at: Cell::new(now),
        }
    }

    /// The bodies that have a reader.
    pub(super) fn held(&self, now: Timestamp) -> Vec<BodyId> {
        let mut readers = self.0.borrow_mut();
        readers.leases.retain(|_, (_, until)| *until > now);
        readers.leases.values().map(|(body, _)| *body).collect()
    }
}

/// One reader of a body.
#[derive(Debug)]
pub struct BodyLease {
    leases: Leases,
    body: BodyId,
    number: u64,
    renewed_at: Cell<Timestamp>,
}

impl BodyLease {
    /// The reader reads on.
    pub fn renew(&self, now: Timestamp) {
        if self.renewed_at.replace(now) != now {
            let lease = (self.body, now.after(LONGEST_PAUSE));
            self.leases.0.borrow_mut().leases.insert(self.number, lease);
        }
    }
}

impl Drop for BodyLease {
    fn drop(&mut self) {
        self.leases.0.borrow_mut().leases.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    #[test]
    fn a_body_is_held_until_its_last_reader_is_done() {
        let leases = Leases::default();
        let first = leases.take(BodyId(7), NOW);
        let second = leases.take(BodyId(7), NOW);
        drop(first);
        assert_eq!(leases.held(NOW), [BodyId(7)]);
        drop(second);
        assert!(leases.held(NOW).is_empty());
    }

    #[test]
    fn a_body_that_nobody_reads_on_is_not_held_for_ever() {
        let leases = Leases::default();
        let reads_on = leases.take(BodyId(1), NOW);
        let left = leases.take(BodyId(2), NOW);
        let later = NOW.after(LONGEST_PAUSE / 2);
        reads_on.renew(later);
        assert_eq!(leases.held(NOW.after(LONGEST_PAUSE)), [BodyId(1)]);
        drop((reads_on, left));
    }
}
