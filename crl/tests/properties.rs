//! What must hold for any CRL, cut anywhere.
#![allow(clippy::cast_possible_truncation, reason = "what tests make is small")]

mod common;
#[path = "common/oracle.rs"]
mod oracle;

use std::ops::ControlFlow;

use crl::{
    Algorithm, CrlNumber, Digest, DistinguishedName, Entry, Header, IssuingDistributionPoint,
    Limits, ReadError, Reader, Reason, Revocation, Serial, Status, Template, UnixTime, Visitor,
};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;

use oracle::{Listed, Reading};

/// Years 1970 to 9999: der knows none before.
fn time() -> impl Strategy<Value = UnixTime> {
    (0..=UnixTime::MAX.0).prop_map(UnixTime)
}

fn listed() -> impl Strategy<Value = Listed> {
    let serial = vec(any::<u8>(), 1..=20);
    let reason = of(proptest::sample::select(&[1, 2, 3, 4, 5, 6, 8, 9, 10][..]));
    (serial, time(), reason, of(time())).prop_map(|(serial, date, reason, invalidity_date)| {
        Listed {
            serial: Serial::from_be_bytes(&serial).as_be_bytes().to_vec(),
            date: date.0,
            reason,
            invalidity_date: invalidity_date.map(|time| time.0),
        }
    })
}

fn url() -> impl Strategy<Value = String> {
    "http://[a-z]{1,20}\\.example/[a-z0-9/]{0,200}"
}

fn template() -> impl Strategy<Value = Template> {
    let scope = (
        of(url()),
        prop_oneof![
            Just((None, None)),
            any::<u64>().prop_map(|base| (Some(base), None)),
            url().prop_map(|url| (None, Some(url)))
        ],
    );
    (
        (time(), 1..1_000_000i64),
        vec(any::<u8>(), 0..=20),
        of(vec(any::<u8>(), 1..=64)),
        scope,
    )
        .prop_map(
            |((this_update, validity), number, authority_key_id, (point, (base, freshest_crl)))| {
                let number = CrlNumber::from_be_bytes(&number).unwrap();
                Template {
                    issuer: DistinguishedName::from_der(
                        b"\x30\x0f1\x0d0\x0b\x06\x03\x55\x04\x03\x13\x04Root",
                    )
                    .unwrap(),
                    algorithm: Algorithm::Ecdsa(Digest::Sha256).identifier().unwrap(),
                    this_update: UnixTime(this_update.0.min(UnixTime::MAX.0 - validity)),
                    next_update: UnixTime((this_update.0 + validity).min(UnixTime::MAX.0)),
                    number,
                    authority_key_id,
                    issuing_distribution_point: point.map(IssuingDistributionPoint::from_url),
                    base_number: base.map(CrlNumber::from).map(|base| base.min(number)),
                    freshest_crl: Vec::from_iter(freshest_crl),
                    next_publish: None,
                    extra_extensions: Vec::new(),
                }
            },
        )
}

/// A CRL with a made-up signature.
fn write(template: &Template, entries: &[Listed]) -> Vec<u8> {
    let revocations = entries.iter().map(|entry| Revocation {
        serial: Serial::from_be_bytes(&entry.serial),
        date: UnixTime(entry.date),
        reason: entry
            .reason
            .and_then(Reason::from_code)
            .unwrap_or(Reason::Unspecified),
        invalidity_date: entry.invalidity_date.map(UnixTime),
    });
    template
        .sign(revocations, |tbs| {
            Ok::<_, ()>(vec![tbs.len() as u8; tbs.len() % 80])
        })
        .unwrap()
}

/// Everything that a visitor receives.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    reading: Reading,
    signed: Vec<u8>,
}

impl Visitor for Seen {
    fn header(&mut self, header: &Header) {
        self.reading.header(header);
    }
    fn signed(&mut self, bytes: &[u8]) {
        self.signed.extend_from_slice(bytes);
    }
    fn entry(&mut self, entry: &Entry<'_>) -> ControlFlow<()> {
        self.reading.entry(entry)
    }
}

fn read_in_pieces(der: &[u8], cuts: &[prop::sample::Index]) -> Result<(crl::Crl, Seen), ReadError> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(der.len() + 1)).collect();
    cuts.extend([0, der.len()]);
    cuts.sort_unstable();
    let mut reader = Reader::new(Limits::default());
    let mut seen = Seen::default();
    for cut in cuts.windows(2) {
        reader.push(&der[cut[0]..cut[1]], &mut seen)?;
    }
    Ok((reader.finish()?, seen))
}

