//! An isolate: serves relying parties, with its own memory.

use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use edge::http::{Body, Method};
use edge::issuer::{IssuerAnswer, IssuerRequest};
use edge::kv_layout;
use edge::object_calls::{PlatformError, RegistryObject};
use edge::operator::OperatorMemory;
use edge::public::{
    Chunk, Chunks, Encoding, KvRead, Memory, Platform, ResponseBody, Served, Serving, Wanted,
};
use edge::registry::{Index, RegistryAnswer, RegistryRequest};
use futures_channel::oneshot;
use futures_util::future::{LocalBoxFuture, pending};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use http::Request;
use origin_api::{IssuerId, Timestamp};

use super::objects::Edge;
use super::operator_api::{self, OperatorPorts};
use crate::clock::{Clock, http_date};
use crate::executor::Scope;
use crate::faults::{Owner, UnderWay};
use crate::kv::{Pop, Value};
use crate::ledger::List;
use crate::mutation::Mutation;
use crate::wire::Response;

/// An isolate of a point of presence.
pub(crate) struct Isolate {
    edge: Edge,
    number: usize,
    pop: Pop,
    clock: Clock,
    scope: Cell<Scope>,
    memory: RefCell<Rc<Memory<Piece>>>,
    operators: RefCell<Rc<OperatorMemory>>,
}

/// What a relying party got.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Bytes,
    /// Whether an object could not be asked meanwhile.
    pub(crate) object_failed: bool,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let found = headers.find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

/// Bytes in memory.
#[derive(Clone)]
pub(crate) struct Piece(Bytes);

impl Chunk for Piece {
    fn length(&self) -> usize {
        self.0.len()
    }

    fn slice(&self, range: Range<usize>) -> Self {
        Self(self.0.slice(range))
    }

    fn to_vec(&self) -> Vec<u8> {
        self.0.to_vec()
    }

    fn of(bytes: &[u8]) -> Self {
        Self(Bytes::copy_from_slice(bytes))
    }
}

impl Isolate {
    pub(crate) fn new(edge: &Edge, number: usize, pop: Pop) -> Self {
        let deps = edge.deps();
        Self {
            edge: edge.clone(),
            number,
            pop,
            clock: Clock::new(&deps.timeline),
            scope: Cell::new(deps.executor.scope()),
            memory: RefCell::default(),
            operators: RefCell::default(),
        }
    }

    pub(crate) const fn number(&self) -> usize {
        self.number
    }

    /// Starts anew: what it had in memory is lost.
    pub(crate) fn restart(&self) {
        let executor = &self.edge.deps().executor;
        executor.end(self.scope.replace(executor.scope()));
        self.memory.take();
        self.operators.take();
    }

    /// Answers a request for a CRL. `None` if the isolate ended, or the platform failed while the
    /// body was read.
    pub(crate) async fn get(
        &self,
        method: Method,
        (issuer, name): &List,
        headers: &[(&'static str, String)],
    ) -> Option<Answer> {
        let failed = Rc::new(Cell::new(false));
        let serving = self.serving(&failed);
        let wanted = Wanted {
            method,
            issuer: issuer.clone(),
            name: *name,
            encoding: Encoding::Der,
        };
        let headers = headers.to_vec();
        let answered = self.run(async move {
            let header = |name: &str| {
                let mut headers = headers.iter();
                let found = headers.find(|(key, _)| key.eq_ignore_ascii_case(name));
                found.map(|(_, value)| value.clone())
            };
            let served = Box::pin(serving.serve(&wanted, header)).await.ok()?;
            answer(served, &failed).await
        });
        let mut answer = answered.await??;
        let date = self.clock.now().as_unix_time();
        answer.headers.push(("date", http_date(date)));
        Some(answer)
    }

    /// Answers an operator's request, or one of the origin's; `None` if the isolate ended.
    pub(crate) async fn operate(&self, request: &Request<Bytes>) -> Option<Response> {
        let ports = Rc::new(OperatorPorts {
            edge: self.edge.clone(),
            serving: self.serving(&Rc::default()),
            memory: Rc::clone(&self.operators.borrow()),
        });
        let (settings, request) = (self.edge.settings(), request.clone());
        self.run(async move { operator_api::answer(ports, settings, &request).await })
            .await
    }

    fn serving(&self, object_failed: &Rc<Cell<bool>>) -> Serving<IsolatePlatform> {
        let settings = self.edge.settings();
        let deps = self.edge.deps();
        let frozen = deps.mutation == Some(Mutation::IsolateFrozen);
        let platform = IsolatePlatform {
            edge: self.edge.clone(),
            number: self.number,
            pop: self.pop,
            clock: self.clock.clone(),
            scope: self.scope.get(),
            kv_cache_ttl: settings.kv_cache_ttl,
            object_failed: Rc::clone(object_failed),
            stands_at: frozen.then_some(deps.started_at),
        };
        Serving {
            platform,
            memory: Rc::clone(&self.memory.borrow()),
            policy: settings.as_ref().into(),
            fast_path: settings.fast_path,
            patience: settings.origin_timeout,
            registry_ttl: settings.registry_ttl,
        }
    }

    /// Runs work in the isolate: `None` if it ends meanwhile.
    async fn run<T: 'static>(&self, work: impl Future<Output = T> + 'static) -> Option<T> {
        let (send, done) = oneshot::channel();
        let executor = &self.edge.deps().executor;
        executor.spawn(self.scope.get(), async move {
            let _ = send.send(work.await);
        });
        done.await.ok()
    }
}

/// The whole of an answer.
async fn answer(served: Served<IsolatePlatform>, failed: &Cell<bool>) -> Option<Answer> {
    let body = match served.body {
        ResponseBody::Own => match &served.answer.body {
            Body::Text(text) => text.clone().into(),
            _ => Bytes::new(),
        },
        ResponseBody::Bytes(Piece(bytes)) | ResponseBody::Stream(bytes) => bytes,
        ResponseBody::Chunks(chunks, _) => {
            let chunks: Vec<Piece> = chunks.try_collect().await.ok()?;
            let chunks: Vec<_> = chunks.into_iter().map(|Piece(bytes)| bytes).collect();
            chunks.concat().into()
        }
    };
    let headers = served.answer.headers.into_iter();
    Some(Answer {
        status: served.answer.status,
        headers: headers
            .map(|(name, value)| (name, value.into_owned()))
            .collect(),
        body,
        object_failed: failed.get(),
    })
}

/// The platform, as one request of an isolate has it.
#[derive(Clone)]
struct IsolatePlatform {
    edge: Edge,
    number: usize,
    pop: Pop,
    clock: Clock,
    scope: Scope,
    kv_cache_ttl: Duration,
    object_failed: Rc<Cell<bool>>,
    stands_at: Option<Timestamp>,
}

impl IsolatePlatform {
    fn under_way(&self, step: &'static str) -> UnderWay {
        let faults = &self.edge.deps().faults;
        faults.under_way(Owner::Isolate(self.number), step)
    }

