//! An index of a list's serial numbers: finds an entry without reading the list.
//!
//! A record has 8 octets: the first bits of the serial number's hash, and the offset of the entry
//! in as many bits as that needs. Records are sorted and kept in rows. A lookup reads the rows that
//! can have the hash, which is one in nearly all cases, and then the entries that they point to, to
//! compare the serial numbers themselves.

use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use crate::finding::{Finding, FindingKind, Tally};
use crate::hash::Hasher;
use crate::serial::Serial;
use crate::source::{Source, read_up_to};
use crate::walk::{MIN_ENTRY, Walk, WalkError, first_entry, serial_contents};

/// The bounds are small in tests, so that few entries make many rows and batches.
const SMALL: bool = cfg!(any(test, fuzzing));

/// Records in a row: 32 KiB.
const ROW: usize = if SMALL { 4 } else { 4096 };
/// Records in memory while the index is made: 4 MiB.
const BATCH: usize = if SMALL { 16 } else { 512 << 10 };

/// Rows of octets, kept somewhere: in a file, or in a database.
pub trait Rows {
    /// Why a row cannot be kept or read.
    type Error;

    /// Keeps a row of at most 32 KiB after the rows before it.
    ///
    /// # Errors
    /// Those of whatever keeps the rows.
    fn append(&mut self, row: &[u8]) -> Result<(), Self::Error>;

    /// Reads row number `index`, from 0, into `row`, whose octets it replaces.
    ///
    /// # Errors
    /// Those of whatever keeps the rows.
    fn read(&mut self, index: usize, row: &mut Vec<u8>) -> Result<(), Self::Error>;
}

/// Rows in memory.
impl Rows for Vec<Vec<u8>> {
    type Error = core::convert::Infallible;

    fn append(&mut self, row: &[u8]) -> Result<(), Self::Error> {
        self.push(row.to_vec());
        Ok(())
    }

    fn read(&mut self, index: usize, row: &mut Vec<u8>) -> Result<(), Self::Error> {
        row.clear();
        row.extend_from_slice(self.get(index).map(Vec::as_slice).unwrap_or_default());
        Ok(())
    }
}

/// An index of the serial numbers of one list, with its records in rows elsewhere.
///
/// ```
/// use crl::{Index, Serial};
///
/// # let der = &include_bytes!("../tests/data/openssl-p256.crl")[..];
/// let mut rows: Vec<Vec<u8>> = Vec::new(); // or the rows of a database
/// let index = Index::build(&mut { der }, &mut rows, 42)?;
/// let serial = Serial::from_be_bytes(&[0x7c, 0xab, 0xab, 0xab, 0xab]);
/// let entry = index.find(serial, &mut rows, &mut { der })?;
/// assert!(entry.is_some());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    key: u64,
    /// How many of a record's bits are the offset.
    offset_bits: u32,
    /// The first record of each row.
    first_records: Vec<u64>,
    entries: u64,
    duplicates: Option<Finding>,
}

/// An entry that an [`Index`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The entry's DER, for [`Entry::from_der`](crate::Entry::from_der).
    pub der: Vec<u8>,
    /// Where the entry begins: octets from the first of the CRL.
    pub offset: u64,
}

impl Index {
    /// Makes the index of the list in `source`. Uses at most 5 MiB of memory; reads the list once,
    /// and at most once more for every 262,144 entries.
    ///
    /// `key` chooses the hash function. It should be a random number: who knows it can choose
    /// serial numbers that make lookups slow, though not wrong.
    ///
    /// # Errors
    /// [`WalkError`], also with an error of `rows`.
    pub fn build<S: Source, R: Rows<Error = S::Error>>(
        source: &mut S,
        rows: &mut R,
        key: u64,
    ) -> Result<Self, WalkError<S::Error>> {
        let mut walk = Walk::new(source)?;
        let end = walk.list().end;
        let mut building = Building {
            index: Self {
                key,
                offset_bits: u64::BITS.saturating_sub(end.leading_zeros()),
                first_records: Vec::new(),
                entries: 0,
                duplicates: None,
            },
            source,
            rows,
            row: Vec::with_capacity(8 * ROW),
            last: None,
            equal: Vec::new(),
            duplicates: Tally::default(),
        };
        let size = walk.list().end.saturating_sub(walk.list().start);
        let entries = usize::try_from(size).map_or(BATCH, |size| size / MIN_ENTRY);
        // No larger than it will be: to grow, it would need half as much again.
        let mut records = Vec::with_capacity(entries.min(BATCH));
        let mut low = 0u64;
        loop {
            let high = building.batch(&mut walk, low, &mut records)?;
            building.put(&records)?;
            match high.checked_add(1) {
                Some(next) => low = next,
                None => break,
            }
        }
        building.end_row()?;
        let mut index = building.index;
        index.duplicates = building.duplicates.finding(FindingKind::DuplicateSerial);
        Ok(index)
    }

