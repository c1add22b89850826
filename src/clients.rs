//! KV and the objects, as the Worker reaches them.

use std::rc::Rc;
use std::time::Duration;

use edge::config::Settings;
use edge::events::pending::{PendingAnswer, PendingReporter, PendingRequest};
use edge::issuer::{IssuerAnswer, IssuerCall, IssuerRequest};
use edge::kv_layout;
use edge::object_calls::{IssuerObjects, PlatformError, RegistryObject};
use edge::public::{Chunks, KvRead, Platform, Serving};
use edge::registry::{Index, RegistryAnswer, RegistryRequest};
use edge::schedule::Objects;
use edge::time::Timestamp;
use futures_util::TryFutureExt as _;
use futures_util::future::LocalBoxFuture;
use origin_api::IssuerId;
use serde::de::DeserializeOwned;
use web_sys::Request;
use worker::Context;

use crate::bindings::Bindings;
use crate::js::JsBytes;
use crate::kv::options::GetOptions;
use crate::memory::memory;
use crate::object_call::{self, ObjectRequest};
use crate::platform::{log, now, sleep};
use crate::{client, figures, streams};

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

    /// Asks the registry's object, about whatever it keeps.
    ///
    /// # Errors
    /// The object does not answer.
    pub(crate) async fn registry<A: DeserializeOwned>(
        &self,
        request: &ObjectRequest,
    ) -> Result<A, PlatformError> {
        let asked = object_call::ask_registry(&self.bindings, request).await;
        asked.map_err(no_answer)
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
        sleep(span).await;
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

    async fn issuer(
        &self,
        issuer: &IssuerId,
        request: IssuerRequest,
    ) -> Result<(IssuerAnswer, Option<web_sys::ReadableStream>), PlatformError> {
        let call = async {
            let stub = self.bindings.issuers()?.get_by_name(issuer.as_str())?;
            let issuer = issuer.clone();
            object_call::send(&stub, &IssuerCall { issuer, request }).await
        };
        call.await.map_err(no_answer)
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
    async fn issuer_object(
        &self,
        issuer: &IssuerId,
        request: IssuerRequest,
    ) -> Result<IssuerAnswer, PlatformError> {
        let (answer, _) = self.issuer(issuer, request).await?;
        Ok(answer)
    }
}

impl RegistryObject for EdgeClients {
    async fn registry_object(
        &self,
        request: RegistryRequest,
    ) -> Result<RegistryAnswer, PlatformError> {
        self.registry(&ObjectRequest::Registry(request)).await
    }
}

impl PendingReporter for EdgeClients {
    fn now(&self) -> Timestamp {
        now()
    }

    async fn sleep(&self, span: Duration) {
        sleep(span).await;
    }

    async fn report(&self, request: PendingRequest) {
        let reported = self.registry(&ObjectRequest::Pending(request)).await;
        if let Err::<PendingAnswer, _>(error) = reported {
            log(&serde_json::json!({
                "level": "warning", "what": "pending events could not be reported",
                "cause": error.to_string(),
            }));
        }
    }
}

impl Objects for EdgeClients {
    fn now(&self) -> Timestamp {
        now()
    }

    async fn sleep(&self, span: Duration) {
        sleep(span).await;
    }
}

#[expect(clippy::needless_pass_by_value, reason = "as `map_err` gives it")]
fn failed(error: worker::Error) -> PlatformError {
    PlatformError(error.to_string())
}

#[expect(clippy::needless_pass_by_value, reason = "as `map_err` gives it")]
fn no_answer(error: worker::Error) -> PlatformError {
    PlatformError(format!("an object did not answer: {error}"))
}
