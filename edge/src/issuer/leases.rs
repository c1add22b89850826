//! Leases on bodies: a body that is being read is not swept, even if it was replaced.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use crate::refresh::BodyId;

/// The bodies that are being read now. An object that restarts has no readers, so memory is enough.
#[derive(Clone, Debug, Default)]
pub(super) struct Leases {
    readers: Rc<RefCell<HashMap<BodyId, u32>>>,
}

impl Leases {
    /// Keeps a body for as long as the lease lives.
    pub(super) fn take(&self, body: BodyId) -> BodyLease {
        let mut readers = self.readers.borrow_mut();
        let count = readers.entry(body).or_default();
        *count = count.saturating_add(1);
        BodyLease {
            leases: self.clone(),
            body,
        }
    }

    /// The bodies that have a reader.
    pub(super) fn held(&self) -> Vec<BodyId> {
        self.readers.borrow().keys().copied().collect()
    }
}

/// One reader of a body.
#[derive(Debug)]
pub struct BodyLease {
    leases: Leases,
    body: BodyId,
}

impl Drop for BodyLease {
    fn drop(&mut self) {
        let mut readers = self.leases.readers.borrow_mut();
        if let Some(count) = readers.get_mut(&self.body) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                readers.remove(&self.body);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_held_until_its_last_reader_is_done() {
        let leases = Leases::default();
        let first = leases.take(BodyId(7));
        let second = leases.take(BodyId(7));
        drop(first);
        assert_eq!(leases.held(), [BodyId(7)]);
        drop(second);
        assert!(leases.held().is_empty());
    }
}