    async fn read_kv(
        &self,
        key: &str,
        ttl: Duration,
        step: &'static str,
    ) -> Result<Option<Rc<Value>>, PlatformError> {
        let _under_way = self.under_way(step);
        let read = self.edge.deps().kv.read(self.pop, key, ttl, step).await;
        read.map_err(failed)
    }
}

fn failed(error: impl std::fmt::Debug) -> PlatformError {
    PlatformError(format!("{error:?}"))
}

impl Platform for IsolatePlatform {
    type Chunk = Piece;
    type Stream = Bytes;

    fn now(&self) -> Timestamp {
        self.stands_at.unwrap_or_else(|| self.clock.now())
    }

    async fn sleep(&self, span: Duration) {
        self.edge.deps().timeline.sleep(span).await;
    }

    async fn client_left(&self) {
        pending::<()>().await;
    }

    fn count_read(&self, outcome: KvRead) {
        if outcome == KvRead::Mismatch {
            let ledger = &self.edge.deps().ledger;
            ledger.violated(
                "KV has no mix of two",
                "a body is not what its metadata says",
            );
        }
    }

    fn log(&self, line: &serde_json::Value) {
        let trace = &self.edge.deps().trace;
        trace.line(format!("point of presence {}: {line}", self.pop));
    }

    fn spawn(&self, task: LocalBoxFuture<'static, ()>) {
        self.edge.deps().executor.spawn(self.scope, task);
    }

    async fn kv_crl(&self, key: &str) -> Result<Option<(String, Bytes)>, PlatformError> {
        let value = self.read_kv(key, self.kv_cache_ttl, "isolate reads a CRL");
        Ok(value.await?.map(|value| {
            let metadata = value.metadata.clone().unwrap_or_else(|| "null".to_owned());
            (metadata, value.bytes.clone())
        }))
    }

    async fn kv_part(&self, key: &str) -> Result<Option<Bytes>, PlatformError> {
        let value = self.read_kv(key, self.kv_cache_ttl, "isolate reads a part");
        Ok(value.await?.map(|value| value.bytes.clone()))
    }

    async fn kv_index(&self) -> Result<Option<Index>, PlatformError> {
        let ttl = Duration::from_secs(30);
        let value = self.read_kv(kv_layout::REGISTRY, ttl, "isolate reads the registry");
        let value = value.await?;
        Ok(value.and_then(|value| serde_json::from_slice(&value.bytes).ok()))
    }

    async fn issuer(
        &self,
        issuer: &IssuerId,
        request: IssuerRequest,
    ) -> Result<(IssuerAnswer, Option<Bytes>), PlatformError> {
        let _under_way = self.under_way("isolate asks an object");
        let answer = self.edge.call(issuer, request).await;
        let is_crl = matches!(answer, Ok((IssuerAnswer::Crl(_) | IssuerAnswer::Done, _)));
        if !is_crl {
            self.object_failed.set(true);
        }
        answer
    }

    async fn read(&self, stream: Bytes) -> Result<Piece, PlatformError> {
        Ok(Piece(stream))
    }

    fn chunks(&self, stream: Bytes, end: u64) -> Chunks<Piece> {
        let end = stream.len().min(usize::try_from(end).unwrap_or(usize::MAX));
        stream::iter([Ok(Piece(stream.slice(..end)))]).boxed_local()
    }

    fn cancel(&self, _: Bytes) {}
}

impl RegistryObject for IsolatePlatform {
    async fn registry_object(
        &self,
        request: RegistryRequest,
    ) -> Result<RegistryAnswer, PlatformError> {
        let _under_way = self.under_way("isolate asks the registry");
        self.edge.registry_object(request).await
    }
}
