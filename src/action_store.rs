//! The platform's side of the log of actions, in the registry's object.

use std::time::Duration;

use edge::actions::{Action, ActionPorts};
use edge::events::EventId;
use edge::refresh::{EventLogError, Runtime as _, StoreError};
use edge::tables;
use edge::time::Timestamp;
use worker::durable::State;

use crate::d1::D1Log;
use crate::host::JsHost;
use crate::sql::{Sql, json, to_json};

const SCHEMA: &[&str] =
    &["CREATE TABLE IF NOT EXISTS action (id TEXT PRIMARY KEY, action TEXT NOT NULL)"];

/// The object's storage, its alarm, and D1.
#[derive(Debug)]
pub(crate) struct WorkerActions {
    host: JsHost,
    sql: Sql,
    table: D1Log,
}

impl WorkerActions {
    /// Opens the storage, creating its table if it is missing.
    pub(crate) fn open(state: &State, host: JsHost, table: D1Log) -> Result<Self, StoreError> {
        let sql = Sql::open(state, SCHEMA)?;
        Ok(Self { host, sql, table })
    }
}

impl ActionPorts for WorkerActions {
    fn now(&self) -> Timestamp {
        self.host.now()
    }

    async fn sleep(&self, span: Duration) {
        self.host.sleep(span).await;
    }

    fn log(&self, line: &serde_json::Value) {
        self.host.log(line);
    }

    async fn set_alarm(&self, at: Timestamp) -> Result<(), StoreError> {
        self.host.set_alarm_by(at).await
    }

    fn keep(&self, action: &Action) -> Result<(), StoreError> {
        self.sql.run(
            "INSERT OR IGNORE INTO action (id, action) VALUES (?, ?)",
            vec![action.id.to_string().into(), to_json(action)?],
        )
    }

    fn kept(&self, limit: usize) -> Result<Vec<Action>, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.sql
            .rows(
                "SELECT action FROM action ORDER BY id LIMIT ?",
                vec![limit.into()],
            )?
            .iter()
            .map(|row| json(row.first()))
            .collect()
    }

    fn forget(&self, ids: &[EventId]) -> Result<(), StoreError> {
        self.sql.run(
            "DELETE FROM action WHERE id IN (SELECT value FROM json_each(?))",
            vec![to_json(&ids)?],
        )
    }

    async fn append(&self, actions: &[Action]) -> Result<(), EventLogError> {
        let append = self.table.write(&tables::append_actions(actions)).await;
        append
            .map(drop)
            .map_err(|error| EventLogError(error.to_string()))
    }
}
