//! What crosses to JavaScript and back.

use std::ops::Range;

use edge::public::Chunk;
use serde::Serialize;
use serde::de::DeserializeOwned;
use worker::js_sys::{JSON, Uint8Array};
use worker::wasm_bindgen::JsValue;

/// What `value` is in JSON, as JavaScript's value. It crosses as one text: field by field, each
/// would be a call of its own, and code of its own for each type.
pub(crate) fn to_js<T: Serialize>(value: &T) -> worker::Result<JsValue> {
    Ok(JSON::parse(&serde_json::to_string(value)?)?)
}

/// Reads a value that JSON can carry. What is undefined is null.
pub(crate) fn from_js<T: DeserializeOwned>(value: &JsValue) -> worker::Result<T> {
    let text = JsValue::from(JSON::stringify(value)?).as_string();
    Ok(serde_json::from_str(text.as_deref().unwrap_or("null"))?)
}

/// Bytes in JavaScript's memory: what only passes through is never copied into wasm's.
#[derive(Clone, Debug)]
pub(crate) struct JsBytes(pub(crate) Uint8Array);

impl Chunk for JsBytes {
    fn length(&self) -> usize {
        self.0.length() as usize
    }

    fn slice(&self, range: Range<usize>) -> Self {
        Self(self.0.subarray(position(range.start), position(range.end)))
    }

    fn to_vec(&self) -> Vec<u8> {
        self.0.to_vec()
    }

    fn of(bytes: &[u8]) -> Self {
        Self(Uint8Array::from(bytes))
    }
}

fn position(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}
