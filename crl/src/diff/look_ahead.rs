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
    count: usize,
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
        self.count = 0;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
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
                self.count = self.count.wrapping_add(1);
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
