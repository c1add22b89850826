//! CSV with a line of column names: `serial`, and any of `revoked_at`, `reason`, `invalidity_date`,
//! `not_after`, `shard`. Times are in RFC 3339.

use std::io::Read;

use crl::{Reason, UnixTime};

use super::{BadLine, Imported, LineFault};
use crate::revocation::{NamedList, RevocationRequest};
use crate::wire::ReasonName;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Column {
    Serial,
    RevokedAt,
    Reason,
    InvalidityDate,
    NotAfter,
    Shard,
}

impl Column {
    fn from_name(name: &str) -> Result<Self, LineFault> {
        Ok(match name {
            "serial" => Self::Serial,
            "revoked_at" => Self::RevokedAt,
            "reason" => Self::Reason,
            "invalidity_date" => Self::InvalidityDate,
            "not_after" => Self::NotAfter,
            "shard" => Self::Shard,
            other => return Err(LineFault::Column(other.to_owned())),
        })
    }
}

/// Reads revocations from CSV.
///
/// # Errors
/// [`BadLine`] if the first line does not name columns that are known, `serial` among them.
pub fn read_csv(
    reader: impl Read,
) -> Result<impl Iterator<Item = Result<Imported, BadLine>>, BadLine> {
    let bad = |line, fault| BadLine { line, fault };
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .flexible(true)
        .from_reader(reader);
    let names = reader
        .headers()
        .map_err(|error| bad(1, LineFault::Unreadable(error.to_string())))?;
    let columns: Vec<Column> = names
        .iter()
        .map(Column::from_name)
        .collect::<Result<_, _>>()
        .map_err(|fault| bad(1, fault))?;
    if !columns.contains(&Column::Serial) {
        return Err(bad(1, LineFault::Missing("serial")));
    }
    Ok(reader.into_records().map(move |record| match record {
        Ok(record) => {
            let line = record.position().map_or(0, csv::Position::line);
            read_record(&columns, &record)
                .map(|request| Imported { line, request })
                .map_err(|fault| bad(line, fault))
        }
        Err(error) => {
            let line = error.position().map_or(0, csv::Position::line);
            Err(bad(line, LineFault::Unreadable(error.to_string())))
        }
    }))
}

fn read_record(
    columns: &[Column],
    record: &csv::StringRecord,
) -> Result<RevocationRequest, LineFault> {
    let field = |column| {
        let found = columns
            .iter()
            .zip(record)
            .find(|(name, _)| **name == column);
        found.map(|(_, text)| text).filter(|text| !text.is_empty())
    };
    let time = |column| field(column).map(read_time).transpose();
    let shard = |text: &str| text.parse().map_err(|_| LineFault::Shard(text.to_owned()));
    Ok(RevocationRequest {
        serial: field(Column::Serial)
            .ok_or(LineFault::Missing("serial"))?
            .parse()?,
        reason: match field(Column::Reason) {
            Some(name) => name.parse::<ReasonName>()?.0,
            None => Reason::Unspecified,
        },
        revoked_at: time(Column::RevokedAt)?,
        invalidity_date: time(Column::InvalidityDate)?,
        not_after: time(Column::NotAfter)?,
        list: field(Column::Shard)
            .map(shard)
            .transpose()?
            .map_or(NamedList::Unknown, NamedList::Shard),
        certificate: None,
    })
}

fn read_time(text: &str) -> Result<UnixTime, LineFault> {
    text.parse().map_err(|_| LineFault::Time(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_come_in_any_order_and_may_be_empty() {
        let csv = "reason,serial,revoked_at\nsuperseded,0a,2026-11-23T12:00:00Z\n,0b,\n";
        let read: Vec<Imported> = read_csv(csv.as_bytes())
            .unwrap()
            .map(Result::unwrap)
            .collect();
        assert_eq!(
            (read[0].line, read[0].request.reason),
            (2, Reason::Superseded)
        );
        assert_eq!(read[0].request.revoked_at, Some(UnixTime(1_795_435_200)));
        assert_eq!(
            (
                read[1].line,
                read[1].request.reason,
                read[1].request.revoked_at
            ),
            (3, Reason::Unspecified, None)
        );
    }

    #[test]
    fn a_bad_line_is_named_and_the_others_are_read() {
        let csv = "serial,not_after\n0a,soon\n,\n0c,\n";
        let read: Vec<_> = read_csv(csv.as_bytes()).unwrap().collect();
        let faults: Vec<String> = read
            .iter()
            .filter_map(|one| one.as_ref().err().map(ToString::to_string))
            .collect();
        assert_eq!(
            faults,
            ["line 2: \"soon\" is not a time", "line 3: no serial"]
        );
        assert!(read[2].is_ok());
        assert!(read_csv("serial,colour\n".as_bytes()).is_err());
        assert!(read_csv("reason\n".as_bytes()).is_err());
    }
}
