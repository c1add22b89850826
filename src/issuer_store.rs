//! What an issuer's object stores: `Store` over its SQLite.

use origin_api::{CrlName, IssuerId};
use worker::SqlStorageValue;
use worker::durable::State;
use worker::wasm_bindgen::JsValue;

use crate::sql::{Sql, integer, json, to_json};
use edge::events::{Event, EventId};
use edge::refresh::{BodyId, Conclusion, CrlState, Doomed, IssuerState, Sha256, Store, StoreError};
use edge::time::Timestamp;

/// Tables are only ever added to: the next release reads what this one wrote.
const SCHEMA: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS crl (name TEXT PRIMARY KEY, sha256 TEXT, body INTEGER, state TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS body (id INTEGER PRIMARY KEY AUTOINCREMENT)",
    "CREATE TABLE IF NOT EXISTS piece (body INTEGER NOT NULL, number INTEGER NOT NULL, bytes BLOB NOT NULL, PRIMARY KEY (body, number))",
    "CREATE TABLE IF NOT EXISTS outbox (id TEXT PRIMARY KEY, event TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS doomed (key TEXT PRIMARY KEY, after INTEGER NOT NULL)",
];

/// The storage of one issuer's object.
#[derive(Debug)]
pub(crate) struct SqlStore {
    sql: Sql,
}

impl SqlStore {
    /// Opens the storage, making its tables where they are missing.
    pub(crate) fn open(state: &State) -> Result<Self, StoreError> {
        Ok(Self {
            sql: Sql::open(state, SCHEMA)?,
        })
    }

    /// Whose object this is: what was noted when the first request came.
    pub(crate) fn issuer_id(&self) -> Result<Option<IssuerId>, StoreError> {
        self.sql.fact("issuer_id")
    }

    /// Notes whose object this is.
    pub(crate) fn set_issuer_id(&self, id: &IssuerId) -> Result<(), StoreError> {
        self.sql.set_fact("issuer_id", id)
    }

    /// A piece's bytes as JavaScript has them: on their way out they need not pass through wasm memory.
    pub(crate) fn piece_buffer(&self, body: BodyId, number: u32) -> Result<JsValue, StoreError> {
        self.sql
            .value(
                "SELECT bytes FROM piece WHERE body = ? AND number = ?",
                vec![id_of(body), index_of(number)],
                "bytes",
            )?
            .ok_or_else(|| missing_piece(body, number))
    }

    fn events(&self, sql: &str, limit: usize) -> Result<Vec<Event>, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = self.sql.rows(sql, vec![limit.into()])?;
        rows.iter().map(|row| json(row.first())).collect()
    }

    fn held(&self, name: CrlName) -> Result<Option<Sha256>, StoreError> {
        Ok(self.crl(name)?.head().map(|head| head.sha256))
    }
}

impl Store for SqlStore {
    fn issuer(&self) -> Result<IssuerState, StoreError> {
        Ok(self.sql.fact("issuer")?.unwrap_or_default())
    }

    fn set_issuer(&self, issuer: &IssuerState) -> Result<(), StoreError> {
        self.sql.set_fact("issuer", issuer)
    }

    fn crl(&self, name: CrlName) -> Result<CrlState, StoreError> {
        self.sql
            .rows(
                "SELECT state FROM crl WHERE name = ?",
                vec![name.to_string().into()],
            )?
            .first()
            .map_or_else(|| Ok(CrlState::default()), |row| json(row.first()))
    }

    fn crls(&self) -> Result<Vec<(CrlName, CrlState)>, StoreError> {
        self.sql
            .rows(
                "SELECT json_quote(name), state FROM crl ORDER BY name",
                vec![],
            )?
            .iter()
            .map(|row| Ok((json(row.first())?, json(row.get(1))?)))
            .collect()
    }

    fn new_body(&self) -> Result<BodyId, StoreError> {
        let rows = self
            .sql
            .rows("INSERT INTO body DEFAULT VALUES RETURNING id", vec![])?;
        let id = integer(rows.first().and_then(|row| row.first()))?;
        u32::try_from(id)
            .map(BodyId)
            .map_err(|error| StoreError::Failed(error.to_string()))
    }

    fn append(&self, body: BodyId, index: u32, piece: &[u8]) -> Result<(), StoreError> {
        self.sql.run(
            "INSERT INTO piece (body, number, bytes) VALUES (?, ?, ?)",
            vec![
                id_of(body),
                index_of(index),
                SqlStorageValue::Blob(piece.to_vec()),
            ],
        )
    }

