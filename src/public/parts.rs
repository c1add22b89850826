//! Where the bytes of a CRL lie that is too large for one KV value: in numbered parts of one size, the last one shorter.

use crate::answer::ByteRange;

/// How many bytes each part but the last has. A KV value may have 25 MiB; the rest is room to grow a part's format.
pub const PART_BYTES: u64 = 20 * 1024 * 1024;

/// Some bytes of one part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The part's number, from 0.
    pub part: u64,
    /// Which of the part's own bytes.
    pub range: ByteRange,
}

/// How many parts `size` bytes take.
#[must_use]
pub const fn count(size: u64) -> u64 {
    size.div_ceil(PART_BYTES)
}

/// How many bytes the part has, of a CRL of `size` bytes: zero where there is no such part.
#[must_use]
pub const fn part_length(part: u64, size: u64) -> u64 {
    let left = size.saturating_sub(part.saturating_mul(PART_BYTES));
    if left < PART_BYTES { left } else { PART_BYTES }
}

/// The pieces that make up `range`, in order.
pub fn pieces(range: ByteRange) -> impl Iterator<Item = Piece> {
    let first_part = range.first / PART_BYTES;
    (first_part..count(range.end())).map(move |part| {
        let start = part.saturating_mul(PART_BYTES);
        let first = range.first.saturating_sub(start);
        let end = range.end().saturating_sub(start).min(PART_BYTES);
        Piece {
            part,
            range: ByteRange {
                first,
                length: end.saturating_sub(first),
            },
        }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pieces_of(first: u64, length: u64) -> Vec<(u64, u64, u64)> {
        pieces(ByteRange { first, length })
            .map(|piece| (piece.part, piece.range.first, piece.range.length))
            .collect()
    }

    #[test]
    fn a_range_reads_only_the_parts_that_it_lies_in() {
        const P: u64 = PART_BYTES;
        assert_eq!(pieces_of(0, 1), [(0, 0, 1)]);
        assert_eq!(pieces_of(P - 1, 1), [(0, P - 1, 1)]);
        assert_eq!(pieces_of(P, 1), [(1, 0, 1)]);
        assert_eq!(pieces_of(P - 1, 2), [(0, P - 1, 1), (1, 0, 1)]);
        assert_eq!(
            pieces_of(P - 1, P + 2),
            [(0, P - 1, 1), (1, 0, P), (2, 0, 1)]
        );
        assert_eq!(pieces_of(5 * P, P), [(5, 0, P)]);
    }

    #[test]
    fn parts_add_up_to_the_whole() {
        for size in [1, PART_BYTES, PART_BYTES + 1, 3 * PART_BYTES - 1] {
            let lengths: Vec<_> = (0..count(size))
                .map(|part| part_length(part, size))
                .collect();
            assert_eq!(lengths.iter().sum::<u64>(), size);
            assert!(lengths.iter().all(|&length| length > 0));
            assert_eq!(part_length(count(size), size), 0);
        }
    }

    proptest! {
        #[test]
        fn pieces_follow_each_other_without_gap(first in 0..200_000_000_u64, length in 1..200_000_000_u64) {
            let range = ByteRange { first, length };
            let mut at = first;
            for piece in pieces(range) {
                prop_assert_eq!(piece.part * PART_BYTES + piece.range.first, at);
                prop_assert!(piece.range.length > 0 && piece.range.end() <= PART_BYTES);
                at += piece.range.length;
            }
            prop_assert_eq!(at, range.end());
        }
    }
}
