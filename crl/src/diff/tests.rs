//! Differences against those of maps.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
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
        Some(entry.reason.unwrap().code())
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

fn list(serials: u16) -> impl Strategy<Value = List> {
    vec((0..serials, 1u8..6), 0..120)
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
        (place(), vec((0u16..2000, 1u8..6), 1..30))
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
                *reason = *reason % 5 + 1;
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
        (earlier, later) in vec((0u16..2000, 1u8..6), 0..120)
            .prop_flat_map(|list| (Just(list.clone()), Just(list).prop_shuffle())),
        key in any::<u64>(),
    ) {
        check(&earlier, &later, key)?;
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
