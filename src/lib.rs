//! crl-edge: certificate revocation lists from the edge. The entry points, and nothing else.
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

pub mod answer;
pub mod config;
pub mod events;
pub mod fraction;
pub mod issuer;
pub mod operator;
pub mod platform;
pub mod problem;
pub mod public;
pub mod refresh;
pub mod registry;
pub mod replica;
pub mod schedule;
pub mod time;

use web_sys::{Request, Response};
use worker::wasm_bindgen::JsValue;
use worker::wasm_bindgen::prelude::wasm_bindgen;
use worker::{Context, Env, event, worker_sys};

pub use platform::{IssuerObject, RegistryObject};

#[event(fetch)]
async fn fetch(request: Request, env: Env, context: Context) -> worker::Result<Response> {
    platform::fetch(request, env, context).await
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
    match platform::scheduled(env).await {
        Ok(_) => Ok(JsValue::UNDEFINED),
        Err(cause) => Err(worker::js_sys::Error::new(&cause).into()),
    }
}
