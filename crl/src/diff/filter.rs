//! Sets of hashes in a few bits each.

use alloc::vec;
use alloc::vec::Vec;

/// The lower bits of a hash, as many as an index has.
#[inline]
#[expect(
    clippy::cast_possible_truncation,
    reason = "the upper bits are not wanted"
)]
pub(super) const fn low_bits(hash: u64) -> usize {
    hash as usize
}

/// A set of bits, each for many hashes.
pub(super) struct Filter {
    bits: Vec<u64>,
    shift: u32,
}

impl Filter {
    /// With two to the power of `size` bits.
    pub(super) fn new(size: u32) -> Self {
        let words = 1usize << size.saturating_sub(6);
        Self {
            bits: vec![0; words],
            shift: u64::BITS.saturating_sub(size),
        }
    }

    pub(super) fn clear(&mut self) {
        self.bits.fill(0);
    }

    /// The word, and the bit in it.
    #[inline]
    pub(super) fn place(&self, hash: u64) -> (usize, u64) {
        // The upper bits choose the place; the table uses the lower ones.
        let place = hash >> self.shift;
        (low_bits(place >> 6), 1 << (place & 63))
    }

    #[inline]
    pub(super) fn contains(&self, hash: u64) -> bool {
        let (word, bit) = self.place(hash);
        self.bits.get(word).is_some_and(|word| word & bit != 0)
    }

    /// Sets the bit; whether it was set before.
    #[inline]
    pub(super) fn insert(&mut self, hash: u64) -> bool {
        let (word, bit) = self.place(hash);
        let Some(word) = self.bits.get_mut(word) else {
            return false;
        };
        let was_set = *word & bit != 0;
        *word |= bit;
        was_set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_of_the_upper_bits_has_a_bit_of_its_own() {
        let mut filter = Filter::new(10);
        let hash = |upper: u64| upper << 54 | 0xabcd;
        for upper in 0..1024 {
            assert!(!filter.contains(hash(upper)));
            assert!(!filter.insert(hash(upper)));
            assert!(filter.insert(hash(upper)) && filter.contains(hash(upper)));
        }
        filter.clear();
        assert!((0..1024).all(|upper| !filter.contains(hash(upper))));
    }
}
