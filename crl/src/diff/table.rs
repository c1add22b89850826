//! Serial numbers that are being resolved.

use alloc::vec;
use alloc::vec::Vec;

use crate::diff::bounds::{TABLE_ENTRIES, TABLE_OCTETS};
use crate::diff::filter::{Filter, low_bits};
use crate::walk::{MAX_ENTRY, MIN_ENTRY, serial_contents};

/// Serial numbers, and what is known of each.
pub(super) struct Table {
    pub(super) records: Vec<Record>,
    /// Entries, one after the other.
    octets: Vec<u8>,
    /// Index into `records` plus one; 0 is free.
    slots: Vec<u32>,
    /// Bits of the hashes: small enough for the fastest cache.
    filter: Filter,
    /// Whether a paired entry has one of the serial numbers: the later list has that entry, too.
    pub(super) has_pairs: bool,
}

#[derive(Clone, Copy)]
pub(super) struct Record {
    hash: u64,
    /// An entry with this serial number, in `octets`: the earlier list's first, once that is known.
    at: usize,
    size: usize,
    /// Where the earlier list's first entry begins.
    pub(super) offset: u64,
    pub(super) earlier_has_it: bool,
    pub(super) later_has_it: bool,
}

impl Table {
    /// For at most so many octets of entries. Its memory does not grow beyond what it takes here.
    pub(super) fn new(octets: u64) -> Self {
        let octets = usize::try_from(octets)
            .unwrap_or(TABLE_OCTETS)
            .min(TABLE_OCTETS);
        let entries = TABLE_ENTRIES.min(octets.wrapping_div(MIN_ENTRY).wrapping_add(1));
        Self {
            records: Vec::with_capacity(entries),
            // Twice, because the other list's entry may be longer; and one entry always fits.
            octets: Vec::with_capacity(
                octets
                    .saturating_mul(2)
                    .min(TABLE_OCTETS)
                    .wrapping_add(2 * MAX_ENTRY),
            ),
            slots: vec![0; entries.saturating_mul(2).next_power_of_two()],
            filter: Filter::new(16),
            has_pairs: false,
        }
    }

    #[inline]
    pub(super) fn may_have(&self, hash: u64) -> bool {
        self.filter.contains(hash)
    }

    pub(super) fn clear(&mut self) {
        self.filter.clear();
        self.has_pairs = false;
        self.records.clear();
        self.octets.clear();
        self.slots.fill(0);
    }

    pub(super) fn octets_of(&self, record: &Record) -> &[u8] {
        let end = record.at.saturating_add(record.size);
        self.octets.get(record.at..end).unwrap_or_default()
    }

    #[inline]
    pub(super) fn find(&self, hash: u64, serial: &[u8]) -> Option<usize> {
        let mask = self.slots.len().wrapping_sub(1);
        let mut at = low_bits(hash) & mask;
        loop {
            let index = (*self.slots.get(at)? as usize).checked_sub(1)?;
            let record = self.records.get(index)?;
            if record.hash == hash && serial_contents(self.octets_of(record)) == Some(serial) {
                return Some(index);
            }
            at = at.wrapping_add(1) & mask;
        }
    }

    /// Adds an entry whose serial number is not there; false if the table is full.
    pub(super) fn insert(&mut self, hash: u64, der: &[u8]) -> bool {
        // One entry always fits, so a range of one hash is always possible.
        let is_full = self.records.len() >= self.records.capacity()
            || self.octets.len().saturating_add(der.len()) > TABLE_OCTETS;
        if is_full && !self.records.is_empty() {
            return false;
        }
        let mask = self.slots.len().wrapping_sub(1);
        let mut at = low_bits(hash) & mask;
        while self.slots.get(at).is_some_and(|index| *index != 0) {
            at = at.wrapping_add(1) & mask;
        }
        let record = Record {
            hash,
            at: self.octets.len(),
            size: der.len(),
            offset: 0,
            earlier_has_it: false,
            later_has_it: false,
        };
        self.octets.extend_from_slice(der);
        self.records.push(record);
        self.filter.insert(hash);
        if let (Some(slot), Ok(index)) = (self.slots.get_mut(at), u32::try_from(self.records.len()))
        {
            *slot = index;
        }
        true
    }

