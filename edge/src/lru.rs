//! A bounded map: the entries that were used least recently give way to new ones.

use std::borrow::Borrow;
use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// A map of at most a given total weight.
#[derive(Debug)]
pub(crate) struct LruCache<K, V> {
    /// In the unit of the weights: entries, or bytes.
    capacity: u64,
    weight: u64,
    // Not a `BTreeMap`, of which removing alone is several kilobytes for each type.
    entries: HashMap<K, Entry<V>>,
    /// Each use and its key, the oldest first. A use counts only if it is its entry's last.
    uses: VecDeque<(u64, K)>,
    next_use: u64,
}

#[derive(Debug)]
struct Entry<V> {
    value: V,
    weight: u64,
    last_use: u64,
}

impl<K: Clone + Eq + Hash, V> LruCache<K, V> {
    pub(crate) fn new(capacity: u64) -> Self {
        Self {
            capacity,
            weight: 0,
            entries: HashMap::new(),
            uses: VecDeque::new(),
            next_use: 0,
        }
    }

    /// The value of `key`, which counts as a use.
    pub(crate) fn get<Q: Eq + Hash + ToOwned<Owned = K> + ?Sized>(
        &mut self,
        key: &Q,
    ) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        let last_use = self.entries.get(key)?.last_use;
        // The entry that was used last is so still.
        let is_last = last_use.wrapping_add(1) == self.next_use;
        let last_use = if is_last {
            last_use
        } else {
            self.note_use(key.to_owned())
        };
        let entry = self.entries.get_mut(key)?;
        entry.last_use = last_use;
        Some(&mut entry.value)
    }

    /// Keeps `value`, unless it alone is heavier than the whole map may be.
    pub(crate) fn insert(&mut self, key: K, weight: u64, value: V) {
        self.remove(&key);
        if weight > self.capacity {
            return;
        }
        while self.weight.saturating_add(weight) > self.capacity {
            let Some((last_use, key)) = self.uses.pop_front() else {
                break;
            };
            if self.is_last_use(last_use, &key) {
                self.remove(&key);
            }
        }
        let last_use = self.note_use(key.clone());
        self.weight = self.weight.saturating_add(weight);
        let entry = Entry {
            value,
            weight,
            last_use,
        };
        self.entries.insert(key, entry);
    }

    fn remove<Q: Eq + Hash + ?Sized>(&mut self, key: &Q)
    where
        K: Borrow<Q>,
    {
        if let Some(entry) = self.entries.remove(key) {
            self.weight = self.weight.saturating_sub(entry.weight);
        }
    }

    fn is_last_use(&self, at: u64, key: &K) -> bool {
        let entry = self.entries.get(key);
        entry.is_some_and(|entry| entry.last_use == at)
    }

    fn note_use(&mut self, key: K) -> u64 {
        // Of more uses than entries, half at least no longer count.
        if self.uses.len() > self.entries.len().saturating_mul(2).saturating_add(16) {
            let uses = std::mem::take(&mut self.uses).into_iter();
            self.uses = uses
                .filter(|(at, key)| self.is_last_use(*at, key))
                .collect();
        }
        let at = self.next_use;
        self.next_use = at.wrapping_add(1);
        self.uses.push_back((at, key));
        at
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_least_recently_used_gives_way_and_nothing_else() {
        let mut cache = LruCache::new(2);
        cache.insert(1, 1, "one");
        cache.insert(2, 1, "two");
        assert!(cache.get(&1).is_some());
        cache.insert(3, 1, "three");
        assert_eq!(cache.get(&2), None);
        assert_eq!(cache.get(&1), Some(&mut "one"));
        assert_eq!(cache.get(&3), Some(&mut "three"));
    }

    #[test]
    fn a_heavy_value_displaces_only_what_it_must_and_one_too_heavy_is_not_kept() {
        let mut cache = LruCache::new(10);
        for key in 0..5 {
            cache.insert(key, 2, key);
        }
        cache.insert(5, 3, 5);
        let kept: Vec<_> = (0..6).filter(|key| cache.get(key).is_some()).collect();
        assert_eq!(kept, [2, 3, 4, 5]);
        cache.insert(6, 11, 6);
        assert_eq!(cache.get(&6), None);
        assert!(cache.get(&2).is_some());
    }

    proptest! {
        #[test]
        fn it_equals_a_list_ordered_by_use(steps in proptest::collection::vec((0..3_u8, 0..8_u8, 1..4_u64), 0..60)) {
            let mut cache = LruCache::new(8);
            // The most recently used last.
            let mut model: Vec<(u8, u64)> = Vec::new();
            for (step, key, weight) in steps {
                let place = model.iter().position(|(known, _)| *known == key);
                match step {
                    0 => {
                        if let Some(place) = place {
                            let used = model.remove(place);
                            model.push(used);
                        }
                        prop_assert_eq!(cache.get(&key).is_some(), place.is_some());
                    }
                    1 => {
                        place.map(|place| model.remove(place));
                        while model.iter().map(|(_, weight)| weight).sum::<u64>() + weight > 8 {
                            model.remove(0);
                        }
                        model.push((key, weight));
                        cache.insert(key, weight, key);
                    }
                    _ => {
                        place.map(|place| model.remove(place));
                        cache.remove(&key);
                    }
                }
                let weight: u64 = model.iter().map(|(_, weight)| weight).sum();
                prop_assert_eq!((cache.entries.len(), cache.weight), (model.len(), weight));
                // Eight entries are the most that fit.
                prop_assert!(cache.uses.len() <= 8 * 2 + 17);
                for (key, _) in &model {
                    prop_assert!(cache.entries.contains_key(key));
                }
            }
        }
    }
}
