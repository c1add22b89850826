//! D1 as operators read it.

use std::rc::Rc;

use serde::de::DeserializeOwned;
use worker::wasm_bindgen::JsValue;
use worker::{D1Database, D1PreparedStatement};

use crate::operator::Query;

/// The tables, to be read.
#[derive(Clone, Debug)]
pub(super) struct Records(pub(super) Rc<D1Database>);

impl Records {
    /// The rows of one query.
    pub(super) async fn rows<T: DeserializeOwned>(&self, query: &Query) -> worker::Result<Vec<T>> {
        let result = self.prepared(query)?.all().await?;
        result.results()
    }

    fn prepared(&self, query: &Query) -> worker::Result<D1PreparedStatement> {
        let values: Vec<_> = query.values.iter().map(JsValue::from).collect();
        self.0.prepare(&query.sql).bind(&values)
    }
}
