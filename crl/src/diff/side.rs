//! One of the two lists of a comparison.

use alloc::vec::Vec;

use crate::source::Source;
use crate::walk::{Walk, WalkError, first_entry};

/// One of the two lists.
pub(super) struct Side<'a, S> {
    pub(super) source: &'a mut S,
    pub(super) walk: Walk,
    /// Where the entries are that alignment did not pair, from and to, in order. Run number n of
    /// one list is in the place of run number n of the other; one of the two may be empty.
    pub(super) runs: Vec<(u64, u64)>,
}

impl<'a, S: Source> Side<'a, S> {
    pub(super) fn new(source: &'a mut S) -> Result<Self, WalkError<S::Error>> {
        Ok(Self {
            walk: Walk::new(source)?,
            source,
            runs: Vec::new(),
        })
    }

    pub(super) fn window(&mut self) -> Result<&[u8], WalkError<S::Error>> {
        self.walk.window(self.source)
    }

    #[inline]
    pub(super) fn next(&mut self) -> Result<Option<&[u8]>, WalkError<S::Error>> {
        self.walk.next(self.source)
    }

    /// Octets of the entries that alignment did not pair.
    pub(super) fn unpaired_octets(&self) -> u64 {
        let sizes = self.runs.iter().map(|run| run.1.saturating_sub(run.0));
        sizes.fold(0, u64::saturating_add)
    }

    /// Calls `each` for every entry of the list, with its offset and whether alignment paired it.
    pub(super) fn each(
        &mut self,
        mut each: impl FnMut(&[u8], u64, bool) -> Result<(), WalkError<S::Error>>,
    ) -> Result<(), WalkError<S::Error>> {
        let list = self.walk.list();
        let mut runs = self.runs.iter();
        let mut run = runs.next();
        walk_from(
            &mut self.walk,
            self.source,
            list.start,
            list.end,
            |der, offset| {
                while run.is_some_and(|run| run.1 <= offset) {
                    run = runs.next();
                }
                let is_paired = run.is_none_or(|run| offset < run.0);
                each(der, offset, is_paired)
            },
        )
    }

    /// Calls `each` for every entry that alignment did not pair, with its offset.
    pub(super) fn each_unpaired(
        &mut self,
        mut each: impl FnMut(&[u8], u64) -> Result<(), WalkError<S::Error>>,
    ) -> Result<(), WalkError<S::Error>> {
        for (from, end) in &self.runs {
            walk_from(&mut self.walk, self.source, *from, *end, &mut each)?;
        }
        Ok(())
    }
}

/// Calls `each` for the entries between two offsets.
#[inline]
fn walk_from<S: Source>(
    walk: &mut Walk,
    source: &mut S,
    from: u64,
    end: u64,
    mut each: impl FnMut(&[u8], u64) -> Result<(), WalkError<S::Error>>,
) -> Result<(), WalkError<S::Error>> {
    walk.seek(from);
    while walk.offset() < end {
        let start = walk.offset();
        let window = walk.window(source)?;
        let mut rest = window;
        let mut offset = start;
        while let Some(size) = first_entry(rest) {
            let Some((der, behind)) = rest.split_at_checked(size) else {
                break;
            };
            if offset >= end {
                break;
            }
            each(der, offset)?;
            rest = behind;
            offset = offset.wrapping_add(size as u64);
        }
        walk.seek(offset);
        if offset == start {
            break;
        }
    }
    Ok(())
}
