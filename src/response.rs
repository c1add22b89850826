//! Answers as the platform's responses.

use edge::http::{Answer, Body, Headers};
use edge::problem::EdgeError;
use edge::public::{ResponseBody, Served, Source};
use serde::{Serialize, Serializer};
use worker::wasm_bindgen::{JsCast as _, JsValue};

use crate::clients::EdgeClients;
use crate::fast_path::{self, RequestKey};
use crate::js::to_js;
use crate::{figures, streams};

/// The second argument of the platform's `Response`.
#[derive(Serialize)]
struct Init<'a> {
    status: u16,
    #[serde(serialize_with = "as_object")]
    headers: &'a Headers,
}

/// The response to a request for a CRL. The fast path remembers it if there is a `key`.
///
/// # Errors
/// The platform refuses a header or the stream.
pub(crate) fn respond_with_crl(
    served: Served<EdgeClients>,
    key: Option<&RequestKey>,
    cache_ttl: u64,
) -> worker::Result<web_sys::Response> {
    let Served {
        answer,
        body,
        replay,
        source,
    } = served;
    let init = init(&answer)?;
    let body = match body {
        ResponseBody::Own => JsValue::NULL,
        ResponseBody::Bytes(bytes) => bytes.0.into(),
        ResponseBody::Stream(stream) => stream.into(),
        ResponseBody::Chunks(chunks, length) => streams::readable(chunks, length)?.into(),
    };
    if let Some(key) = key {
        fast_path::remember(key, &replay, &init, cache_ttl)?;
    }
    let response = response(&answer.body, &body, &init)?;
    figures::set_source(&response, source.map_or("none", Source::as_str));
    Ok(response)
}

/// The response to an answer. If its body is not text, it is `body`.
///
/// # Errors
/// The platform refuses a header.
pub(crate) fn respond(answer: &Answer, body: &JsValue) -> worker::Result<web_sys::Response> {
    response(&answer.body, body, &init(answer)?)
}

fn response(kind: &Body, body: &JsValue, init: &JsValue) -> worker::Result<web_sys::Response> {
    let body = match kind {
        Body::Text(text) => &text.into(),
        Body::Whole | Body::Part(_) => body,
        Body::None => &JsValue::NULL,
    };
    // The platform takes streams, bytes, text and null for a body, and these bindings have a
    // function for each.
    let response = web_sys::Response::new_with_opt_readable_stream_and_init(
        Some(body.unchecked_ref()),
        init.unchecked_ref(),
    );
    Ok(response?)
}

fn init(answer: &Answer) -> worker::Result<JsValue> {
    to_js(&Init {
        status: answer.status,
        headers: &answer.headers,
    })
}

/// The response to an error.
///
/// # Errors
/// As [`respond`].
pub(crate) fn problem(error: &EdgeError) -> worker::Result<web_sys::Response> {
    respond(&error.answer(), &JsValue::NULL)
}

fn as_object<S: Serializer>(headers: &Headers, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(headers.iter().map(|(name, value)| (name, value)))
}
