//! Entries of both lists that alignment has looked at ahead.

use alloc::vec::Vec;

use crate::diff::bounds::LOOK_AHEAD;
use crate::diff::filter::low_bits;

/// Entries of both lists that were looked at ahead.
#[derive(Default)]
pub(super) struct LookAhead {
    pub(super) earlier: Seen,
    pub(super) later: Seen,
}

impl LookAhead {
    pub(super) fn clear(&mut self) {
        self.earlier.clear();
        self.later.clear();
    }
}

/// Hashes of entries with their offsets, at most [`LOOK_AHEAD`]. To be cleared before it is used,
/// which costs next to nothing.
#[derive(Default)]
pub(super) struct Seen {
    slots: Vec<Slot>,
    /// Slots of another generation are free.
    generation: u64,
}

#[derive(Clone, Copy, Default)]
pub(super) struct Slot {
    generation: u64,
    hash: u64,
    offset: u64,
}

impl Seen {
    pub(super) fn clear(&mut self) {
        self.slots.resize(2 * LOOK_AHEAD, Slot::default());
        self.generation = self.generation.wrapping_add(1);
    }

    pub(super) fn find(&self, hash: u64) -> Option<u64> {
        let slot = self.slots.get(self.slot(hash))?;
        (slot.generation == self.generation).then_some(slot.offset)
    }

    pub(super) fn insert(&mut self, hash: u64, offset: u64) {
        let (at, generation) = (self.slot(hash), self.generation);
        if let Some(slot) = self.slots.get_mut(at) {
            // The first of equal entries stays.
            if slot.generation != generation {
                *slot = Slot {
                    generation,
                    hash,
                    offset,
                };
            }
        }
    }

    /// The slot that has the hash, or the free one where it would be: half of them are free.
    pub(super) fn slot(&self, hash: u64) -> usize {
        let mask = self.slots.len().wrapping_sub(1);
        let mut at = low_bits(hash) & mask;
        while let Some(slot) = self.slots.get(at) {
            if slot.generation != self.generation || slot.hash == hash {
                break;
            }
            at = at.wrapping_add(1) & mask;
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_offset_of_a_hash_is_found_until_all_are_cleared() {
        let mut seen = Seen::default();
        for offset in 1..4 {
            seen.clear();
            assert_eq!(seen.find(7), None);
            seen.insert(7, offset);
            seen.insert(7, 100);
            assert_eq!(seen.find(7), Some(offset));
        }
    }

    #[test]
    fn hashes_that_begin_in_the_last_slot_continue_in_the_first() {
        let mut seen = Seen::default();
        seen.clear();
        // All lower bits are set, so all of them begin in the last slot.
        let hash = |number: u64| number << 32 | 0xffff_ffff;
        for number in 0..LOOK_AHEAD as u64 {
            seen.insert(hash(number), number);
        }
        for number in 0..LOOK_AHEAD as u64 {
            assert_eq!(seen.find(hash(number)), Some(number));
        }
        assert_eq!(seen.find(hash(LOOK_AHEAD as u64)), None);
    }
}
