//! KV and the objects, as the Worker reaches them.

use std::rc::Rc;
use std::time::Duration;

use edge::actions::{Action, ActionAnswer, ActionRequest};
use edge::config::Settings;
use edge::events::pending::{PendingAnswer, PendingRequest};
use edge::events::{Event, Trigger};
use edge::issuer::{IssuerAnswer, IssuerCall, IssuerRequest};
use edge::kv_layout;
use edge::public::{Chunks, KvRead, Platform, PlatformError, Serving};
use edge::registry::{Batch, Index, IssuerObjects, Lease, RegistryAnswer, RegistryRequest};
use edge::schedule::Objects;
use edge::served::{Served, ServedRequest};
use edge::time::Timestamp;
use futures_util::TryFutureExt as _;
use futures_util::future::LocalBoxFuture;
use origin_api::IssuerId;
use web_sys::Request;
use worker::Context;

use crate::bindings::Bindings;
use crate::clock::now;
use crate::js_bytes::JsBytes;
use crate::kv::options::GetOptions;
use crate::log::log;
use crate::memory::memory;
use crate::registry_call::{self, ObjectRequest};
use crate::{client, figures, object_call, streams};

/// KV, the registry's object and the issuers' objects.
#[derive(Clone, Debug)]
pub(crate) struct EdgeClients {
    settings: Rc<Settings>,
    // Each binding is looked up when it is needed: most requests need one, or none.
    bindings: Bindings,
    context: Option<Rc<Context>>,
    /// The client's request, if there is a client.
    request: Option<Request>,
}

/// An object did not answer as it should.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ObjectError {
    /// It could not be reached, or failed.
    #[error("an object did not answer: {0}")]
    Platform(#[from] worker::Error),
    /// It could not carry out the request, or gave the answer to another.
    #[error("{0}")]
    Refused(String),
}

impl From<IssuerAnswer> for ObjectError {
    /// Of an answer that does not belong to the request.
    fn from(answer: IssuerAnswer) -> Self {
        match answer {
            IssuerAnswer::Failed(cause) => Self::Refused(cause),
            _ => Self::Refused("an issuer's object answered another request".to_owned()),
        }
    }
}

impl From<RegistryAnswer> for ObjectError {
    /// Of an answer that does not belong to the request.
    fn from(answer: RegistryAnswer) -> Self {
        match answer {
            RegistryAnswer::Failed(cause) => Self::Refused(cause),
            _ => Self::Refused("the registry's object answered another request".to_owned()),
        }
    }
}

impl EdgeClients {
    /// What `bindings` bind, for the cron trigger or a request.
    #[must_use]
    pub(crate) fn new(
        bindings: &Bindings,
        settings: &Rc<Settings>,
        request: Option<(Request, Context)>,
    ) -> Self {
        let (request, context) = request.unzip();
        Self {
            settings: Rc::clone(settings),
            bindings: bindings.clone(),
            context: context.map(Rc::new),
            request,
        }
    }

    /// Sends a request to the issuer's object.
    ///
    /// # Errors
    /// The object does not answer.
    pub(crate) async fn call(
        &self,
        issuer: &IssuerId,
        request: IssuerRequest,
    ) -> Result<(IssuerAnswer, Option<web_sys::ReadableStream>), ObjectError> {
        let stub = self.bindings.issuers()?.get_by_name(issuer.as_str())?;
        let issuer = issuer.clone();
        Ok(object_call::send(&stub, &IssuerCall { issuer, request }).await?)
    }

    /// Sends a request to the registry's object.
    ///
    /// # Errors
    /// The object does not answer.
    pub(crate) async fn registry(
        &self,
        request: RegistryRequest,
    ) -> Result<RegistryAnswer, ObjectError> {
        let request = ObjectRequest::Registry(request);
        Ok(registry_call::ask(&self.bindings, &request).await?)
    }

    async fn refresh_all(
        &self,
        issuer: &IssuerId,
        trigger: Trigger,
    ) -> Result<Vec<Event>, ObjectError> {
        let request = IssuerRequest::Refresh {
            name: None,
            trigger,
        };
        match self.call(issuer, request).await? {
            (IssuerAnswer::Refreshed(events), _) => Ok(events),
            (other, _) => Err(other.into()),
        }
    }

    /// How many events D1 refuses, as the issuers' objects report to the registry's.
    ///
    /// # Errors
    /// The object does not answer.
    pub(crate) async fn events_pending(&self) -> Result<u64, ObjectError> {
        let request = ObjectRequest::Pending(PendingRequest::PendingTotal);
        match registry_call::ask(&self.bindings, &request).await? {
            PendingAnswer::Total(events) => Ok(events),
            PendingAnswer::Noted => Err(ObjectError::Refused(
                "the registry's object answered another request".to_owned(),
            )),
        }
    }

    /// What relying parties got.
    ///
    /// # Errors
    /// The object does not answer.
    pub(crate) async fn served(&self) -> Result<Served, ObjectError> {
        let request = ObjectRequest::Served(ServedRequest::Totals);
        Ok(registry_call::ask(&self.bindings, &request).await?)
    }

    /// Keeps an action in the registry's object until D1 has it.
    ///
    /// # Errors
    /// The object does not answer, or could not keep it.
    pub(crate) async fn record(&self, action: &Action) -> Result<(), ObjectError> {
        let request = ObjectRequest::Action(ActionRequest::Record(Box::new(action.clone())));
        match registry_call::ask(&self.bindings, &request).await? {
            ActionAnswer::Recorded => Ok(()),
            ActionAnswer::Failed(cause) => Err(ObjectError::Refused(cause)),
        }
    }

