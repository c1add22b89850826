//! What an isolate keeps, within bounds.

use std::borrow::Borrow;
use std::hash::Hash;

use rustc_hash::FxHashMap;

/// A map that begins anew where it would hold more than `MOST`: simpler than to tell what was used last, and as good where `MOST` is
/// more than what is asked for within seconds.
#[derive(Debug)]
pub(crate) struct Kept<const MOST: usize, K, V>(FxHashMap<K, V>);

impl<const MOST: usize, K, V> Default for Kept<MOST, K, V> {
    fn default() -> Self {
        Self(FxHashMap::default())
    }
}

impl<const MOST: usize, K: Eq + Hash, V> Kept<MOST, K, V> {
    pub(crate) fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.0.get(key)
    }

    pub(crate) fn get_mut<Q: Eq + Hash + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        self.0.get_mut(key)
    }

    pub(crate) fn insert(&mut self, key: K, value: V) {
        if self.0.len() >= MOST {
            self.0.clear();
        }
        self.0.insert(key, value);
    }

    pub(crate) fn remove<Q: Eq + Hash + ?Sized>(&mut self, key: &Q)
    where
        K: Borrow<Q>,
    {
        self.0.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_kept_than_fits() {
        let mut kept = Kept::<2, _, _>::default();
        kept.insert(1, "one");
        kept.insert(2, "two");
        assert_eq!((kept.get(&1), kept.get(&2)), (Some(&"one"), Some(&"two")));
        kept.insert(3, "three");
        assert_eq!((kept.get(&2), kept.get(&3)), (None, Some(&"three")));
        kept.remove(&3);
        assert_eq!(kept.get(&3), None);
    }
}
