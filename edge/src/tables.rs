//! The tables in D1: `crl_generation_events`, `crl_status` and `operator_actions`, and the SQL that
//! writes them. The migrations describe the columns; reading is in `operator::query`.
//!
//! Rows are bound as one JSON array and taken apart by SQLite, so that a statement writes any
//! number of them, and a column is spelled once, as a field of its row.

#[cfg(test)]
pub(crate) mod testing;

use origin_api::{CrlName, IssuerId};
use serde::{Deserialize, Serialize};

use crate::actions::Action;
use crate::events::{Event, Outcome, Trigger};
use crate::refresh::{Candidate, Sha256, StatusReport};
use crate::row::row;
use crate::time::{Rfc3339, Timestamp};

/// A statement and the values of its `?`, in order. D1 binds them as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// The statement. No text of a caller is ever part of it.
    pub sql: String,
    /// The values.
    pub values: Vec<String>,
}

impl Query {
    pub(crate) fn new(sql: impl Into<String>, values: impl IntoIterator<Item = String>) -> Self {
        Self {
            sql: sql.into(),
            values: values.into_iter().collect(),
        }
    }
}

row! {
    /// A row of `crl_status`: the state of one CRL after its latest refresh.
    #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
    #[expect(missing_docs, reason = "the migrations describe the columns")]
    pub struct StatusRow {
        pub issuer_id: IssuerId,
        pub crl_name: CrlName,
        pub revision: u64,
        pub crl_number: Option<String>,
        pub revoked_count: Option<u64>,
        pub size_bytes: Option<u64>,
        pub sha256: Option<String>,
        pub this_update: Option<Rfc3339>,
        pub next_update: Option<Rfc3339>,
        pub refresh_after: Option<Rfc3339>,
        pub generated_at: Option<Rfc3339>,
        pub duration_ms: Option<u64>,
        /// None before the first refresh; such a row is not written.
        pub last_outcome: Option<Outcome>,
        pub consecutive_failures: u64,
        pub last_error_code: Option<String>,
        pub last_error: Option<String>,
        pub last_error_at: Option<Rfc3339>,
        pub pinned_certificate_sha256: Option<String>,
        pub waiting_certificate_sha256: Option<String>,
        pub publish_owed: u8,
        pub events_owed: u64,
        pub failing_since: Option<Rfc3339>,
        pub last_checked_at: Option<Rfc3339>,
        pub findings: Option<String>,
        pub candidate: Option<String>,
    }
}

/// The CRL that was refused last, if an operator may accept it: JSON in `crl_status.candidate`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CandidateStatus {
    /// The SHA-256 of its DER, in hexadecimal.
    pub(crate) sha256: Sha256,
    /// The code of the rule that refused it.
    pub(crate) code: String,
    /// The CRLNumber, decimal.
    pub(crate) number: Option<String>,
    pub(crate) revoked_count: u64,
    pub(crate) refused_at: Rfc3339,
    /// The serial numbers, in hexadecimal, of the first entries that are missing from it without an
    /// explanation.
    pub(crate) missing: Vec<String>,
}

impl From<&Candidate> for CandidateStatus {
    fn from(candidate: &Candidate) -> Self {
        Self {
            sha256: candidate.sha256,
            code: candidate.code.clone(),
            number: candidate.number.clone(),
            revoked_count: candidate.entry_count,
            refused_at: Rfc3339(candidate.refused_at),
            missing: candidate.missing.clone(),
        }
    }
}

