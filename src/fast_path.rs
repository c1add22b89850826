//! The fast path: a layer around the handler that answers repeated requests from memory. It may be
//! left out, as `FAST_PATH=false` does: every request is then answered by the handler alone.

use edge::public::{ANSWER_BYTES, REPLAY_BYTES, Replay};
use worker::js_sys::Function;
use worker::wasm_bindgen::prelude::*;

use crate::js::{JsBytes, to_js};
use crate::kv::options::GetOptions;

#[wasm_bindgen(module = "/src/fast_path/replay.js")]
extern "C" {
    /// What distinguishes one request from another within one second.
    pub type RequestKey;

    /// What src/entry.js passes each request through.
    pub(crate) fn layer() -> Function;

    #[wasm_bindgen(js_name = rememberBody)]
    fn remember_body(key: &RequestKey, weight: u32, capacity: u32, body: &JsValue, init: &JsValue);

    #[wasm_bindgen(js_name = rememberRead)]
    fn remember_read(key: &RequestKey, weight: u32, capacity: u32, read: &JsValue, init: &JsValue);

    /// Forgets all answers: a CRL is being replaced.
    pub(crate) fn forget();
}

/// A read of KV, and the metadata that it must return.
#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct Read<'r> {
    kv_key: &'r str,
    options: GetOptions,
    metadata: &'r str,
}

/// Remembers how to give an answer again. `init` has its status and headers.
pub(crate) fn remember(
    key: &RequestKey,
    replay: &Replay<JsBytes>,
    init: &JsValue,
    cache_ttl: u64,
) -> worker::Result<()> {
    match replay {
        Replay::SameBody(None) => {
            remember_body(key, ANSWER_BYTES, REPLAY_BYTES, &JsValue::NULL, init);
        }
        Replay::SameBody(Some(JsBytes(bytes))) => {
            let weight = bytes.length().saturating_add(ANSWER_BYTES);
            remember_body(key, weight, REPLAY_BYTES, bytes, init);
        }
        Replay::ReadKv {
            key: kv_key,
            metadata,
        } => {
            let read = to_js(&Read {
                kv_key,
                options: GetOptions::stream(cache_ttl),
                metadata,
            })?;
            remember_read(key, ANSWER_BYTES, REPLAY_BYTES, &read, init);
        }
        Replay::No => {}
    }
    Ok(())
}
