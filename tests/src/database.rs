//! D1 and the Durable Objects' storage, read from the SQLite files that workerd keeps them in.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};

use crate::suite;

pub use rusqlite::types::Value as Column;

/// One database: D1, or the storage of a Durable Object.
pub struct Database {
    file: PathBuf,
}

/// One row, by column.
pub type Row = BTreeMap<String, Column>;

/// The columns of `crl_generation_events` that tests look at.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// `id`
    pub id: String,
    /// `issuer_id`
    pub issuer_id: String,
    /// `crl_name`
    pub crl_name: String,
    /// `trigger`
    pub trigger: String,
    /// `outcome`
    pub outcome: String,
    /// `succeeded`
    pub succeeded: bool,
    /// `crl_number`
    pub crl_number: Option<String>,
    /// `error_code`
    pub error_code: Option<String>,
    /// `error`
    pub error: Option<String>,
}

impl Database {
    /// The first database in a folder that holds one file per database.
    pub(crate) fn in_folder(folder: &Path) -> Self {
        let is_database = |path: &PathBuf| {
            path.extension()
                .is_some_and(|extension| extension == "sqlite")
                && path.file_stem().is_some_and(|stem| stem != "metadata")
        };
        let file = fs::read_dir(folder)
            .unwrap_or_else(|error| panic!("nothing in {}: {error}", folder.display()))
            .filter_map(|entry| Some(entry.ok()?.path()))
            .find(is_database)
            .unwrap_or_else(|| panic!("no database in {}", folder.display()));
        Self { file }
    }

    /// The database in this file.
    pub(crate) fn in_file(file: &Path) -> Self {
        Self {
            file: file.to_owned(),
        }
    }

    /// Runs a query.
    #[must_use]
    pub fn query(&self, sql: &str) -> Vec<Row> {
        let connection = self.open();
        let mut statement = connection.prepare(sql).expect("the query is right");
        let columns = statement
            .column_names()
            .map(str::to_owned)
            .collect::<Vec<_>>();
        let rows = statement.query_map([], |row| {
            columns
                .iter()
                .enumerate()
                .map(|(index, column)| Ok((column.clone(), row.get(index)?)))
                .collect::<rusqlite::Result<Row>>()
        });
        rows.expect("the query runs")
            .collect::<rusqlite::Result<_>>()
            .expect("rows can be read")
    }

    /// Runs a statement that changes the database behind the edge's back.
    pub fn execute(&self, sql: &str) {
        self.open().execute_batch(sql).expect("the statement runs");
    }

    fn open(&self) -> Connection {
        let connection = Connection::open_with_flags(&self.file, OpenFlags::SQLITE_OPEN_READ_WRITE)
            .expect("the file opens");
        connection
            .busy_timeout(Duration::from_secs(10))
            .expect("a busy timeout");
        connection
    }

    /// All events of an issuer, oldest first.
    #[must_use]
    pub fn events(&self, issuer: &str) -> Vec<Event> {
        assert!(!issuer.contains('\''), "issuer ids have no quotes");
        self.query(&format!(
            "SELECT * FROM crl_generation_events WHERE issuer_id = '{issuer}' ORDER BY started_at, id"
        ))
        .iter()
        .map(Event::from_row)
        .collect()
    }

    /// Waits until an issuer has at least `count` events and returns them all: the edge writes them
    /// after it has answered the refresh.
    pub async fn events_when(&self, issuer: &str, count: usize) -> Vec<Event> {
        self.wait_for(issuer, |events| {
            (events.len() >= count).then(|| events.to_vec())
        })
        .await
    }

    /// Waits for an issuer's first event for which `is_wanted` returns true.
    pub async fn event_when(&self, issuer: &str, is_wanted: impl Fn(&Event) -> bool) -> Event {
        self.wait_for(issuer, |events| {
            events.iter().find(|event| is_wanted(event)).cloned()
        })
        .await
    }

    async fn wait_for<T>(&self, issuer: &str, found: impl Fn(&[Event]) -> Option<T>) -> T {
        let started = Instant::now();
        loop {
            let events = self.events(issuer);
            if let Some(found) = found(&events) {
                return found;
            }
            assert!(
                started.elapsed() < suite::PATIENCE,
                "what is awaited is not among the events of {issuer}: {events:#?}"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Event {
    fn from_row(row: &Row) -> Self {
        let optional = |column: &str| match row.get(column) {
            Some(Column::Text(text)) => Some(text.clone()),
            Some(Column::Null) => None,
            other => panic!("{column} is {other:?}"),
        };
        let text = |column: &str| optional(column).unwrap_or_else(|| panic!("{column} is null"));
        Self {
            id: text("id"),
            issuer_id: text("issuer_id"),
            crl_name: text("crl_name"),
            trigger: text("trigger"),
            outcome: text("outcome"),
            succeeded: row.get("succeeded") == Some(&Column::Integer(1)),
            crl_number: optional("crl_number"),
            error_code: optional("error_code"),
            error: optional("error"),
        }
    }
}
