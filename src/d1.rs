//! D1: the event table and the status table.

use edge::events::Event;
use edge::events::retention::OldEvents;
use edge::refresh::{EventLog, EventLogError, StatusReport};
use edge::tables::{self, Query};
use edge::time::Timestamp;
use worker::js_sys::Reflect;
use worker::wasm_bindgen::JsValue;
use worker::wasm_bindgen_futures::JsFuture;
use worker::{D1Database, D1PreparedStatement};

use crate::js::from_js;

/// What D1 reports of a statement beside its rows.
#[derive(Default, serde::Deserialize)]
pub(crate) struct Meta {
    /// How many rows it wrote or removed.
    pub(crate) changes: Option<u64>,
    /// How many rows D1 read for it, as it counts and charges them.
    pub(crate) rows_read: Option<u64>,
}

impl Meta {
    /// Of D1's answer to a statement.
    pub(crate) fn of(result: &JsValue) -> worker::Result<Self> {
        let meta: Option<Self> = from_js(&Reflect::get(result, &"meta".into())?)?;
        Ok(meta.unwrap_or_default())
    }
}

/// D1 as an issuer's object writes it.
#[derive(Debug)]
pub(crate) struct D1Log(pub(crate) D1Database);

impl D1Log {
    fn prepare(&self, query: &Query) -> worker::Result<D1PreparedStatement> {
        let values: Vec<_> = query.values.iter().map(JsValue::from).collect();
        self.0.prepare(&query.sql).bind(&values)
    }

    /// Runs one statement that writes.
    pub(crate) async fn write(&self, query: &Query) -> worker::Result<Meta> {
        let statement = self.prepare(query)?;
        let result = JsFuture::from(statement.inner().run()?).await?;
        Meta::of(&result)
    }

    async fn remove(&self, query: &Query) -> Result<u64, EventLogError> {
        let written = self.write(query).await;
        let changes = written
            .map_err(|error| EventLogError(error.to_string()))?
            .changes;
        changes.ok_or_else(|| EventLogError("D1 did not say how many rows it removed".to_owned()))
    }
}

impl EventLog for D1Log {
    async fn append(&self, events: &[Event], report: &[StatusReport]) -> Result<(), EventLogError> {
        let failed = |error: worker::Error| EventLogError(error.to_string());
        let queries = tables::append(events, report);
        let statements: Result<Vec<_>, _> =
            queries.iter().map(|query| self.prepare(query)).collect();
        // A batch is one transaction.
        let batch = self.0.batch(statements.map_err(failed)?).await;
        batch.map(drop).map_err(failed)
    }
}

impl OldEvents for D1Log {
    async fn remove(&self, before: Timestamp, limit: u32) -> Result<u64, EventLogError> {
        self.remove(&tables::remove_events(before, limit)).await
    }
}

/// The table of actions, for removing from it.
#[derive(Debug)]
pub(crate) struct OldActions(pub(crate) D1Log);

impl OldEvents for OldActions {
    async fn remove(&self, before: Timestamp, limit: u32) -> Result<u64, EventLogError> {
        self.0.remove(&tables::remove_actions(before, limit)).await
    }
}