impl From<&StatusReport> for StatusRow {
    fn from(status: &StatusReport) -> Self {
        let state = &status.state;
        let head = state.head();
        let error = state.last_error.as_ref();
        Self {
            issuer_id: status.issuer_id.clone(),
            crl_name: status.crl_name,
            revision: state.revision,
            crl_number: head.map(|head| head.number.to_string()),
            revoked_count: head.map(|head| head.entry_count),
            size_bytes: head.map(|head| head.size),
            sha256: head.map(|head| head.sha256.to_string()),
            this_update: head.map(|head| Rfc3339(head.this_update.into())),
            next_update: head.map(|head| Rfc3339(head.next_update.into())),
            refresh_after: state.next_attempt.map(Rfc3339),
            generated_at: head.map(|head| Rfc3339(head.committed_at)),
            duration_ms: state.last_outcome.map(|_| state.last_duration_ms),
            last_outcome: state.last_outcome,
            consecutive_failures: state.consecutive_failures.into(),
            last_error_code: error.map(|error| error.code.clone()),
            last_error: error.map(|error| error.message.clone()),
            last_error_at: error.map(|error| Rfc3339(error.at)),
            pinned_certificate_sha256: status.pinned.map(|sha256| sha256.to_string()),
            waiting_certificate_sha256: status.pending_certificate.map(|sha256| sha256.to_string()),
            // A publication that was not tried yet is about to be: nothing is late.
            publish_owed: state.is_publish_overdue().into(),
            events_owed: status.events_owed,
            failing_since: state.failing_since.map(Rfc3339),
            last_checked_at: state.last_outcome.map(|_| Rfc3339(state.refreshed_at())),
            findings: (!state.findings.is_empty()).then(|| json(&state.findings)),
            candidate: state
                .candidate
                .as_ref()
                .map(|candidate| json(&CandidateStatus::from(candidate))),
        }
    }
}

row! {
    /// A row of `crl_refresh_counts`: how many refreshes of one CRL ended in one way.
    #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
    struct CountRow {
        issuer_id: IssuerId,
        crl_name: CrlName,
        trigger: Trigger,
        outcome: Outcome,
        refreshes: u64,
        duration_ms: u64,
        revision: u64,
    }
}

/// The statements, in one transaction, that append events and write how CRLs stand.
#[must_use]
pub fn append(events: &[Event], statuses: &[StatusReport]) -> Vec<Query> {
    let mut queries = Vec::new();
    if !events.is_empty() {
        queries.push(append_events(events));
    }
    if !statuses.is_empty() {
        queries.extend([report_statuses(statuses), report_counts(statuses)]);
    }
    let removed = statuses.iter().filter(|status| status.state.removal_owed);
    queries.extend(removed.flat_map(remove_status));
    queries
}

/// Removes the rows of a CRL that was removed. Its events stay, and so do the totals.
fn remove_status(status: &StatusReport) -> [Query; 2] {
    ["crl_status", "crl_refresh_counts"].map(|table| {
        Query::new(
            format!("DELETE FROM {table} WHERE issuer_id = ? AND crl_name = ?"),
            [status.issuer_id.to_string(), status.crl_name.to_string()],
        )
    })
}

/// Replaces the counts of CRLs, unless the table has newer ones.
fn report_counts(statuses: &[StatusReport]) -> Query {
    let rows_of = |status: &StatusReport| {
        let (issuer_id, crl_name) = (status.issuer_id.clone(), status.crl_name);
        let revision = status.state.revision;
        let counts = status.state.counts.clone();
        counts.into_iter().map(move |count| CountRow {
            issuer_id: issuer_id.clone(),
            crl_name,
            trigger: count.trigger,
            outcome: count.outcome,
            refreshes: count.refreshes,
            duration_ms: count.duration_ms,
            revision,
        })
    };
    let rows: Vec<_> = statuses.iter().flat_map(rows_of).collect();
    let insert = insert("crl_refresh_counts", CountRow::COLUMNS);
    Query::new(
        format!(
            "{insert} ON CONFLICT (issuer_id, crl_name, trigger, outcome) DO UPDATE SET \
             refreshes = excluded.refreshes, duration_ms = excluded.duration_ms, \
             revision = excluded.revision \
             WHERE excluded.revision >= revision AND excluded.refreshes <> refreshes"
        ),
        [json(&rows)],
    )
}

/// Appends events. An event that the table has already, by its id, changes nothing; one that breaks
/// any other constraint fails the statement.
fn append_events(events: &[Event]) -> Query {
    let insert = insert("crl_generation_events", Event::COLUMNS);
    Query::new(
        format!("{insert} ON CONFLICT (id) DO NOTHING"),
        [json(events)],
    )
}

