//! What other readers find in a CRL, in one form.
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::io::Write as _;
use std::ops::ControlFlow;
use std::process::{Command, Stdio};

use crl::{Entry, Header, Limits, ReadError, Visitor};
use der::Decode;
use x509_cert::certificate::Rfc5280;
use x509_parser::prelude::FromDer;

/// What a reader finds in a CRL. Times are seconds since 1970; numbers are decimal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reading {
    pub(crate) this_update: i64,
    pub(crate) next_update: Option<i64>,
    pub(crate) number: Option<String>,
    pub(crate) entries: Vec<Listed>,
}

/// One entry, the serial number without leading zeros.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) serial: Vec<u8>,
    pub(crate) date: i64,
    pub(crate) reason: Option<u8>,
    pub(crate) invalidity_date: Option<i64>,
}

pub(crate) fn ours(der: &[u8]) -> Result<Reading, ReadError> {
    let mut reading = Reading::default();
    let crl = crl::read(der, Limits::default(), &mut reading)?;
    reading.number = crl.extensions.number.map(|number| number.to_string());
    Ok(reading)
}

impl Visitor for Reading {
    fn header(&mut self, header: &Header) {
        self.this_update = header.this_update.0;
        self.next_update = header.next_update.map(|time| time.0);
    }

    fn entry(&mut self, entry: &Entry<'_>) -> ControlFlow<()> {
        self.entries.push(Listed {
            serial: entry.serial.as_be_bytes().to_vec(),
            date: entry.revocation_date.0,
            reason: entry.reason.map(crl::Reason::code),
            invalidity_date: entry.invalidity_date.map(|time| time.0),
        });
        ControlFlow::Continue(())
    }
}

/// Entries alone: webpki shows nothing else.
pub(crate) fn webpki(der: &[u8]) -> Result<Vec<Listed>, webpki::Error> {
    let seconds = |time: rustls_pki_types::UnixTime| i64::try_from(time.as_secs()).unwrap();
    let crl = webpki::BorrowedCertRevocationList::from_der(der)?;
    crl.into_iter()
        .map(|entry| {
            let entry = entry?;
            Ok(Listed {
                serial: without_leading_zeros(entry.serial_number),
                date: seconds(entry.revocation_date),
                reason: entry.reason_code.map(|reason| reason as u8),
                invalidity_date: entry.invalidity_date.map(seconds),
            })
        })
        .collect()
}

pub(crate) fn x509_cert(der: &[u8]) -> der::Result<Reading> {
    let seconds = |time: std::time::Duration| i64::try_from(time.as_secs()).unwrap();
    let crl = x509_cert::crl::CertificateList::<Rfc5280>::from_der(der)?.tbs_cert_list;
    let mut reading = Reading {
        this_update: seconds(crl.this_update.to_unix_duration()),
        next_update: crl.next_update.map(|time| seconds(time.to_unix_duration())),
        ..Reading::default()
    };
    for extension in crl.crl_extensions.iter().flatten() {
        if extension.extn_id == der::oid::ObjectIdentifier::new_unwrap("2.5.29.20") {
            let number = der::asn1::Uint::from_der(extension.extn_value.as_bytes())?;
            let number = crl::CrlNumber::from_be_bytes(number.as_bytes());
            reading.number = number.ok().map(|number| number.to_string());
        }
    }
    for entry in crl.revoked_certificates.iter().flatten() {
        let mut listed = Listed {
            serial: without_leading_zeros(entry.serial_number.as_bytes()),
            date: seconds(entry.revocation_date.to_unix_duration()),
            ..Listed::default()
        };
        for extension in entry.crl_entry_extensions.iter().flatten() {
            let value = extension.extn_value.as_bytes();
            match extension.extn_id.to_string().as_str() {
                "2.5.29.21" => {
                    let reason = x509_cert::ext::pkix::CrlReason::from_der(value)?;
                    listed.reason = Some(reason as u8);
                }
                "2.5.29.24" => {
                    let date = der::asn1::GeneralizedTime::from_der(value)?;
                    listed.invalidity_date = Some(seconds(date.to_unix_duration()));
                }
                _ => {}
            }
        }
        reading.entries.push(listed);
    }
    Ok(reading)
}

