//! Whatever the writer writes, the reader reads, cut anywhere, and x509-cert reads the same.
#![no_main]

use std::ops::ControlFlow;

use arbitrary::Arbitrary;
use crl::der::asn1::ObjectIdentifier;
use crl::der::{Decode, Encode};
use crl::{
    Algorithm, CrlNumber, Digest, DistinguishedName, Entry, Extension, IssuingDistributionPoint,
    Limits, Reader, Reason, Revocation, Serial, Template, UnixTime, Visitor,
};
use libfuzzer_sys::fuzz_target;
use x509_cert::certificate::Rfc5280;
use x509_cert::crl::CertificateList;

#[derive(Arbitrary, Debug)]
struct Input {
    algorithm: u8,
    this_update: i64,
    next_update: i64,
    number: Vec<u8>,
    authority_key_id: Option<Vec<u8>>,
    urls: Option<Vec<String>>,
    base_number: Option<u64>,
    freshest_crl: Vec<String>,
    extra: Option<(u8, bool, Vec<u8>)>,
    entries: Vec<(Vec<u8>, i64, u8, Option<i64>)>,
    signature: Vec<u8>,
    size: u8,
}

struct Check<'a>(std::slice::Iter<'a, Revocation<'a>>);

impl Visitor for Check<'_> {
    fn entry(&mut self, entry: &Entry<'_>) -> ControlFlow<()> {
        let written = self.0.next().unwrap();
        assert_eq!(entry.serial, written.serial);
        assert_eq!(entry.revocation_date, written.date);
        assert_eq!(entry.reason.unwrap_or(Reason::Unspecified), written.reason);
        assert_eq!(entry.invalidity_date, written.invalidity_date);
        assert_eq!(entry.unknown_critical_extension, None);
        ControlFlow::Continue(())
    }
}

fuzz_target!(|input: Input| {
    let digest = [Digest::Sha256, Digest::Sha384, Digest::Sha512][usize::from(input.algorithm) % 3];
    let algorithm = match input.algorithm / 64 {
        0 => Algorithm::RsaPkcs1(digest),
        1 => Algorithm::RsaPss {
            digest,
            salt_length: input.algorithm,
        },
        2 => Algorithm::Ecdsa(digest),
        _ => Algorithm::Ed25519,
    };
    let Ok(number) = CrlNumber::from_be_bytes(&input.number) else {
        return;
    };
    let template = Template {
        issuer: DistinguishedName::from_der(b"\x30\x0f1\x0d0\x0b\x06\x03\x55\x04\x03\x13\x04Root")
            .unwrap(),
        algorithm: algorithm.identifier().unwrap(),
        this_update: UnixTime(input.this_update),
        next_update: UnixTime(input.next_update),
        number,
        authority_key_id: input.authority_key_id.clone(),
        issuing_distribution_point: input.urls.clone().map(|urls| IssuingDistributionPoint {
            distribution_point: Some(urls),
            ..IssuingDistributionPoint::default()
        }),
        base_number: input.base_number.map(CrlNumber::from),
        freshest_crl: input.freshest_crl.clone(),
        next_publish: None,
        extra_extensions: input
            .extra
            .clone()
            .map(|(id, critical, value)| Extension {
                oid: ObjectIdentifier::new_unwrap("2.5.30")
                    .push_arc(id.into())
                    .unwrap(),
                critical,
                value,
            })
            .into_iter()
            .collect(),
    };
    let revocations: Vec<Revocation<'_>> = input
        .entries
        .iter()
        .map(|(serial, date, reason, invalidity_date)| Revocation {
            serial: Serial::from_be_bytes(serial),
            date: UnixTime(*date),
            reason: Reason::from_code(*reason).unwrap_or(Reason::Unspecified),
            invalidity_date: invalidity_date.map(UnixTime),
        })
        .collect();
    let written = template.sign(revocations.iter().copied(), |_| {
        Ok::<_, ()>(input.signature.clone())
    });
    let Ok(der) = written else { return };
    let mut reader = Reader::new(Limits::default());
    let mut check = Check(revocations.iter());
    for piece in der.chunks(usize::from(input.size) + 1) {
        reader.push(piece, &mut check).unwrap();
    }
    assert!(check.0.next().is_none());
    let crl = reader.finish().unwrap();
    assert_eq!(crl.header.algorithm.algorithm(), Some(algorithm));
    assert_eq!(crl.header.this_update, template.this_update);
    assert_eq!(crl.header.next_update, Some(template.next_update));
    assert_eq!(crl.extensions.number, Some(number));
    assert_eq!(crl.extensions.base_number, template.base_number);
    assert_eq!(
        crl.extensions.issuing_distribution_point,
        template.issuing_distribution_point
    );
    let freshest_crl: Vec<&str> = crl.extensions.freshest_crl_urls().collect();
    assert_eq!(freshest_crl, template.freshest_crl);
    assert_eq!(crl.extensions.unknown, template.extra_extensions);
    assert_eq!(crl.signature, input.signature);
    // x509-cert knows no date before 1970 and no serial number over 21 octets.
    if let Ok(list) = CertificateList::<Rfc5280>::from_der(&der) {
        assert_eq!(list.to_der().unwrap(), der);
    }
});