/// Replaces the state of CRLs, unless the table has a newer one.
fn report_statuses(statuses: &[StatusReport]) -> Query {
    const KEY: [&str; 2] = ["issuer_id", "crl_name"];
    let rows = statuses.iter().map(StatusRow::from);
    let rows: Vec<_> = rows.filter(|row| row.last_outcome.is_some()).collect();
    let insert = insert("crl_status", StatusRow::COLUMNS);
    let updates: Vec<_> = StatusRow::COLUMNS
        .iter()
        .filter(|column| !KEY.contains(column))
        .map(|column| format!("{column} = excluded.{column}"))
        .collect();
    let (key, updates) = (KEY.join(", "), updates.join(", "));
    Query::new(
        format!(
            "{insert} ON CONFLICT ({key}) DO UPDATE SET {updates} WHERE excluded.revision >= revision"
        ),
        [json(&rows)],
    )
}

/// Removes up to `limit` of the events that started before `before`, the oldest first.
#[must_use]
pub fn remove_events(before: Timestamp, limit: u32) -> Query {
    // Text compares as time does: both are RFC 3339 in UTC with milliseconds.
    Query::new(
        format!(
            "DELETE FROM crl_generation_events WHERE id IN \
             (SELECT id FROM crl_generation_events WHERE started_at < ? ORDER BY started_at LIMIT {limit})"
        ),
        [before.to_string()],
    )
}

/// Appends actions. One that the table has already changes nothing.
#[must_use]
pub fn append_actions(actions: &[Action]) -> Query {
    let insert = insert("operator_actions", Action::COLUMNS);
    Query::new(
        format!("{insert} ON CONFLICT (id) DO NOTHING"),
        [json(actions)],
    )
}

/// Removes up to `limit` of the actions from before `before`, the oldest first.
#[must_use]
pub fn remove_actions(before: Timestamp, limit: u32) -> Query {
    Query::new(
        format!(
            "DELETE FROM operator_actions WHERE id IN \
             (SELECT id FROM operator_actions WHERE at < ? ORDER BY at LIMIT {limit})"
        ),
        [before.to_string()],
    )
}

/// Inserts the rows of a JSON array of objects by column.
fn insert(table: &str, columns: &[&str]) -> String {
    let values: Vec<_> = columns
        .iter()
        .map(|column| format!("value ->> '$.{column}'"))
        .collect();
    let (columns, values) = (columns.join(", "), values.join(", "));
    // Unless the rows are materialized, SQLite writes a row as text again for each of its columns.
    // Without `WHERE`, it would take `ON CONFLICT` for the constraint of a join.
    format!(
        "INSERT INTO {table} ({columns}) \
         WITH rows AS MATERIALIZED (SELECT value FROM json_each(?)) \
         SELECT {values} FROM rows WHERE true"
    )
}

