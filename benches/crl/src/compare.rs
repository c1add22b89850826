//! Comparing two lists, beside the time of reading both; and an index of one.

use std::ops::ControlFlow;

use crl::{Index, Limits, Rows};

use crate::inputs::{Input, revocation};
use crate::table::{Table, best};

pub(crate) fn measure(input: &Input, table: &mut Table) {
    let count = input.count;
    let other = crate::inputs::serials(count / 10 + 1, 43);
    let serials = &input.serials;
    let mut few_replaced = serials.clone();
    for (n, serial) in few_replaced.iter_mut().enumerate() {
        if n % 1000 == 500 {
            *serial = other[n / 1000];
        }
    }
    let with_index = serials.iter().enumerate();
    let kept = with_index.filter(|(n, _)| n % 100 != 50);
    let one_in_100_removed: Vec<_> = kept.map(|(_, serial)| *serial).collect();
    let mut tenth_first = other.clone();
    tenth_first.extend(serials);
    let half: Vec<_> = serials.iter().copied().take(count / 2).collect();
    let mut reversed = serials.clone();
    reversed.reverse();
    let cases = [
        ("the same list", serials.clone()),
        ("one in 1,000 replaced", few_replaced),
        ("1 % removed", one_in_100_removed),
        ("10 % added in front", tenth_first),
        ("half gone", half),
        ("in reverse order", reversed),
    ];
    for (name, later) in cases {
        let later = list(input, &later);
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

fn read(crl: &[u8]) -> u64 {
    let limits = Limits {
        max_bytes: 1 << 30,
        ..Limits::default()
    };
    crl::read(crl, limits, &mut ()).expect("a CRL").entry_count
}

fn list(input: &Input, serials: &[[u8; 16]]) -> Vec<u8> {
    let signed = input
        .template
        .sign(serials.iter().map(revocation), |_| Ok::<_, ()>(vec![0; 71]));
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
