//! A keyed hash of short byte strings, for tables: 64 bits by folded multiplication.
//!
//! The key is the caller's random number, so that the author of a list cannot choose serial numbers
//! that collide. Results never depend on the hash being free of collisions, only the time does.

/// A hash function, chosen by its key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hasher {
    key: u64,
}

// Odd numbers without a pattern: digits of pi.
const START: u64 = 0x2432_6f6a_8885_a309;
const STEP: u64 = 0x1319_8a2e_0370_7345;
const END: u64 = 0xa409_3822_299f_31d1;

impl Hasher {
    pub(crate) const fn new(key: u64) -> Self {
        Self { key }
    }

    #[inline]
    pub(crate) fn hash(self, bytes: &[u8]) -> u64 {
        let mut hash = self.key;
        let mut rest = bytes;
        while let Some((chunk, after)) = rest.split_first_chunk::<16>() {
            let [low, high] = words(*chunk);
            hash = fold(hash ^ low ^ START, high ^ self.key ^ STEP);
            rest = after;
        }
        if !rest.is_empty() {
            let mut chunk = [0; 16];
            for (to, from) in chunk.iter_mut().zip(rest) {
                *to = *from;
            }
            let [low, high] = words(chunk);
            hash = fold(hash ^ low ^ START, high ^ self.key ^ STEP);
        }
        fold(hash ^ self.key, bytes.len() as u64 ^ END)
    }
}

fn words(chunk: [u8; 16]) -> [u64; 2] {
    let number = u128::from_le_bytes(chunk);
    [low(number), low(number >> 64)]
}

/// Both halves of the product, combined.
#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a).wrapping_mul(u128::from(b));
    low(product) ^ low(product >> 64)
}

#[inline]
#[expect(
    clippy::cast_possible_truncation,
    reason = "the other half is taken by itself"
)]
const fn low(number: u128) -> u64 {
    number as u64
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeSet;

    use super::*;

    #[test]
    fn similar_strings_have_different_hashes() {
        let hasher = Hasher::new(7);
        let mut seen = BTreeSet::new();
        for length in 0..40 {
            let mut bytes = alloc::vec![0; length];
            assert!(seen.insert(hasher.hash(&bytes)));
            for bit in 0..length * 8 {
                bytes[bit / 8] ^= 1 << (bit % 8);
                assert!(seen.insert(hasher.hash(&bytes)));
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
        }
        assert_ne!(Hasher::new(8).hash(b"x"), hasher.hash(b"x"));
    }
}