    /// The registry's index, no older than `REGISTRY_TTL_SECONDS` while the origin can be read.
    ///
    /// # Errors
    /// None can be read.
    pub(crate) async fn index(&self) -> Result<Rc<Index>, ObjectError> {
        let index = self.serving().index().await;
        index.map_err(|error| ObjectError::Refused(error.to_string()))
    }

    /// Serves relying parties over these clients.
    pub(crate) fn serving(&self) -> Serving<Self> {
        Serving {
            platform: self.clone(),
            memory: memory(),
            policy: self.settings.as_ref().into(),
            fast_path: self.settings.fast_path,
            patience: self.settings.origin_timeout,
            registry_ttl: self.settings.registry_ttl,
        }
    }
}

impl Platform for EdgeClients {
    type Chunk = JsBytes;
    type Stream = web_sys::ReadableStream;

    fn now(&self) -> Timestamp {
        now()
    }

    async fn sleep(&self, span: Duration) {
        worker::Delay::from(span).await;
    }

    async fn client_left(&self) {
        match &self.request {
            Some(request) => client::left(request).await,
            None => std::future::pending().await,
        }
    }

    fn log(&self, line: &serde_json::Value) {
        log(line);
    }

    fn count_read(&self, outcome: KvRead) {
        figures::count_read(outcome.as_str());
    }

    fn spawn(&self, task: LocalBoxFuture<'static, ()>) {
        if let Some(context) = &self.context {
            context.wait_until(task);
        }
    }

    async fn kv_crl(
        &self,
        key: &str,
    ) -> Result<Option<(String, web_sys::ReadableStream)>, PlatformError> {
        let options = GetOptions::stream(self.settings.kv_cache_ttl.as_secs());
        let read = async { self.bindings.kv()?.read_with_metadata(key, options).await };
        read.await.map_err(failed)
    }

    async fn kv_part(&self, key: &str) -> Result<Option<web_sys::ReadableStream>, PlatformError> {
        let options = GetOptions::stream(self.settings.kv_cache_ttl.as_secs());
        let read = async { self.bindings.kv()?.read(key, options).await };
        read.await.map_err(failed)
    }

    async fn kv_index(&self) -> Result<Option<Index>, PlatformError> {
        let read = async {
            let kv = self.bindings.kv()?;
            let text = kv
                .read_text(kv_layout::REGISTRY, GetOptions::text())
                .await?;
            Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
        };
        read.await.map_err(failed)
    }

    async fn registry_index(&self) -> Result<Index, PlatformError> {
        match self.registry(RegistryRequest::Index).await {
            Ok(RegistryAnswer::Index(index)) => Ok(index),
            Ok(other) => Err(PlatformError(ObjectError::from(other).to_string())),
            Err(error) => Err(PlatformError(error.to_string())),
        }
    }

    async fn issuer(
        &self,
        issuer: &IssuerId,
        request: IssuerRequest,
    ) -> Result<(IssuerAnswer, Option<web_sys::ReadableStream>), PlatformError> {
        let answer = self.call(issuer, request);
        answer
            .await
            .map_err(|error| PlatformError(error.to_string()))
    }

    async fn read(&self, stream: web_sys::ReadableStream) -> Result<JsBytes, PlatformError> {
        streams::whole(stream)
            .map_err(|error| failed(error.into()))
            .await
    }

    fn chunks(&self, stream: web_sys::ReadableStream, end: u64) -> Chunks<JsBytes> {
        streams::first_bytes(&stream, end)
    }

    fn cancel(&self, stream: web_sys::ReadableStream) {
        let _ = stream.cancel();
    }
}

impl IssuerObjects for EdgeClients {
    async fn refresh(&self, id: &IssuerId, trigger: Trigger) -> Result<Vec<Event>, String> {
        let refreshed = self.refresh_all(id, trigger).await;
        refreshed.map_err(|error| error.to_string())
    }
}

#[expect(clippy::needless_pass_by_value, reason = "as `map_err` gives it")]
fn failed(error: worker::Error) -> PlatformError {
    PlatformError(error.to_string())
}

impl Objects for EdgeClients {
    type Error = ObjectError;

    fn now(&self) -> Timestamp {
        now()
    }

    async fn sleep(&self, span: Duration) {
        worker::Delay::from(span).await;
    }

    async fn begin_tick(&self) -> Result<Option<Lease>, ObjectError> {
        match self.registry(RegistryRequest::BeginTick).await? {
            RegistryAnswer::Lease(lease) => Ok(lease),
            other => Err(other.into()),
        }
    }

    async fn next_batch(&self, lease: &Lease) -> Result<Batch, ObjectError> {
        let request = RegistryRequest::NextBatch(lease.clone());
        match self.registry(request).await? {
            RegistryAnswer::Batch(batch) => Ok(batch),
            other => Err(other.into()),
        }
    }

    async fn end_tick(&self, lease: &Lease, unreached: &[IssuerId]) -> Result<(), ObjectError> {
        let request = RegistryRequest::EndTick {
            lease: lease.clone(),
            unreached: unreached.to_vec(),
        };
        match self.registry(request).await? {
            RegistryAnswer::Done => Ok(()),
            other => Err(other.into()),
        }
    }

    async fn refresh(&self, id: &IssuerId, trigger: Trigger) -> Result<Vec<Event>, ObjectError> {
        self.refresh_all(id, trigger).await
    }
}
