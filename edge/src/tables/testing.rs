//! The tables as the migrations make them, in SQLite, and rows for the tests.

use std::collections::BTreeMap;
use std::time::Duration;

use origin_api::CrlName;
use rusqlite::StatementStatus;
use rusqlite::types::ValueRef;
use serde::de::DeserializeOwned;

use crate::actions::{Act, Action};
use crate::events::{Event, EventId, Outcome};
use crate::tables::{Query, StatusRow};
use crate::time::{Rfc3339, Timestamp};

pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_767_225_600_000);

/// The event with this number; greater numbers are later.
pub(crate) fn event(number: u8) -> Event {
    serde_json::from_value(serde_json::json!({
        "id": format!("018bcfe5-6800-7000-8000-0000000000{number:02x}"),
        "issuer_id": "a", "crl_name": "full", "trigger": "cron", "outcome": "published", "succeeded": 1,
        "crl_number": number.to_string(), "revoked_count": 5, "size_bytes": 500, "sha256": "00ff",
        "this_update": "2026-01-01T00:00:00.000Z", "next_update": "2026-01-02T00:00:00.000Z",
        "started_at": format!("2026-01-01T00:00:{number:02}.000Z"), "duration_ms": 12,
        "error_code": null, "error": null,
    }))
    .unwrap()
}

/// The action with this number; greater numbers are later.
pub(crate) fn action(number: u8) -> Action {
    Action {
        id: EventId::new(
            NOW.after(Duration::from_millis(number.into())),
            [number; 10],
        ),
        at: NOW.to_string(),
        action: Act::Trust,
        role: Some("operator".to_owned()),
        token_name: Some("ann".to_owned()),
        address: Some("203.0.113.0/24".to_owned()),
        issuer_id: Some("a".parse().unwrap()),
        crl_name: None,
        sha256: Some("00ff".to_owned()),
    }
}

/// A CRL that was issued an hour ago, is due in an hour, and expires in two.
pub(crate) fn status_row(issuer: &str) -> StatusRow {
    let hours = |hours: i64| {
        Some(Rfc3339(Timestamp::from_millis(
            NOW.as_millis() + hours * 3_600_000,
        )))
    };
    StatusRow {
        issuer_id: issuer.parse().unwrap(),
        crl_name: CrlName::Full,
        revision: 1,
        crl_number: Some("7".to_owned()),
        revoked_count: Some(5),
        size_bytes: Some(500),
        sha256: Some("00ff".to_owned()),
        this_update: hours(-1),
        next_update: hours(2),
        refresh_after: hours(1),
        generated_at: hours(-1),
        duration_ms: Some(12),
        last_outcome: Some(Outcome::Published),
        consecutive_failures: 0,
        last_error_code: None,
        last_error: None,
        last_error_at: None,
        pinned_certificate_sha256: Some("abcd".to_owned()),
        waiting_certificate_sha256: None,
        publish_owed: 0,
        events_owed: 0,
        failing_since: None,
        last_checked_at: hours(-1),
        findings: None,
        candidate: None,
    }
}

/// The tables, in memory.
pub(crate) struct Tables(rusqlite::Connection);

const MIGRATIONS: [&str; 7] = [
    include_str!("../../../migrations/0001_events_and_status.sql"),
    include_str!("../../../migrations/0002_refresh_counts.sql"),
    include_str!("../../../migrations/0003_failing_since.sql"),
    include_str!("../../../migrations/0004_last_checked_at.sql"),
    include_str!("../../../migrations/0005_operator_actions.sql"),
    include_str!("../../../migrations/0006_absolute_counts.sql"),
    include_str!("../../../migrations/0007_findings.sql"),
];

impl Tables {
    pub(crate) fn new() -> Self {
        Self::migrated(&MIGRATIONS)
    }

    /// With 1,000 issuers, `issuer-0000` and so on, and 200,000 events over 30 days. Five issuers
    /// fail.
    pub(crate) fn large() -> Self {
        let [first, later @ ..] = MIGRATIONS;
        Self::migrated(&[&[first, include_str!("testing/large.sql")], &later[..]].concat())
    }

    fn migrated(steps: &[&str]) -> Self {
        let connection = rusqlite::Connection::open_in_memory().unwrap();
        for step in steps {
            connection.execute_batch(step).unwrap();
        }
        Self(connection)
    }

