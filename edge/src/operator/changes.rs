//! What CRLs added and removed, as one JSON document, as lines of JSON, or as comma-separated
//! values.

use crl::{CrlNumber, UnixTime};
use serde::Serialize;

use super::media::EventFormat;
use crate::refresh::ChangesPage;
use crate::time::Timestamp;

/// One change.
#[derive(Debug, Serialize)]
pub(super) struct Row<'a> {
    crl_number: &'a str,
    this_update: &'a str,
    pub(super) change: &'static str,
    pub(super) serial: &'a str,
    pub(super) revocation_date: String,
    pub(super) reason: Option<&'a str>,
}

/// What comes before the first page.
pub(super) fn begin(format: EventFormat, since: CrlNumber, first: &ChangesPage) -> String {
    match format {
        EventFormat::Json => {
            let number = first.held;
            format!("{{\"since\":\"{since}\",\"crl_number\":\"{number}\",\"changes\":[")
        }
        EventFormat::Ndjson => String::new(),
        EventFormat::Csv => {
            "crl_number,this_update,change,serial,revocation_date,reason\r\n".to_owned()
        }
    }
}

/// What comes after the last page.
pub(super) const fn end(format: EventFormat) -> &'static str {
    match format {
        EventFormat::Json => "]}",
        EventFormat::Ndjson | EventFormat::Csv => "",
    }
}

/// A page.
pub(super) fn write(format: EventFormat, page: &ChangesPage, is_first: bool) -> String {
    let (number, this_update) = (page.number.to_string(), page.this_update.to_string());
    let mut text = String::new();
    for line in page.lines.lines() {
        let Some(row) = Row::read(line, &number, &this_update) else {
            continue;
        };
        // No field needs an escape, and none can fail.
        match format {
            EventFormat::Csv => row.push_csv(&mut text),
            EventFormat::Json => {
                if !is_first || !text.is_empty() {
                    text.push(',');
                }
                text.push_str(&serde_json::to_string(&row).unwrap_or_default());
            }
            EventFormat::Ndjson => {
                text.push_str(&serde_json::to_string(&row).unwrap_or_default());
                text.push('\n');
            }
        }
    }
    text
}

impl<'a> Row<'a> {
    /// `None` if the line is not as [`ChangesPage`] has it.
    pub(super) fn read(line: &'a str, crl_number: &'a str, this_update: &'a str) -> Option<Self> {
        let mut fields = line.split(' ');
        let change = match fields.next()? {
            "+" => "added",
            "-" => "removed",
            _ => "changed",
        };
        let serial = fields.next()?;
        let date = Timestamp::from(UnixTime(fields.next()?.parse().ok()?));
        Some(Self {
            crl_number,
            this_update,
            change,
            serial,
            revocation_date: date.to_string(),
            reason: fields.next().filter(|reason| *reason != "-"),
        })
    }

    fn push_csv(&self, text: &mut String) {
        let fields = [
            self.crl_number,
            self.this_update,
            self.change,
            self.serial,
            &self.revocation_date,
            self.reason.unwrap_or_default(),
        ];
        text.push_str(&fields.join(","));
        text.push_str("\r\n");
    }
}
