//! Differences against those of maps.

use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::diff::bounds::TABLE_ENTRIES;
use crate::reason::Reason;
use crate::testing::crl;

type List = Vec<(u16, u8)>;

/// What the differences are, by maps: serial numbers with the reasons before and after.
type Changes = BTreeMap<u16, (Option<u8>, Option<u8>)>;

fn by_maps(earlier: &List, later: &List) -> Changes {
    let first = |list: &List| {
        let mut first = BTreeMap::new();
        for (serial, reason) in list {
            first.entry(*serial).or_insert(*reason);
        }
        first
    };
    let (earlier, later) = (first(earlier), first(later));
    let serials = earlier.keys().chain(later.keys());
    serials
        .map(|serial| {
            (
                *serial,
                (earlier.get(serial).copied(), later.get(serial).copied()),
            )
        })
        .filter(|(_, (before, after))| before != after)
        .collect()
}

fn by_diff(earlier: &List, later: &List, key: u64) -> (Changes, Differences) {
    let (earlier, later) = (crl(earlier), crl(later));
    let serial = |entry: &Entry<'_>| {
        let octets = entry.serial.as_be_bytes();
        octets
            .iter()
            .fold(0, |serial, octet| serial << 8 | u16::from(*octet))
    };
    let reason = |list: &[u8], entry: &Entry<'_>| {
        let start = entry.offset as usize;
        assert_eq!(&list[start..start + entry.der.len()], entry.der);
        Some(entry.reason.map_or(0, Reason::code))
    };
    let mut changes = Changes::new();
    let differences = diff(&mut &earlier[..], &mut &later[..], key, |change| {
        let (serial, change) = match change {
            Change::Added(entry) => (serial(&entry), (None, reason(&later, &entry))),
            Change::Removed(entry) => (serial(&entry), (reason(&earlier, &entry), None)),
            Change::Changed { before, after } => {
                assert_eq!(before.serial, after.serial);
                let change = (reason(&earlier, &before), reason(&later, &after));
                (serial(&after), change)
            }
        };
        assert_eq!(changes.insert(serial, change), None, "{serial} comes twice");
        ControlFlow::Continue(())
    })
    .unwrap();
    (changes, differences)
}

fn check(earlier: &List, later: &List, key: u64) -> Result<(), TestCaseError> {
    let (changes, differences) = by_diff(earlier, later, key);
    prop_assert_eq!(&changes, &by_maps(earlier, later));
    let count = |kind: fn(&(Option<u8>, Option<u8>)) -> bool| {
        changes.values().filter(|change| kind(change)).count() as u64
    };
    prop_assert_eq!(differences.added, count(|change| change.0.is_none()));
    prop_assert_eq!(differences.removed, count(|change| change.1.is_none()));
    prop_assert_eq!(
        differences.changed,
        count(|change| change.0.is_some() && change.1.is_some())
    );
    let mut seen = BTreeMap::new();
    for (serial, _) in earlier {
        *seen.entry(*serial).or_insert(0u64) += 1;
    }
    if seen.values().all(|count| *count == 1) {
        let serials = by_maps(&Vec::new(), later).len();
        let duplicates = differences.duplicates.map_or(0, |finding| finding.count);
        prop_assert_eq!(duplicates, (later.len() - serials) as u64);
    }
    Ok(())
}

/// Entries without a reason, 0, are shorter.
fn list(serials: u16) -> impl Strategy<Value = List> {
    vec((0..serials, 0u8..6), 0..120)
}

/// One edit of a list.
#[derive(Clone, Debug)]
enum Edit {
    Remove(prop::sample::Index, usize),
    Insert(prop::sample::Index, List),
    Change(prop::sample::Index),
    Swap(prop::sample::Index, prop::sample::Index),
    Repeat(prop::sample::Index),
}

