//! The operators' requests: the platform's side of the ports of `edge::operator`.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use edge::actions::Action;
use edge::config::Settings;
use edge::http::{Answer, Body};
use edge::issuer::{IssuerAnswer, IssuerRequest};
use edge::object_calls::{IssuerObjects, PlatformError, RegistryObject};
use edge::operator::{self, OperatorMemory, Ports, Reply, RsaKey};
use edge::problem::EdgeError;
use edge::public::{Chunk as _, Platform, ResponseBody, Serving, Wanted};
use edge::registry::{Index, RegistryAnswer, RegistryRequest};
use edge::routes::{self, Handler};
use edge::served::Served;
use edge::tables::Query;
use futures_util::TryStreamExt as _;
use http::{Request, StatusCode};
use origin_api::{IssuerId, Timestamp};
use serde::de::DeserializeOwned;

use super::objects::Edge;
use crate::wire::Response;

/// The platform, as an isolate has it for operators' requests.
pub(super) struct OperatorPorts<P: Platform> {
    pub(super) edge: Edge,
    pub(super) serving: Serving<P>,
    pub(super) memory: Rc<OperatorMemory>,
}

struct Asked<'r>(&'r Request<Bytes>, String);

impl operator::Request for Asked<'_> {
    fn method(&self) -> &str {
        self.0.method().as_str()
    }

    fn url(&self) -> &str {
        &self.1
    }

    fn header(&self, name: &str) -> Option<String> {
        let value = self.0.headers().get(name)?;
        value.to_str().ok().map(str::to_owned)
    }

    async fn text(&self) -> Result<String, String> {
        String::from_utf8(self.0.body().to_vec()).map_err(|error| error.to_string())
    }
}

/// Answers a request of an operator, or of the origin.
pub(super) async fn answer<P: Platform + 'static>(
    ports: Rc<OperatorPorts<P>>,
    settings: Rc<Settings>,
    request: &Request<Bytes>,
) -> Response {
    let route = match routes::route(request.method().as_str(), request.uri().path()) {
        Ok((_, Handler::Operator(route))) => Ok(route),
        Ok(_) => Err(EdgeError::NotFound),
        Err(error) => Err(error),
    };
    let asked = Asked(request, request.uri().to_string());
    match operator::answer(Rc::clone(&ports), settings, &asked, route).await {
        Reply::Answer(Answer { status, body, .. }) => {
            let status = StatusCode::from_u16(status).unwrap_or_default();
            let text = if let Body::Text(text) = body {
                text
            } else {
                String::new()
            };
            Response::of(status, text)
        }
        Reply::Stream { chunks, .. } => match chunks.try_collect::<Vec<String>>().await {
            Ok(chunks) => Response::of(StatusCode::OK, chunks.concat()),
            Err(cause) => Response::of(StatusCode::INTERNAL_SERVER_ERROR, cause),
        },
        Reply::Held(wanted) => {
            let held = Box::pin(held(&ports.serving, &wanted)).await;
            held.unwrap_or_else(|error| {
                Response::of(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
            })
        }
    }
}

async fn held<P: Platform>(
    serving: &Serving<P>,
    wanted: &Wanted,
) -> Result<Response, PlatformError> {
    let served = serving.held(wanted).await?;
    let status = StatusCode::from_u16(served.answer.status).unwrap_or_default();
    let bytes = match (served.body, served.answer.body) {
        (ResponseBody::Bytes(bytes), _) => bytes.to_vec(),
        (ResponseBody::Stream(stream), _) => serving.platform.read(stream).await?.to_vec(),
        (_, Body::Text(text)) => text.into_bytes(),
        _ => Vec::new(),
    };
    Ok(Response::of(status, bytes))
}

impl<P: Platform> Ports for OperatorPorts<P> {
    fn now(&self) -> Timestamp {
        self.edge.deps().timeline.now()
    }

    async fn sleep(&self, span: Duration) {
        self.edge.deps().timeline.sleep(span).await;
    }

    fn random(&self) -> Result<[u8; 16], PlatformError> {
        Ok(self.edge.deps().random.bytes())
    }

    fn memory(&self) -> Rc<OperatorMemory> {
        Rc::clone(&self.memory)
    }

    async fn read(&self, _: &str, _: u32, _: Duration) -> Result<String, PlatformError> {
        Err(PlatformError("nobody signs in by Access here".to_owned()))
    }

    async fn verify_rs256(&self, _: &RsaKey, _: &str, _: &[u8]) -> Result<bool, PlatformError> {
        Ok(false)
    }

    fn log(&self, line: &serde_json::Value) {
        self.edge.deps().trace.line(format!("operators: {line}"));
    }

    async fn index(&self) -> Result<Rc<Index>, PlatformError> {
        self.serving.index().await
    }

    async fn record(&self, action: &Action) -> Result<(), PlatformError> {
        self.edge.deps().trace.line(format!("action: {action:?}"));
        Ok(())
    }

    async fn events_pending(&self) -> Result<u64, PlatformError> {
        Ok(0)
    }

    async fn served(&self) -> Result<Served, PlatformError> {
        Ok(Served::default())
    }

    async fn rows<T: DeserializeOwned>(&self, query: &Query) -> Result<Vec<T>, PlatformError> {
        let rows = self.edge.deps().d1.rows(query).await;
        rows.map_err(|error| PlatformError(error.to_string()))
    }

    fn rows_read(&self) -> u64 {
        0
    }
}

impl<P: Platform> IssuerObjects for OperatorPorts<P> {
    async fn issuer_object(
        &self,
        issuer: &IssuerId,
        request: IssuerRequest,
    ) -> Result<IssuerAnswer, PlatformError> {
        self.edge.issuer_object(issuer, request).await
    }
}

impl<P: Platform> RegistryObject for OperatorPorts<P> {
    async fn registry_object(
        &self,
        request: RegistryRequest,
    ) -> Result<RegistryAnswer, PlatformError> {
        self.edge.registry_object(request).await
    }
}
