//! crl-edge: certificate revocation lists from the edge. The Worker's entry points, its Durable
//! Object classes and its bindings to the platform; `edge` decides.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::panic
    )
)]

mod access;
mod action_store;
mod bindings;
mod client;
mod clients;
mod d1;
mod fast_path;
mod fetch_handler;
mod figures;
mod host;
mod issuer_object;
mod issuer_store;
mod js;
mod kv;
mod memory;
mod object_call;
mod operator;
mod origin;
mod platform;
mod registry_object;
mod registry_store;
mod response;
mod scheduled;
mod signature;
mod sql;
mod streams;

use web_sys::Request;
use worker::js_sys::{Function, Promise};
use worker::wasm_bindgen::JsValue;
use worker::wasm_bindgen::prelude::wasm_bindgen;
use worker::{Context, Env, worker_sys};

pub use fast_path::RequestKey;
pub use issuer_object::IssuerObject;
pub use registry_object::RegistryObject;

/// What src/entry.js calls for each request.
#[derive(Debug)]
#[wasm_bindgen(wasm_bindgen = worker::wasm_bindgen)]
pub struct Edge;

#[wasm_bindgen(wasm_bindgen = worker::wasm_bindgen, js_sys = worker::js_sys)]
impl Edge {
    /// The function through which requests pass: see `src/fast_path/replay.js`.
    #[must_use]
    #[wasm_bindgen(js_name = fastPath)]
    pub fn fast_path() -> Function {
        fast_path::layer()
    }

    /// Answers a request. `key` is the fast path's, if it is to remember the answer.
    pub fn fetch(
        key: Option<RequestKey>,
        request: Request,
        env: Env,
        context: worker_sys::Context,
    ) -> Promise {
        fetch_handler::fetch(key, request, env, Context::new(context))
    }
}

/// The cron trigger. Without the `event` macro, which drops the result: a tick in which everything
/// failed must show as failed.
///
/// # Errors
/// Everything failed.
#[wasm_bindgen(
    wasm_bindgen = worker::wasm_bindgen,
    wasm_bindgen_futures = worker::wasm_bindgen_futures,
    js_sys = worker::js_sys
)]
pub async fn scheduled(
    _event: worker_sys::ScheduledEvent,
    env: Env,
    _context: worker_sys::ScheduleContext,
) -> Result<JsValue, JsValue> {
    match scheduled::run(env).await {
        Ok(()) => Ok(JsValue::UNDEFINED),
        Err(cause) => Err(worker::js_sys::Error::new(&cause).into()),
    }
}
