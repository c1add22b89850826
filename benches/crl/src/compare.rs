//! Comparing two lists, beside the time of reading both; and an index of one.

use std::ops::ControlFlow;

use crl::{Index, Limits, Reason, Rows};

use crate::inputs::{Input, revocation};
use crate::table::{Table, best};

pub(crate) fn measure(input: &Input, table: &mut Table) {
    let count = input.count;
    let serials = &input.serials;
    let new = crate::inputs::serials(count / 10 + 1, 43);
    let appended = [serials, &new[..(count / 1000).max(1)]].concat();
    let removed: Vec<_> = serials.chunks(100).flat_map(|some| &some[1..]).collect();
    let inserted = serials
        .chunks(100)
        .zip(&new)
        .flat_map(|(some, new)| [&[*new], some].concat());
    let in_front = [&new, &serials[..]].concat();
    let reversed = serials.iter().rev().copied();
    let cases: [(&str, Vec<[u8; 16]>, Change); 9] = [
        ("the same list", serials.clone(), Change::None),
        ("0.1 % appended", appended, Change::None),
        ("0.1 % replaced", few_replaced(input), Change::None),
        (
            "1 % removed",
            removed.into_iter().copied().collect(),
            Change::None,
        ),
        ("1 % inserted", inserted.collect(), Change::None),
        ("10 % inserted in front", in_front, Change::None),
        ("half removed", serials[..count / 2].to_vec(), Change::None),
        ("every entry changed", serials.clone(), Change::Reasons),
        ("in reverse order", reversed.collect(), Change::None),
    ];
    for (name, serials, change) in cases {
        let later = list(input, &serials, change);
        let reading = best(|| [&input.crl, &later].map(|crl| read(crl)));
        let unit = Some(reading.time);
        let figure = best(|| {
            let (one, other) = (&mut &input.crl[..], &mut &later[..]);
            crl::diff(one, other, 42, |_| ControlFlow::Continue(())).expect("two CRLs")
        });
        table.row(count, name, Some(figure), unit);
    }
    let unit = Some(best(|| read(&input.crl)).time);
    let index = best(|| Index::build(&mut &input.crl[..], &mut Dropped, 42).expect("a CRL"));
    table.row(count, "an index of one list", Some(index), unit);
}

/// What is different in every entry.
#[derive(Clone, Copy)]
enum Change {
    None,
    Reasons,
}

fn few_replaced(input: &Input) -> Vec<[u8; 16]> {
    let mut serials = input.serials.clone();
    let others = crate::inputs::serials(serials.len() / 1000 + 1, 43);
    let replaced = serials.iter_mut().skip(500).step_by(1000);
    for (serial, other) in replaced.zip(others) {
        *serial = other;
    }
    serials
}

fn read(crl: &[u8]) -> u64 {
    let limits = Limits {
        max_bytes: 1 << 30,
        ..Limits::default()
    };
    crl::read(crl, limits, &mut ()).expect("a CRL").entry_count
}

fn list(input: &Input, serials: &[[u8; 16]], change: Change) -> Vec<u8> {
    let revocations = serials.iter().map(|serial| {
        let mut revocation = revocation(serial);
        if let Change::Reasons = change {
            revocation.reason = Reason::PrivilegeWithdrawn;
        }
        revocation
    });
    let signed = input
        .template
        .sign(revocations, |_| Ok::<_, ()>(vec![0; 71]));
    signed.expect("a CRL")
}

/// Drops the rows: keeping them is not a part of what is measured.
struct Dropped;

impl Rows for Dropped {
    type Error = std::convert::Infallible;

    fn append(&mut self, row: &[u8]) -> Result<(), Self::Error> {
        std::hint::black_box(row);
        Ok(())
    }

    fn read(&mut self, _: usize, _: &mut Vec<u8>) -> Result<(), Self::Error> {
        Ok(())
    }
}