pub(crate) fn x509_parser(der: &[u8]) -> Option<Reading> {
    let (rest, crl) =
        x509_parser::revocation_list::CertificateRevocationList::from_der(der).ok()?;
    if !rest.is_empty() {
        return None;
    }
    Some(Reading {
        this_update: crl.last_update().timestamp(),
        next_update: crl.next_update().map(|time| time.timestamp()),
        number: crl.crl_number().map(ToString::to_string),
        entries: crl
            .iter_revoked_certificates()
            .map(|entry| Listed {
                serial: without_leading_zeros(entry.raw_serial()),
                date: entry.revocation_date.timestamp(),
                reason: entry.reason_code().map(|(_, reason)| reason.0),
                invalidity_date: entry.invalidity_date().map(|(_, time)| time.timestamp()),
            })
            .collect(),
    })
}

/// Parses the text of `openssl crl -text`; `None` if this machine has no OpenSSL, which is printed.
pub(crate) fn openssl(der: &[u8]) -> Option<Reading> {
    let output = run_openssl(&["crl", "-inform", "DER", "-noout", "-text"], der)?;
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).unwrap();
    let mut lines = text.lines().map(str::trim);
    let mut reading = Reading::default();
    while let Some(line) = lines.next() {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.trim();
        match name {
            "Last Update" => reading.this_update = openssl_time(value),
            "Next Update" => reading.next_update = Some(openssl_time(value)),
            "X509v3 CRL Number" => reading.number = Some(openssl_number(lines.next().unwrap())),
            "Serial Number" => reading.entries.push(Listed {
                serial: without_leading_zeros(&hex(value)),
                ..Listed::default()
            }),
            "Revocation Date" => reading.entries.last_mut().unwrap().date = openssl_time(value),
            "X509v3 CRL Reason Code" => {
                let reason = lines.next().unwrap();
                let code = OPENSSL_REASONS
                    .iter()
                    .position(|name| *name == reason)
                    .unwrap();
                reading.entries.last_mut().unwrap().reason = u8::try_from(code).ok();
            }
            "Invalidity Date" => {
                let date = openssl_time(lines.next().unwrap());
                reading.entries.last_mut().unwrap().invalidity_date = Some(date);
            }
            _ => {}
        }
    }
    Some(reading)
}

/// Runs OpenSSL; `None` if this machine has none, which is printed.
pub(crate) fn run_openssl(arguments: &[&str], input: &[u8]) -> Option<std::process::Output> {
    let child = Command::new("openssl")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        println!("skipped: openssl: this machine has none");
        return None;
    };
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&input).ok());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    Some(output)
}

const OPENSSL_REASONS: [&str; 11] = [
    "Unspecified",
    "Key Compromise",
    "CA Compromise",
    "Affiliation Changed",
    "Superseded",
    "Cessation Of Operation",
    "Certificate Hold",
    "",
    "Remove From CRL",
    "Privilege Withdrawn",
    "AA Compromise",
];

/// `Jan  2 03:04:05 2024 GMT`
fn openssl_time(text: &str) -> i64 {
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let [month, day, time, year, "GMT"] = text.split_whitespace().collect::<Vec<_>>()[..] else {
        panic!("{text}");
    };
    let month = MONTHS.find(month).unwrap() / 3 + 1;
    let time = format!("{year}-{month:02}-{day:0>2}T{time}Z");
    time.parse::<crl::UnixTime>().unwrap().0
}

/// Decimal, or hexadecimal if it is long.
fn openssl_number(text: &str) -> String {
    match text.strip_prefix("0x") {
        Some(digits) => crl::CrlNumber::from_be_bytes(&hex(digits))
            .unwrap()
            .to_string(),
        None => text.to_string(),
    }
}

fn hex(text: &str) -> Vec<u8> {
    let text = if text.len().is_multiple_of(2) {
        text.to_string()
    } else {
        format!("0{text}")
    };
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

/// Zero keeps one octet.
fn without_leading_zeros(bytes: &[u8]) -> Vec<u8> {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes[zeros.min(bytes.len().saturating_sub(1))..].to_vec()
}