    /// How many entries the list has.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// How many rows the index has.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.first_records.len()
    }

    /// Entries whose serial number an earlier entry has, if there are any.
    #[must_use]
    pub fn duplicates(&self) -> Option<&Finding> {
        self.duplicates.as_ref()
    }

    /// The entry with this serial number: the first, if there are several.
    /// `source` must be the list of which the index was made.
    ///
    /// # Errors
    /// [`WalkError`], also with an error of `rows`.
    pub fn find<S: Source, R: Rows<Error = S::Error>>(
        &self,
        serial: Serial<'_>,
        rows: &mut R,
        source: &mut S,
    ) -> Result<Option<Found>, WalkError<S::Error>> {
        let contents = serial.to_integer();
        let prefix = self.prefix(&contents);
        let mut row = Vec::new();
        for index in self.rows_with(prefix) {
            rows.read(index, &mut row).map_err(WalkError::Source)?;
            for offset in self.offsets_in(&row, prefix) {
                let der = entry_at(source, offset)?;
                if serial_contents(&der) == Some(&contents[..]) {
                    return Ok(Some(Found { der, offset }));
                }
            }
        }
        Ok(None)
    }

    /// Which of these serial numbers the list has: calls `found` with the place of each of them in
    /// `serials`, in any order. Reads every row and every part of the list at most once.
    /// `source` must be the list of which the index was made.
    ///
    /// # Errors
    /// [`WalkError`], also with an error of `rows`.
    pub fn find_all<S: Source, R: Rows<Error = S::Error>>(
        &self,
        serials: &[Serial<'_>],
        rows: &mut R,
        source: &mut S,
        mut found: impl FnMut(usize),
    ) -> Result<(), WalkError<S::Error>> {
        let hasher = Hasher::new(self.key);
        let prefix = |serial: &Serial<'_>| hasher.hash(&serial.to_integer()) & !self.offset_mask();
        let prefixes = serials.iter().map(prefix);
        let mut wanted: Vec<_> = prefixes.zip(0usize..).collect();
        wanted.sort_unstable();
        // The offsets of entries that may have a serial number, and its place.
        let mut candidates: Vec<(u64, usize)> = Vec::new();
        let mut row = Vec::new();
        let mut in_memory = None;
        for &(prefix, place) in &wanted {
            for index in self.rows_with(prefix) {
                if in_memory != Some(index) {
                    rows.read(index, &mut row).map_err(WalkError::Source)?;
                    in_memory = Some(index);
                }
                let offsets = self.offsets_in(&row, prefix);
                candidates.extend(offsets.map(|offset| (offset, place)));
            }
        }
        candidates.sort_unstable();
        let mut is_found = vec![false; serials.len()];
        for (offset, place) in candidates {
            let (Some(is_found), Some(serial)) = (is_found.get_mut(place), serials.get(place))
            else {
                continue;
            };
            if !*is_found {
                let der = entry_at(source, offset)?;
                *is_found = serial_contents(&der) == Some(&serial.to_integer()[..]);
                if *is_found {
                    found(place);
                }
            }
        }
        Ok(())
    }

    /// The rows that can have a record with this prefix.
    fn rows_with(&self, prefix: u64) -> Range<usize> {
        let last = prefix | self.offset_mask();
        // The row before the first that begins at or after the prefix may have it, too.
        let after = self.first_records.partition_point(|first| *first < prefix);
        let end = self.first_records.partition_point(|first| *first <= last);
        after.saturating_sub(1)..end
    }

    /// The offsets in a row's records with this prefix.
    fn offsets_in<'a>(&self, row: &'a [u8], prefix: u64) -> impl Iterator<Item = u64> + use<'a> {
        let mask = self.offset_mask();
        let (records, _) = row.as_chunks();
        // No record equals the prefix: an entry's offset is not 0.
        let first = records.partition_point(|record| u64::from_be_bytes(*record) < prefix);
        let records = records.get(first..).unwrap_or_default().iter();
        records
            .map(|record| u64::from_be_bytes(*record))
            .take_while(move |record| record & !mask == prefix)
            .map(move |record| record & mask)
    }

    /// The index without its rows, to be stored; [`Index::from_bytes`] reads it.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![1]; // the version of this form
        bytes.extend_from_slice(&self.key.to_be_bytes());
        bytes.extend_from_slice(&self.offset_bits.to_be_bytes());
        bytes.extend_from_slice(&self.entries.to_be_bytes());
        for record in &self.first_records {
            bytes.extend_from_slice(&record.to_be_bytes());
        }
        bytes
    }

    /// What [`Index::to_bytes`] gave, without the duplicates; `None` if it is something else.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.strip_prefix(&[1])?;
        let (key, bytes) = bytes.split_first_chunk()?;
        let (offset_bits, bytes) = bytes.split_first_chunk()?;
        let (entries, bytes) = bytes.split_first_chunk()?;
        let offset_bits = u32::from_be_bytes(*offset_bits);
        let (records, rest) = bytes.as_chunks();
        let record = |record: &[u8; 8]| u64::from_be_bytes(*record);
        (offset_bits <= u64::BITS && rest.is_empty()).then(|| Self {
            key: u64::from_be_bytes(*key),
            offset_bits,
            first_records: records.iter().map(record).collect(),
            entries: u64::from_be_bytes(*entries),
            duplicates: None,
        })
    }

    fn offset_mask(&self) -> u64 {
        1u64.checked_shl(self.offset_bits)
            .map_or(u64::MAX, |bit| bit.wrapping_sub(1))
    }

    #[inline]
    fn record(&self, serial: &[u8], offset: u64) -> u64 {
        self.prefix(serial) | offset
    }

    /// The hash of a serial number, with zeros in place of an offset.
    #[inline]
    fn prefix(&self, serial: &[u8]) -> u64 {
        Hasher::new(self.key).hash(serial) & !self.offset_mask()
    }
}

