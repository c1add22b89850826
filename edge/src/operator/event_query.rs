//! Queries to the event table: filters, and the cursor from which a page continues.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use origin_api::{CrlName, IssuerId};

use super::parameters::Parameters;
use crate::events::{Event, EventId, Outcome, Trigger};
use crate::problem::EdgeError;
use crate::time::{Timestamp, TimestampError};

/// Selects events. An absent field matches every event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct EventFilter {
    pub(crate) issuer: Option<IssuerId>,
    pub(crate) name: Option<CrlName>,
    pub(crate) outcome: Option<Outcome>,
    pub(crate) trigger: Option<Trigger>,
    /// Events that started at this time or later.
    pub(crate) since: Option<Timestamp>,
    /// Events that started before this time.
    pub(crate) until: Option<Timestamp>,
}

impl EventFilter {
    /// The names of its query parameters.
    pub(crate) const PARAMETERS: [&'static str; 6] =
        ["issuer", "name", "outcome", "trigger", "since", "until"];

    /// Reads the filter from `parameters`.
    ///
    /// # Errors
    /// Names the parameter that has a value that is not allowed, and the allowed values.
    pub(crate) fn parse(parameters: &Parameters) -> Result<Self, EdgeError> {
        let moment = "must be a moment as RFC 3339 has it, such as 2026-01-31T06:00:00Z (a + in the offset is written %2B)";
        Ok(Self {
            issuer: parameters.value(
                "issuer",
                "must be an issuer's id: 1 to 64 of A-Z a-z 0-9 . _ -",
            )?,
            name: parameters.value(
                "name",
                "must be a CRL's name: full, delta, shard-0, shard-1, …",
            )?,
            outcome: parameters.value(
                "outcome",
                "must be one of published, unchanged, skipped, rejected, failed",
            )?,
            trigger: parameters.value(
                "trigger",
                "must be one of cron, alarm, request, operator, hook",
            )?,
            since: parameters.value("since", moment)?,
            until: parameters.value("until", moment)?,
        })
    }
}

/// The longest span in which a query may pass over events that do not match.
const LONGEST_SCAN: Duration = Duration::from_hours(24);

impl EventFilter {
    /// Refuses a filter that no index serves: by trigger or CRL name alone it would read the whole
    /// table, which D1 charges for.
    ///
    /// # Errors
    /// Names the parameter, and what would bound the query.
    pub(crate) fn admit(&self, now: Timestamp) -> Result<(), EdgeError> {
        let name = match (self.name, self.trigger) {
            (Some(_), _) => "name",
            (None, Some(_)) => "trigger",
            (None, None) => return Ok(()),
        };
        let is_rare = matches!(self.outcome, Some(Outcome::Rejected | Outcome::Failed));
        let until = self.until.unwrap_or(now);
        let is_short = self
            .since
            .is_some_and(|since| until.since(since) <= LONGEST_SCAN);
        if self.issuer.is_some() || is_rare || is_short {
            return Ok(());
        }
        Err(EdgeError::BadParameter {
            name: name.into(),
            problem:
                "alone would read the whole table: add issuer, outcome=rejected or outcome=failed, \
                      or since and until with a day at most between them"
                    .into(),
        })
    }
}

/// The last event of a page; the next page begins after it. A cursor stays valid while events are
/// added, because they are newer; an event that D1 received late sorts by its start time. As text,
/// `{started_at}~{id}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub(crate) started_at: Timestamp,
    /// Orders events that started in the same millisecond.
    pub(crate) id: EventId,
}

impl Cursor {
    /// The cursor of the page that follows `event`.
    #[must_use]
    pub(crate) fn of(event: &Event) -> Self {
        Self {
            // A time that does not parse was not written by this edge; no page follows such an
            // event.
            started_at: event
                .started_at
                .parse()
                .unwrap_or(Timestamp::from_millis(0)),
            id: event.id,
        }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}~{}", self.started_at, self.id)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a cursor is what next_cursor said")]
pub(crate) struct CursorError;

impl From<TimestampError> for CursorError {
    fn from(_: TimestampError) -> Self {
        Self
    }
}

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let (started_at, id) = text.split_once('~').ok_or(CursorError)?;
        Ok(Self {
            started_at: started_at.parse()?,
            id: id.parse().map_err(|_| CursorError)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(pairs: &[(&str, &str)]) -> Result<EventFilter, EdgeError> {
        let pairs: Vec<_> = pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        EventFilter::parse(&Parameters::parse(&pairs, &EventFilter::PARAMETERS)?)
    }

    #[test]
    fn every_filter_is_read() {
        let filter = parse(&[
            ("issuer", "demo"),
            ("name", "shard-1"),
            ("outcome", "failed"),
            ("trigger", "hook"),
            ("since", "2026-01-01T01:00:00+01:00"),
            ("until", "2026-01-02T00:00:00Z"),
        ])
        .unwrap();
        assert_eq!(
            filter,
            EventFilter {
                issuer: Some("demo".parse().unwrap()),
                name: Some(CrlName::Shard(1)),
                outcome: Some(Outcome::Failed),
                trigger: Some(Trigger::Hook),
                since: Some("2026-01-01T00:00:00Z".parse().unwrap()),
                until: Some("2026-01-02T00:00:00Z".parse().unwrap()),
            }
        );
    }

    #[test]
    fn every_wrong_value_is_refused_by_name() {
        for (name, value) in [
            ("issuer", "a/b"),
            ("name", "shard-01"),
            ("outcome", "ok"),
            ("trigger", "CRON"),
            ("since", "yesterday"),
            ("until", "2026-01-02"),
            ("order", "asc"),
        ] {
            let error = parse(&[(name, value)]).unwrap_err();
            assert_eq!(error.status_and_code(), (400, "bad_parameter"));
            assert!(error.to_string().contains(name), "{error}");
        }
    }

    #[test]
    fn a_filter_that_no_index_serves_is_refused_with_advice() {
        let now: Timestamp = "2026-01-10T00:00:00Z".parse().unwrap();
        let admitted = |pairs| parse(pairs).unwrap().admit(now);
        for bounded in [
            &[][..],
            &[("outcome", "published")],
            &[("trigger", "hook"), ("issuer", "a")],
            &[("name", "delta"), ("outcome", "rejected")],
            &[("trigger", "hook"), ("since", "2026-01-09T00:00:00Z")],
            &[
                ("name", "full"),
                ("since", "2026-01-01T00:00:00Z"),
                ("until", "2026-01-02T00:00:00Z"),
            ],
        ] {
            assert_eq!(admitted(bounded), Ok(()), "{bounded:?}");
        }
        for unbounded in [
            &[("trigger", "hook")][..],
            &[("name", "delta"), ("outcome", "published")],
            &[("trigger", "hook"), ("until", "2026-01-09T00:00:00Z")],
            &[("trigger", "hook"), ("since", "2026-01-08T23:59:59Z")],
        ] {
            let error = admitted(unbounded).unwrap_err();
            assert!(error.to_string().contains(unbounded[0].0), "{error}");
            assert!(error.to_string().contains("add issuer"), "{error}");
        }
    }

    #[test]
    fn a_cursor_comes_back_from_its_text() {
        let text = "2026-01-01T00:00:00.123Z~018bcfe5-6800-7000-8000-000000000001";
        assert_eq!(text.parse::<Cursor>().unwrap().to_string(), text);
        for wrong in ["", "~", "2026-01-01T00:00:00.123Z", "x~y"] {
            assert_eq!(wrong.parse::<Cursor>(), Err(CursorError), "{wrong}");
        }
    }
}
