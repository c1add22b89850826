//! Hostile lists of the same size as an honest one: reading, hashing and verifying each. What the
//! reader refuses shows as the time until it does.

use crl::{
    CrlKind, Examination, Extension, Limits, Requirements, RustCrypto, Template, Verification,
};
use rcgen::SigningKey as _;

use crate::inputs::{Input, NOW};
use crate::table::{Table, best};

const DATE: &[u8] = b"\x02\x01\x01\x17\x0d240102030405Z";

pub(crate) fn measure(input: &Input, table: &mut Table) {
    let honest = best(|| verify(input, &input.crl));
    let unit = Some(honest.time);
    table.row(input.count, "honest", Some(honest), unit);
    let entries = input.serials.len() * 49;
    let extensions = |count: u16, oid: &dyn Fn([u8; 2]) -> Vec<u8>| {
        let all = (0..count).flat_map(|n| {
            let fields = [element(0x06, &oid(n.to_be_bytes())), element(0x04, b"")].concat();
            element(0x30, &fields)
        });
        let all: Vec<u8> = all.collect();
        element(0x30, &[DATE, &element(0x30, &all)].concat())
    };
    let short = |[_, n]: [u8; 2]| vec![0x2a, 1 + n];
    let alike = |[_, n]: [u8; 2]| [[0x2a; 19].as_slice(), &[1 + n]].concat();
    let thousands = |[high, low]: [u8; 2]| vec![0x2a, 0x80 | high, 0x80 | low >> 4, low & 0x0f];
    let serial = vec![0x55; 0xf000];
    let long_serial = [&[0x02, 0x82, 0xf0, 0][..], &serial, &DATE[3..]].concat();
    for (name, entry) in [
        ("the shortest entries", element(0x30, DATE)),
        (
            "dates as GeneralizedTime",
            element(0x30, b"\x02\x01\x01\x18\x0f20240102030405Z"),
        ),
        ("one extension in each entry", extensions(1, &short)),
        ("eight extensions in each entry", extensions(8, &short)),
        ("eight of long, similar types", extensions(8, &alike)),
        ("8,000 extensions: refused", extensions(8000, &thousands)),
        ("serial numbers of 60 KiB", element(0x30, &long_serial)),
    ] {
        let list = entry.repeat(entries / entry.len());
        let crl = sign(input, &input.template, &list);
        let figure = best(|| verify(input, &crl));
        table.row(input.count, name, Some(figure), unit);
    }
    let with = |extra_extensions| {
        let template = Template {
            extra_extensions,
            ..input.template.clone()
        };
        sign(input, &template, &entry_octets(input))
    };
    let many = with((0..30).map(extension).collect());
    let urls = b"\x86\x01x".repeat(128);
    let point = element(0x30, &element(0xa0, &element(0xa0, &urls)));
    let urls = with(vec![Extension {
        value: point,
        oid: "2.5.29.28".parse().expect("an object identifier"),
        critical: true,
    }]);
    for (name, crl) in [
        ("32 extensions of the CRL", many),
        ("128 URLs in its distribution point", urls),
    ] {
        let figure = best(|| verify(input, &crl));
        table.row(input.count, name, Some(figure), unit);
    }
}

/// An extension of an unknown type, without a value.
fn extension(n: u32) -> Extension {
    Extension {
        oid: format!("2.5.30.{n}").parse().expect("an object identifier"),
        critical: false,
        value: Vec::new(),
    }
}

fn entry_octets(input: &Input) -> Vec<u8> {
    let mut entries = Vec::new();
    for serial in &input.serials {
        let revocation = crate::inputs::revocation(serial);
        revocation.encode(&mut entries).expect("an entry");
    }
    entries
}

fn sign(input: &Input, template: &Template, list: &[u8]) -> Vec<u8> {
    let tbs = template.tbs(list.len() as u64).expect("a CRL");
    let message = [tbs.before(), list, tbs.after()].concat();
    let signature = input.key.sign(&message).expect("a signature");
    let seal = tbs.seal(&signature).expect("a CRL");
    [&seal.prefix[..], &message, &seal.suffix].concat()
}

/// Whether it is verified: what is refused at once counts, too.
fn verify(input: &Input, crl: &[u8]) -> bool {
    let limits = Limits {
        max_bytes: 1 << 30,
        ..Limits::default()
    };
    let mut examination = Examination::<RustCrypto>::new(limits);
    if examination.push(crl).is_err() {
        return false;
    }
    let Ok(examined) = examination.finish() else {
        return false;
    };
    let requirements = Requirements::new(&input.issuer, CrlKind::Full, NOW);
    matches!(
        crl::verify(&examined, &requirements),
        Ok(Verification::Verified(_))
    )
}

fn element(tag: u8, contents: &[u8]) -> Vec<u8> {
    let length = contents.len();
    let [.., b, c] = length.to_be_bytes();
    let head = match length {
        0..0x80 => vec![tag, c],
        0x80..0x100 => vec![tag, 0x81, c],
        _ => vec![tag, 0x82, b, c],
    };
    [head.as_slice(), contents].concat()
}
