//! Figures of what relying parties get: counted in JavaScript, where the fast path counts too.

use worker::wasm_bindgen::prelude::*;

#[wasm_bindgen(module = "/src/figures.js")]
extern "C" {
    /// Notes where the answer to a request for a CRL comes from.
    #[wasm_bindgen(js_name = setSource)]
    pub(crate) fn set_source(response: &web_sys::Response, source: &str);

    /// Counts a read of KV.
    #[wasm_bindgen(js_name = countRead)]
    pub(crate) fn count_read(outcome: &str);
}
