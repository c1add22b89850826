//! Answers as the platform's responses.

use serde::{Serialize, Serializer};
use worker::ResponseBuilder;
use worker::wasm_bindgen::JsCast as _;

use super::js::to_js;
use crate::answer::{Answer, Body, Headers};
use crate::problem::EdgeError;

/// The second argument of the platform's `Response`.
#[derive(Serialize)]
struct Init<'a> {
    status: u16,
    #[serde(serialize_with = "as_object")]
    headers: &'a Headers,
}

/// The response to an answer whose body, if it is a CRL's, is `stream`.
///
/// # Errors
/// Where the platform takes a header for malformed.
pub(super) fn respond(
    answer: &Answer,
    stream: Option<&web_sys::ReadableStream>,
) -> worker::Result<web_sys::Response> {
    let Answer {
        status,
        headers,
        body,
    } = answer;
    let init = to_js(&Init {
        status: *status,
        headers,
    })?;
    let init = init.unchecked_ref();
    let response = match body {
        Body::Text(text) => web_sys::Response::new_with_opt_str_and_init(Some(text), init),
        Body::Whole | Body::Part(_) => {
            web_sys::Response::new_with_opt_readable_stream_and_init(stream, init)
        }
        Body::None => web_sys::Response::new_with_opt_str_and_init(None, init),
    };
    Ok(response?)
}

/// The response to an error.
///
/// # Errors
/// As [`respond`].
pub(super) fn problem(error: &EdgeError) -> worker::Result<web_sys::Response> {
    respond(&error.answer(), None)
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
