//! `diff` and `Index` over large lists, with their real bounds: exact, and in bounded memory.
#![allow(
    unsafe_code,
    reason = "an allocator that counts is made of unsafe functions"
)]
#![allow(clippy::cast_precision_loss, reason = "figures for people")]

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

use crl::{Change, Index, Reason, Revocation, Rows, Serial, Source, UnixTime};

use common::{Ca, NOW};

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

static IN_USE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: the system's allocator does the work. `realloc` is the default, made of these.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = IN_USE.fetch_add(layout.size(), Relaxed) + layout.size();
        PEAK.fetch_max(now, Relaxed);
        // SAFETY: as the caller's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as the caller's.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// The counters are for one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// By how many bytes the memory in use rises at most.
fn peak(run: impl FnOnce()) -> usize {
    let before = IN_USE.load(Relaxed);
    PEAK.store(before, Relaxed);
    run();
    PEAK.load(Relaxed) - before
}

/// Serial numbers with the hour of their revocation.
type List = Vec<(u64, i64)>;

fn serials(count: usize, seed: u64) -> List {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        state ^ state >> 29
    };
    (0..count).map(|_| (next() | 1, 0)).collect()
}

fn write(list: &[(u64, i64)]) -> Vec<u8> {
    let octets: Vec<_> = list
        .iter()
        .map(|(serial, _)| serial.to_be_bytes())
        .collect();
    let revocations = octets
        .iter()
        .zip(list)
        .map(|(serial, (_, hour))| Revocation {
            serial: Serial::from_be_bytes(serial),
            date: UnixTime(NOW.0 - 1_000_000 + hour * 3600),
            reason: Reason::Superseded,
            invalidity_date: None,
        });
    let template = Ca::p256().template();
    template
        .sign(revocations, |_| Ok::<_, ()>(vec![0; 70]))
        .unwrap()
}

fn number(serial: Serial<'_>) -> u64 {
    let octets = serial.as_be_bytes().iter();
    octets.fold(0, |number, octet| number << 8 | u64::from(*octet))
}

fn check(earlier: &List, later: &List, what: &str) {
    let (one, other) = (write(earlier), write(later));
    let (mut added, mut removed, mut changed) = (Vec::new(), Vec::new(), Vec::new());
    for changes in [&mut added, &mut removed, &mut changed] {
        // So that the memory of the result does not count.
        changes.reserve(earlier.len() + later.len());
    }
    let used = peak(|| {
        let differences = crl::diff(&mut &one[..], &mut &other[..], 7, |change| {
            let (list, entry) = match change {
                Change::Added(entry) => (&mut added, entry),
                Change::Removed(entry) => (&mut removed, entry),
                Change::Changed { after, .. } => (&mut changed, after),
            };
            list.push(number(entry.serial));
            ControlFlow::Continue(())
        });
        differences.unwrap();
    });
    assert!(used <= 8 << 20, "{what}: {used} bytes");
    let set = |changes: Vec<u64>| {
        let count = changes.len();
        let set = BTreeSet::from_iter(changes);
        assert_eq!(set.len(), count, "{what}: a serial number comes twice");
        set
    };
    let (added, removed, changed) = (set(added), set(removed), set(changed));
    let (one, other): (BTreeMap<_, _>, BTreeMap<_, _>) = (
        earlier.iter().copied().collect(),
        later.iter().copied().collect(),
    );
    let only = |a: &BTreeMap<u64, i64>, b: &BTreeMap<u64, i64>| -> BTreeSet<u64> {
        a.keys()
            .filter(|serial| !b.contains_key(serial))
            .copied()
            .collect()
    };
    assert_eq!(added, only(&other, &one), "{what}");
    assert_eq!(removed, only(&one, &other), "{what}");
    let differ = |serial: &&u64| other.get(serial).is_some_and(|hour| one[serial] != *hour);
    let expected: BTreeSet<u64> = one.keys().filter(differ).copied().collect();
    assert_eq!(changed, expected, "{what}");
}

