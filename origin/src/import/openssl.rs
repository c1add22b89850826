//! OpenSSL's `index.txt`, as `openssl ca` keeps it.
//!
//! Six fields with tabs between them: status, expiry, revocation, serial number, file, subject. Only what is revoked counts;
//! `revocation` is `YYMMDDHHMMSSZ[,reason[,more]]`.

use std::io::BufRead;

use crl::{Reason, UnixTime};

use super::{BadLine, Imported, LineFault};
use crate::ca::Serial;
use crate::revocation::RevocationRequest;
use crate::wire::{ReasonError, ReasonName};

/// Reads the revoked certificates of an `index.txt`.
pub fn read_index(reader: impl BufRead) -> impl Iterator<Item = Result<Imported, BadLine>> {
    (1..).zip(reader.lines()).filter_map(|(line, text)| {
        let read = text
            .map_err(|error| LineFault::Unreadable(error.to_string()))
            .and_then(|text| read_line(&text));
        match read {
            Ok(request) => request.map(|request| Ok(Imported { line, request })),
            Err(fault) => Some(Err(BadLine { line, fault })),
        }
    })
}

fn read_line(line: &str) -> Result<Option<RevocationRequest>, LineFault> {
    if line.trim().is_empty() {
        return Ok(None);
    }
    let mut fields = line.split('\t');
    let mut field = |name| fields.next().ok_or(LineFault::Missing(name));
    match field("status")? {
        "R" => {}
        "V" | "E" => return Ok(None),
        _ => return Err(LineFault::Status),
    }
    let not_after = time(field("expiry")?)?;
    let mut revocation = field("revocation")?.split(',');
    let revoked_at = time(revocation.next().unwrap_or_default())?;
    let (reason, invalidity_date) = reason(revocation.next(), revocation.next())?;
    let serial: Serial = field("serial number")?.parse()?;
    let (revoked_at, not_after) = (Some(revoked_at), Some(not_after));
    Ok(Some(RevocationRequest {
        serial,
        reason,
        revoked_at,
        invalidity_date,
        not_after,
        shard: None,
    }))
}

/// Besides RFC 5280's reasons, `openssl ca` writes `holdInstruction` and two that have the time of the compromise with them.
fn reason(name: Option<&str>, more: Option<&str>) -> Result<(Reason, Option<UnixTime>), LineFault> {
    let Some(name) = name else {
        return Ok((Reason::Unspecified, None));
    };
    let at = || time(more.ok_or(LineFault::Missing("time of the compromise"))?).map(Some);
    match name {
        "holdInstruction" => Ok((Reason::CertificateHold, None)),
        "keyTime" => Ok((Reason::KeyCompromise, at()?)),
        "CAkeyTime" => Ok((Reason::CaCompromise, at()?)),
        // `openssl ca` takes it, and puts it on a list from which it removes nothing.
        "removeFromCRL" => Err(ReasonError.into()),
        name => Ok((name.parse::<ReasonName>()?.0, None)),
    }
}

/// `YYMMDDHHMMSSZ`, where 50 to 99 are of the twentieth century (RFC 5280, section 4.1.2.5.1), or `YYYYMMDDHHMMSSZ`.
fn time(text: &str) -> Result<UnixTime, LineFault> {
    let fault = || LineFault::Time(text.to_owned());
    let digits = text
        .strip_suffix('Z')
        .filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()))
        .ok_or_else(fault)?;
    let century = match (digits.len(), digits.chars().next()) {
        (12, Some('5'..='9')) => "19",
        (12, _) => "20",
        _ => "",
    };
    let digits = format!("{century}{digits}");
    let part = |range| digits.get(range).unwrap_or_default();
    let (year, month, day) = (part(0..4), part(4..6), part(6..8));
    let (hour, minute, second) = (
        part(8..10),
        part(10..12),
        digits.get(12..).unwrap_or_default(),
    );
    format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z")
        .parse()
        .map_err(|_| fault())
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
        let told: Vec<_> = read
            .iter()
            .map(|one| (one.line, one.request.serial.to_string(), one.request.reason))
            .collect();
        assert_eq!(
            told,
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
                     R\t361123120000Z\t261123120000Z,removeFromCRL\t07\tunknown\t/CN=b\n";
        let read = read(index);
        assert_eq!(read.iter().filter(|one| one.is_ok()).count(), 1);
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
        assert!(faults[5].starts_with("line 7: a reason is one of"));
    }
}
