//! How the edge's messages to the origin travel: over the network's twin.

use bytes::Bytes;
use edge::origin_client::{Request, Response as OriginResponse, Transport};
use edge::refresh::{OriginBody, OriginError};
use http::StatusCode;
use http::header::{HeaderName, HeaderValue, IF_NONE_MATCH};
use origin_api::{CRL_NUMBER_HEADER, Timestamp, WATERMARK_HEADER};

use crate::clock::Timeline;
use crate::faults::{Faults, Owner};
use crate::mutation::Mutation;
use crate::trace::Trace;
use crate::wire::{Broken, Response, Wire};

/// How many issuers a page of the registry has: few, so that there is more than one page.
pub(super) const PAGE: u32 = 7;

/// The network, as an object reaches it.
#[derive(Clone)]
pub(crate) struct Network {
    pub(super) wire: Wire,
    pub(super) faults: Faults,
    pub(super) owner: Owner,
    pub(super) timeline: Timeline,
    pub(super) trace: Trace,
    pub(super) mutation: Option<Mutation>,
}

/// The bytes of a response, as they arrive.
pub(crate) struct Arriving {
    bytes: Bytes,
    received: u64,
    is_cut: bool,
}

impl OriginBody for Arriving {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, OriginError> {
        let count = buffer.len().min(self.bytes.len());
        if count == 0 && self.is_cut {
            return Err(OriginError::Truncated {
                received: self.received,
                cause: "the connection broke".to_owned(),
            });
        }
        let bytes = self.bytes.split_to(count);
        buffer[..count].copy_from_slice(&bytes);
        self.received += count as u64;
        Ok(count)
    }
}

impl OriginResponse for Response {
    type Body = Arriving;

    fn status(&self) -> u16 {
        self.status.as_u16()
    }

    fn header(&self, name: &str) -> Option<String> {
        let value = self.headers.get(name)?;
        value.to_str().ok().map(str::to_owned)
    }

    fn into_body(self) -> Arriving {
        let length = self.cut_at.unwrap_or(self.body.len());
        Arriving {
            bytes: self.body.slice(..length),
            received: 0,
            is_cut: self.cut_at.is_some(),
        }
    }
}

/// What the mutation of the removal gate has the origin say of every entry that left.
fn all_expired(body: &str) -> Response {
    let asked: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
    let serials = asked["serials"].as_array().cloned().unwrap_or_default();
    let explain = |serial| serde_json::json!({ "serial": serial, "because": "expired" });
    let departed: Vec<_> = serials.into_iter().map(explain).collect();
    let answer = serde_json::json!({ "departed": departed }).to_string();
    Response::of(StatusCode::OK, answer)
}

impl Network {
    fn is(&self, mutation: Mutation) -> bool {
        self.mutation == Some(mutation)
    }
}

impl Transport for Network {
    type Response = Response;

    fn now(&self) -> Timestamp {
        self.timeline.now()
    }

    async fn send(&self, request: Request) -> Result<Response, OriginError> {
        let body = request.body.unwrap_or_default();
        if self.is(Mutation::GateOpened) && request.url.ends_with("/departed") {
            return Ok(all_expired(&body));
        }
        let broken = |error: http::Error| OriginError::Unreachable(error.to_string());
        let sent = http::Request::builder()
            .method(request.method)
            .uri(&request.url);
        let mut sent = sent.body(Bytes::from(body)).map_err(broken)?;
        let headers = serde_json::json!(request.headers);
        for (name, value) in headers.as_object().into_iter().flatten() {
            let name = HeaderName::from_bytes(name.as_bytes());
            let value = HeaderValue::from_str(value.as_str().unwrap_or_default());
            if let (Ok(name), Ok(value)) = (name, value) {
                sent.headers_mut().insert(name, value);
            }
        }
        if self.is(Mutation::StateLostHidden) {
            for name in [IF_NONE_MATCH.as_str(), CRL_NUMBER_HEADER, WATERMARK_HEADER] {
                sent.headers_mut().remove(name);
            }
        }
        let _under_way = self.faults.under_way(self.owner.clone(), "ask the origin");
        self.wire.call(sent).await.map_err(|broken| {
            OriginError::Unreachable(
                match broken {
                    Broken::Unreachable => "no connection",
                    Broken::Lost => "the connection broke",
                }
                .to_owned(),
            )
        })
    }

    fn log(&self, line: &serde_json::Value) {
        self.trace.line(format!("edge: {line}"));
    }
}