#[test]
fn differences_are_exact_and_memory_is_bounded() {
    let _alone = ALONE.lock();
    let earlier = serials(60_000, 1);
    let new = serials(60_000, 2);
    let mut few = earlier.clone();
    for n in (0..few.len()).step_by(1000) {
        few[n] = new[n];
        few[n + 7].1 = 5;
    }
    check(&earlier, &few, "few differ");
    check(&earlier, &new, "nothing in common");
    check(&earlier, &Vec::new(), "all gone");
    check(
        &earlier,
        &[new.clone(), earlier.clone()].concat(),
        "many in front",
    );
    check(
        &earlier,
        &[&earlier[..100], &earlier[55_000..]].concat(),
        "many gone",
    );
    let every_other: List = earlier.iter().step_by(2).copied().collect();
    check(&earlier, &every_other, "every other gone");
    let mut shuffled = [earlier.clone(), new[..2000].to_vec()].concat();
    shuffled.sort_unstable_by_key(|(serial, _)| serial.rotate_left(20));
    check(&earlier, &shuffled, "another order");
    let dates: List = earlier.iter().map(|(serial, _)| (*serial, 9)).collect();
    check(&earlier, &dates, "all changed");
}

/// A list that counts how many octets are read from it.
struct Metered<'a> {
    list: &'a [u8],
    read: usize,
}

impl<'a> Metered<'a> {
    fn new(list: &'a [u8]) -> Self {
        Self { list, read: 0 }
    }

    /// How often the list was read, on average over its octets.
    fn times(&self) -> f64 {
        self.read as f64 / self.list.len() as f64
    }
}

impl Source for Metered<'_> {
    type Error = std::convert::Infallible;

    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> Result<usize, Self::Error> {
        let read = self.list.read_at(offset, buffer)?;
        self.read += read;
        Ok(read)
    }
}

/// Lists that keep the order of the entries that they share are read three times at most, unless so
/// many entries differ that they are not resolved at once.
#[test]
fn lists_that_keep_their_order_are_read_a_few_times() {
    let _alone = ALONE.lock();
    let earlier = serials(60_000, 1);
    let new = serials(60_000, 2);
    let mut replaced = earlier.clone();
    for n in (0..replaced.len()).step_by(1000) {
        replaced[n] = new[n];
    }
    let appended = [&earlier[..], &new[..100]].concat();
    let doubled = [&earlier[..], &new].concat();
    let in_front = [&new[..30_000], &earlier[..]].concat();
    let gone = [&earlier[..100], &earlier[55_000..]].concat();
    let spread: List = earlier
        .chunks(100)
        .zip(&new)
        .flat_map(|(some, new)| [&[*new], some].concat())
        .collect();
    // How often the earlier and the later list may be read.
    for (later, what, limits) in [
        (&earlier, "the same", [1.1, 1.1]),
        (&appended, "appended", [2.1, 1.1]),
        (&replaced, "replaced", [3.0, 3.0]),
        (&spread, "inserted", [2.1, 3.0]),
        (&in_front, "many in front", [2.2, 1.8]),
        (&gone, "many gone", [6.0, 2.1]),
        (&doubled, "many appended", [3.1, 3.0]),
        (&new, "nothing in common", [8.0, 7.5]),
    ] {
        let (one, other) = (write(&earlier), write(later));
        let (mut one, mut other) = (Metered::new(&one), Metered::new(&other));
        crl::diff(&mut one, &mut other, 7, |_| ControlFlow::Continue(())).unwrap();
        let times = [one.times(), other.times()];
        assert!(
            times[0] <= limits[0] && times[1] <= limits[1],
            "{what}: {times:?}"
        );
    }
}

/// Rows that count what is read.
#[derive(Default)]
struct Counted {
    rows: Vec<Vec<u8>>,
    reads: usize,
}

