//! A request: from the platform to its handler, and its answer back.

use edge::config::Settings;
use edge::http::Method;
use edge::problem::EdgeError;
use edge::public::{Wanted, health, preflight};
use edge::routes::{self, Handler};
use edge::url;
use web_sys::{Request, Response};
use worker::js_sys::Promise;
use worker::wasm_bindgen::JsValue;
use worker::wasm_bindgen_futures::future_to_promise;
use worker::{Context, Env};

use crate::bindings::Bindings;
use crate::clients::EdgeClients;
use crate::fast_path::RequestKey;
use crate::operator;
use crate::platform::log;
use crate::response::{problem, respond, respond_with_crl};

/// Answers a request. If there is a `key`, the fast path may remember the answer.
pub(crate) fn fetch(
    key: Option<RequestKey>,
    request: Request,
    env: Env,
    context: Context,
) -> Promise {
    future_to_promise(async move {
        let response = answer(key.as_ref(), &request, env, context).await;
        response
            .or_else(|error| {
                log(&serde_json::json!({
                    "level": "error", "what": "a request has no answer", "cause": error.to_string(),
                }));
                problem(&EdgeError::Internal)
            })
            .map(JsValue::from)
            .map_err(JsValue::from)
    })
}

async fn answer(
    key: Option<&RequestKey>,
    request: &Request,
    env: Env,
    context: Context,
) -> worker::Result<Response> {
    let bindings = Bindings { env };
    let settings = bindings.settings();
    let clients = EdgeClients::new(&bindings, &settings, Some((Clone::clone(request), context)));
    let route = match routes::route(&request.method(), url::path(&request.url())) {
        Ok((Method::Options, Handler::Crl { .. } | Handler::Health)) => {
            return respond(&preflight(), &JsValue::NULL);
        }
        Ok((
            method,
            Handler::Crl {
                issuer,
                name,
                encoding,
            },
        )) => {
            let wanted = Wanted {
                method,
                issuer,
                name,
                encoding,
            };
            return crl(key, request, &clients, &settings, &wanted).await;
        }
        Ok((method, Handler::Health)) => {
            return respond(&health(method, &settings.wrong), &JsValue::NULL);
        }
        Ok((_, Handler::Operator(route))) => Ok(route),
        Err(error) => Err(error),
    };
    operator::answer(request, &bindings, &clients, &settings, route).await
}

async fn crl(
    key: Option<&RequestKey>,
    request: &Request,
    clients: &EdgeClients,
    settings: &Settings,
    wanted: &Wanted,
) -> worker::Result<Response> {
    let headers = request.headers();
    let header = |name: &str| headers.get(name).ok().flatten();
    let served = clients.serving().serve(wanted, header).await;
    let served = served.map_err(|error| worker::Error::RustError(error.to_string()))?;
    respond_with_crl(served, key, settings.kv_cache_ttl.as_secs())
}
