//! A bounded map: the entries that were used least recently give way to new ones.

use std::borrow::Borrow;
use std::collections::BTreeMap;

/// A map of at most a given total weight.
#[derive(Debug)]
pub(crate) struct LruCache<K, V> {
    /// In the unit of the weights: entries, or bytes.
    capacity: u64,
    weight: u64,
    entries: BTreeMap<K, Entry<V>>,
    /// Each key by its last use.
    uses: BTreeMap<u64, K>,
    next_use: u64,
}

#[derive(Debug)]
struct Entry<V> {
    value: V,
    weight: u64,
    last_use: u64,
}

impl<K: Ord + Clone, V> LruCache<K, V> {
    pub(crate) const fn new(capacity: u64) -> Self {
        Self {
            capacity,
            weight: 0,
            entries: BTreeMap::new(),
            uses: BTreeMap::new(),
            next_use: 0,
        }
    }

    /// The value of `key`, which counts as a use.
    pub(crate) fn get<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        let entry = self.entries.get_mut(key)?;
        if let Some(key) = self.uses.remove(&entry.last_use) {
            self.uses.insert(self.next_use, key);
            entry.last_use = self.next_use;
            self.next_use = self.next_use.wrapping_add(1);
        }
        Some(&mut entry.value)
    }

    /// Keeps `value`, unless it alone is heavier than the whole map may be.
    pub(crate) fn insert(&mut self, key: K, weight: u64, value: V) {
        self.remove(&key);
        if weight > self.capacity {
            return;
        }
        while self.weight.saturating_add(weight) > self.capacity {
            let Some((_, least_recent)) = self.uses.pop_first() else {
                break;
            };
            self.forget(&least_recent);
        }
        let last_use = self.next_use;
        self.next_use = last_use.wrapping_add(1);
        self.uses.insert(last_use, key.clone());
        self.weight = self.weight.saturating_add(weight);
        let entry = Entry {
            value,
            weight,
            last_use,
        };
        self.entries.insert(key, entry);
    }

    pub(crate) fn remove<Q: Ord + ?Sized>(&mut self, key: &Q)
    where
        K: Borrow<Q>,
    {
        if let Some(last_use) = self.forget(key) {
            self.uses.remove(&last_use);
        }
    }

    fn forget<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<u64>
    where
        K: Borrow<Q>,
    {
        let entry = self.entries.remove(key)?;
        self.weight = self.weight.saturating_sub(entry.weight);
        Some(entry.last_use)
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
                prop_assert_eq!((cache.entries.len(), cache.uses.len(), cache.weight), (model.len(), model.len(), weight));
                for (key, _) in &model {
                    prop_assert!(cache.entries.contains_key(key));
                }
            }
        }
    }
}
