//! Answers as the platform's responses.

use serde::{Serialize, Serializer};
use worker::ResponseBuilder;
use worker::js_sys::JsString;
use worker::wasm_bindgen::{JsCast as _, JsValue};

use crate::again::Again;
use crate::js::to_js;
use edge::answer::{Answer, Body, Headers};
use edge::problem::EdgeError;
use edge::public::{Decision, Source};

/// The second argument of the platform's `Response`.
#[derive(Serialize)]
struct Init<'a> {
    status: u16,
    #[serde(serialize_with = "as_object")]
    headers: &'a Headers,
}

/// The response to a request for a CRL, of which was `told`, and which comes from `source`. `body` is what the decision says that it has.
///
/// # Errors
/// Where the platform takes a header for malformed.
pub(crate) fn respond_with_crl(
    told: &JsString,
    decision: Decision,
    source: Source,
    body: &JsValue,
    again: &Again,
) -> worker::Result<web_sys::Response> {
    let mut answer = decision.answer();
    let status = source.cache_status();
    let status = status.map(|status| ("Cache-Status", status.into()));
    answer.headers.extend(status);
    let init = init(&answer)?;
    let response = response(&answer.body, body, &init)?;
    again.keep(told, &response, (body, &init));
    Ok(response)
}

/// The response to an answer. Where its body is not text, it is `body`.
///
/// # Errors
/// Where the platform takes a header for malformed.
pub(crate) fn respond(answer: &Answer, body: &JsValue) -> worker::Result<web_sys::Response> {
    response(&answer.body, body, &init(answer)?)
}

fn response(kind: &Body, body: &JsValue, init: &JsValue) -> worker::Result<web_sys::Response> {
    let body = match kind {
        Body::Text(text) => &text.into(),
        Body::Whole | Body::Part(_) => body,
        Body::None => &JsValue::NULL,
    };
    // The platform takes streams, bytes, text and null for a body, and these bindings have a function for each.
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

/// What an object answers its callers: `value` in JSON.
///
/// # Errors
/// Where `value` has no JSON.
pub(crate) fn json<T: Serialize>(value: &T) -> worker::Result<worker::Response> {
    let text = serde_json::to_string(value)?;
    Ok(ResponseBuilder::new().fixed(text.into_bytes()))
}

fn as_object<S: Serializer>(headers: &Headers, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(headers.iter().map(|(name, value)| (name, value)))
}
