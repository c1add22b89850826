//! An object's SQLite storage: statements, rows, and transactions that are undone when they fail.

use edge::refresh::StoreError;
use worker::durable::State;
use worker::js_sys::{self, Reflect};
use worker::wasm_bindgen::prelude::*;
use worker::wasm_bindgen::{JsCast, JsValue};
use worker::{SqlStorage, SqlStorageValue};

#[wasm_bindgen]
extern "C" {
    /// `DurableObjectStorage`, for the one method that the `worker` crate does not bind.
    type TransactionalStorage;

    #[wasm_bindgen(method, catch, js_name = transactionSync)]
    fn transaction_sync(
        this: &TransactionalStorage,
        closure: &mut dyn FnMut() -> Result<JsValue, JsValue>,
    ) -> Result<JsValue, JsValue>;
}

const FACTS: &str = "CREATE TABLE IF NOT EXISTS fact (name TEXT PRIMARY KEY, value TEXT NOT NULL)";

/// The storage of one object.
#[derive(Debug)]
pub(crate) struct Sql {
    sql: SqlStorage,
    storage: JsValue,
}

impl Sql {
    /// The storage of an object, with the tables that `schema` makes where they are missing, and
    /// one for facts.
    pub(crate) fn open(state: &State, schema: &[&str]) -> Result<Self, StoreError> {
        let storage = state.storage();
        let sql = Self {
            sql: storage.sql(),
            storage: storage.as_raw().into(),
        };
        for statement in [FACTS].iter().chain(schema) {
            sql.run(statement, vec![])?;
        }
        Ok(sql)
    }

    /// What was noted under this name.
    pub(crate) fn fact<T: serde::de::DeserializeOwned>(
        &self,
        name: &str,
    ) -> Result<Option<T>, StoreError> {
        self.rows("SELECT value FROM fact WHERE name = ?", vec![name.into()])?
            .first()
            .map(|row| json(row.first()))
            .transpose()
    }

    /// Notes a value under a name.
    pub(crate) fn set_fact<T: serde::Serialize>(
        &self,
        name: &str,
        value: &T,
    ) -> Result<(), StoreError> {
        self.run(
            "INSERT OR REPLACE INTO fact (name, value) VALUES (?, ?)",
            vec![name.into(), to_json(value)?],
        )
    }

    /// Runs a statement that gives no rows.
    pub(crate) fn run(&self, query: &str, values: Vec<SqlStorageValue>) -> Result<(), StoreError> {
        self.sql.exec(query, values).map(drop).map_err(failed)
    }

    /// Runs a statement and gives its rows, each with its columns in order.
    pub(crate) fn rows(
        &self,
        query: &str,
        values: Vec<SqlStorageValue>,
    ) -> Result<Vec<Vec<SqlStorageValue>>, StoreError> {
        let cursor = self.sql.exec(query, values).map_err(failed)?;
        cursor.raw().collect::<Result<_, _>>().map_err(failed)
    }

    /// The first column of the first row, left where JavaScript has it.
    pub(crate) fn value(
        &self,
        query: &str,
        values: Vec<SqlStorageValue>,
        column: &str,
    ) -> Result<Option<JsValue>, StoreError> {
        let mut cursor = self.sql.exec(query, values).map_err(failed)?;
        let Some(row) = Iterator::next(&mut cursor) else {
            return Ok(None);
        };
        let value = Reflect::get(&row.map_err(failed)?, &column.into());
        value.map(Some).map_err(|error| failed(error.into()))
    }

    /// Runs `steps` in one transaction: all of them hold when this returns, or none.
    pub(crate) fn atomically<T>(
        &self,
        steps: impl FnOnce() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let storage: &TransactionalStorage = self.storage.unchecked_ref();
        let mut steps = Some(steps);
        let mut outcome = None;
        let transaction = storage.transaction_sync(&mut || {
            let result = match steps.take() {
                Some(steps) => steps(),
                None => Err(StoreError::Failed("a transaction ran twice".to_owned())),
            };
            // What is thrown makes the platform undo the transaction.
            let thrown = result
                .as_ref()
                .err()
                .map(|error| js_sys::Error::new(&error.to_string()).into());
            outcome = Some(result);
            thrown.map_or(Ok(JsValue::UNDEFINED), Err)
        });
        match (outcome, transaction) {
            (Some(Err(error)), _) => Err(error),
            (Some(Ok(value)), Ok(_)) => Ok(value),
            (_, Err(error)) => Err(failed(error.into())),
            (None, Ok(_)) => Err(StoreError::Failed("a transaction did not run".to_owned())),
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "map_err gives it away")]
fn failed(error: worker::Error) -> StoreError {
    StoreError::Failed(error.to_string())
}

/// JSON out of a text column.
pub(crate) fn json<T: serde::de::DeserializeOwned>(
    value: Option<&SqlStorageValue>,
) -> Result<T, StoreError> {
    match value {
        Some(SqlStorageValue::String(text)) => {
            serde_json::from_str(text).map_err(|error| StoreError::Unreadable(error.to_string()))
        }
        _ => Err(StoreError::Unreadable("expected a text column".to_owned())),
    }
}

/// A number out of an integer column.
pub(crate) fn integer(value: Option<&SqlStorageValue>) -> Result<i64, StoreError> {
    match value {
        Some(SqlStorageValue::Integer(number)) => Ok(*number),
        _ => Err(StoreError::Unreadable(
            "expected an integer column".to_owned(),
        )),
    }
}

/// JSON for a text column.
pub(crate) fn to_json<T: serde::Serialize>(value: &T) -> Result<SqlStorageValue, StoreError> {
    serde_json::to_string(value)
        .map(SqlStorageValue::String)
        .map_err(|error| StoreError::Failed(error.to_string()))
}
