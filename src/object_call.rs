//! Calls between the Worker and its objects: JSON there and back, and a stream beside the answer if
//! it announces one.

use edge::actions::ActionRequest;
use edge::events::pending::PendingRequest;
use edge::registry::RegistryRequest;
use edge::served::ServedRequest;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use worker::durable::Stub;
use worker::{Request, Response, ResponseBuilder};

use crate::bindings::Bindings;

/// Carries the answer if a stream is the response's body.
const ANSWER_HEADER: &str = "object-answer";

/// Sends `request` to an object. Gives its answer, and the stream beside it.
pub(crate) async fn send<A: DeserializeOwned>(
    stub: &Stub,
    request: &impl Serialize,
) -> worker::Result<(A, Option<web_sys::ReadableStream>)> {
    let (answer, stream) = exchange(stub, serde_json::to_string(request)?).await?;
    Ok((serde_json::from_str(&answer)?, stream))
}

/// The same in JSON: what does not depend on types is compiled once.
async fn exchange(
    stub: &Stub,
    request: String,
) -> worker::Result<(String, Option<web_sys::ReadableStream>)> {
    let init = web_sys::RequestInit::new();
    init.set_method("POST");
    init.set_body(&request.into());
    let waiting = Waiting(Some(web_sys::AbortController::new()?));
    init.set_signal(waiting.signal().as_ref());
    // The object is chosen by the stub; the platform requires a URL all the same.
    let request = web_sys::Request::new_with_str_and_init("http://object/", &init)?;
    let mut response = stub.fetch_with_request(request.into()).await?;
    waiting.ended();
    match response.headers().get(ANSWER_HEADER)? {
        Some(answer) => {
            let response: web_sys::Response = response.into();
            Ok((answer, response.body()))
        }
        None => Ok((response.text().await?, None)),
    }
}

/// A caller that waits for an object. If it is dropped before the answer, the object sees that the
/// caller has left: by itself the runtime would let it wait to the end.
struct Waiting(Option<web_sys::AbortController>);

impl Waiting {
    fn signal(&self) -> Option<web_sys::AbortSignal> {
        self.0.as_ref().map(web_sys::AbortController::signal)
    }

    /// The answer is there.
    fn ended(mut self) {
        self.0 = None;
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(controller) = &self.0 {
            controller.abort();
        }
    }
}

/// A request to the registry's object: about the registry, the actions of operators, pending
/// events, or what relying parties got.
///
/// Tagged, not untagged: serde would compile every type a second time to try one after the other.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum ObjectRequest {
    Registry(RegistryRequest),
    Action(ActionRequest),
    Pending(PendingRequest),
    Served(ServedRequest),
}

/// The name of the one registry object.
const REGISTRY_NAME: &str = "registry";

/// Sends a request to the registry's object.
pub(crate) async fn ask_registry<A: DeserializeOwned>(
    bindings: &Bindings,
    request: &ObjectRequest,
) -> worker::Result<A> {
    let stub = bindings.registry()?.get_by_name(REGISTRY_NAME)?;
    let (answer, _) = send(&stub, request).await?;
    Ok(answer)
}

/// Reads the request that an object received.
pub(crate) async fn receive<Q: DeserializeOwned>(request: &mut Request) -> worker::Result<Q> {
    Ok(serde_json::from_str(&request.text().await?)?)
}

/// An object's response: `answer`, with `stream` beside it.
pub(crate) fn respond(
    answer: &impl Serialize,
    stream: Option<web_sys::ReadableStream>,
) -> worker::Result<Response> {
    let answer = serde_json::to_string(answer)?;
    let response = ResponseBuilder::new();
    Ok(match stream {
        None => response.fixed(answer.into_bytes()),
        Some(stream) => response.with_header(ANSWER_HEADER, &answer)?.stream(stream),
    })
}
