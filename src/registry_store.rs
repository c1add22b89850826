//! What the registry's object stores: `RegistryStore` over its SQLite.

use edge::refresh::StoreError;
use edge::registry::{Lease, RegistryStore, Row, Shrink, StoredJob};
use edge::time::Timestamp;
use origin_api::{CrlName, IssuerId};
use worker::SqlStorageValue;
use worker::durable::State;

use crate::sql::{Sql, integer, json, to_json};

const SCHEMA: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS issuer (id TEXT PRIMARY KEY, crls TEXT NOT NULL, gone_since INTEGER, asked_at INTEGER NOT NULL DEFAULT 0)",
    "CREATE TABLE IF NOT EXISTS withdrawn (id TEXT PRIMARY KEY, crls TEXT NOT NULL)",
    "CREATE INDEX IF NOT EXISTS issuer_by_asked_at ON issuer (asked_at, id) WHERE gone_since IS NULL",
    "CREATE INDEX IF NOT EXISTS gone_by_asked_at ON issuer (asked_at, id) WHERE gone_since IS NOT NULL",
];

/// The storage of the registry's object.
#[derive(Debug)]
pub(crate) struct SqlRegistry {
    sql: Sql,
}

impl SqlRegistry {
    /// Opens the storage, making its tables where they are missing.
    pub(crate) fn open(state: &State) -> Result<Self, StoreError> {
        Ok(Self {
            sql: Sql::open(state, SCHEMA)?,
        })
    }

    fn forget_withdrawn(&self, issuer: &IssuerId) -> Result<(), StoreError> {
        let sql = "DELETE FROM withdrawn WHERE id = ?";
        self.sql.run(sql, vec![issuer.as_str().into()])
    }
}

impl RegistryStore for SqlRegistry {
    fn rows(&self) -> Result<(Option<Timestamp>, Vec<Row>), StoreError> {
        let rows = self
            .sql
            .rows(
                "SELECT json_quote(issuer.id), issuer.crls, gone_since, coalesce(withdrawn.crls, '[]') \
                 FROM issuer LEFT JOIN withdrawn ON withdrawn.id = issuer.id",
                vec![],
            )?
            .iter()
            .map(|row| {
                Ok(Row {
                    id: json(row.first())?,
                    crls: json::<Vec<CrlName>>(row.get(1))?,
                    withdrawn: json(row.get(3))?,
                    gone_since: match row.get(2) {
                        Some(SqlStorageValue::Null) => None,
                        moment => Some(Timestamp::from_millis(integer(moment)?)),
                    },
                })
            })
            .collect::<Result<_, _>>()?;
        Ok((self.sql.fact("read_at")?, rows))
    }

    fn update(
        &self,
        read_at: Timestamp,
        changed: &[Row],
        removed: &[IssuerId],
        shrink: Option<&Shrink>,
    ) -> Result<(), StoreError> {
        self.sql.atomically(|| {
            for row in changed {
                self.sql.run(
                    "INSERT INTO issuer (id, crls, gone_since) VALUES (?, ?, ?) \
                     ON CONFLICT (id) DO UPDATE SET crls = excluded.crls, gone_since = excluded.gone_since",
                    vec![
                        row.id.as_str().into(),
                        to_json(&row.crls)?,
                        row.gone_since.map(Timestamp::as_millis).into(),
                    ],
                )?;
                if row.withdrawn.is_empty() {
                    self.forget_withdrawn(&row.id)?;
                } else {
                    self.sql.run(
                        "INSERT OR REPLACE INTO withdrawn (id, crls) VALUES (?, ?)",
                        vec![row.id.as_str().into(), to_json(&row.withdrawn)?],
                    )?;
                }
            }
            for table in ["issuer", "withdrawn"] {
                self.sql.run(
                    &format!("DELETE FROM {table} WHERE id IN (SELECT value FROM json_each(?))"),
                    vec![to_json(&removed)?],
                )?;
            }
            match shrink {
                Some(shrink) => self.set_shrink(shrink)?,
                None => self.sql.run("DELETE FROM fact WHERE name = 'shrink'", vec![])?,
            }
            self.sql.set_fact("read_at", &read_at)
        })
    }

    fn remove(&self, issuer: &IssuerId) -> Result<(), StoreError> {
        let gone = "FROM issuer WHERE id = ? AND gone_since IS NOT NULL";
        let id = || vec![issuer.as_str().into()];
        self.sql.atomically(|| {
            let of_gone = format!("DELETE FROM withdrawn WHERE id IN (SELECT id {gone})");
            self.sql.run(&of_gone, id())?;
            self.sql.run(&format!("DELETE {gone}"), id())
        })
    }

    fn shrink(&self) -> Result<Option<Shrink>, StoreError> {
        self.sql.fact("shrink")
    }

    fn set_shrink(&self, shrink: &Shrink) -> Result<(), StoreError> {
        self.sql.set_fact("shrink", shrink)
    }

    fn unasked(
        &self,
        began_at: Timestamp,
        limit: usize,
        gone: bool,
    ) -> Result<(Vec<IssuerId>, u64), StoreError> {
        let null = if gone { "NOT NULL" } else { "NULL" };
        let condition = format!("FROM issuer WHERE gone_since IS {null} AND asked_at < ?");
        let began_at = SqlStorageValue::Integer(began_at.as_millis());
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let ids = self
            .sql
            .rows(
                &format!("SELECT json_quote(id) {condition} ORDER BY asked_at, id LIMIT ?"),
                vec![began_at.clone(), limit.into()],
            )?
            .iter()
            .map(|row| json(row.first()))
            .collect::<Result<_, _>>()?;
        let counted = self
            .sql
            .rows(&format!("SELECT count(*) {condition}"), vec![began_at])?;
        let all = integer(counted.first().and_then(|row| row.first()))?;
        Ok((ids, u64::try_from(all).unwrap_or(0)))
    }

    fn asked(&self, issuers: &[IssuerId], at: Timestamp) -> Result<(), StoreError> {
        self.sql.run(
            "UPDATE issuer SET asked_at = ? WHERE id IN (SELECT value FROM json_each(?))",
            vec![at.as_millis().into(), to_json(&issuers)?],
        )
    }

    fn lease(&self) -> Result<Option<Lease>, StoreError> {
        self.sql.fact("lease")
    }

    fn set_lease(&self, lease: Option<&Lease>) -> Result<(), StoreError> {
        match lease {
            Some(lease) => self.sql.set_fact("lease", lease),
            None => self
                .sql
                .run("DELETE FROM fact WHERE name = 'lease'", vec![]),
        }
    }

    fn job(&self) -> Result<Option<StoredJob>, StoreError> {
        self.sql.fact("refresh_job")
    }

    fn set_job(&self, job: &StoredJob) -> Result<(), StoreError> {
        self.sql.set_fact("refresh_job", job)
    }
}
