//! Reading, hashing and checking, beside the hash alone and beside readers that neither hash nor
//! check.

use crl::x509_cert::crl::CertificateList;
use crl::x509_cert::der::Decode as _;
use crl::{CrlKind, Examination, Limits, Reader, Requirements, RustCrypto, Verification};
use sha2::{Digest as _, Sha256};
use webpki::{BorrowedCertRevocationList, OwnedCertRevocationList};
use x509_cert::certificate::Rfc5280;
use x509_parser::prelude::FromDer as _;
use x509_parser::revocation_list::CertificateRevocationList;

use crate::inputs::{Input, NOW};
use crate::table::{Table, best};

const PIECE: usize = 256 << 10;

pub(crate) fn measure(input: &Input, table: &mut Table) {
    let crl = &input.crl[..];
    let limits = Limits {
        max_bytes: 1 << 30,
        ..Limits::default()
    };
    let hash = best(|| Sha256::digest(crl));
    let unit = Some(hash.time);
    let mut row = |name, figure| table.row(input.count, name, Some(figure), unit);
    row("SHA-256 alone", hash);
    row(
        "crl: read, hash, check all rules and the signature",
        best(|| {
            let mut examination = Examination::<RustCrypto>::new(limits);
            for piece in crl.chunks(PIECE) {
                examination.push(piece).expect("a CRL");
            }
            verify(input, examination)
        }),
    );
    row(
        "crl: read and hash",
        best(|| {
            let mut examination = Examination::<RustCrypto>::new(limits);
            for piece in crl.chunks(PIECE) {
                examination.push(piece).expect("a CRL");
            }
            examination.finish().expect("a CRL")
        }),
    );
    row(
        "crl: read and hash, in pieces of 4 KiB",
        best(|| {
            let mut examination = Examination::<RustCrypto>::new(limits);
            for piece in crl.chunks(4 << 10) {
                examination.push(piece).expect("a CRL");
            }
            examination.finish().expect("a CRL")
        }),
    );
    row(
        "crl: read alone",
        best(|| {
            let mut reader = Reader::new(limits);
            reader.push(crl, &mut ()).expect("a CRL");
            reader.finish().expect("a CRL").entry_count
        }),
    );
    row(
        "crl: find one serial number",
        best(|| crl::find(crl, crl::Serial::from_be_bytes(&[1])).expect("a CRL")),
    );
    row(
        "webpki: read alone, owned",
        best(|| OwnedCertRevocationList::from_der(crl).expect("a CRL")),
    );
    row(
        "webpki: read alone, borrowed, walked",
        best(|| {
            let list = BorrowedCertRevocationList::from_der(crl).expect("a CRL");
            list.into_iter().flatten().count()
        }),
    );
    row(
        "x509-cert: read alone",
        best(|| CertificateList::<Rfc5280>::from_der(crl).expect("a CRL")),
    );
    row(
        "x509-parser: read alone",
        best(|| CertificateRevocationList::from_der(crl).expect("a CRL")),
    );
}

fn verify(input: &Input, examination: Examination<RustCrypto>) -> Verification {
    let examined = examination.finish().expect("a CRL");
    let requirements = Requirements::new(&input.issuer, CrlKind::Full, NOW);
    crl::verify(&examined, &requirements).expect("a good CRL")
}
