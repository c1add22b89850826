//! D1 as operators read it.

use std::cell::Cell;
use std::rc::Rc;

use serde::de::DeserializeOwned;
use worker::js_sys::Reflect;
use worker::wasm_bindgen::JsValue;
use worker::wasm_bindgen_futures::JsFuture;

use crate::bindings::Bindings;
use crate::d1::Meta;
use crate::js::from_js;
use edge::operator::Query;

/// The tables, to be read.
#[derive(Clone, Debug)]
pub(crate) struct Records {
    bindings: Bindings,
    rows_read: Rc<Cell<u64>>,
}

impl Records {
    pub(crate) fn new(bindings: &Bindings) -> Self {
        Self {
            bindings: bindings.clone(),
            rows_read: Rc::default(),
        }
    }

    /// The rows of one query.
    pub(crate) async fn rows<T: DeserializeOwned>(&self, query: &Query) -> worker::Result<Vec<T>> {
        let values: Vec<_> = query.values.iter().map(JsValue::from).collect();
        let statement = self.bindings.d1()?.prepare(&query.sql).bind(&values)?;
        let result = JsFuture::from(statement.inner().all()?).await?;
        let read = Meta::of(&result)?.rows_read.unwrap_or(0);
        self.rows_read
            .set(self.rows_read.get().saturating_add(read));
        from_js(&Reflect::get(&result, &"results".into())?)
    }

    /// How many rows D1 has read for these queries, as it counts and charges them.
    pub(crate) fn rows_read(&self) -> u64 {
        self.rows_read.get()
    }
}
