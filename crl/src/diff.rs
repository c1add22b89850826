//! Compares the entries of two CRLs of any size, in bounded memory.
//!
//! 1. *Alignment* reads both lists once, side by side, and pairs entries that are the same byte for
//!    byte in the same order. What remains unpaired is a few runs of each list, if the lists keep
//!    the order of the entries that they share. Pairs are equal entries, so alignment cannot make
//!    the result wrong, only slow.
//! 2. The *sieve*, if many entries remain, reads both lists again and finds the unpaired entries
//!    with a serial number that nothing else has: these were added or removed.
//! 3. *Resolution* takes the serial numbers of the other unpaired entries into a table and reads
//!    both lists again to see what each says of them. If the table is too small, it does so several
//!    times, each time for another range of hashes.

use core::ops::{ControlFlow, RangeInclusive};

use crate::diff::bounds::{LOOK_AHEAD, MAX_RUNS, MAX_SIEVE, TABLE_OCTETS};
use crate::diff::filter::Filter;
use crate::diff::look_ahead::{LookAhead, Seen};
use crate::diff::side::Side;
use crate::diff::suspects::{Confirmation, Hits, Suspects};
use crate::diff::table::Table;
use crate::entry::Entry;
use crate::finding::{Finding, FindingKind, Tally};
use crate::hash::Hasher;
use crate::source::Source;
use crate::walk::{WalkError, first_entry, serial_contents};

mod bounds;
mod filter;
mod look_ahead;
mod side;
mod suspects;
mod table;

/// A difference between two lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change<'a> {
    /// The later list has an entry of this serial number; the earlier one has none.
    Added(Entry<'a>),
    /// The earlier list has an entry of this serial number; the later one has none.
    Removed(Entry<'a>),
    /// Both lists have an entry of this serial number, and the entries differ.
    Changed {
        /// The entry of the earlier list.
        before: Entry<'a>,
        /// The entry of the later list.
        after: Entry<'a>,
    },
}

/// How many differences there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Differences {
    /// Serial numbers that only the later list has.
    pub added: u64,
    /// Serial numbers that only the earlier list has.
    pub removed: u64,
    /// Serial numbers whose entries differ.
    pub changed: u64,
    /// Serial numbers that the later list has more than once, if one of their entries is not in the
    /// earlier list in the same place. So if the earlier list has no duplicates, these are all.
    pub duplicates: Option<Finding>,
}

/// Compares two lists: gives `visit` every serial number that was added, removed or changed, once,
/// in no particular order. Of a serial number that a list has more than once, the first entry
/// counts.
///
/// At most 8 MiB of memory are used. Both lists are read three times at most if they keep the order
/// of the entries that they share and not too many entries differ; otherwise twice for every 50,000
/// entries that have moved or differ.
///
/// `key` should be a random number: see [`Index`](crate::Index).
///
/// ```
/// use std::ops::ControlFlow;
///
/// use crl::Change;
///
/// # let before = &include_bytes!("../tests/data/openssl-p256.crl")[..];
/// # let after = &include_bytes!("../tests/data/openssl-p384.crl")[..];
/// let differences = crl::diff(&mut { before }, &mut { after }, 42, |change| {
///     match change {
///         Change::Added(entry) => println!("+ {}", entry.serial),
///         Change::Removed(entry) => println!("- {}", entry.serial),
///         Change::Changed { after, .. } => println!("! {}", after.serial),
///     }
///     ControlFlow::Continue(())
/// })?;
/// println!("{} gone", differences.removed);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`WalkError`]. `visit` stops it with [`ControlFlow::Break`].
pub fn diff<S: Source, T: Source<Error = S::Error>>(
    earlier: &mut S,
    later: &mut T,
    key: u64,
    mut visit: impl FnMut(Change<'_>) -> ControlFlow<()>,
) -> Result<Differences, WalkError<S::Error>> {
    let mut comparison = Comparison {
        earlier: Side::new(earlier)?,
        later: Side::new(later)?,
        hasher: Hasher::new(key),
        differences: Differences::default(),
        duplicates: Tally::default(),
    };
    comparison.align()?;
    comparison.resolve(&mut visit)?;
    let Comparison {
        mut differences,
        duplicates,
        ..
    } = comparison;
    differences.duplicates = duplicates.finding(FindingKind::DuplicateSerial);
    Ok(differences)
}

struct Comparison<'a, S, T> {
    earlier: Side<'a, S>,
    later: Side<'a, T>,
    hasher: Hasher,
    differences: Differences,
    duplicates: Tally,
}

