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

/// Waits until the client that sent `request` has left. What waits for this is dropped then: the
/// runtime runs nothing more of the request, and would keep all that it holds.
pub(crate) async fn left(request: &Request) {
    let _ = JsFuture::from(signalled(&request.signal())).await;
}
