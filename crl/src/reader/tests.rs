//! The reader against bytes that are right, and that are wrong in one place.
use alloc::string::{String, ToString};

use super::*;
use crate::number::CrlNumber;

const P256: &[u8] = include_bytes!("../../tests/data/openssl-p256.crl");
/// Where its list begins; the list's head has four octets.
const LIST: usize = 121;

/// Everything that a visitor receives, the signed bytes joined.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    headers: Vec<Header>,
    signed: Vec<u8>,
    entries: Vec<String>,
}

impl Visitor for Seen {
    fn header(&mut self, header: &Header) {
        assert!(self.signed.is_empty() && self.entries.is_empty());
        self.headers.push(header.clone());
    }
    fn signed(&mut self, bytes: &[u8]) {
        assert_eq!(self.headers.len(), 1);
        self.signed.extend_from_slice(bytes);
    }
    fn entry(&mut self, entry: &Entry<'_>) -> ControlFlow<()> {
        assert_eq!(self.headers.len(), 1);
        self.entries.push(alloc::format!("{entry:?}"));
        ControlFlow::Continue(())
    }
}

fn read_pieces<'a>(
    pieces: impl IntoIterator<Item = &'a [u8]>,
    limits: Limits,
) -> Result<(Crl, Seen), ReadError> {
    let mut reader = Reader::new(limits);
    let mut seen = Seen::default();
    for piece in pieces {
        reader.push(piece, &mut seen)?;
    }
    Ok((reader.finish()?, seen))
}

fn read_whole(der: &[u8]) -> Result<Crl, ReadError> {
    read(der, Limits::default(), &mut ())
}

/// Replaces the only occurrence of `from` by as many octets.
fn replaced(from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let places: Vec<usize> = (0..P256.len())
        .filter(|at| P256[*at..].starts_with(from))
        .collect();
    let [place] = places[..] else {
        panic!("{from:02x?} occurs at {places:?}")
    };
    let mut der = P256.to_vec();
    der[place..place + to.len()].copy_from_slice(to);
    der
}

#[test]
fn everything_is_read() {
    let (crl, seen) = read_pieces([P256], Limits::default()).unwrap();
    assert_eq!(crl.size, P256.len() as u64);
    assert_eq!(
        seen.signed,
        P256[crl.tbs.start as usize..crl.tbs.end as usize]
    );
    assert_eq!(seen.headers, core::slice::from_ref(&crl.header));
    assert_eq!(crl.entry_count, 8);
    assert_eq!(seen.entries.len(), 8);
    assert_eq!(crl.header.version, Version::V2);
    assert_eq!(
        crl.header.issuer.to_string(),
        "CN=Example Issuing CA,O=Example Trust,C=NL"
    );
    assert_eq!(crl.header.algorithm.to_string(), "ECDSA with SHA-256");
    assert_eq!(crl.extensions.number, Some(CrlNumber::from(0x1000)));
    assert!(crl.extensions.authority_key_id.is_some());
    assert_eq!(crl.unknown_critical_entry_extension, None);
}

#[test]
fn pieces_of_any_size_give_the_same() {
    let whole = read_pieces([P256], Limits::default()).unwrap();
    for size in 1..P256.len() {
        let (first, second) = P256.split_at(size);
        assert_eq!(
            read_pieces([first, &[], second], Limits::default()).unwrap(),
            whole
        );
        assert_eq!(
            read_pieces(P256.chunks(size), Limits::default()).unwrap(),
            whole
        );
    }
}

#[test]
fn a_crl_that_ends_early_is_refused() {
    for length in 0..P256.len() {
        let error = read_whole(&P256[..length]).unwrap_err();
        let size = (length >= 4).then_some(P256.len() as u64);
        let received = length as u64;
        assert_eq!(error, ReadError::Truncated { received, size });
        assert_eq!(error.code(), "malformed");
    }
    // One that says that it ends after tbsCertList.
    let tbs = read_whole(P256).unwrap().tbs;
    let tbs = &P256[tbs.start as usize..tbs.end as usize];
    let mut short = Vec::new();
    tlv::put(&mut short, SEQUENCE, tbs).unwrap();
    let received = short.len() as u64;
    let size = Some(received);
    let truncated = ReadError::Truncated { received, size };
    assert_eq!(read_whole(&short), Err(truncated));
}

#[test]
fn bytes_after_the_end_are_refused() {
    let longer = [P256, b"\n"].concat();
    let error = read_whole(&longer).unwrap_err();
    assert_eq!(error.code(), "trailing_data");
    assert_eq!(
        read_pieces([P256, b"\n"], Limits::default()).unwrap_err(),
        error
    );
    assert!(read_pieces([P256, b""], Limits::default()).is_ok());
}

#[test]
fn an_error_is_given_again() {
    let mut reader = Reader::new(Limits::default());
    let error = reader.push(b"<html>", &mut ()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "malformed at octet 0: a CRL begins with a SEQUENCE"
    );
    assert_eq!(reader.push(b"", &mut ()), Err(error));
    assert_eq!(reader.finish(), Err(error));
}