fn json(rows: &(impl Serialize + ?Sized)) -> String {
    // Every field is text or a number, so this cannot fail.
    serde_json::to_string(rows).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::refresh::{BodyId, CrlState, Current, Publication, testing};
    use crate::tables::testing::{NOW, Tables, action, event};

    fn status(revision: u64) -> StatusReport {
        StatusReport {
            issuer_id: "a".parse().unwrap(),
            crl_name: CrlName::Full,
            state: CrlState {
                current: Some(Current {
                    head: testing::head(7),
                    body: BodyId(1),
                    pieces: 1,
                    coverage: None,
                }),
                revision,
                last_outcome: Some(Outcome::Rejected),
                last_duration_ms: 12,
                consecutive_failures: 2,
                failing_since: Some(NOW),
                last_error: Some(crate::refresh::LastError {
                    code: "bad_signature".to_owned(),
                    message: "it's \"no\"".to_owned(),
                    at: NOW,
                }),
                next_attempt: Some(NOW),
                publication: Publication::Owed {
                    attempts: 1,
                    retry_at: NOW,
                    parts_done: 0,
                    is_begun: false,
                },
                ..CrlState::default()
            },
            pinned: Some(testing::head(7).sha256),
            pending_certificate: None,
            events_owed: 3,
        }
    }

    #[test]
    fn counts_are_absolute_and_totals_never_decrease() {
        let counted = |revision, refreshes| {
            let mut status = status(revision);
            status.state.counts = vec![crate::refresh::RefreshCount {
                trigger: Trigger::Cron,
                outcome: Outcome::Unchanged,
                refreshes,
                duration_ms: refreshes * 10,
            }];
            report_counts(&[status])
        };
        let tables = Tables::new();
        let total = || {
            let query = Query::new("SELECT refreshes, duration_ms FROM crl_refresh_totals", []);
            tables.typed::<serde_json::Value>(&query).remove(0)
        };
        // The same again, an older report, and an object that lost its storage.
        for (revision, refreshes, expected) in [
            (1, 3, 3),
            (1, 3, 3),
            (5, 7, 7),
            (4, 6, 7),
            (6, 1, 8),
            (7, 2, 9),
        ] {
            tables.run(&counted(revision, refreshes)).unwrap();
            let expected =
                serde_json::json!({ "refreshes": expected, "duration_ms": expected * 10 });
            assert_eq!(total(), expected, "{revision}");
        }
    }

    fn statuses(tables: &Tables) -> Vec<StatusRow> {
        tables.typed(&Query::new("SELECT * FROM crl_status", []))
    }

    #[test]
    fn a_row_comes_back_as_it_was_written() {
        let tables = Tables::new();
        tables.run(&append_events(&[event(1), event(2)])).unwrap();
        let read: Vec<Event> = tables.typed(&Query::new("SELECT * FROM crl_generation_events", []));
        assert_eq!(read, [event(1), event(2)]);
        tables.run(&report_statuses(&[status(5)])).unwrap();
        assert_eq!(statuses(&tables), [StatusRow::from(&status(5))]);
    }

    /// What the last release, commit 85b5ac9, writes: it runs between the migrations and the
    /// deploy, and again after a rollback.
    #[test]
    fn the_last_release_writes_to_the_new_tables() {
        const APPEND: &str = "INSERT OR IGNORE INTO crl_generation_events \
            (id, issuer_id, crl_name, trigger, outcome, succeeded, crl_number, revoked_count, \
             size_bytes, sha256, this_update, next_update, started_at, duration_ms, error_code, error) \
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
        const REPORT: &str = "INSERT INTO crl_status \
            (issuer_id, crl_name, revision, crl_number, revoked_count, size_bytes, sha256, \
             this_update, next_update, refresh_after, generated_at, duration_ms, last_outcome, \
             consecutive_failures, last_error_code, last_error, last_error_at, \
             pinned_certificate_sha256, waiting_certificate_sha256, publish_owed, events_owed, \
             failing_since) \
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) \
            ON CONFLICT (issuer_id, crl_name) DO UPDATE SET \
            revision = excluded.revision, crl_number = excluded.crl_number, \
            failing_since = excluded.failing_since \
            WHERE excluded.revision >= revision";
        const REMOVE: &str = "DELETE FROM crl_generation_events WHERE id IN \
            (SELECT id FROM crl_generation_events WHERE started_at < ? ORDER BY started_at LIMIT 1000)";
        let tables = Tables::new();
        let run = |sql: &str, values: &[&str]| {
            let values = values.iter().map(|value| (*value).to_owned());
            tables.run(&Query::new(sql, values))
        };
        let (id, day) = (event(1).id.to_string(), "2026-01-01T00:00:00.000Z");
        let row = [
            &id,
            "a",
            "full",
            "cron",
            "unchanged",
            "1",
            "7",
            "5",
            "500",
            "00ff",
            day,
            day,
            day,
            "12",
            "",
            "",
        ];
        assert_eq!(run(APPEND, &row), Ok(1));
        assert_eq!(run(APPEND, &row), Ok(0), "once");
        tables.run(&report_statuses(&[status(5)])).unwrap();
        for (revision, changed) in [("4", 0), ("6", 1)] {
            let row = [
                "a",
                "full",
                revision,
                "8",
                "5",
                "500",
                "00ff",
                day,
                day,
                day,
                day,
                "12",
                "published",
                "0",
                "",
                "",
                day,
                "abcd",
                "",
                "0",
                "0",
                day,
            ];
            assert_eq!(run(REPORT, &row), Ok(changed), "{revision}");
        }
        assert_eq!(statuses(&tables)[0].crl_number.as_deref(), Some("8"));
        let read: Vec<Event> = tables.typed(&Query::new("SELECT * FROM crl_generation_events", []));
        assert_eq!(read[0].id, event(1).id);
        assert_eq!(run(REMOVE, &["2026-01-02T00:00:00.000Z"]), Ok(1));
    }

    #[test]
    fn a_row_has_every_column_of_its_table() {
        let tables = Tables::new();
        for (table, columns) in [
            ("crl_generation_events", Event::COLUMNS),
            ("crl_status", StatusRow::COLUMNS),
            ("operator_actions", Action::COLUMNS),
        ] {
            assert_eq!(tables.columns(table), columns, "{table}");
        }
    }

    #[test]
    fn a_crl_that_was_removed_leaves_its_events_and_the_totals() {
        let tables = Tables::new();
        let write = |status: &StatusReport| {
            for query in append(&[event(1)], std::slice::from_ref(status)) {
                tables.run(&query).unwrap();
            }
        };
        let mut status = status(5);
        status.state.counts = vec![crate::refresh::RefreshCount {
            trigger: Trigger::Cron,
            outcome: Outcome::Published,
            refreshes: 3,
            duration_ms: 30,
        }];
        write(&status);
        status.state = status.state.removed();
        write(&status);
        let counts = ["crl_status", "crl_refresh_counts", "crl_generation_events"];
        let counts = counts.map(|table| {
            let count = Query::new(format!("SELECT count(*) FROM {table}"), []);
            tables.rows(&count).remove(0).remove(0)
        });
        assert_eq!(counts, ["0", "0", "1"]);
        let total = Query::new("SELECT refreshes FROM crl_refresh_totals", []);
        assert_eq!(tables.rows(&total), [["3"]]);
    }

    #[test]
    fn an_older_report_does_not_replace_a_newer_one() {
        let tables = Tables::new();
        for revision in [5, 4] {
            tables.run(&report_statuses(&[status(revision)])).unwrap();
            assert_eq!(statuses(&tables)[0].revision, 5);
        }
        tables.run(&report_statuses(&[status(6)])).unwrap();
        assert_eq!(statuses(&tables)[0].revision, 6);
    }

    #[test]
    fn a_crl_that_was_never_refreshed_has_no_row() {
        let tables = Tables::new();
        let mut never = status(1);
        never.state = CrlState::default();
        tables.run(&report_statuses(&[never, status(2)])).unwrap();
        assert_eq!(statuses(&tables).len(), 1);
    }

    #[test]
    fn only_an_event_with_the_same_id_is_ignored() {
        let tables = Tables::new();
        for _ in 0..2 {
            tables.run(&append_events(&[event(1)])).unwrap();
        }
        let count = Query::new("SELECT count(*) FROM crl_generation_events", []);
        assert_eq!(tables.rows(&count), [["1"]]);
        let mut refused = event(2);
        refused.succeeded = 7;
        assert!(tables.run(&append_events(&[refused])).is_err());
    }

    #[test]
    fn actions_are_kept_for_400_days_and_the_oldest_go_first() {
        let tables = Tables::new();
        let settings = crate::config::Settings::read(|_| None);
        let end = NOW.before(settings.action_retention);
        let day = Duration::from_hours(24);
        assert_eq!(end, NOW.before(day * 400));
        let action = |number: u8, at: Timestamp| Action {
            at: at.to_string(),
            ..action(number)
        };
        let just_old = end.before(Duration::from_millis(1));
        let actions = [
            action(1, end.before(day)),
            action(2, just_old),
            action(3, end),
            action(4, NOW),
        ];
        tables.run(&append_actions(&actions)).unwrap();
        let left = || -> Vec<Action> {
            tables.typed(&Query::new(
                "SELECT * FROM operator_actions ORDER BY id",
                [],
            ))
        };
        assert_eq!(tables.run(&remove_actions(end, 1)), Ok(1));
        assert_eq!(left(), actions[1..]);
        assert_eq!(tables.run(&remove_actions(end, 9)), Ok(1));
        assert_eq!(left(), actions[2..]);
    }

    #[test]
    fn the_oldest_events_go_first() {
        let tables = Tables::new();
        let events = [event(1), event(2), event(3)];
        tables.run(&append_events(&events)).unwrap();
        let before = NOW.after(Duration::from_secs(3));
        assert_eq!(tables.run(&remove_events(before, 1)), Ok(1));
        assert_eq!(tables.run(&remove_events(before, 9)), Ok(1));
        let left = Query::new("SELECT id FROM crl_generation_events", []);
        assert_eq!(tables.rows(&left), [[event(3).id.to_string()]]);
    }
}