impl<S: Source, T: Source<Error = S::Error>> Comparison<'_, S, T> {
    /// Pairs entries that are equal byte for byte, in order; leaves the others in runs.
    fn align(&mut self) -> Result<(), WalkError<S::Error>> {
        let mut look_ahead = LookAhead::default();
        // Scans for the end of a long run read each list at most twice more in all.
        let size = |list: core::ops::Range<u64>| list.end.saturating_sub(list.start);
        let mut budget = size(self.earlier.walk.list())
            .saturating_add(size(self.later.walk.list()))
            .saturating_mul(2);
        loop {
            let (earlier, later) = (self.earlier.window()?, self.later.window()?);
            if earlier.is_empty() || later.is_empty() {
                let start = (self.earlier.walk.offset(), self.later.walk.offset());
                let end = (self.earlier.walk.list().end, self.later.walk.list().end);
                if start != end {
                    self.leave_unpaired(start, end);
                }
                return Ok(());
            }
            let paired = equal_entries(earlier, later);
            if paired != 0 {
                self.earlier.walk.skip(paired);
                self.later.walk.skip(paired);
                continue;
            }
            let start = (self.earlier.walk.offset(), self.later.walk.offset());
            let agreement = self.find_agreement(&mut look_ahead, &mut budget)?;
            self.leave_unpaired(start, agreement);
        }
    }

    /// Remembers that the entries between these offsets of both lists are not paired, and continues
    /// after them. Once there are too many runs, the last ones also take in what was paired since,
    /// in both lists: paired entries are always outside the runs of both or inside those of both.
    fn leave_unpaired(&mut self, from: (u64, u64), end: (u64, u64)) {
        self.earlier.walk.seek(end.0);
        self.later.walk.seek(end.1);
        let is_full = self.earlier.runs.len() >= MAX_RUNS;
        match (self.earlier.runs.last_mut(), self.later.runs.last_mut()) {
            (Some(one), Some(other)) if is_full || (one.1, other.1) == from => {
                (one.1, other.1) = end;
            }
            _ => {
                self.earlier.runs.push((from.0, end.0));
                self.later.runs.push((from.1, end.1));
            }
        }
    }

    /// Where the two lists have an equal entry again: the offset in each. If it finds none, what it
    /// has looked at.
    fn find_agreement(
        &mut self,
        ahead: &mut LookAhead,
        budget: &mut u64,
    ) -> Result<(u64, u64), WalkError<S::Error>> {
        ahead.clear();
        for _ in 0..LOOK_AHEAD {
            let offset = self.earlier.walk.offset();
            let one = self.earlier.next()?.map(|der| self.hasher.hash(der));
            if let Some(hash) = one {
                if let Some(other) = ahead.later.find(hash) {
                    return Ok((offset, other));
                }
                ahead.earlier.insert(hash, offset);
            }
            let offset = self.later.walk.offset();
            let other = self.later.next()?.map(|der| self.hasher.hash(der));
            if let Some(hash) = other {
                if let Some(one) = ahead.earlier.find(hash) {
                    return Ok((one, offset));
                }
                ahead.later.insert(hash, offset);
            }
            if one.is_none() && other.is_none() {
                break;
            }
        }
        let seen = (self.earlier.walk.offset(), self.later.walk.offset());
        // Many entries were added, or removed, in one place.
        if let Some(found) = scan(&mut self.later, &ahead.earlier, self.hasher, budget)? {
            return Ok(found);
        }
        if let Some((other, one)) = scan(&mut self.earlier, &ahead.later, self.hasher, budget)? {
            return Ok((one, other));
        }
        Ok(seen)
    }

    /// Finds out what both lists say of the serial numbers that are left, one range of hashes after
    /// the other.
    fn resolve(
        &mut self,
        visit: &mut impl FnMut(Change<'_>) -> ControlFlow<()>,
    ) -> Result<(), WalkError<S::Error>> {
        let octets = self.earlier.unpaired_octets();
        let octets = octets.saturating_add(self.later.unpaired_octets());
        if octets == 0 {
            return Ok(());
        }
        let mut suspects = Suspects::All;
        if octets > TABLE_OCTETS as u64 {
            suspects = self.sieve(octets)?;
            if self.report(&suspects, visit)? {
                return Ok(());
            }
        }
        let mut table = Table::new(octets);
        let (mut low, mut width) = (0u64, u64::MAX);
        loop {
            let range = low..=low.saturating_add(width);
            table.clear();
            let wanted = Wanted {
                hasher: self.hasher,
                range: &range,
                suspects: &suspects,
            };
            let fits = collect(&mut self.earlier, &mut table, &wanted)?
                && collect(&mut self.later, &mut table, &wanted)?
                && self.read_earlier(&mut table, &range)?;
            if !fits {
                // No range is too small: tens of thousands of serial numbers do not have one hash,
                // unless their author knew the key.
                if width == 0 {
                    return Err(WalkError::Malformed { offset: 0 });
                }
                width /= 2;
                continue;
            }
            self.read_later(&mut table, &range, visit)?;
            match range.end().checked_add(1) {
                Some(next) => low = next,
                None => return Ok(()),
            }
        }
    }

    /// Reads the earlier list for the serial numbers in the table; false if that is too small.
    fn read_earlier(
        &mut self,
        table: &mut Table,
        range: &RangeInclusive<u64>,
    ) -> Result<bool, WalkError<S::Error>> {
        if table.records.is_empty() {
            return Ok(true);
        }
        let hasher = self.hasher;
        let read = self.earlier.each(|der, offset, is_paired| {
            let serial = serial_contents(der).ok_or(WalkError::Malformed { offset })?;
            let hash = hasher.hash(serial);
            if !table.may_have(hash) || !range.contains(&hash) {
                return Ok(());
            }
            match table.find(hash, serial) {
                Some(index) if !table.see_earlier(index, der, offset, is_paired) => {
                    Err(WalkError::Stopped)
                }
                _ => Ok(()),
            }
        });
        match read {
            Err(WalkError::Stopped) => Ok(false),
            read => read.map(|()| true),
        }
    }

    /// Reads the later list for the serial numbers in the table, and reports what both say.
    fn read_later(
        &mut self,
        table: &mut Table,
        range: &RangeInclusive<u64>,
        visit: &mut impl FnMut(Change<'_>) -> ControlFlow<()>,
    ) -> Result<(), WalkError<S::Error>> {
        if table.records.is_empty() {
            return Ok(());
        }
        let hasher = self.hasher;
        let has_pairs = table.has_pairs;
        let differences = &mut self.differences;
        let duplicates = &mut self.duplicates;
        let mut see = |der: &[u8], offset| {
            let malformed = WalkError::Malformed { offset };
            let serial = serial_contents(der).ok_or(malformed)?;
            let hash = hasher.hash(serial);
            if !table.may_have(hash) || !range.contains(&hash) {
                return Ok(());
            }
            let Some(index) = table.find(hash, serial) else {
                return Ok(());
            };
            let Some(record) = table.records.get_mut(index) else {
                return Ok(());
            };
            let after = Entry::from_der(der).ok_or(WalkError::Malformed { offset })?;
            if record.later_has_it {
                duplicates.add(after.serial);
                return Ok(());
            }
            record.later_has_it = true;
            let record = *record;
            let after = after.at(offset);
            let change = if record.earlier_has_it {
                let before = table.octets_of(&record);
                if before == der {
                    return Ok(());
                }
                differences.changed = differences.changed.saturating_add(1);
                let before = Entry::from_der(before).ok_or(WalkError::Malformed {
                    offset: record.offset,
                })?;
                Change::Changed {
                    before: before.at(record.offset),
                    after,
                }
            } else {
                differences.added = differences.added.saturating_add(1);
                Change::Added(after)
            };
            match visit(change) {
                ControlFlow::Continue(()) => Ok(()),
                ControlFlow::Break(()) => Err(WalkError::Stopped),
            }
        };
        // Paired entries need not be read again if none of them has a serial number of the table.
        if has_pairs {
            self.later.each(|der, offset, _| see(der, offset))?;
        } else {
            self.later.each_unpaired(see)?;
        }
        for record in &table.records {
            if record.later_has_it || !record.earlier_has_it {
                continue;
            }
            differences.removed = differences.removed.saturating_add(1);
            let entry = Entry::from_der(table.octets_of(record)).ok_or(WalkError::Malformed {
                offset: record.offset,
            })?;
            if visit(Change::Removed(entry.at(record.offset))).is_break() {
                return Err(WalkError::Stopped);
            }
        }
        Ok(())
    }
}

/// Octets of the entries at the front of both lists that are equal.
fn equal_entries(one: &[u8], other: &[u8]) -> usize {
    let equal = common_prefix(one, other);
    let mut paired = 0usize;
    let mut rest = one.get(..equal).unwrap_or_default();
    while let Some(size) = first_entry(rest) {
        paired = paired.wrapping_add(size);
        rest = rest.get(size..).unwrap_or_default();
    }
    paired
}

/// How many octets are equal at the front.
fn common_prefix(one: &[u8], other: &[u8]) -> usize {
    const STRIDE: usize = 256;
    let strides = one.chunks_exact(STRIDE).zip(other.chunks_exact(STRIDE));
    let equal = strides.take_while(|(one, other)| one == other).count();
    let equal = equal.wrapping_mul(STRIDE);
    let (one, other) = (one.get(equal..), other.get(equal..));
    let rest = one
        .unwrap_or_default()
        .iter()
        .zip(other.unwrap_or_default());
    equal.wrapping_add(rest.take_while(|(one, other)| one == other).count())
}

/// Reads on in one list until it has an entry that the other was seen to have: the offset in the
/// other list, and in this one.
fn scan<S: Source>(
    side: &mut Side<'_, S>,
    other: &Seen,
    hasher: Hasher,
    budget: &mut u64,
) -> Result<Option<(u64, u64)>, WalkError<S::Error>> {
    while *budget != 0 {
        let offset = side.walk.offset();
        let Some(der) = side.next()? else {
            break;
        };
        *budget = budget.saturating_sub(der.len() as u64);
        if let Some(found) = other.find(hasher.hash(der)) {
            return Ok(Some((found, offset)));
        }
    }
    Ok(None)
}

/// Which unpaired entries are resolved at a time.
struct Wanted<'a> {
    hasher: Hasher,
    range: &'a RangeInclusive<u64>,
    suspects: &'a Suspects,
}