proptest! {
    #[test]
    fn what_is_written_is_read_by_all(template in template(), entries in vec(listed(), 0..40)) {
        let der = write(&template, &entries);
        let (crl, seen) = read_in_pieces(&der, &[]).unwrap();
        prop_assert_eq!(&seen.reading.entries, &entries);
        prop_assert_eq!(seen.reading.this_update, template.this_update.0);
        prop_assert_eq!(seen.reading.next_update, Some(template.next_update.0));
        prop_assert_eq!(crl.extensions.number, Some(template.number));
        prop_assert_eq!(crl.extensions.base_number, template.base_number);
        let points = &crl.extensions.issuing_distribution_point;
        prop_assert_eq!(points, &template.issuing_distribution_point);
        let freshest_crl: Vec<&str> = crl.extensions.freshest_crl_urls().collect();
        prop_assert_eq!(freshest_crl, Vec::from_iter(&template.freshest_crl));
        let key_id = crl.extensions.authority_key_id.and_then(|authority| authority.key_id);
        prop_assert_eq!(&key_id, &template.authority_key_id);
        prop_assert_eq!(&seen.signed, &der[crl.tbs.start as usize..crl.tbs.end as usize]);
        let reading = Reading { number: Some(template.number.to_string()), ..seen.reading };
        prop_assert_eq!(oracle::x509_cert(&der).unwrap(), reading.clone());
        prop_assert_eq!(oracle::x509_parser(&der).unwrap(), reading.clone());
        if template.base_number.is_none() {
            prop_assert_eq!(oracle::webpki(&der).unwrap(), reading.entries);
        }
    }

    #[test]
    fn a_crl_reads_the_same_wherever_it_is_cut(
        template in template(),
        entries in vec(listed(), 0..40),
        cuts in vec(any::<prop::sample::Index>(), 0..50),
    ) {
        let der = write(&template, &entries);
        prop_assert_eq!(read_in_pieces(&der, &cuts), read_in_pieces(&der, &[]));
    }

    #[test]
    fn a_changed_crl_fails_the_same_wherever_it_is_cut(
        template in template(),
        entries in vec(listed(), 0..10),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        length in any::<prop::sample::Index>(),
        cuts in vec(any::<prop::sample::Index>(), 0..50),
    ) {
        let mut der = write(&template, &entries);
        for (place, value) in changes {
            let place = place.index(der.len());
            der[place] = value;
        }
        prop_assert_eq!(read_in_pieces(&der, &cuts), read_in_pieces(&der, &[]));
        der.truncate(length.index(der.len()));
        prop_assert_eq!(read_in_pieces(&der, &cuts), read_in_pieces(&der, &[]));
        prop_assert!(read_in_pieces(&der, &[]).is_err());
    }

    #[test]
    fn anything_at_all_is_read_without_a_panic(bytes in vec(any::<u8>(), 0..300)) {
        prop_assert!(oracle::ours(&bytes).is_err());
        prop_assert!(crl::Issuer::from_der(&bytes).is_err());
    }

    #[test]
    fn every_serial_number_in_a_list_is_found(entries in vec(listed(), 1..40), other in vec(any::<u8>(), 1..=20)) {
        let template = common::Ca::p256().template();
        let der = write(&template, &entries);
        for entry in &entries {
            // removeFromCRL (8) counts less than an entry that revokes.
            let same = || entries.iter().filter(|other| other.serial == entry.serial);
            let first = same().find(|other| other.reason != Some(8)).or(same().next()).unwrap();
            let found = match crl::find(&der, Serial::from_be_bytes(&entry.serial)).unwrap() {
                Status::Revoked(listed) | Status::Removed(listed) => listed,
                status => panic!("{status:?}"),
            };
            prop_assert_eq!(found.revocation_date.0, first.date);
            prop_assert_eq!(found.reason.map(Reason::code), first.reason);
            prop_assert_eq!(found.invalidity_date.map(|time| time.0), first.invalidity_date);
        }
        let other = Serial::from_be_bytes(&other);
        let listed = entries.iter().any(|entry| entry.serial == other.as_be_bytes());
        prop_assert_eq!(crl::find(&der, other).unwrap() != Status::NotListed, listed);
    }

    #[test]
    fn numbers_compare_and_print_as_numbers(a in any::<u128>(), b in any::<u128>()) {
        let number = |n: u128| CrlNumber::from_be_bytes(&n.to_be_bytes()).unwrap();
        prop_assert_eq!(number(a).to_string(), a.to_string());
        prop_assert_eq!(a.to_string().parse(), Ok(number(a)));
        prop_assert_eq!(number(a).cmp(&number(b)), a.cmp(&b));
        prop_assert_eq!(number(a).next().map(|next| next > number(a)), Some(true));
    }
}
