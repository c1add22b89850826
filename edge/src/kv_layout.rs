//! The keys in KV, and how a CRL that is too large for one value is cut. The objects write KV, and
//! every isolate reads it.

use origin_api::{CrlName, IssuerId};

use crate::http::ByteRange;
use crate::refresh::Sha256;

/// The key of the registry's index.
pub const REGISTRY: &str = "registry";

/// The largest CRL that is one value: the platform's limit is 25 MiB.
pub const LARGEST_VALUE: u64 = 25 * 1024 * 1024;

/// How many bytes a part has, save the last.
pub const PART_BYTES: u64 = 20 * 1024 * 1024;

/// The key of a CRL.
#[must_use]
pub fn key(issuer: &IssuerId, name: CrlName) -> String {
    format!("crl/{issuer}/{name}")
}

/// The key of one part of a large CRL. It names the version, so that parts of two versions are
/// never mixed.
#[must_use]
pub fn part_key(issuer: &IssuerId, name: CrlName, sha256: Sha256, part: u32) -> String {
    format!("crl/{issuer}/{name}/{sha256}/{part}")
}

/// How many parts a CRL of `size` bytes is cut into; 0 where it is one value.
#[must_use]
pub fn part_count(size: u64) -> u32 {
    if size <= LARGEST_VALUE {
        0
    } else {
        u32::try_from(size.div_ceil(PART_BYTES)).unwrap_or(u32::MAX)
    }
}

/// The bytes of a CRL of `size` bytes that lie in a part.
#[must_use]
pub fn part_range(part: u32, size: u64) -> ByteRange {
    let first = u64::from(part).saturating_mul(PART_BYTES);
    ByteRange {
        first,
        length: size.saturating_sub(first).min(PART_BYTES),
    }
}

/// The parts that `range` lies in, each with the bytes of the part's own that belong to the range.
pub fn parts_of(range: ByteRange) -> impl Iterator<Item = (u32, ByteRange)> {
    let (first_part, end_part) = (range.first / PART_BYTES, range.end().div_ceil(PART_BYTES));
    (first_part..end_part).map(move |part| {
        let start = part.saturating_mul(PART_BYTES);
        let first = range.first.saturating_sub(start);
        let end = range.end().saturating_sub(start).min(PART_BYTES);
        let within = ByteRange {
            first,
            length: end.saturating_sub(first),
        };
        (u32::try_from(part).unwrap_or(u32::MAX), within)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_are_pinned() {
        let issuer: IssuerId = "demo-p256".parse().unwrap();
        assert_eq!(key(&issuer, CrlName::Shard(3)), "crl/demo-p256/shard-3");
        assert_eq!(
            part_key(&issuer, CrlName::Full, Sha256([0xab; 32]), 2),
            format!("crl/demo-p256/full/{}/2", "ab".repeat(32))
        );
    }

    #[test]
    fn what_fits_into_one_value_is_one_value() {
        assert_eq!(part_count(LARGEST_VALUE), 0);
        assert_eq!(part_count(LARGEST_VALUE + 1), 2);
    }

    #[test]
    fn parts_cover_the_body_once() {
        for size in [
            LARGEST_VALUE + 1,
            2 * PART_BYTES,
            2 * PART_BYTES + 1,
            100_000_000,
        ] {
            let parts: Vec<_> = (0..part_count(size))
                .map(|part| part_range(part, size))
                .collect();
            assert_eq!(parts[0].first, 0);
            assert!(parts.windows(2).all(|pair| pair[0].end() == pair[1].first));
            assert_eq!(parts.last().unwrap().end(), size);
        }
    }

    #[test]
    fn a_range_reads_only_the_parts_that_it_lies_in() {
        const P: u64 = PART_BYTES;
        let parts = |first, length| -> Vec<_> {
            parts_of(ByteRange { first, length })
                .map(|(part, within)| (part, within.first, within.length))
                .collect()
        };
        assert_eq!(parts(0, 1), [(0, 0, 1)]);
        assert_eq!(parts(P - 1, 1), [(0, P - 1, 1)]);
        assert_eq!(parts(P, 1), [(1, 0, 1)]);
        assert_eq!(parts(P - 1, P + 2), [(0, P - 1, 1), (1, 0, P), (2, 0, 1)]);
    }

    proptest! {
        #[test]
        fn the_parts_of_a_range_add_up_to_it(first in 0..200_000_000_u64, length in 1..200_000_000_u64) {
            let mut next = first;
            for (part, within) in parts_of(ByteRange { first, length }) {
                prop_assert_eq!(u64::from(part) * PART_BYTES + within.first, next);
                prop_assert!(within.length > 0);
                next += within.length;
            }
            prop_assert_eq!(next, first + length);
        }
    }
}
