//! The client of a request, who may leave before the answer.

use web_sys::Request;
use worker::js_sys::Promise;
use worker::wasm_bindgen::prelude::*;
use worker::wasm_bindgen_futures::JsFuture;

#[wasm_bindgen(module = "/src/client.js")]
extern "C" {
    #[wasm_bindgen(js_name = left)]
    fn signalled(signal: &web_sys::AbortSignal) -> Promise;
}

/// Waits until the client that sent `request` has left. The caller then drops what it did for the
/// client: the runtime runs nothing more of the request, but keeps its memory.
pub(crate) async fn left(request: &Request) {
    let _ = JsFuture::from(signalled(&request.signal())).await;
}