    fn piece(&self, body: BodyId, index: u32) -> Result<Vec<u8>, StoreError> {
        let rows = self.sql.rows(
            "SELECT bytes FROM piece WHERE body = ? AND number = ?",
            vec![id_of(body), index_of(index)],
        )?;
        match rows.into_iter().next().and_then(|mut row| row.pop()) {
            Some(SqlStorageValue::Blob(bytes)) => Ok(bytes),
            _ => Err(missing_piece(body, index)),
        }
    }

    fn sweep(&self, keep: &[BodyId]) -> Result<(), StoreError> {
        let keep = serde_json::to_string(keep).unwrap_or_default();
        for (table, column) in [("piece", "body"), ("body", "id")] {
            self.sql.run(
                &format!(
                    "DELETE FROM {table} WHERE {column} NOT IN (SELECT body FROM crl WHERE body IS NOT NULL UNION SELECT value FROM json_each(?))"
                ),
                vec![keep.as_str().into()],
            )?;
        }
        Ok(())
    }

    fn conclude(&self, conclusion: &Conclusion<'_>) -> Result<(), StoreError> {
        let Conclusion {
            name,
            drawn_from,
            state,
            issuer,
            event,
        } = conclusion;
        self.sql.atomically(|| {
            if self.held(*name)? != *drawn_from {
                return Err(StoreError::Conflict);
            }
            self.set_crl(*name, state)?;
            if let Some(issuer) = issuer {
                self.set_issuer(issuer)?;
            }
            if let Some(event) = event {
                self.sql.run(
                    "INSERT OR IGNORE INTO outbox (id, event) VALUES (?, ?)",
                    vec![event.id.to_string().into(), to_json(event)?],
                )?;
            }
            Ok(())
        })
    }

    fn set_crl(&self, name: CrlName, state: &CrlState) -> Result<(), StoreError> {
        let current = state.current.as_ref();
        self.sql.run(
            "INSERT OR REPLACE INTO crl (name, sha256, body, state) VALUES (?, ?, ?, ?)",
            vec![
                name.to_string().into(),
                current
                    .map(|current| current.head.sha256.to_string())
                    .into(),
                current.map(|current| i64::from(current.body.0)).into(),
                to_json(state)?,
            ],
        )
    }

    fn owed_events(&self, limit: usize) -> Result<Vec<Event>, StoreError> {
        self.events("SELECT event FROM outbox ORDER BY id LIMIT ?", limit)
    }

    fn newest_owed_events(&self, limit: usize) -> Result<Vec<Event>, StoreError> {
        self.events("SELECT event FROM outbox ORDER BY id DESC LIMIT ?", limit)
    }

    fn owed_event_count(&self) -> Result<u64, StoreError> {
        let rows = self.sql.rows("SELECT count(*) FROM outbox", vec![])?;
        let count = integer(rows.first().and_then(|row| row.first()))?;
        Ok(u64::try_from(count).unwrap_or(0))
    }

    fn events_delivered(&self, ids: &[EventId]) -> Result<(), StoreError> {
        self.sql.run(
            "DELETE FROM outbox WHERE id IN (SELECT value FROM json_each(?))",
            vec![to_json(&ids)?],
        )
    }

    fn doomed(&self) -> Result<Vec<Doomed>, StoreError> {
        self.sql
            .rows("SELECT json_quote(key), after FROM doomed", vec![])?
            .iter()
            .map(|row| {
                Ok(Doomed {
                    key: json(row.first())?,
                    after: Timestamp::from_millis(integer(row.get(1))?),
                })
            })
            .collect()
    }

    fn doom(&self, doomed: &[Doomed]) -> Result<(), StoreError> {
        for Doomed { key, after } in doomed {
            self.sql.run(
                "INSERT OR REPLACE INTO doomed (key, after) VALUES (?, ?)",
                vec![key.as_str().into(), after.as_millis().into()],
            )?;
        }
        Ok(())
    }

    fn buried(&self, key: &str) -> Result<(), StoreError> {
        self.sql
            .run("DELETE FROM doomed WHERE key = ?", vec![key.into()])
    }
}

fn id_of(body: BodyId) -> SqlStorageValue {
    i64::from(body.0).into()
}

fn index_of(number: u32) -> SqlStorageValue {
    i64::from(number).into()
}

fn missing_piece(body: BodyId, number: u32) -> StoreError {
    StoreError::Unreadable(format!("piece {number} of body {} is missing", body.0))
}
