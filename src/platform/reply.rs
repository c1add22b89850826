//! Answers as the platform's responses.

use std::cell::RefCell;
use std::collections::HashMap;

use serde::{Serialize, Serializer};
use worker::ResponseBuilder;
use worker::wasm_bindgen::{JsCast as _, JsValue};

use super::js::to_js;
use crate::answer::{Answer, Body, Headers};
use crate::problem::EdgeError;
use crate::public::{CrlAnswer, Decision, Source};

/// The second argument of the platform's `Response`.
#[derive(Serialize)]
struct Init<'a> {
    status: u16,
    #[serde(serialize_with = "as_object")]
    headers: &'a Headers,
}

/// How many answers are kept at once.
const MOST_KEPT: usize = 200;

thread_local! {
    /// What was made of the last answers that tell of a CRL: the response where it has no body, else what a response with one is made
    /// from. Within a second all who ask get the same, and to make it takes longer than all else that a 304 needs.
    static KEPT: RefCell<HashMap<(CrlAnswer, Source), JsValue>> = RefCell::default();
}

/// The response to a request for a CRL, which comes from `source`. `body` is what the decision says that it has.
///
/// # Errors
/// Where the platform takes a header for malformed.
pub(super) fn respond_with_crl(
    decision: Decision,
    source: Source,
    body: &JsValue,
) -> worker::Result<web_sys::Response> {
    let with_source = |mut answer: Answer| {
        let status = source.cache_status();
        let status = status.map(|status| ("Cache-Status", status.into()));
        answer.headers.extend(status);
        answer
    };
    let answer = match decision {
        Decision::Crl(answer) => answer,
        Decision::Refused(answer) => return respond(&with_source(answer), body),
    };
    // Ranges are as many as clients like.
    if matches!(answer.body(), Body::Part(_)) {
        return respond(&with_source(answer.answer()), body);
    }
    let has_body = *answer.body() != Body::None;
    let made = kept((answer, source), |answer| {
        let answer = with_source(answer.answer());
        if has_body {
            with_native_headers(init(&answer)?)
        } else {
            Ok(respond(&answer, body)?.into())
        }
    })?;
    if has_body {
        Ok(new_response(body, &made)?)
    } else {
        // It has nothing that belongs to one request.
        Ok(made.unchecked_into())
    }
}

/// What is kept for `key`, or else made.
fn kept(
    key: (CrlAnswer, Source),
    make: impl FnOnce(&CrlAnswer) -> worker::Result<JsValue>,
) -> worker::Result<JsValue> {
    if let Some(found) = KEPT.with_borrow(|kept| kept.get(&key).cloned()) {
        return Ok(found);
    }
    let new = make(&key.0)?;
    KEPT.with_borrow_mut(|kept| {
        if kept.len() >= MOST_KEPT {
            kept.clear();
        }
        kept.insert(key, new.clone());
    });
    Ok(new)
}

/// The response to an answer. Where its body is not text, it is `body`.
///
/// # Errors
/// Where the platform takes a header for malformed.
pub(super) fn respond(answer: &Answer, body: &JsValue) -> worker::Result<web_sys::Response> {
    let init = init(answer)?;
    Ok(match &answer.body {
        Body::Text(text) => new_response(&text.into(), &init),
        Body::Whole | Body::Part(_) => new_response(body, &init),
        Body::None => new_response(&JsValue::NULL, &init),
    }?)
}

/// The platform takes streams, bytes, text and null for a body, and these bindings have a function for each.
fn new_response(body: &JsValue, init: &JsValue) -> Result<web_sys::Response, JsValue> {
    web_sys::Response::new_with_opt_readable_stream_and_init(
        Some(body.unchecked_ref()),
        init.unchecked_ref(),
    )
}

/// The same with headers that the platform copies, and need not read again.
fn with_native_headers(init: JsValue) -> worker::Result<JsValue> {
    let init: web_sys::ResponseInit = init.unchecked_into();
    let headers = init.get_headers();
    let headers = web_sys::Headers::new_with_record_from_str_to_str(headers.unchecked_ref())?;
    init.set_headers_headers(&headers);
    Ok(init.into())
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
pub(super) fn problem(error: &EdgeError) -> worker::Result<web_sys::Response> {
    respond(&error.answer(), &JsValue::NULL)
}

/// What an object answers its callers: `value` in JSON.
///
/// # Errors
/// Where `value` has no JSON.
pub(super) fn json<T: Serialize>(value: &T) -> worker::Result<worker::Response> {
    let text = serde_json::to_string(value)?;
    Ok(ResponseBuilder::new().fixed(text.into_bytes()))
}

fn as_object<S: Serializer>(headers: &Headers, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(headers.iter().map(|(name, value)| (name, value)))
}