fn edit() -> impl Strategy<Value = Edit> {
    let place = any::<prop::sample::Index>;
    prop_oneof![
        (place(), 1usize..30).prop_map(|(place, count)| Edit::Remove(place, count)),
        (place(), vec((0u16..2000, 0u8..6), 1..30))
            .prop_map(|(place, entries)| Edit::Insert(place, entries)),
        place().prop_map(Edit::Change),
        (place(), place()).prop_map(|(one, other)| Edit::Swap(one, other)),
        place().prop_map(Edit::Repeat),
    ]
}

fn edited(list: &List, edits: Vec<Edit>) -> List {
    let mut list = list.clone();
    for edit in edits {
        let size = list.len();
        match edit {
            Edit::Insert(place, entries) => {
                let place = place.index(size + 1);
                list.splice(place..place, entries);
            }
            _ if size == 0 => {}
            Edit::Remove(place, count) => {
                let place = place.index(size);
                list.drain(place..(place + count).min(size));
            }
            Edit::Change(place) => {
                let reason = &mut list[place.index(size)].1;
                *reason = (*reason + 1) % 6;
            }
            Edit::Swap(one, other) => list.swap(one.index(size), other.index(size)),
            Edit::Repeat(place) => {
                let entry = list[place.index(size)];
                list.push(entry);
            }
        }
    }
    list
}

proptest! {
    #[test]
    fn differences_of_any_two_lists(
        earlier in list(60),
        later in list(60),
        key in any::<u64>(),
    ) {
        check(&earlier, &later, key)?;
    }

    #[test]
    fn differences_after_edits(
        earlier in list(2000),
        edits in vec(edit(), 0..12),
        key in any::<u64>(),
    ) {
        let later = edited(&earlier, edits);
        check(&earlier, &later, key)?;
        check(&later, &earlier, key)?;
    }

    #[test]
    fn differences_of_a_shuffled_list(
        (earlier, later) in vec((0u16..2000, 0u8..6), 0..120)
            .prop_flat_map(|list| (Just(list.clone()), Just(list).prop_shuffle())),
        key in any::<u64>(),
    ) {
        check(&earlier, &later, key)?;
    }
}

/// Two lists of 40 entries that differ at every one of these places.
fn replaced_at(places: &[usize]) -> (List, List) {
    let earlier: List = (1000..1040).map(|serial| (serial, 1)).collect();
    let mut later = earlier.clone();
    for place in places {
        later[*place].0 += 1000;
    }
    (earlier, later)
}

/// A comparison after its alignment.
fn aligned<'a, 'l>(
    earlier: &'a mut &'l [u8],
    later: &'a mut &'l [u8],
) -> Comparison<'a, &'l [u8], &'l [u8]> {
    let mut comparison = Comparison {
        earlier: Side::new(earlier).unwrap(),
        later: Side::new(later).unwrap(),
        hasher: Hasher::new(5),
        differences: Differences::default(),
        duplicates: Tally::default(),
    };
    comparison.align().unwrap();
    comparison
}

/// Which entries of the two lists alignment does not pair, as runs of their places. All entries
/// have the same size.
fn unpaired(earlier: &List, later: &List) -> [Vec<(u64, u64)>; 2] {
    let (one, other) = (crl(earlier), crl(later));
    let (mut one, mut other) = (&one[..], &other[..]);
    let comparison = aligned(&mut one, &mut other);
    [&comparison.earlier, &comparison.later].map(|side| {
        let list = side.walk.list();
        let size = first_entry(&side.source[list.start as usize..]).unwrap() as u64;
        let place = |offset| (offset - list.start) / size;
        let runs = side.runs.iter();
        runs.map(|(from, end)| (place(*from), place(*end)))
            .collect()
    })
}