#[test]
fn what_is_too_large_is_refused_as_soon_as_its_length_is_known() {
    let limits = Limits::default();
    let size = P256.len() as u64;
    let too_large = |limits, bytes: &[u8]| {
        let error = read_pieces([bytes], limits).unwrap_err();
        assert_eq!(error.code(), "too_large", "{error}");
    };
    too_large(
        Limits {
            max_bytes: size - 1,
            ..limits
        },
        &P256[..4],
    );
    too_large(
        Limits {
            max_header_bytes: 80,
            ..limits
        },
        P256,
    );
    too_large(
        Limits {
            max_entry_bytes: 62,
            ..limits
        },
        P256,
    );
    too_large(
        Limits {
            max_extensions_bytes: 49,
            ..limits
        },
        P256,
    );
    let fits = Limits {
        max_bytes: size,
        max_header_bytes: 130,
        max_entry_bytes: 63,
        max_extensions_bytes: 50,
    };
    assert!(read_pieces([P256], fits).is_ok());
}

#[test]
fn the_version_must_be_v2_if_it_is_present() {
    let version = b"\x02\x01\x01\x30\x0a";
    for other in [b"\x02\x01\x00\x30\x0a", b"\x02\x01\x02\x30\x0a"] {
        let error = read_whole(&replaced(version, other)).unwrap_err();
        assert_eq!(error.code(), "unsupported_version");
    }
}

#[test]
fn lengths_beyond_their_container_are_refused() {
    let error = |der: &[u8]| {
        let error = read_whole(der).unwrap_err();
        assert_eq!(error.code(), "malformed");
        error.to_string()
    };
    // The list, longer by one, and shorter by one.
    for size in [P256[LIST + 3] + 1, P256[LIST + 3] - 1] {
        let mut der = P256.to_vec();
        der[LIST + 3] = size;
        error(&der);
    }
    let mut outer = P256.to_vec();
    outer[3] -= 1;
    error(&outer);
    let mut tbs = P256.to_vec();
    tbs[7] += 1;
    error(&tbs);
    tbs[7] = 0xff;
    tbs[6] = 0xff;
    assert!(error(&tbs).contains("longer than what contains it"));
}

#[test]
fn version_1_has_neither_version_nor_extensions() {
    let part = |tag, contents: &[u8]| {
        let mut der = Vec::new();
        tlv::put_head(&mut der, tag, contents.len() as u32);
        der.extend_from_slice(contents);
        der
    };
    let algorithm = b"\x30\x05\x06\x03\x2b\x65\x70";
    let signature = b"\x03\x02\x00\x2a";
    let crl = |fields: &[&[u8]]| {
        let tbs = part(SEQUENCE, &fields.concat());
        part(SEQUENCE, &[&tbs[..], algorithm, signature].concat())
    };
    let time = b"\x17\x0d240102030405Z";
    let shortest = crl(&[algorithm, b"\x30\x00", time]);
    for size in [1, shortest.len()] {
        let (crl, seen) = read_pieces(shortest.chunks(size), Limits::default()).unwrap();
        assert_eq!(crl.header.version, Version::V1);
        assert_eq!(crl.header.next_update, None);
        assert_eq!(crl.signature, [0x2a]);
        assert_eq!(seen.signed, shortest[2..shortest.len() - 11]);
    }
    // RFC 5280, section 5.1.2.6, forbids an empty list, but CAs do write it, and webpki and
    // OpenSSL accept it.
    let empty_list = read_whole(&crl(&[algorithm, b"\x30\x00", time, time, b"\x30\x00"])).unwrap();
    assert_eq!(empty_list.entry_count, 0);
    // nextUpdate is optional (X.509, section 7.10), and verifying asks for it.
    let list = b"\x30\x14\x30\x12\x02\x01\x01\x17\x0d240102030405Z";
    let without_next_update = read_whole(&crl(&[algorithm, b"\x30\x00", time, list])).unwrap();
    assert_eq!(without_next_update.entry_count, 1);
    assert_eq!(without_next_update.header.next_update, None);
    for fields in [
        &[&algorithm[..]][..],
        &[algorithm, b"\x30\x00"],
        &[algorithm, b"\x30\x00", time, time, time],
        &[algorithm, b"\x30\x00", time, b"\xa0\x00"],
        &[algorithm, b"\x30\x00", time, b"\x30\x00", b"\x05\x00"],
        &[algorithm, b"\x30\x00", time, b"\x30\x02\x30\x00"],
        &[algorithm, b"\x30\x00", time, b"\x30\x01\x30"],
        &[algorithm, b"\x30\x00", time, b"\x30\x02\x05\x82"],
        &[algorithm, b"\x30\x00", time, b"\x30\x02\x30\x82"],
        &[b"\x30\x00", b"\x30\x00", time],
        &[algorithm, b"\x31\x00", time],
    ] {
        let der = crl(fields);
        assert_eq!(
            read_whole(&der).unwrap_err().code(),
            "malformed",
            "{der:02x?}"
        );
        let in_pieces = read_pieces(der.chunks(1), Limits::default());
        assert_eq!(in_pieces.unwrap_err(), read_whole(&der).unwrap_err());
    }
}

