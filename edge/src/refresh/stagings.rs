//! The bodies that refreshes under way have made or read, and that no state names: they are not
//! swept.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};

use super::state::BodyId;

/// The refreshes that are under way, and those whose CRL waits.
#[derive(Debug, Default)]
pub(super) struct Stagings(RefCell<Vec<Weak<Staging>>>);

/// Keeps the bodies of one refresh, until it is dropped.
#[derive(Debug, Default)]
pub(super) struct Staging {
    first: Cell<Option<BodyId>>,
    found: RefCell<Vec<BodyId>>,
}

impl Stagings {
    /// Begins a refresh.
    pub(super) fn begin(&self) -> Rc<Staging> {
        let staging = Rc::default();
        self.0.borrow_mut().push(Rc::downgrade(&staging));
        staging
    }

    /// The oldest body that a refresh has made, if any has, and those that they found committed.
    pub(super) fn in_use(&self) -> (Option<BodyId>, Vec<BodyId>) {
        let (mut first, mut found) = (None, Vec::new());
        self.0.borrow_mut().retain(|staging| {
            let staging = staging.upgrade();
            if let Some(staging) = &staging {
                first = first.into_iter().chain(staging.first.get()).min();
                found.extend_from_slice(&staging.found.borrow());
            }
            staging.is_some()
        });
        (first, found)
    }
}

impl Staging {
    /// Keeps the bodies that the refresh found committed: they may be replaced while it reads them.
    pub(super) fn keep(&self, found: Vec<BodyId>) {
        self.found.replace(found);
    }

    /// Keeps the first body that the refresh has made, and all that are made after it.
    pub(super) fn keep_from(&self, first: BodyId) {
        self.first.set(Some(first));
    }
}