/// An index that is being made.
struct Building<'a, S, R> {
    index: Index,
    source: &'a mut S,
    rows: &'a mut R,
    row: Vec<u8>,
    /// The record that was put last.
    last: Option<u64>,
    /// Serial numbers of the last records, if several have the same prefix.
    equal: Vec<Vec<u8>>,
    duplicates: Tally,
}

impl<S: Source, R: Rows<Error = S::Error>> Building<'_, S, R> {
    /// Reads the records from `low` on, as many as fit in memory, and sorts them; gives the last
    /// record that would be among them.
    fn batch(
        &mut self,
        walk: &mut Walk,
        low: u64,
        records: &mut Vec<u64>,
    ) -> Result<u64, WalkError<S::Error>> {
        let mut high = u64::MAX;
        records.clear();
        walk.seek(walk.list().start);
        loop {
            let offset = walk.offset();
            let Some(der) = walk.next(self.source)? else {
                break;
            };
            let serial = serial_contents(der).ok_or(WalkError::Malformed { offset })?;
            let record = self.index.record(serial, offset);
            if !(low..=high).contains(&record) {
                continue;
            }
            records.push(record);
            if records.len() == BATCH {
                // Keep the lower half. No two records are equal: their offsets differ.
                let (_, middle, _) = records.select_nth_unstable(BATCH / 2);
                high = *middle;
                records.truncate(BATCH / 2 + 1);
            }
        }
        records.sort_unstable();
        Ok(high)
    }

    /// Puts sorted records into rows.
    fn put(&mut self, records: &[u64]) -> Result<(), WalkError<S::Error>> {
        let count = records.len() as u64;
        self.index.entries = self.index.entries.saturating_add(count);
        for record in records {
            self.count_duplicate(*record)?;
            if self.row.is_empty() {
                self.index.first_records.push(*record);
            }
            self.row.extend_from_slice(&record.to_be_bytes());
            if self.row.len() >= 8 * ROW {
                self.end_row()?;
            }
        }
        Ok(())
    }

    /// Counts a record's entry if an earlier one has its serial number. Records with equal prefixes
    /// have equal serial numbers, or the hashes of two are alike.
    fn count_duplicate(&mut self, record: u64) -> Result<(), WalkError<S::Error>> {
        let mask = self.index.offset_mask();
        let last = self.last.replace(record);
        let Some(last) = last.filter(|last| last & !mask == record & !mask) else {
            self.equal.clear();
            return Ok(());
        };
        if self.equal.is_empty() {
            let der = entry_at(self.source, last & mask)?;
            self.equal
                .push(serial_contents(&der).unwrap_or_default().to_vec());
        }
        let der = entry_at(self.source, record & mask)?;
        let serial = serial_contents(&der).unwrap_or_default();
        if self.equal.iter().any(|seen| seen == serial) {
            if let Some(serial) = Serial::from_integer(serial) {
                self.duplicates.add(serial);
            }
        } else {
            self.equal.push(serial.to_vec());
        }
        Ok(())
    }

    fn end_row(&mut self) -> Result<(), WalkError<S::Error>> {
        if !self.row.is_empty() {
            self.rows.append(&self.row).map_err(WalkError::Source)?;
            self.row.clear();
        }
        Ok(())
    }
}

