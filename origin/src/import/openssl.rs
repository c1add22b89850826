//! OpenSSL's `index.txt`, as `openssl ca` keeps it.
//!
//! Six fields with tabs between them: status, expiry, revocation, serial number, file, subject.
//! Only revoked certificates matter here; their third field is `TIME[,REASON[,MORE]]`. What is read
//! is what `openssl ca -gencrl` of OpenSSL 3.0 puts on its CRL (`apps/ca.c`, `crypto/txt_db`,
//! `crypto/asn1/a_time.c`), and a little more.

use std::io::BufRead;

use crl::{Reason, UnixTime};

use super::{BadLine, Imported, LineFault};
use crate::ca::Serial;
use crate::revocation::{NamedList, RevocationRequest};
use crate::wire::ReasonName;

/// Reads the revoked certificates of an `index.txt`.
pub fn read_index(reader: impl BufRead) -> impl Iterator<Item = Result<Imported, BadLine>> {
    (1..).zip(reader.split(b'\n')).filter_map(|(line, bytes)| {
        let read = bytes
            .map_err(|error| LineFault::Unreadable(error.to_string()))
            .and_then(|bytes| read_line(&bytes));
        match read {
            Ok(request) => request.map(|request| Ok(Imported { line, request })),
            Err(fault) => Some(Err(BadLine { line, fault })),
        }
    })
}

fn read_line(line: &[u8]) -> Result<Option<RevocationRequest>, LineFault> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.starts_with(b"#") || line.trim_ascii().is_empty() {
        return Ok(None);
    }
    let mut fields = Fields(Some(line));
    let status = fields.next("status")?;
    let is_revoked = status.starts_with('R');
    if matches!(status.as_str(), "V" | "E") {
        return Ok(None);
    }
    let (Ok(expiry), Ok(revocation)) = (fields.next("expiry"), fields.next("revocation")) else {
        return Err(if is_revoked {
            LineFault::Missing("revocation")
        } else {
            LineFault::Status
        });
    };
    if !is_revoked {
        // Another status is as good as V for OpenSSL, as long as there is no revocation with it.
        let is_valid = revocation.is_empty();
        return if is_valid {
            Ok(None)
        } else {
            Err(LineFault::Status)
        };
    }
    let serial = fields.next("serial number")?;
    // A line that ends before its last field was cut off, perhaps within the serial number.
    fields.next("file")?;
    fields.next("subject")?;
    let mut revocation = revocation.splitn(3, ',');
    let revoked_at = time(revocation.next().unwrap_or_default(), Form::Utc)?;
    let (reason, invalidity_date) = reason(revocation.next(), revocation.next())?;
    let not_after = match expiry.as_str() {
        "" => None,
        expiry => Some(time(expiry, Form::Utc)?),
    };
    Ok(Some(RevocationRequest {
        serial: Serial::from_openssl(&serial)?,
        reason,
        revoked_at: Some(revoked_at),
        invalidity_date,
        not_after,
        list: NamedList::Unknown,
        certificate: None,
    }))
}

/// The fields of a line. A tab after a backslash is part of its field.
struct Fields<'a>(Option<&'a [u8]>);

impl Fields<'_> {
    /// The next field. Names of files and subjects may be in any encoding; the others are ASCII.
    fn next(&mut self, name: &'static str) -> Result<String, LineFault> {
        let line = self.0.ok_or(LineFault::Missing(name))?;
        let is_escaped =
            |tab: usize| tab.checked_sub(1).and_then(|at| line.get(at)) == Some(&b'\\');
        let end = line
            .iter()
            .enumerate()
            .position(|(at, byte)| *byte == b'\t' && !is_escaped(at));
        let (field, rest) = match end.and_then(|end| line.split_at_checked(end)) {
            Some((field, rest)) => (field, rest.get(1..)),
            None => (line, None),
        };
        self.0 = rest;
        Ok(String::from_utf8_lossy(field).into_owned())
    }
}

/// A reason by its RFC 5280 name in any case, or one of those that `openssl ca` adds:
/// `holdInstruction` with its OID, and two with the time of the compromise.
fn reason(name: Option<&str>, more: Option<&str>) -> Result<(Reason, Option<UnixTime>), LineFault> {
    let Some(name) = name else {
        return Ok((Reason::Unspecified, None));
    };
    let at = || {
        let text = more.ok_or(LineFault::Missing("time of the compromise"))?;
        time(text, Form::Generalized).map(Some)
    };
    match name.to_ascii_lowercase().as_str() {
        "holdinstruction" => Ok((Reason::CertificateHold, None)),
        "keytime" => Ok((Reason::KeyCompromise, at()?)),
        "cakeytime" => Ok((Reason::CaCompromise, at()?)),
        // A full CRL cannot carry this reason (RFC 5280, section 5.3.1). OpenSSL lists the
        // certificate with it, and relying parties take it for revoked.
        "removefromcrl" => Ok((Reason::Unspecified, None)),
        name => Ok((name.parse::<ReasonName>()?.0, None)),
    }
}

/// How a time is read that could be either: OpenSSL tries one form first.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// `YYMMDDHHMM[SS]`; the years 50 to 99 are in the twentieth century (RFC 5280, section
    /// 4.1.2.5.1).
    Utc,
    /// `YYYYMMDDHHMM[SS[.F]]`
    Generalized,
}

impl Form {
    fn other(self) -> Self {
        match self {
            Self::Utc => Self::Generalized,
            Self::Generalized => Self::Utc,
        }
    }
}

