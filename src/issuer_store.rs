//! What an issuer's object stores: `Store` over its SQLite.

use std::collections::BTreeMap;

use edge::events::Event;
use edge::refresh::{
    BodyId, CrlState, IssuerState, ObjectState, Sha256, StateChange, Store, StoreError,
};
use edge::time::Timestamp;
use origin_api::{CrlName, IssuerId};
use worker::SqlStorageValue;
use worker::durable::State;
use worker::wasm_bindgen::JsValue;

use crate::sql::{Sql, integer, json, to_json};

/// Tables are only ever added to: the next release reads what this one wrote. `doomed` has the KV
/// keys to be deleted.
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

    /// A piece's bytes as JavaScript has them: on their way out they need not pass through wasm
    /// memory.
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

    fn count(&self, sql: &str) -> Result<u64, StoreError> {
        let rows = self.sql.rows(sql, vec![])?;
        let count = integer(rows.first().and_then(|row| row.first()))?;
        Ok(u64::try_from(count).unwrap_or(0))
    }

    fn crls(&self) -> Result<BTreeMap<CrlName, CrlState>, StoreError> {
        let mut crls = BTreeMap::new();
        let rows = self
            .sql
            .rows("SELECT json_quote(name), state FROM crl", vec![])?;
        for row in rows {
            crls.insert(json(row.first())?, json(row.get(1))?);
        }
        Ok(crls)
    }

    fn pending_deletes(&self) -> Result<BTreeMap<String, Timestamp>, StoreError> {
        let mut deletes = BTreeMap::new();
        let rows = self
            .sql
            .rows("SELECT json_quote(key), after FROM doomed", vec![])?;
        for row in rows {
            let after = Timestamp::from_millis(integer(row.get(1))?);
            deletes.insert(json(row.first())?, after);
        }
        Ok(deletes)
    }

    /// The SHA-256 of the CRL that storage has committed.
    fn held(&self, name: CrlName) -> Result<Option<Sha256>, StoreError> {
        self.sql
            .rows(
                "SELECT json_quote(sha256) FROM crl WHERE name = ?",
                vec![name.to_string().into()],
            )?
            .first()
            .map_or(Ok(None), |row| json(row.first()))
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

    /// Writes one change, within a transaction.
    fn write(&self, change: &StateChange, held: Option<Sha256>) -> Result<(), StoreError> {
        if let Some((name, state)) = &change.crl {
            if self.held(*name)? != held {
                return Err(StoreError::Conflict);
            }
            self.set_crl(*name, state)?;
        }
        if let Some(issuer) = &change.issuer {
            self.sql.set_fact("issuer", issuer)?;
        }
        if let Some(event) = &change.event {
            self.sql.run(
                "INSERT INTO outbox (id, event) VALUES (?, ?)",
                vec![event.id.to_string().into(), to_json(event)?],
            )?;
        }
        if !change.delivered.is_empty() {
            self.sql.run(
                "DELETE FROM outbox WHERE id IN (SELECT value FROM json_each(?))",
                vec![to_json(&change.delivered)?],
            )?;
        }
        for (key, after) in &change.schedule_deletes {
            self.sql.run(
                "INSERT OR REPLACE INTO doomed (key, after) VALUES (?, ?)",
                vec![key.as_str().into(), after.as_millis().into()],
            )?;
        }
        for key in &change.deleted {
            self.sql.run(
                "DELETE FROM doomed WHERE key = ?",
                vec![key.as_str().into()],
            )?;
        }
        Ok(())
    }
}

impl Store for SqlStore {
    fn load(&self) -> Result<ObjectState, StoreError> {
        let issuer: Option<IssuerState> = self.sql.fact("issuer")?;
        Ok(ObjectState {
            issuer: issuer.unwrap_or_default(),
            crls: self.crls()?,
            pending_deletes: self.pending_deletes()?,
            events_owed: self.count("SELECT count(*) FROM outbox")?,
        })
    }

    fn commit(&self, changes: &[(StateChange, Option<Sha256>)]) -> Result<(), StoreError> {
        self.sql.atomically(|| {
            changes
                .iter()
                .try_for_each(|(change, held)| self.write(change, *held))
        })
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

    fn sweep(&self, keep: &[BodyId], before: Option<BodyId>) -> Result<(), StoreError> {
        for (table, column) in [("piece", "body"), ("body", "id")] {
            self.sql.run(
                &format!(
                    "DELETE FROM {table} WHERE {column} < ? \
                     AND {column} NOT IN (SELECT value FROM json_each(?))"
                ),
                vec![id_of(before.unwrap_or(BodyId(u32::MAX))), to_json(&keep)?],
            )?;
        }
        Ok(())
    }

    fn owed_events(&self, limit: usize) -> Result<Vec<Event>, StoreError> {
        self.events("SELECT event FROM outbox ORDER BY id LIMIT ?", limit)
    }

    fn newest_owed_events(&self, limit: usize) -> Result<Vec<Event>, StoreError> {
        self.events("SELECT event FROM outbox ORDER BY id DESC LIMIT ?", limit)
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
