//! The operators' requests: the platform's side of the ports of `edge::operator`.

use std::cell::Cell;
use std::fmt::Display;
use std::rc::Rc;
use std::time::Duration;

use edge::actions::{Action, ActionAnswer, ActionRequest};
use edge::config::Settings;
use edge::events::pending::{PendingAnswer, PendingRequest};
use edge::http::{Answer, Body};
use edge::issuer::{IssuerAnswer, IssuerRequest};
use edge::object_calls::{IssuerObjects, PlatformError, RegistryObject};
use edge::operator::{self, OperatorMemory, OperatorRoute, Ports, Reply, RsaKey};
use edge::problem::EdgeError;
use edge::registry::{Index, RegistryAnswer, RegistryRequest};
use edge::served::{Served, ServedRequest};
use edge::tables::Query;
use edge::time::Timestamp;
use futures_util::TryStreamExt as _;
use origin_api::IssuerId;
use serde::de::DeserializeOwned;
use web_sys::{Request, Response};
use worker::js_sys::{Reflect, Uint8Array};
use worker::wasm_bindgen::{JsCast as _, JsValue};
use worker::wasm_bindgen_futures::JsFuture;

use crate::bindings::Bindings;
use crate::clients::EdgeClients;
use crate::d1::Meta;
use crate::js::from_js;
use crate::memory::operator_memory;
use crate::object_call::ObjectRequest;
use crate::response::{respond, respond_with_crl};
use crate::{access, platform};

/// Answers an operator's request, and any request that has no route.
pub(crate) async fn answer(
    request: &Request,
    bindings: &Bindings,
    objects: &EdgeClients,
    settings: &Rc<Settings>,
    route: Result<OperatorRoute, EdgeError>,
) -> worker::Result<Response> {
    let ports = Rc::new(WorkerPorts {
        objects: objects.clone(),
        bindings: bindings.clone(),
        rows_read: Cell::new(0),
    });
    let request = WorkerRequest {
        method: request.method(),
        url: request.url(),
        request,
    };
    match operator::answer(ports, Rc::clone(settings), &request, route).await {
        Reply::Answer(answer) => respond(&answer, &JsValue::NULL),
        Reply::Stream { headers, chunks } => {
            let chunks = chunks
                .map_ok(|text| Uint8Array::from(text.as_bytes()).into())
                .map_err(|error| JsValue::from_str(&error));
            let stream = wasm_streams::ReadableStream::from_stream(chunks);
            let answer = Answer {
                status: 200,
                headers,
                body: Body::Whole,
            };
            respond(&answer, &stream.into_raw().unchecked_into())
        }
        Reply::Held(wanted) => {
            let served = objects.serving().held(&wanted).await;
            let served = served.map_err(|error| worker::Error::RustError(error.to_string()))?;
            respond_with_crl(served, None, 0)
        }
    }
}

struct WorkerRequest<'r> {
    method: String,
    url: String,
    request: &'r Request,
}

impl operator::Request for WorkerRequest<'_> {
    fn method(&self) -> &str {
        &self.method
    }

    fn url(&self) -> &str {
        &self.url
    }

    fn header(&self, name: &str) -> Option<String> {
        self.request.headers().get(name).ok().flatten()
    }

    async fn text(&self) -> Result<String, String> {
        let read = async {
            let promise = self.request.clone()?.text()?;
            JsFuture::from(promise).await
        };
        let text = read.await.map_err(|error| format!("{error:?}"))?;
        Ok(text.as_string().unwrap_or_default())
    }
}

struct WorkerPorts {
    objects: EdgeClients,
    bindings: Bindings,
    rows_read: Cell<u64>,
}

impl WorkerPorts {
    /// What D1 answers. The types of rows share its code.
    async fn query(&self, query: &Query) -> worker::Result<JsValue> {
        let values: Vec<_> = query.values.iter().map(JsValue::from).collect();
        let statement = self.bindings.d1()?.prepare(&query.sql).bind(&values)?;
        let result = JsFuture::from(statement.inner().all()?).await?;
        let read = Meta::of(&result)?.rows_read.unwrap_or(0);
        self.rows_read
            .set(self.rows_read.get().saturating_add(read));
        Ok(Reflect::get(&result, &"results".into())?)
    }
}

impl Ports for WorkerPorts {
    fn now(&self) -> Timestamp {
        platform::now()
    }

    async fn sleep(&self, span: Duration) {
        platform::sleep(span).await;
    }

    fn random(&self) -> Result<[u8; 16], PlatformError> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map_err(failed)?;
        Ok(bytes)
    }

    fn memory(&self) -> Rc<OperatorMemory> {
        operator_memory()
    }

    async fn read(&self, url: &str, limit: u32, span: Duration) -> Result<String, PlatformError> {
        let text = access::read(url, limit, span).await;
        text.map_err(failed)
    }

    async fn verify_rs256(
        &self,
        key: &RsaKey,
        signed: &str,
        signature: &[u8],
    ) -> Result<bool, PlatformError> {
        let verified = access::verify_rs256(key, signed, signature).await;
        verified.map_err(failed)
    }

    fn log(&self, line: &serde_json::Value) {
        platform::log(line);
    }

    async fn index(&self) -> Result<Rc<Index>, PlatformError> {
        self.objects.serving().index().await
    }

    async fn record(&self, action: &Action) -> Result<(), PlatformError> {
        let request = ObjectRequest::Action(ActionRequest::Record(Box::new(action.clone())));
        match self.objects.registry(&request).await? {
            ActionAnswer::Recorded => Ok(()),
            ActionAnswer::Failed(cause) => Err(PlatformError(cause)),
        }
    }

    async fn events_pending(&self) -> Result<u64, PlatformError> {
        let request = ObjectRequest::Pending(PendingRequest::PendingTotal);
        match self.objects.registry(&request).await? {
            PendingAnswer::Total(events) => Ok(events),
            PendingAnswer::Noted => Err(failed("the registry's object answered another request")),
        }
    }

    async fn served(&self) -> Result<Served, PlatformError> {
        let request = ObjectRequest::Served(ServedRequest::Totals);
        self.objects.registry(&request).await
    }

    async fn rows<T: DeserializeOwned>(&self, query: &Query) -> Result<Vec<T>, PlatformError> {
        let rows = self.query(query).await;
        rows.and_then(|rows| from_js(&rows)).map_err(failed)
    }

    fn rows_read(&self) -> u64 {
        self.rows_read.get()
    }
}

impl IssuerObjects for WorkerPorts {
    async fn issuer_object(
        &self,
        issuer: &IssuerId,
        request: IssuerRequest,
    ) -> Result<IssuerAnswer, PlatformError> {
        self.objects.issuer_object(issuer, request).await
    }
}

impl RegistryObject for WorkerPorts {
    async fn registry_object(
        &self,
        request: RegistryRequest,
    ) -> Result<RegistryAnswer, PlatformError> {
        self.objects.registry_object(request).await
    }
}

fn failed(error: impl Display) -> PlatformError {
    PlatformError(error.to_string())
}