/// The entry that begins at an offset.
fn entry_at<S: Source>(source: &mut S, offset: u64) -> Result<Vec<u8>, WalkError<S::Error>> {
    const USUAL: usize = 256;
    let mut der = vec![0; USUAL];
    loop {
        let read = read_up_to(source, offset, &mut der).map_err(WalkError::Source)?;
        let is_whole = read < der.len();
        der.truncate(read);
        if let Some(size) = first_entry(&der) {
            der.truncate(size);
            return Ok(der);
        }
        // The largest entry has 64 KiB.
        if is_whole || der.len() >= 64 << 10 {
            return Err(WalkError::Malformed { offset });
        }
        der.resize(64 << 10, 0);
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::reason::Reason;
    use crate::revocation::Revocation;
    use crate::testing::{crl, template};
    use crate::time::UnixTime;

    proptest! {
        /// Against a map: every serial number is found at its first entry, and no other one is.
        #[test]
        fn an_index_finds_what_a_map_finds(
            entries in vec((0u16..300, 1u8..6), 0..200),
            key in any::<u64>(),
        ) {
            let der = crl(&entries);
            let mut source = &der[..];
            let mut rows = Vec::new();
            let built = Index::build(&mut source, &mut rows, key).unwrap();
            prop_assert_eq!(built.entries(), entries.len() as u64);
            prop_assert_eq!(built.rows(), rows.len());
            prop_assert!(rows.iter().all(|row: &Vec<u8>| row.len() <= 8 * ROW));
            let octets: usize = rows.iter().map(Vec::len).sum();
            prop_assert_eq!(octets, 8 * entries.len());
            let index = Index::from_bytes(&built.to_bytes()).unwrap();
            let mut first = BTreeMap::new();
            for (serial, reason) in &entries {
                first.entry(*serial).or_insert(*reason);
            }
            let duplicates = (entries.len() - first.len()) as u64;
            let found = built.duplicates().map_or(0, |finding| finding.count);
            prop_assert_eq!(found, duplicates);
            for serial in 0..310u16 {
                let octets = serial.to_be_bytes();
                let found = index.find(Serial::from_be_bytes(&octets), &mut rows, &mut source);
                let found = found.unwrap().map(|found| {
                    let start = found.offset as usize;
                    assert_eq!(&der[start..start + found.der.len()], found.der);
                    crate::Entry::from_der(&found.der).unwrap().reason.unwrap().code()
                });
                prop_assert_eq!(found, first.get(&serial).copied(), "{}", serial);
            }
            let octets: Vec<_> = (0..310u16).map(u16::to_be_bytes).collect();
            let serials: Vec<_> = octets.iter().map(|it| Serial::from_be_bytes(it)).collect();
            let mut all = Vec::new();
            let found = |place| all.push(place);
            index.find_all(&serials, &mut rows, &mut source, found).unwrap();
            all.sort_unstable();
            let listed: Vec<_> = first.keys().map(|serial| usize::from(*serial)).collect();
            prop_assert_eq!(all, listed);
        }
    }

    /// A list of which is counted how often it is read as a whole, and how often one entry.
    struct Counted<'a> {
        list: &'a [u8],
        passes: usize,
        entries: usize,
    }

    impl Source for Counted<'_> {
        type Error = core::convert::Infallible;

        fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> Result<usize, Self::Error> {
            self.passes += usize::from(buffer.len() > 256);
            self.entries += usize::from(buffer.len() == 256);
            self.list.read_at(offset, buffer)
        }
    }

    #[test]
    fn a_list_is_read_once_for_every_batch() {
        let entries: Vec<_> = (0..400).map(|serial| (serial, 1)).collect();
        let list = crl(&entries);
        let mut source = Counted {
            list: &list,
            passes: 0,
            entries: 0,
        };
        let index = Index::build(&mut source, &mut Vec::new(), 5).unwrap();
        assert_eq!((index.entries(), index.rows()), (400, 400 / ROW));
        // At least half of a batch each time.
        assert!(source.passes <= 2 * 400 / BATCH + 1, "{}", source.passes);
        // Only those with this hash are read.
        assert_eq!(source.entries, 0);
    }

    #[test]
    fn more_equal_serial_numbers_than_a_batch_has_are_counted() {
        let equal = core::iter::repeat_n((7, 1), 3 * BATCH);
        let entries: Vec<_> = (0..60).map(|serial| (serial, 1)).chain(equal).collect();
        let list = crl(&entries);
        let index = Index::build(&mut &list[..], &mut Vec::new(), 5).unwrap();
        assert_eq!(index.entries(), entries.len() as u64);
        assert_eq!(index.duplicates().unwrap().count, 3 * BATCH as u64);
    }

    #[test]
    fn long_entries_are_found_and_those_cut_off_are_malformed() {
        let serials = [vec![0x55; 300], vec![0x44; 60_000]];
        let revocations = serials.iter().map(|serial| Revocation {
            serial: Serial::from_be_bytes(serial),
            date: UnixTime(0),
            reason: Reason::Unspecified,
            invalidity_date: None,
        });
        let list = template().sign(revocations, |_| Ok::<_, ()>(vec![7; 70]));
        let list = list.unwrap();
        let mut rows = Vec::new();
        let index = Index::build(&mut &list[..], &mut rows, 5).unwrap();
        for serial in &serials {
            let serial = Serial::from_be_bytes(serial);
            let found = index.find(serial, &mut rows, &mut &list[..]);
            let found = found.unwrap().unwrap();
            let entry = crate::Entry::from_der(&found.der).unwrap();
            assert_eq!(entry.serial, serial);
            let end = found.offset as usize + found.der.len() - 1;
            let cut_off = index.find(serial, &mut rows, &mut &list[..end]);
            assert!(matches!(cut_off, Err(WalkError::Malformed { .. })));
        }
    }

    #[test]
    fn stored_bytes_of_another_form_are_not_an_index() {
        for bytes in [&b""[..], &[2; 30], &[1; 22]] {
            assert_eq!(Index::from_bytes(bytes), None);
        }
        // The version, the key, the bits of an offset, the number of entries, and a record.
        let stored = |offset_bits: u8, record: &[u8]| {
            let parts = [&[1][..], &[7; 8], &[0, 0, 0, offset_bits], &[0; 8], record];
            Index::from_bytes(&parts.concat())
        };
        assert_eq!(stored(64, &[]).unwrap().rows(), 0);
        assert_eq!(stored(65, &[]), None);
        assert_eq!(
            stored(24, &[9; 8]).unwrap().first_records,
            [0x0909_0909_0909_0909]
        );
        assert_eq!(stored(24, &[9; 7]), None);
    }
}
