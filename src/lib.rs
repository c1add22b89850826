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

mod action_store;
mod again;
mod bindings;
mod d1;
mod entry;
mod host;
mod issuer_object;
mod issuer_store;
mod js;
mod kept;
mod kv;
mod object_call;
mod objects;
mod operator;
mod origin;
mod pending_reporter;
mod reading;
mod registry_object;
mod registry_store;
mod reply;
mod signature;
mod sql;
mod streams;
mod task;

use web_sys::Request;
use worker::js_sys::{Function, JsString, Map};
use worker::wasm_bindgen::JsValue;
use worker::wasm_bindgen::prelude::wasm_bindgen;
use worker::{Context, Env, worker_sys};

pub use issuer_object::IssuerObject;
pub use registry_object::RegistryObject;

/// What src/entry.js calls for each request.
#[derive(Debug)]
#[wasm_bindgen(wasm_bindgen = worker::wasm_bindgen)]
pub struct Edge;

#[wasm_bindgen(wasm_bindgen = worker::wasm_bindgen, js_sys = worker::js_sys)]
impl Edge {
    /// What gives an answer again, where the same is `told`: a function of `env`, and of one that calls [`Edge::fetch`].
    #[must_use]
    pub fn answers() -> Map<JsString, Function> {
        again::answers()
    }

    /// Answers a request: with a response where nothing has to be waited for, else with a promise of one. `told` has a line each for the
    /// time in seconds, the method, the URL without its query, and the conditions, as `If-None-Match: "…"`. It is no Rust string, which
    /// would be written into wasm's memory before a broken instance is noticed.
    #[must_use]
    pub fn fetch(
        told: &JsString,
        request: Request,
        env: Env,
        context: worker_sys::Context,
    ) -> JsValue {
        entry::fetch(told, request, env, Context::new(context))
    }
}

/// The cron trigger. Not by the `event` macro, which drops the result: a tick in which everything failed is to be seen as failed.
///
/// # Errors
/// Where everything failed.
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
    match entry::scheduled(env).await {
        Ok(_) => Ok(JsValue::UNDEFINED),
        Err(cause) => Err(worker::js_sys::Error::new(&cause).into()),
    }
}