    /// Appends an event by its id, issuer, outcome and start, unless its id is there.
    pub(crate) fn add_event(
        &self,
        (id, issuer, outcome, started_at): &(String, String, String, String),
    ) {
        let sql = "INSERT OR IGNORE INTO crl_generation_events \
            (id, issuer_id, crl_name, trigger, outcome, succeeded, started_at, duration_ms) \
            VALUES (?, ?, 'full', 'cron', ?, 1, ?, 12)";
        self.0
            .execute(sql, [id, issuer, outcome, started_at])
            .unwrap();
    }

    pub(crate) fn events(&self, query: &Query) -> Vec<Event> {
        self.typed(query)
    }

    /// The rows, as the platform returns them: objects by column.
    pub(crate) fn typed<T: DeserializeOwned>(&self, query: &Query) -> Vec<T> {
        let mut statement = self.0.prepare(&query.sql).unwrap();
        let columns: Vec<_> = statement.column_names().map(str::to_owned).collect();
        let mut rows = statement
            .query(rusqlite::params_from_iter(&query.values))
            .unwrap();
        let mut typed = Vec::new();
        while let Some(row) = rows.next().unwrap() {
            let object: BTreeMap<_, _> = columns
                .iter()
                .enumerate()
                .map(|(index, column)| (column.clone(), json(row.get_ref(index).unwrap())))
                .collect();
            typed.push(serde_json::from_value(serde_json::to_value(object).unwrap()).unwrap());
        }
        typed
    }

    /// Runs a statement that writes; returns how many rows it changed.
    pub(crate) fn run(&self, query: &Query) -> Result<usize, String> {
        let values = rusqlite::params_from_iter(&query.values);
        let run = self.0.execute(&query.sql, values);
        run.map_err(|error| error.to_string())
    }

    /// Runs a statement that writes, with values that are bound as they are.
    pub(crate) fn bind(&self, sql: &str, values: Vec<rusqlite::types::Value>) {
        let values = rusqlite::params_from_iter(values);
        assert_eq!(self.0.execute(sql, values), Ok(1));
    }

    /// How many bytes the tables and their indexes have.
    pub(crate) fn size(&self) -> u64 {
        let sql = "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()";
        let size = self.rows(&Query::new(sql, [])).remove(0).remove(0);
        size.parse().unwrap()
    }

    /// The columns of a table.
    pub(crate) fn columns(&self, table: &str) -> Vec<String> {
        let sql = format!("SELECT name FROM pragma_table_info('{table}')");
        let names = self.rows(&Query::new(sql, []));
        names.into_iter().flatten().collect()
    }

    /// The rows as text.
    pub(crate) fn rows(&self, query: &Query) -> Vec<Vec<String>> {
        let mut statement = self.0.prepare(&query.sql).unwrap();
        let columns = statement.column_count();
        let mut rows = statement
            .query(rusqlite::params_from_iter(&query.values))
            .unwrap();
        let mut all = Vec::new();
        while let Some(row) = rows.next().unwrap() {
            let text = |index| match json(row.get_ref(index).unwrap()) {
                serde_json::Value::String(text) => text,
                other => other.to_string(),
            };
            all.push((0..columns).map(text).collect());
        }
        all
    }

    /// How SQLite reads the tables for a query: a line for each.
    pub(crate) fn plan(&self, query: &Query) -> Vec<String> {
        let explain = format!("EXPLAIN QUERY PLAN {}", query.sql);
        let rows = self.rows(&Query::new(explain, query.values.iter().cloned()));
        rows.into_iter().map(|mut row| row.remove(3)).collect()
    }

    /// How many rows a query returns, and how many steps of SQLite's virtual machine it takes,
    /// which grow with the rows that it reads.
    pub(crate) fn cost(&self, query: &Query) -> (i32, i32) {
        let mut statement = self.0.prepare(&query.sql).unwrap();
        let values = rusqlite::params_from_iter(&query.values);
        let mut rows = statement.query(values).unwrap();
        let mut given = 0;
        while rows.next().unwrap().is_some() {
            given += 1;
        }
        drop(rows);
        (given, statement.get_status(StatementStatus::VmStep))
    }
}

fn json(value: ValueRef<'_>) -> serde_json::Value {
    match value {
        ValueRef::Null => serde_json::Value::Null,
        ValueRef::Integer(number) => number.into(),
        ValueRef::Real(number) => number.into(),
        ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned().into(),
        ValueRef::Blob(_) => panic!("no blobs here"),
    }
}