#[test]
fn alignment_leaves_what_differs_and_nothing_else() {
    let (earlier, later) = replaced_at(&[3, 20, 21]);
    let expected = vec![(3, 4), (20, 22)];
    assert_eq!(unpaired(&earlier, &later), [expected.clone(), expected]);
    let longer: List = (2000..2000 + 2 * LOOK_AHEAD as u16)
        .map(|serial| (serial, 1))
        .collect();
    let longer = [&earlier[..30], &longer, &earlier[30..]].concat();
    let (none, added) = (vec![(30, 30)], vec![(30, 30 + 2 * LOOK_AHEAD as u64)]);
    assert_eq!(unpaired(&earlier, &longer), [none.clone(), added.clone()]);
    assert_eq!(unpaired(&longer, &earlier), [added, none]);
    assert_eq!(unpaired(&earlier, &earlier), [vec![], vec![]]);
}

#[test]
fn runs_without_a_paired_entry_between_them_are_one() {
    let (earlier, later) = replaced_at(&(0..40).collect::<Vec<_>>());
    let all = vec![(0, 40)];
    assert_eq!(unpaired(&earlier, &later), [all.clone(), all]);
}

#[test]
fn once_there_are_too_many_runs_the_last_one_covers_the_rest() {
    let (earlier, later) = replaced_at(&[1, 5, 10, 15, 20, 30]);
    let expected = vec![(1, 2), (5, 6), (10, 11), (15, 31)];
    assert_eq!(expected.len(), MAX_RUNS);
    assert_eq!(unpaired(&earlier, &later), [expected.clone(), expected]);
}

#[test]
fn a_side_says_which_entries_are_paired() {
    let (earlier, later) = replaced_at(&[0, 1, 20, 39]);
    let (one, other) = (crl(&earlier), crl(&later));
    let (mut one, mut other) = (&one[..], &other[..]);
    let mut comparison = aligned(&mut one, &mut other);
    let (mut flags, mut unpaired) = (Vec::new(), Vec::new());
    let side = &mut comparison.earlier;
    let each = |_: &[u8], offset, is_paired| {
        flags.push((offset, is_paired));
        Ok(())
    };
    side.each(each).unwrap();
    let each = |_: &[u8], offset| {
        unpaired.push(offset);
        Ok(())
    };
    side.each_unpaired(each).unwrap();
    assert_eq!(flags.len(), 40);
    let offsets = flags.iter().filter(|(_, is_paired)| !is_paired);
    let offsets: Vec<_> = offsets.map(|(offset, _)| *offset).collect();
    assert_eq!(offsets, [0, 1, 20, 39].map(|place: usize| flags[place].0));
    assert_eq!(unpaired, offsets);
    let sizes = offsets.len() as u64 * (flags[1].0 - flags[0].0);
    assert_eq!(side.unpaired_octets(), sizes);
}

/// The later list repeats its serial numbers in short entries, which the table takes; of the
/// earlier list it then takes long ones, which do not fit.
#[test]
fn a_table_that_the_earlier_list_overflows_is_filled_again() {
    let count = TABLE_ENTRIES as u16 - 4;
    let long: List = (1000..1000 + count).map(|serial| (serial, 1)).collect();
    let short: List = long.iter().map(|(serial, _)| (*serial, 0)).collect();
    let later = [&long[..], &short].concat();
    for key in 0..20 {
        check(&long, &later, key).unwrap();
    }
}

#[test]
fn a_visitor_stops_the_comparison() {
    let later = crl(&[(1, 1), (2, 1)]);
    let mut calls = 0;
    let stopped = diff(&mut &crl(&[])[..], &mut &later[..], 0, |_| {
        calls += 1;
        ControlFlow::Break(())
    });
    assert!(matches!(stopped, Err(WalkError::Stopped)));
    assert_eq!(calls, 1);
}

#[test]
fn a_source_that_is_not_a_crl_is_an_error() {
    let list = crl(&[(1, 1)]);
    let differences = diff(&mut &list[..], &mut &b"<html>"[..], 0, |_| {
        ControlFlow::Continue(())
    });
    assert!(matches!(differences, Err(WalkError::Malformed { .. })));
}
