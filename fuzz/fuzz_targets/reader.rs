//! Any bytes, cut anywhere: no panic, the same result as in one piece, and the same entries as
//! others read. The first octet says where to cut, the rest is the CRL.
#![no_main]

use std::ops::ControlFlow;

use crl::der::Decode;
use crl::{Entry, Limits, Reader, UnixTime, Visitor};
use libfuzzer_sys::fuzz_target;
use x509_cert::certificate::Rfc5280;
use x509_cert::crl::CertificateList;

#[derive(Debug, Default, PartialEq)]
struct Seen {
    signed: Vec<u8>,
    entries: Vec<(Vec<u8>, UnixTime, Option<u8>, Option<UnixTime>)>,
}

impl Visitor for Seen {
    fn signed(&mut self, bytes: &[u8]) {
        self.signed.extend_from_slice(bytes);
    }

    fn entry(&mut self, entry: &Entry<'_>) -> ControlFlow<()> {
        self.entries.push((
            entry.serial.as_be_bytes().to_vec(),
            entry.revocation_date,
            entry.reason.map(crl::Reason::code),
            entry.invalidity_date,
        ));
        ControlFlow::Continue(())
    }
}

fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Result<(crl::Crl, Seen), crl::ReadError> {
    let mut reader = Reader::new(Limits::default());
    let mut seen = Seen::default();
    for piece in pieces {
        reader.push(piece, &mut seen)?;
    }
    Ok((reader.finish()?, seen))
}

fuzz_target!(|data: &[u8]| {
    let Some((size, der)) = data.split_first() else {
        return;
    };
    let whole = read([der].into_iter());
    assert_eq!(read(der.chunks(usize::from(*size) + 1)), whole);
    let Ok((crl, seen)) = whole else { return };
    assert_eq!(crl.size, der.len() as u64);
    assert_eq!(crl.entry_count, seen.entries.len() as u64);
    assert_eq!(
        seen.signed,
        der[crl.tbs.start as usize..crl.tbs.end as usize]
    );
    for (serial, ..) in &seen.entries {
        crl::find(der, crl::Serial::from_be_bytes(serial)).unwrap();
    }
    if let Ok(list) = CertificateList::<Rfc5280>::from_der(der) {
        let entries = list.tbs_cert_list.revoked_certificates.unwrap_or_default();
        assert_eq!(entries.len(), seen.entries.len());
        for (theirs, (serial, date, ..)) in entries.iter().zip(&seen.entries) {
            assert_eq!(strip(theirs.serial_number.as_bytes()), strip(serial));
            assert_eq!(
                theirs.revocation_date.to_unix_duration().as_secs() as i64,
                date.0
            );
        }
    }
    if let Ok(list) = webpki::BorrowedCertRevocationList::from_der(der) {
        let theirs: Result<Vec<_>, _> = list.into_iter().collect();
        // They refuse some that we show, such as a critical certificate issuer.
        for (theirs, ours) in theirs.iter().flatten().zip(&seen.entries) {
            assert_eq!(strip(theirs.serial_number), strip(&ours.0));
            assert_eq!(theirs.revocation_date.as_secs() as i64, ours.1.0);
            assert_eq!(theirs.reason_code.map(|reason| reason as u8), ours.2);
            assert_eq!(
                theirs.invalidity_date.map(|time| time.as_secs() as i64),
                ours.3.map(|time| time.0)
            );
        }
    }
});

fn strip(mut bytes: &[u8]) -> &[u8] {
    while let [0, rest @ ..] = bytes {
        bytes = rest;
    }
    bytes
}