/// A UTCTime or a GeneralizedTime as text, which ends in `Z` or an offset. In whole seconds.
fn time(text: &str, first: Form) -> Result<UnixTime, LineFault> {
    parse_time(text, first)
        .or_else(|| parse_time(text, first.other()))
        .ok_or_else(|| LineFault::Time(text.to_owned()))
}

fn parse_time(text: &str, form: Form) -> Option<UnixTime> {
    let at = text.find(['Z', '+', '-'])?;
    let (local, zone) = text.split_at_checked(at)?;
    let (digits, fraction) = match local.split_once('.') {
        Some((digits, fraction)) => (digits, Some(fraction)),
        None => (local, None),
    };
    let are_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !are_digits(digits) || fraction.is_some_and(|fraction| !are_digits(fraction)) {
        return None;
    }
    let (year, rest) = match form {
        Form::Utc => {
            let (year, rest) = digits.split_at_checked(2)?;
            let century = if year < "50" { "20" } else { "19" };
            (format!("{century}{year}"), rest)
        }
        Form::Generalized => {
            let (year, rest) = digits.split_at_checked(4)?;
            (year.to_owned(), rest)
        }
    };
    let part = |at: usize| rest.get(at..at.checked_add(2)?);
    let second = match (rest.len(), fraction) {
        (8, None) => "00",
        (10, None) => part(8)?,
        (10, Some(_)) if form == Form::Generalized => part(8)?,
        _ => return None,
    };
    let (month, day, hour, minute) = (part(0)?, part(2)?, part(4)?, part(6)?);
    let time = format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z");
    let time: UnixTime = time.parse().ok()?;
    Some(UnixTime(time.0.checked_sub(offset(zone)?)?))
}

/// The seconds by which local time is ahead of UTC: `Z`, or a sign, two digits of hours up to 12,
/// and two of minutes.
fn offset(zone: &str) -> Option<i64> {
    let (sign, digits) = match (zone.strip_prefix('+'), zone.strip_prefix('-')) {
        (Some(digits), _) => (1, digits),
        (_, Some(digits)) => (-1, digits),
        _ => return (zone == "Z").then_some(0),
    };
    if digits.len() != 4 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let (hours, minutes) = digits.split_at_checked(2)?;
    let (hours, minutes): (i64, i64) = (hours.parse().ok()?, minutes.parse().ok()?);
    (hours <= 12 && minutes <= 59).then(|| sign * (hours * 3600 + minutes * 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(index: &str) -> Vec<Result<Imported, String>> {
        read_index(index.as_bytes())
            .map(|read| read.map_err(|bad| bad.to_string()))
            .collect()
    }

    #[test]
    fn only_what_is_revoked_counts() {
        let index = "V\t361123120000Z\t\t01\tunknown\t/CN=a\n\
                     R\t361123120000Z\t261123120000Z\t02\tunknown\t/CN=b\n\
                     E\t201123120000Z\t\t03\tunknown\t/CN=c\n\
                     R\t20511123120000Z\t261123120000Z,keyTime,20261101000000Z\t04\tunknown\t/CN=d\n\
                     R\t361123120000Z\t261123120000Z,CACompromise\t05\tunknown\t/CN=e\n";
        let read: Vec<Imported> = read(index).into_iter().map(Result::unwrap).collect();
        let found: Vec<_> = read
            .iter()
            .map(|one| (one.line, one.request.serial.to_string(), one.request.reason))
            .collect();
        assert_eq!(
            found,
            [
                (2, "02".to_owned(), Reason::Unspecified),
                (4, "04".to_owned(), Reason::KeyCompromise),
                (5, "05".to_owned(), Reason::CaCompromise),
            ]
        );
        assert_eq!(read[0].request.revoked_at, Some(UnixTime(1_795_435_200)));
        assert_eq!(
            read[1].request.invalidity_date,
            Some("2026-11-01T00:00:00Z".parse().unwrap())
        );
        assert_eq!(
            read[1].request.not_after,
            Some("2051-11-23T12:00:00Z".parse().unwrap())
        );
    }

    #[test]
    fn a_bad_line_is_named_and_the_others_are_read() {
        let index = "R\t361123120000Z\t261123120000Z\tzz\tunknown\t/CN=a\n\
                     X\t\n\
                     R\t361123120000Z\tyesterday\t02\tunknown\t/CN=b\n\
                     R\t361123120000Z\n\
                     R\t361123120000Z\t261123120000Z,boredom\t02\tunknown\t/CN=b\n\
                     R\t361123120000Z\t261123120000Z\t06\tunknown\t/CN=b\n\
                     R\t361123120000Z\t261123120000Z,removeFromCRL\t07\tunknown\t/CN=b\n\
                     R\t361123120000Z\t261123120000Z\t07\n";
        let read = read(index);
        assert_eq!(read.iter().filter(|one| one.is_ok()).count(), 2);
        let faults: Vec<&str> = read
            .iter()
            .filter_map(|one| one.as_ref().err().map(String::as_str))
            .collect();
        assert!(
            faults[0].starts_with("line 1: a serial number"),
            "{faults:?}"
        );
        assert_eq!(faults[1], "line 2: the status is not V, R or E");
        assert_eq!(faults[2], "line 3: \"yesterday\" is not a time");
        assert_eq!(faults[3], "line 4: no revocation");
        assert!(faults[4].starts_with("line 5: a reason is one of"));
        assert_eq!(faults[5], "line 8: no file");
    }
}