    /// Keeps the earlier list's entry if it is the first of its serial number; false if the table
    /// is full.
    pub(super) fn see_earlier(
        &mut self,
        index: usize,
        der: &[u8],
        offset: u64,
        is_paired: bool,
    ) -> bool {
        let Some(record) = self.records.get_mut(index) else {
            return true;
        };
        self.has_pairs |= is_paired;
        if record.earlier_has_it {
            return true;
        }
        record.earlier_has_it = true;
        record.offset = offset;
        if record.size == der.len() {
            let place = record.at..record.at.saturating_add(record.size);
            if let Some(place) = self.octets.get_mut(place) {
                place.copy_from_slice(der);
            }
            return true;
        }
        (record.at, record.size) = (self.octets.len(), der.len());
        self.octets.extend_from_slice(der);
        // One entry of each list always fits, as in `insert`.
        self.octets.len() <= TABLE_OCTETS || self.records.len() == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tlv;

    /// An entry with this serial number, and as many octets in all.
    fn entry(serial: u8, size: usize) -> Vec<u8> {
        let mut contents = vec![0x02, 0x01, serial];
        let head = match size {
            ..130 => 2,
            130..259 => 3,
            _ => 4,
        };
        contents.resize(size - head, 0);
        let mut der = Vec::new();
        tlv::put(&mut der, tlv::SEQUENCE, &contents).unwrap();
        assert_eq!(der.len(), size);
        der
    }

    /// A table for as many octets as it can have.
    fn table() -> Table {
        Table::new(u64::MAX)
    }

    #[test]
    fn serial_numbers_are_found_whatever_their_hashes() {
        let mut table = table();
        // The slots of the second hash begin with the last.
        for hash in [0, u64::MAX] {
            table.clear();
            assert!(!table.may_have(hash));
            for serial in 1..4 {
                assert_eq!(table.find(hash, &[serial]), None);
                assert!(table.insert(hash, &entry(serial, 20)));
                assert!(table.may_have(hash) && !table.may_have(!hash));
            }
            for serial in 1..4 {
                let index = table.find(hash, &[serial]).unwrap();
                let record = table.records[index];
                assert_eq!(table.octets_of(&record), entry(serial, 20));
                assert_eq!(table.find(hash ^ 1 << 32, &[serial]), None);
            }
        }
    }

    #[test]
    fn a_table_has_so_many_entries_and_so_many_octets() {
        let mut table = table();
        let mut count = |size| {
            table.clear();
            let serials = 1..100;
            let fit = serials.take_while(|serial| {
                let hash = u64::from(*serial);
                table.insert(hash, &entry(*serial, size))
            });
            fit.count()
        };
        assert_eq!(count(20), TABLE_ENTRIES);
        assert_eq!(count(TABLE_OCTETS / 4), 4);
        assert_eq!(count(TABLE_OCTETS / 4 + 1), 3);
        assert_eq!(count(TABLE_OCTETS + 1), 1);
    }

    #[test]
    fn the_first_entry_of_the_earlier_list_takes_the_place_of_the_later_lists() {
        let mut table = table();
        assert!(table.insert(1, &entry(1, 20)));
        assert!(table.insert(2, &entry(2, 20)));
        let mut first = entry(1, 20);
        first[10] = 7;
        assert!(table.see_earlier(0, &first, 50, false));
        assert!(table.see_earlier(1, &entry(2, 30), 80, false));
        assert!(!table.has_pairs);
        assert!(table.see_earlier(0, &entry(1, 25), 90, true));
        assert!(table.has_pairs);
        assert!(table.see_earlier(1, &entry(2, 35), 99, false));
        assert!(table.has_pairs);
        let [one, other] = table.records[..] else {
            panic!();
        };
        assert_eq!((table.octets_of(&one), one.offset), (&first[..], 50));
        assert_eq!(table.octets_of(&other), entry(2, 30));
        assert_eq!(other.offset, 80);
        table.clear();
        assert!(!table.has_pairs);
    }

    #[test]
    fn an_entry_of_the_earlier_list_fits_if_it_is_no_longer_or_alone() {
        let mut table = table();
        let half = TABLE_OCTETS / 2;
        assert!(table.insert(1, &entry(1, half)));
        assert!(table.insert(2, &entry(2, half - 20)));
        assert!(table.see_earlier(0, &entry(1, half), 50, false));
        // 20 octets are left.
        assert!(table.see_earlier(1, &entry(2, 20), 50, false));
        table.clear();
        assert!(table.insert(1, &entry(1, half)));
        assert!(table.insert(2, &entry(2, half - 20)));
        assert!(!table.see_earlier(1, &entry(2, 21), 50, false));
        table.clear();
        assert!(table.insert(1, &entry(1, TABLE_OCTETS)));
        assert!(table.see_earlier(0, &entry(1, TABLE_OCTETS + 1), 50, false));
    }
}