/// Takes the serial numbers of the wanted unpaired entries into the table; false if it is too
/// small.
fn collect<S: Source>(
    side: &mut Side<'_, S>,
    table: &mut Table,
    wanted: &Wanted<'_>,
) -> Result<bool, WalkError<S::Error>> {
    let collected = side.each_unpaired(|der, offset| {
        let serial = serial_contents(der).ok_or(WalkError::Malformed { offset })?;
        let hash = wanted.hasher.hash(serial);
        let is_wanted = wanted.range.contains(&hash) && wanted.suspects.contains(hash);
        if is_wanted && table.find(hash, serial).is_none() && !table.insert(hash, der) {
            return Err(WalkError::Stopped);
        }
        Ok(())
    });
    match collected {
        Err(WalkError::Stopped) => Ok(false),
        collected => collected.map(|()| true),
    }
}

impl<S: Source, T: Source<Error = S::Error>> Comparison<'_, S, T> {
    /// Finds the hashes that an unpaired entry shares with another entry of either list. Different
    /// hashes mean different serial numbers, so all other unpaired entries were added or removed.
    fn sieve(&mut self, octets: u64) -> Result<Suspects, WalkError<S::Error>> {
        let hasher = self.hasher;
        let (mut paired, mut repeated) = (Hits::default(), Hits::default());
        // About a bit for each octet: few bits are set, and the fewer there are, the more of them
        // are in the processor's cache.
        let size = u64::BITS.saturating_sub(octets.leading_zeros());
        let mut unpaired = Filter::new(size.clamp(6, MAX_SIEVE));
        let mut mark = |hash| {
            if unpaired.insert(hash) {
                repeated.add(hash);
            }
        };
        each_unpaired_hash(&mut self.earlier, hasher, &mut mark)?;
        each_unpaired_hash(&mut self.later, hasher, &mut mark)?;
        // Paired entries are the same in both lists.
        self.earlier.each(|der, offset, is_paired| {
            if is_paired {
                let serial = serial_contents(der).ok_or(WalkError::Malformed { offset })?;
                let hash = hasher.hash(serial);
                if unpaired.contains(hash) {
                    paired.add(hash);
                }
            }
            Ok(())
        })?;
        drop(unpaired);
        let Some(mut confirmation) = Confirmation::new(paired, repeated) else {
            return Ok(Suspects::All);
        };
        each_unpaired_hash(&mut self.earlier, hasher, |hash| confirmation.see(hash))?;
        each_unpaired_hash(&mut self.later, hasher, |hash| confirmation.see(hash))?;
        Ok(confirmation.end())
    }

    /// Reports the unpaired entries that are not suspects. Whether all of them are reported.
    fn report(
        &mut self,
        suspects: &Suspects,
        visit: &mut impl FnMut(Change<'_>) -> ControlFlow<()>,
    ) -> Result<bool, WalkError<S::Error>> {
        if matches!(suspects, Suspects::All) {
            return Ok(false);
        }
        let hasher = self.hasher;
        let differences = &mut self.differences;
        let mut are_all = true;
        let mut report = |der: &[u8], offset, is_added| {
            let serial = serial_contents(der).ok_or(WalkError::Malformed { offset })?;
            if suspects.contains(hasher.hash(serial)) {
                are_all = false;
                return Ok(());
            }
            let entry = Entry::from_der(der).ok_or(WalkError::Malformed { offset })?;
            let (count, change) = if is_added {
                (&mut differences.added, Change::Added(entry.at(offset)))
            } else {
                (&mut differences.removed, Change::Removed(entry.at(offset)))
            };
            *count = count.saturating_add(1);
            match visit(change) {
                ControlFlow::Continue(()) => Ok(()),
                ControlFlow::Break(()) => Err(WalkError::Stopped),
            }
        };
        self.earlier
            .each_unpaired(|der, offset| report(der, offset, false))?;
        self.later
            .each_unpaired(|der, offset| report(der, offset, true))?;
        Ok(are_all)
    }
}

/// Gives the hashes of the serial numbers of a list's unpaired entries.
fn each_unpaired_hash<S: Source>(
    side: &mut Side<'_, S>,
    hasher: Hasher,
    mut each: impl FnMut(u64),
) -> Result<(), WalkError<S::Error>> {
    side.each_unpaired(|der, offset| {
        let serial = serial_contents(der).ok_or(WalkError::Malformed { offset })?;
        each(hasher.hash(serial));
        Ok(())
    })
}

#[cfg(test)]
mod tests;