impl Rows for Counted {
    type Error = std::convert::Infallible;

    fn append(&mut self, row: &[u8]) -> Result<(), Self::Error> {
        Rows::append(&mut self.rows, row)
    }

    fn read(&mut self, index: usize, row: &mut Vec<u8>) -> Result<(), Self::Error> {
        self.reads += 1;
        Rows::read(&mut self.rows, index, row)
    }
}

/// Rows that nothing will read.
struct Discarded;

impl Rows for Discarded {
    type Error = std::convert::Infallible;

    fn append(&mut self, _: &[u8]) -> Result<(), Self::Error> {
        Ok(())
    }

    fn read(&mut self, _: usize, _: &mut Vec<u8>) -> Result<(), Self::Error> {
        unreachable!("an index is made without reading its rows")
    }
}

#[test]
fn an_index_is_made_in_bounded_memory() {
    let _alone = ALONE.lock();
    let der = write(&vec![(5, 0); 600_000]);
    let used = peak(|| {
        let index = Index::build(&mut &der[..], &mut Discarded, 11).unwrap();
        assert_eq!(index.entries(), 600_000);
        assert_eq!(index.duplicates().unwrap().count, 599_999);
    });
    assert!(used <= 5 << 20, "{used} bytes");
    // A short list takes no more than it needs.
    let der = write(&serials(1000, 3));
    let used = peak(|| {
        Index::build(&mut &der[..], &mut Discarded, 11).unwrap();
    });
    assert!(used <= 200 << 10, "{used} bytes");
}

#[test]
fn a_lookup_by_index_reads_one_row() {
    let _alone = ALONE.lock();
    let list = serials(60_000, 3);
    let der = write(&list);
    let mut rows = Counted::default();
    let index = Index::build(&mut &der[..], &mut rows, 11).unwrap();
    let octets: usize = rows.rows.iter().map(Vec::len).sum();
    assert_eq!(octets, 8 * list.len());
    for (serial, _) in list.iter().step_by(300) {
        rows.reads = 0;
        let find = |serial: u64, rows: &mut Counted| {
            let serial = serial.to_be_bytes();
            let serial = Serial::from_be_bytes(&serial);
            index.find(serial, rows, &mut &der[..]).unwrap()
        };
        assert!(find(*serial, &mut rows).is_some());
        // Nearly always one; two if the records before the row's first may have the same hash.
        assert!(rows.reads <= 2, "{}", rows.reads);
        assert_eq!(
            find(serial ^ 2, &mut rows).is_some(),
            list.contains(&(serial ^ 2, 0))
        );
    }
}

#[test]
fn many_lookups_at_once_read_each_row_and_each_entry_once() {
    let _alone = ALONE.lock();
    let list = serials(60_000, 3);
    let der = write(&list);
    let mut rows = Counted::default();
    let index = Index::build(&mut &der[..], &mut rows, 11).unwrap();
    // Every second one is listed.
    let wanted = list.iter().step_by(10);
    let wanted = wanted.flat_map(|(serial, _)| [*serial, serial ^ 2]);
    let wanted: Vec<_> = wanted.map(u64::to_be_bytes).collect();
    let serials: Vec<_> = wanted.iter().map(|it| Serial::from_be_bytes(it)).collect();
    let mut source = Metered::new(&der);
    let mut places = Vec::new();
    let found = |place| places.push(place);
    index
        .find_all(&serials, &mut rows, &mut source, found)
        .unwrap();
    assert!(rows.reads <= rows.rows.len(), "{}", rows.reads);
    // 256 octets are read of each candidate, one in a thousand of which is another entry.
    assert!(source.read < 6100 * 256, "{}", source.read);
    // The entries are read from the first to the last.
    let sorted: Vec<_> = (0..serials.len()).step_by(2).collect();
    assert_eq!(places, sorted);
}
