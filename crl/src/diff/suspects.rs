//! What the sieve keeps: hashes that more than one entry has.

use alloc::vec::Vec;

use crate::diff::bounds::MAX_SUSPECTS;
use crate::diff::filter::Filter;

/// Hashes of serial numbers that may have over one entry in the two lists.
pub(super) enum Suspects {
    All,
    These {
        /// Sorted.
        hashes: Vec<u64>,
        filter: Filter,
    },
}

impl Suspects {
    #[inline]
    pub(super) fn contains(&self, hash: u64) -> bool {
        match self {
            Self::All => true,
            Self::These { hashes, filter } => {
                filter.contains(hash) && hashes.binary_search(&hash).is_ok()
            }
        }
    }
}

/// A list of hashes that does not grow beyond a bound.
#[derive(Default)]
pub(super) struct Hits {
    hashes: Vec<u64>,
    is_full: bool,
}

impl Hits {
    #[cold]
    pub(super) fn add(&mut self, hash: u64) {
        if self.hashes.len() < MAX_SUSPECTS {
            self.hashes.push(hash);
        } else {
            self.is_full = true;
        }
    }
}

impl From<Hits> for Suspects {
    fn from(mut hits: Hits) -> Self {
        if hits.is_full {
            return Self::All;
        }
        let mut filter = Filter::new(20);
        for hash in &hits.hashes {
            filter.insert(*hash);
        }
        hits.hashes.sort_unstable();
        Self::These {
            hashes: hits.hashes,
            filter,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suspects_are_exact_until_there_are_too_many() {
        let mut hits = Hits::default();
        for hash in 0..MAX_SUSPECTS as u64 {
            hits.add(hash * 2);
        }
        let suspects = Suspects::from(hits);
        for hash in 0..MAX_SUSPECTS as u64 {
            assert!(suspects.contains(hash * 2));
            // The filter has the same bit for both.
            assert!(!suspects.contains(hash * 2 + 1));
        }
        let mut hits = Hits::default();
        for hash in 0..=MAX_SUSPECTS as u64 {
            hits.add(hash * 2);
        }
        let suspects = Suspects::from(hits);
        assert!(matches!(suspects, Suspects::All) && suspects.contains(1));
    }
}
