//! Any two lists: the differences are those of maps, and the index finds what a map finds. Any
//! bytes as a list: no panic.
#![no_main]

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use arbitrary::Arbitrary;
use crl::{
    Algorithm, Change, CrlNumber, Digest, DistinguishedName, Entry, Index, Reason, Revocation,
    Serial, Template, UnixTime,
};
use libfuzzer_sys::fuzz_target;

type List = Vec<(u16, u8)>;

#[derive(Arbitrary, Debug)]
struct Input {
    key: u64,
    earlier: List,
    /// Edits of the earlier list that make the later one: where, how many are removed, what is put
    /// in their place.
    edits: Vec<(u16, u8, List)>,
    bytes: Vec<u8>,
}

fuzz_target!(|input: Input| {
    let mut later = input.earlier.clone();
    for (place, removed, entries) in input.edits {
        let start = usize::from(place) % (later.len() + 1);
        let end = (start + usize::from(removed)).min(later.len());
        later.splice(start..end, entries);
    }
    let (one, other) = (write(&input.earlier), write(&later));
    let (first_one, first_other) = (first(&input.earlier), first(&later));
    let mut changes = BTreeSet::new();
    let differences = crl::diff(&mut &one[..], &mut &other[..], input.key, |change| {
        let serial = match change {
            Change::Added(entry) => {
                let serial = serial(&entry);
                assert!(!first_one.contains_key(&serial));
                assert_eq!(first_other.get(&serial), reason(&entry).as_ref());
                serial
            }
            Change::Removed(entry) => {
                let serial = serial(&entry);
                assert!(!first_other.contains_key(&serial));
                assert_eq!(first_one.get(&serial), reason(&entry).as_ref());
                serial
            }
            Change::Changed { before, after } => {
                let serial = serial(&before);
                assert_eq!(first_one.get(&serial), reason(&before).as_ref());
                assert_eq!(first_other.get(&serial), reason(&after).as_ref());
                assert_ne!(reason(&before), reason(&after));
                serial
            }
        };
        assert!(changes.insert(serial));
        ControlFlow::Continue(())
    })
    .unwrap();
    let serials: BTreeSet<_> = first_one.keys().chain(first_other.keys()).collect();
    let differ = |serial: &u16| first_one.get(serial) != first_other.get(serial);
    let count = serials.into_iter().filter(|serial| differ(serial)).count();
    assert_eq!(changes.len(), count);
    assert_eq!(
        differences.added + differences.removed + differences.changed,
        count as u64
    );

    let mut rows: Vec<Vec<u8>> = Vec::new();
    let index = Index::build(&mut &other[..], &mut rows, input.key).unwrap();
    let duplicates = (later.len() - first_other.len()) as u64;
    assert_eq!(
        index.duplicates().map_or(0, |found| found.count),
        duplicates
    );
    let numbers = input.earlier.iter().chain(&later);
    let numbers: Vec<_> = numbers.map(|(number, _)| number.to_be_bytes()).collect();
    let serials: Vec<_> = numbers
        .iter()
        .map(|number| Serial::from_be_bytes(number))
        .collect();
    let mut all = vec![false; serials.len()];
    index
        .find_all(&serials, &mut rows, &mut &other[..], |place| {
            all[place] = true
        })
        .unwrap();
    for ((octets, serial), is_found) in numbers.iter().zip(serials).zip(all) {
        let number = &u16::from_be_bytes(*octets);
        assert_eq!(is_found, first_other.contains_key(number));
        let found = index.find(serial, &mut rows, &mut &other[..]).unwrap();
        let found = found.map(|found| reason(&Entry::from_der(&found.der).unwrap()).unwrap());
        assert_eq!(found.as_ref(), first_other.get(number));
    }

    let bytes = &input.bytes[..];
    let _ = crl::diff(&mut { bytes }, &mut &other[..], input.key, |_| {
        ControlFlow::Continue(())
    });
    let _ = crl::same_contents(&mut { bytes }, &mut &other[..]);
    let _ = Index::build(&mut { bytes }, &mut Vec::new(), input.key);
    let _ = Index::from_bytes(bytes);
});

/// Of each serial number, the first entry counts.
fn first(list: &List) -> BTreeMap<u16, u8> {
    let mut first = BTreeMap::new();
    for (serial, reason) in list {
        first.entry(*serial).or_insert(reason % 6);
    }
    first
}

fn serial(entry: &Entry<'_>) -> u16 {
    let octets = entry.serial.as_be_bytes().iter();
    octets.fold(0, |serial, octet| serial << 8 | u16::from(*octet))
}

fn reason(entry: &Entry<'_>) -> Option<u8> {
    Some(entry.reason.unwrap_or(Reason::Unspecified).code())
}

fn write(list: &List) -> Vec<u8> {
    let root = b"\x30\x0f1\x0d0\x0b\x06\x03\x55\x04\x03\x13\x04Root";
    let template = Template::new(
        DistinguishedName::from_der(root).unwrap(),
        Algorithm::Ecdsa(Digest::Sha256).identifier().unwrap(),
        CrlNumber::from(1),
        UnixTime(0)..UnixTime(1),
    );
    let serials: Vec<_> = list
        .iter()
        .map(|(serial, _)| serial.to_be_bytes())
        .collect();
    let revocations = serials
        .iter()
        .zip(list)
        .map(|(serial, (_, reason))| Revocation {
            serial: Serial::from_be_bytes(serial),
            date: UnixTime(0),
            reason: Reason::from_code(reason % 6).unwrap(),
            invalidity_date: None,
        });
    template
        .sign(revocations, |_| Ok::<_, ()>(vec![1]))
        .unwrap()
}