#[test]
fn a_signature_is_whole_octets() {
    let mut der = P256.to_vec();
    let crl = read_whole(&der).unwrap();
    let unused_bits = der.len() - crl.signature.len() - 1;
    der[unused_bits] = 1;
    assert_eq!(read_whole(&der).unwrap_err().code(), "malformed");
}

#[test]
fn memory_is_bounded_by_one_element() {
    let entry = b"\x30\x12\x02\x01\x01\x17\x0d240102030405Z".repeat(100_000);
    let mut reader = Reader::new(Limits::default());
    // All up to the list, with lengths that suit a longer one.
    let mut head = b"\x30\x83\x1f\xff\xff\x30\x83\x1f\xff\x00".to_vec();
    head.extend_from_slice(&P256[8..LIST]);
    tlv::put_head(&mut head, SEQUENCE, entry.len() as u32);
    reader.push(&head, &mut ()).unwrap();
    for piece in entry.chunks(999) {
        reader.push(piece, &mut ()).unwrap();
        assert!(reader.held.capacity() + reader.head.capacity() < 512);
    }
    assert_eq!(reader.parts.entry_count, 100_000);
}

#[test]
fn a_visitor_stops_the_reader() {
    struct First(u64);
    impl Visitor for First {
        fn entry(&mut self, entry: &Entry<'_>) -> ControlFlow<()> {
            assert_eq!(entry.offset, LIST as u64 + 4);
            self.0 += 1;
            ControlFlow::Break(())
        }
    }
    for size in [1, 50, P256.len()] {
        let mut reader = Reader::new(Limits::default());
        let mut first = First(0);
        let mut pieces = P256.chunks(size);
        let stopped = pieces.try_for_each(|piece| reader.push(piece, &mut first));
        assert_eq!(stopped, Err(ReadError::Stopped));
        assert_eq!(reader.push(P256, &mut first), Err(ReadError::Stopped));
        assert_eq!(first.0, 1);
    }
}

/// Each entry has its own octets and offset, wherever the CRL is cut.
#[test]
fn entries_say_where_they_are() {
    struct FindItself;
    impl Visitor for FindItself {
        fn entry(&mut self, entry: &Entry<'_>) -> ControlFlow<()> {
            let start = usize::try_from(entry.offset).unwrap();
            assert_eq!(&P256[start..start + entry.der.len()], entry.der);
            assert_eq!(Entry::from_der(entry.der).unwrap().serial, entry.serial);
            assert!(entry.extensions().count() >= entry.reason.iter().count());
            ControlFlow::Continue(())
        }
    }
    for size in 1..200 {
        let mut reader = Reader::new(Limits::default());
        for piece in P256.chunks(size) {
            reader.push(piece, &mut FindItself).unwrap();
        }
        assert_eq!(reader.finish().unwrap().entry_count, 8);
    }
}

#[test]
fn the_header_is_there_once_the_list_begins() {
    let mut reader = Reader::new(Limits::default());
    let (before, list) = P256.split_at(LIST + 3);
    reader.push(before, &mut ()).unwrap();
    assert_eq!(reader.header(), None);
    reader.push(&list[..1], &mut ()).unwrap();
    let crl = read_whole(P256).unwrap();
    assert_eq!(reader.header(), Some(&crl.header));
}

/// Its length is then in the long form, which has a path of its own.
#[test]
fn a_long_entry_may_be_as_large_as_the_limit() {
    let entry = |serial: u8| {
        let mut der = b"\x30\x81\xda\x02\x81\xc8".to_vec();
        der.extend_from_slice(&[serial; 200]);
        der.extend_from_slice(b"\x17\x0d240102030405Z");
        der
    };
    let list = [entry(1), entry(2), entry(3)].concat();
    let tbs = crate::testing::template().tbs(list.len() as u64).unwrap();
    let seal = tbs.seal(&[7; 70]).unwrap();
    let parts = [&seal.prefix, tbs.before(), &list, tbs.after(), &seal.suffix];
    let der = parts.concat();
    let read = |piece, max_entry_bytes| {
        let limits = Limits {
            max_entry_bytes,
            ..Limits::default()
        };
        read_pieces(der.chunks(piece), limits).map(|(crl, _)| crl.entry_count)
    };
    for piece in [1, 100, der.len()] {
        assert_eq!(read(piece, entry(1).len()), Ok(3));
        let error = read(piece, entry(1).len() - 1).unwrap_err();
        assert_eq!(error.code(), "too_large");
    }
}
