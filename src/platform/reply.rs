//! Answers as the platform's responses.

use worker::{Headers, Response, ResponseBuilder};

use crate::answer::{Answer, Body};
use crate::problem::EdgeError;

/// The response to an answer whose body, if it is a CRL's, is `stream`.
///
/// # Errors
/// Where the platform takes a header for malformed.
pub fn respond(
    answer: Answer,
    stream: Option<web_sys::ReadableStream>,
) -> worker::Result<Response> {
    let headers = Headers::new();
    for (name, value) in &answer.headers {
        headers.set(name, value)?;
    }
    let builder = ResponseBuilder::new()
        .with_status(answer.status)
        .with_headers(headers);
    Ok(match (answer.body, stream) {
        (Body::Whole | Body::Part(_), Some(stream)) => builder.stream(stream),
        (Body::Text(text), _) => builder.fixed(text.into_bytes()),
        _ => builder.empty(),
    })
}

/// The response to an error.
///
/// # Errors
/// As [`respond`].
pub fn problem(error: &EdgeError) -> worker::Result<Response> {
    respond(error.answer(), None)
}
