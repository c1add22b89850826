//! The lists' entries between two makings, as many as fit.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use origin_api::CrlName;

use crate::entries::Entries;
use crate::store::issuers::IssuerNumber;

/// What all lists together may take, in bytes. The list that was made last may go beyond.
const LIMIT: u64 = 256 * 1024 * 1024;

type Key = (IssuerNumber, CrlName);

/// The entries of lists, those used last.
#[derive(Default)]
pub(super) struct Memory(Mutex<Slots>);

#[derive(Default)]
struct Slots {
    lists: HashMap<Key, Slot>,
    /// Grows with each use.
    uses: u64,
}

#[derive(Default)]
struct Slot {
    list: Arc<ListInMemory>,
    size: u64,
    used: u64,
}

/// The entries of one list. Who holds the lock is the only one in this process to make it.
#[derive(Default)]
pub(super) struct ListInMemory(Mutex<Entries>);

impl ListInMemory {
    /// Waits for the list.
    pub(super) fn lock(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(|poisoned| {
            // Whoever panicked may have followed changes that were rolled back.
            self.0.clear_poison();
            let mut entries = poisoned.into_inner();
            *entries = Entries::default();
            entries
        })
    }
}

impl Memory {
    pub(super) fn list(&self, issuer: IssuerNumber, name: CrlName) -> Arc<ListInMemory> {
        Arc::clone(&self.slots().lists.entry((issuer, name)).or_default().list)
    }

    /// Notes that a list of this size was used, and forgets the ones used longest ago if they are too much together.
    ///
    /// A list that is forgotten while someone waits for it is read twice, no more: what is made of it is decided in the
    /// database.
    pub(super) fn note(&self, issuer: IssuerNumber, name: CrlName, size: u64) {
        self.slots().note((issuer, name), size, LIMIT);
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slots {
    fn note(&mut self, key: Key, size: u64, limit: u64) {
        self.uses = self.uses.saturating_add(1);
        let slot = self.lists.entry(key).or_default();
        (slot.size, slot.used) = (size, self.uses);
        while self.lists.values().map(|slot| slot.size).sum::<u64>() > limit {
            let others = self.lists.iter().filter(|(other, _)| **other != key);
            let Some(oldest) = others
                .min_by_key(|(_, slot)| slot.used)
                .map(|(other, _)| *other)
            else {
                return;
            };
            self.lists.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_longest_ago_is_forgotten_first() {
        let key = |n| (IssuerNumber(n), CrlName::Full);
        let mut slots = Slots::default();
        for n in [1, 2, 3] {
            slots.note(key(n), 40, 100);
        }
        slots.note(key(2), 40, 100);
        slots.note(key(4), 40, 100);
        let mut kept: Vec<i64> = slots.lists.keys().map(|(issuer, _)| issuer.0).collect();
        kept.sort_unstable();
        assert_eq!(kept, [2, 4]);
        slots.note(key(5), 400, 100);
        assert_eq!(
            slots.lists.len(),
            1,
            "one that is too large by itself stays until the next"
        );
    }
}
