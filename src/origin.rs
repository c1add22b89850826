//! How messages to the origin travel: by `fetch`.

use edge::origin_client::{Headers, Request, Response, Transport};
use edge::refresh::{OriginBody, OriginError};
use futures_util::AsyncReadExt as _;
use origin_api::Timestamp;
use wasm_streams::readable::IntoAsyncRead;
use web_sys::{AbortController, RequestInit};
use worker::js_sys::Promise;
use worker::wasm_bindgen::JsCast as _;
use worker::wasm_bindgen::prelude::*;
use worker::wasm_bindgen_futures::JsFuture;

use crate::js::to_js;
use crate::platform::log;

/// How many issuers a page of the registry has.
pub(crate) const PAGE: u32 = 1000;

/// The platform's `fetch`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fetch;

#[wasm_bindgen]
extern "C" {
    /// The platform's `fetch`.
    fn fetch(url: &str, init: &RequestInit) -> Promise;
}

/// The second argument of [`fetch`], less the signal.
#[derive(serde::Serialize)]
struct Init {
    method: &'static str,
    /// A redirect could carry the token to another host: none is followed.
    redirect: &'static str,
    headers: Headers,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<String>,
}

/// A response whose connection ends when this is dropped.
pub(crate) struct Exchange {
    response: web_sys::Response,
    connection: Connection,
}

struct Connection(AbortController);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Transport for Fetch {
    type Response = Exchange;

    fn now(&self) -> Timestamp {
        crate::platform::now()
    }

    async fn send(&self, request: Request) -> Result<Exchange, OriginError> {
        let unreachable = |error: worker::Error| OriginError::Unreachable(error.to_string());
        let controller = AbortController::new().map_err(|error| unreachable(error.into()))?;
        let Request {
            method,
            url,
            headers,
            body,
        } = request;
        let init = to_js(&Init {
            method,
            redirect: "manual",
            headers,
            body,
        })
        .map_err(unreachable)?;
        let init: RequestInit = init.unchecked_into();
        init.set_signal(Some(&controller.signal()));
        let connection = Connection(controller);
        let response = JsFuture::from(fetch(&url, &init))
            .await
            .map_err(|error| unreachable(error.into()))?;
        Ok(Exchange {
            response: response.unchecked_into(),
            connection,
        })
    }

    fn log(&self, line: &serde_json::Value) {
        log(line);
    }
}

impl Response for Exchange {
    type Body = FetchBody;

    fn status(&self) -> u16 {
        self.response.status()
    }

    fn header(&self, name: &str) -> Option<String> {
        self.response.headers().get(name).ok().flatten()
    }

    fn into_body(self) -> FetchBody {
        let reader = self.response.body().map(|body| {
            wasm_streams::ReadableStream::from_raw(body.unchecked_into()).into_async_read()
        });
        FetchBody {
            reader,
            received: 0,
            _connection: self.connection,
        }
    }
}

/// A body as it arrives.
pub(crate) struct FetchBody {
    /// None if the response has no body at all.
    reader: Option<IntoAsyncRead<'static>>,
    received: u64,
    _connection: Connection,
}

impl OriginBody for FetchBody {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, OriginError> {
        let Some(reader) = &mut self.reader else {
            return Ok(0);
        };
        let read = reader
            .read(buffer)
            .await
            .map_err(|error| OriginError::Truncated {
                received: self.received,
                cause: error.to_string(),
            })?;
        self.received = self.received.saturating_add(read as u64);
        Ok(read)
    }
}
