//! Values that cross to JavaScript and back as one JSON text. Field by field, each would be a call
//! of its own, and code of its own for each type.

use serde::Serialize;
use serde::de::DeserializeOwned;
use worker::js_sys::JSON;
use worker::wasm_bindgen::JsValue;

/// What `value` is in JSON, as JavaScript's value.
pub(crate) fn to_js<T: Serialize>(value: &T) -> worker::Result<JsValue> {
    Ok(JSON::parse(&serde_json::to_string(value)?)?)
}

/// Reads a value that JSON can carry. What is undefined is null.
pub(crate) fn from_js<T: DeserializeOwned>(value: &JsValue) -> worker::Result<T> {
    let text = JsValue::from(JSON::stringify(value)?).as_string();
    Ok(serde_json::from_str(text.as_deref().unwrap_or("null"))?)
}
