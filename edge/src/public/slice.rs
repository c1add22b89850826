//! Cuts a range out of a stream, chunk by chunk, without copying.

use std::ops::Range;

use crate::answer::ByteRange;

/// How many bytes to skip, and how many to pass on after them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slice {
    skip: u64,
    take: u64,
}

impl Slice {
    /// Cuts `range` out of what comes.
    #[must_use]
    pub(super) const fn of(range: ByteRange) -> Self {
        Self {
            skip: range.first,
            take: range.length,
        }
    }

    /// Which part of the next chunk, which has `length` bytes, is to be passed on; it may be empty.
    pub(super) fn next(&mut self, length: usize) -> Range<usize> {
        let start = at_most(self.skip, length);
        let taken = at_most(self.take, length.saturating_sub(start));
        self.skip = self.skip.saturating_sub(start as u64);
        self.take = self.take.saturating_sub(taken as u64);
        start..start.saturating_add(taken)
    }

    /// Whether everything was passed on, so that the rest of the stream need not be read.
    #[must_use]
    pub(super) const fn is_done(&self) -> bool {
        self.take == 0
    }
}

fn at_most(wanted: u64, limit: usize) -> usize {
    usize::try_from(wanted).map_or(limit, |wanted| wanted.min(limit))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_chunks_give_the_range(
            chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..20), 0..10),
            first in 0..120_usize,
            length in 1..120_usize,
        ) {
            let mut slice = Slice::of(ByteRange { first: first as u64, length: length as u64 });
            let cut: Vec<u8> = chunks.iter().flat_map(|chunk| &chunk[slice.next(chunk.len())]).copied().collect();
            let whole = chunks.concat();
            let expected: Vec<u8> = whole.iter().skip(first).take(length).copied().collect();
            prop_assert_eq!(&cut, &expected);
            prop_assert_eq!(slice.is_done(), expected.len() == length);
        }
    }
}
