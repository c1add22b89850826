//! What the sieve keeps: hashes that more than one entry has.

use alloc::vec;
use alloc::vec::Vec;

use crate::diff::bounds::MAX_SUSPECTS;
use crate::diff::filter::Filter;

/// Hashes of serial numbers that have over one entry in the two lists.
pub(super) enum Suspects {
    /// There are too many to keep: any hash may be one.
    All,
    /// These are all.
    These(Hashes),
}

impl Suspects {
    #[inline]
    pub(super) fn contains(&self, hash: u64) -> bool {
        match self {
            Self::All => true,
            Self::These(hashes) => hashes.find(hash).is_some(),
        }
    }
}

/// A set of hashes.
pub(super) struct Hashes {
    sorted: Vec<u64>,
    filter: Filter,
}

impl From<Vec<u64>> for Hashes {
    fn from(mut hashes: Vec<u64>) -> Self {
        let mut filter = Filter::new(20);
        for hash in &hashes {
            filter.insert(*hash);
        }
        hashes.sort_unstable();
        hashes.dedup();
        Self {
            sorted: hashes,
            filter,
        }
    }
}

impl Hashes {
    /// Where the hash stands in their order.
    #[inline]
    fn find(&self, hash: u64) -> Option<usize> {
        let may_have = self.filter.contains(hash);
        may_have.then(|| self.sorted.binary_search(&hash).ok())?
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

/// Tells the hashes that are equal from those that only share a bit of the sieve.
pub(super) struct Confirmation {
    /// Hashes of paired entries that share a bit with an unpaired one.
    paired: Hashes,
    /// Hashes of unpaired entries that share a bit with an earlier one.
    repeated: Hashes,
    /// Which of the repeated ones an unpaired entry has been seen to have.
    seen: Vec<bool>,
    suspects: Hits,
}

impl Confirmation {
    /// `None` if there are too many to keep.
    pub(super) fn new(paired: Hits, repeated: Hits) -> Option<Self> {
        if paired.is_full || repeated.is_full {
            return None;
        }
        let repeated = Hashes::from(repeated.hashes);
        Some(Self {
            paired: paired.hashes.into(),
            seen: vec![false; repeated.sorted.len()],
            repeated,
            suspects: Hits::default(),
        })
    }

    /// Takes the hash of each unpaired entry.
    #[inline]
    pub(super) fn see(&mut self, hash: u64) {
        if self.paired.find(hash).is_some() {
            return self.suspects.add(hash);
        }
        let place = self.repeated.find(hash);
        if let Some(seen) = place.and_then(|place| self.seen.get_mut(place)) {
            if *seen {
                self.suspects.add(hash);
            }
            *seen = true;
        }
    }

    pub(super) fn end(self) -> Suspects {
        if self.suspects.is_full {
            return Suspects::All;
        }
        Suspects::These(self.suspects.hashes.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hits(hashes: impl IntoIterator<Item = u64>) -> Hits {
        let mut hits = Hits::default();
        for hash in hashes {
            hits.add(hash);
        }
        hits
    }

    #[test]
    fn only_hashes_that_two_entries_have_are_suspects() {
        let mut confirmation = Confirmation::new(hits([1, 2]), hits([3, 4])).unwrap();
        for hash in [1, 3, 4, 4, 5] {
            confirmation.see(hash);
        }
        let suspects = confirmation.end();
        let found: Vec<u64> = (0..8).filter(|hash| suspects.contains(*hash)).collect();
        assert_eq!(found, [1, 4]);
    }

    #[test]
    fn more_hits_than_are_kept_make_every_hash_a_suspect() {
        let most = MAX_SUSPECTS as u64;
        let few = || hits(0..most);
        let many = || hits(0..=most);
        assert!(Confirmation::new(few(), few()).is_some());
        assert!(Confirmation::new(many(), few()).is_none());
        assert!(Confirmation::new(few(), many()).is_none());
        for (seen, are_kept) in [(most, true), (most + 1, false)] {
            let mut confirmation = Confirmation::new(hits([1]), Hits::default()).unwrap();
            for _ in 0..seen {
                confirmation.see(1);
            }
            let suspects = confirmation.end();
            assert!(suspects.contains(1));
            assert_eq!(matches!(suspects, Suspects::These(_)), are_kept);
        }
    }
}
