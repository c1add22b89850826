//! The new CRLs of an issuer's shards that wait for each other, and which shards the origin was
//! asked for, in which order. In memory: a refresh that an end of the object cuts off is begun
//! again.

use std::cell::{Cell, Ref, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

use origin_api::CrlName;

use super::moves::{Arrival, Waiting};
use super::stagings::Staging;
use super::state::HeldCrl;

/// The issuer's shards, as far as refreshes of this run of the object know them.
#[derive(Default)]
pub(crate) struct Shards {
    /// Counts what happens: what the origin answers after a CRL has come may be newer than it.
    clock: Cell<u64>,
    /// When the last call was made whose answer is committed, or waits.
    asked: RefCell<BTreeMap<CrlName, u64>>,
    waiting: RefCell<BTreeMap<CrlName, Waiting>>,
}

impl Shards {
    /// The next moment.
    pub(super) fn now(&self) -> u64 {
        let now = self.clock.get().saturating_add(1);
        self.clock.set(now);
        now
    }

    pub(super) fn set_asked(&self, name: CrlName, at: u64) {
        self.asked.borrow_mut().insert(name, at);
    }

    pub(super) fn add(&self, waiting: Waiting) {
        let name = waiting.attempt.name;
        self.waiting.borrow_mut().insert(name, waiting);
    }

    /// A newer CRL waits in the place of another.
    pub(super) fn replace(&self, name: CrlName, arrival: Arrival, staging: Rc<Staging>) {
        let mut waiting = self.waiting.borrow_mut();
        if let Some(before) = waiting.remove(&name) {
            let newer = Waiting::new(before.attempt, arrival, staging, before.came_at);
            waiting.insert(name, newer);
        }
    }

    pub(super) fn waiting(&self) -> Ref<'_, BTreeMap<CrlName, Waiting>> {
        self.waiting.borrow()
    }

    /// Whether a CRL of this name waits.
    pub(crate) fn is_waiting(&self, name: CrlName) -> bool {
        self.waiting.borrow().contains_key(&name)
    }

    /// What the next request to the origin says of the CRL that waits.
    pub(super) fn waiting_crl(&self, name: CrlName) -> Option<HeldCrl> {
        let waiting = self.waiting.borrow();
        let admitted = &waiting.get(&name)?.arrival.admitted;
        Some(HeldCrl {
            sha256: admitted.head.sha256,
            number: admitted.head.number,
            watermark: admitted.watermark,
        })
    }

    /// The CRLs of these names, which wait no longer.
    pub(super) fn take<'a>(
        &self,
        names: impl Iterator<Item = &'a CrlName>,
    ) -> BTreeMap<CrlName, Waiting> {
        let mut waiting = self.waiting.borrow_mut();
        let mut taken = BTreeMap::new();
        taken.extend(names.filter_map(|name| waiting.remove_entry(name)));
        taken
    }

    /// Whether every other shard was asked after this CRL had come.
    pub(super) fn is_confirmed(&self, waiting: &Waiting, listed: &[CrlName]) -> bool {
        let mut others = listed.iter().filter(|name| **name != waiting.attempt.name);
        others.all(|name| self.asked_at(*name) > waiting.came_at)
    }

    /// The shards of `listed` that must be refreshed before the CRLs that wait can be judged: those
    /// that do not wait, and those that wait themselves.
    pub(super) fn to_ask(&self, listed: &[CrlName]) -> (Vec<CrlName>, Vec<CrlName>) {
        let waiting = self.waiting.borrow();
        let is_behind = |name: &&CrlName| {
            let mut others = waiting.iter().filter(|(other, _)| other != name);
            others.any(|(_, other)| self.asked_at(**name) <= other.came_at)
        };
        let behind = listed.iter().filter(is_behind);
        behind.partition(|name| !waiting.contains_key(name))
    }

    fn asked_at(&self, name: CrlName) -> u64 {
        self.asked.borrow().get(&name).copied().unwrap_or(0)
    }
}

impl fmt::Debug for Shards {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shards")
            .field("waiting", &self.waiting.borrow().keys())
            .finish_non_exhaustive()
    }
}
