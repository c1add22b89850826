//! Caches the encoded entries of lists between two makings, up to a limit.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use origin_api::CrlName;

use crate::entries::Entries;
use crate::store::issuers::IssuerNumber;

/// The limit for all lists together, in bytes. The list made last may exceed it.
const LIMIT: u64 = 256 * 1024 * 1024;

type Key = (IssuerNumber, CrlName);

/// The entries of the lists used last.
#[derive(Default)]
pub(super) struct EntryCache(Mutex<Slots>);

#[derive(Default)]
struct Slots {
    lists: HashMap<Key, Slot>,
    /// Counts the uses of all lists; orders the slots by last use.
    uses: u64,
}

#[derive(Default)]
struct Slot {
    list: Arc<CachedList>,
    size: u64,
    used: u64,
}

/// The entries of one list. Holding the lock serializes the makings of the list in this process.
#[derive(Default)]
pub(super) struct CachedList(Mutex<Entries>);

impl CachedList {
    /// Waits for the list's other makings.
    pub(super) fn lock(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(|poisoned| {
            // The panic may have rolled back the changes that these entries reflect.
            self.0.clear_poison();
            let mut entries = poisoned.into_inner();
            *entries = Entries::default();
            entries
        })
    }
}

impl EntryCache {
    pub(super) fn list(&self, issuer: IssuerNumber, name: CrlName) -> Arc<CachedList> {
        Arc::clone(&self.slots().lists.entry((issuer, name)).or_default().list)
    }

    /// Records the use of a list of this size, and evicts the least recently used ones over the
    /// limit.
    ///
    /// Evicting a list that another thread waits for only costs a second read: the database decides
    /// what goes into a CRL.
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
    fn the_least_recently_used_list_is_evicted_first() {
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
            "a list over the limit stays until the next use"
        );
    }
}
