//! The Worker's way to the objects, and to KV: the seams of `public` and `schedule`.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use futures_util::{FutureExt as _, StreamExt as _};
use origin_api::{CrlName, IssuerId};
use worker::Context;
use worker::js_sys::Uint8Array;
use worker::wasm_bindgen::JsValue;

use crate::again::Again;
use crate::bindings::Bindings;
use crate::host::{log, now};
use crate::kv::{self, KvReader};
use crate::object_call;
use crate::registry_object;
use crate::streams::{self, Chunks};
use edge::actions::{Action, ActionAnswer, ActionRequest};
use edge::answer::{Body, ByteRange};
use edge::config::Settings;
use edge::events::pending::{PendingAnswer, PendingRequest};
use edge::events::{Event, Trigger};
use edge::issuer::{IssuerAnswer, IssuerCall, IssuerRequest, Overview, TrustAnswer, Unavailable};
use edge::public::pem::Excerpt;
use edge::public::{Decision, Encoding, Lookup, Served, Shelves, Slice, Source, Unserved, Wanted};
use edge::refresh::{Head, Metadata, Sha256};
use edge::registry::{Batch, Index, Lease, RegistryAnswer, RegistryRequest};
use edge::replica;
use edge::schedule::Objects;
use edge::time::Timestamp;

/// How rarely one isolate asks for the refresh of one CRL.
const REFRESH_PAUSE: Duration = Duration::from_secs(20);

/// How long one request reads the index, for the others of its isolate, before another one tries.
const READING: Duration = Duration::from_secs(2);

thread_local! {
    /// The index as this isolate last saw it, and until when it can say who does not exist.
    static INDEX: RefCell<Option<(Rc<Index>, Timestamp)>> = const { RefCell::new(None) };
    /// When this isolate last asked for a refresh.
    static ASKED: RefCell<HashMap<(IssuerId, CrlName), Timestamp>> = RefCell::default();
}

/// The objects and KV, as the Worker reaches them.
#[derive(Clone, Debug)]
pub(crate) struct WorkerObjects {
    settings: Rc<Settings>,
    // Each is looked up where it is needed: most requests need but one, or none.
    bindings: Bindings,
    kv: KvReader,
    context: Option<Rc<Context>>,
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

impl WorkerObjects {
    /// What `bindings` bind. Background work needs the request's `context`.
    #[must_use]
    pub(crate) fn new(
        bindings: &Bindings,
        settings: &Rc<Settings>,
        context: Option<Context>,
    ) -> Self {
        Self {
            settings: Rc::clone(settings),
            bindings: bindings.clone(),
            kv: KvReader {
                bindings: bindings.clone(),
                settings: Rc::clone(settings),
            },
            context: context.map(Rc::new),
        }
    }

    /// What the issuer's object knows.
    ///
    /// # Errors
    /// The object does not answer.
    pub(crate) async fn overview(&self, issuer: &IssuerId) -> Result<Overview, ObjectError> {
        match self.issuer(issuer, IssuerRequest::Overview).await? {
            (IssuerAnswer::Overview(overview), _) => Ok(*overview),
            (other, _) => Err(other.into()),
        }
    }

    /// Pins the changed certificate that waits, if it has this SHA-256.
    ///
    /// # Errors
    /// The object does not answer.
    pub(crate) async fn trust(
        &self,
        issuer: &IssuerId,
        sha256: Sha256,
    ) -> Result<TrustAnswer, ObjectError> {
        match self.issuer(issuer, IssuerRequest::Trust { sha256 }).await? {
            (IssuerAnswer::Trust(answer), _) => Ok(answer),
            (other, _) => Err(other.into()),
        }
    }

    /// Refreshes one CRL of the issuer, or all.
    ///
    /// # Errors
    /// The object does not answer.
    pub(crate) async fn refresh_crls(
        &self,
        issuer: &IssuerId,
        name: Option<CrlName>,
        trigger: Trigger,
    ) -> Result<Vec<Event>, ObjectError> {
        let request = IssuerRequest::Refresh { name, trigger };
        match self.issuer(issuer, request).await? {
            (IssuerAnswer::Refreshed(events), _) => Ok(events),
            (other, _) => Err(other.into()),
        }
    }

    async fn issuer(
        &self,
        issuer: &IssuerId,
        request: IssuerRequest,
    ) -> Result<(IssuerAnswer, Option<web_sys::ReadableStream>), ObjectError> {
        let stub = self.bindings.issuers()?.get_by_name(issuer.as_str())?;
        let issuer = issuer.clone();
        Ok(object_call::send(&stub, &IssuerCall { issuer, request }).await?)
    }

    async fn registry(&self, request: &RegistryRequest) -> Result<RegistryAnswer, ObjectError> {
        let registry = self.bindings.registry()?;
        let stub = registry.get_by_name(registry_object::NAME)?;
        let (answer, _) = object_call::send(&stub, request).await?;
        Ok(answer)
    }

    /// How many events D1 refuses, as the issuers' objects report to the registry's.
    ///
    /// # Errors
    /// The object does not answer.
    pub(crate) async fn events_pending(&self) -> Result<u64, ObjectError> {
        let registry = self.bindings.registry()?;
        let stub = registry.get_by_name(registry_object::NAME)?;
        match object_call::send(&stub, &PendingRequest::PendingTotal).await? {
            (PendingAnswer::Total(events), _) => Ok(events),
            (PendingAnswer::Noted, _) => Err(ObjectError::Refused(
                "the registry's object answered another request".to_owned(),
            )),
        }
    }

    /// Keeps an action in the registry's object until D1 has it.
    ///
    /// # Errors
    /// The object does not answer, or could not keep it.
    pub(crate) async fn record(&self, action: &Action) -> Result<(), ObjectError> {
        let registry = self.bindings.registry()?;
        let stub = registry.get_by_name(registry_object::NAME)?;
        let request = ActionRequest::Record(Box::new(action.clone()));
        match object_call::send(&stub, &request).await? {
            (ActionAnswer::Recorded, _) => Ok(()),
            (ActionAnswer::Failed(cause), _) => Err(ObjectError::Refused(cause)),
        }
    }

    /// The registry's index: from the isolate's memory, KV, or the registry's object, whichever can say who does not exist. Where
    /// none can, the object's last one is the answer.
    ///
    /// # Errors
    /// Where there is none at all.
    pub(crate) async fn index(&self) -> Result<Rc<Index>, ObjectError> {
        if let Some((index, until)) = INDEX.with_borrow(Clone::clone) {
            if until > now() {
                return Ok(index);
            }
            // Meanwhile the others make do with this one: a crowd that asks for ids that nobody knows would read it as many times.
            INDEX.set(Some((index, now().after(READING))));
        }
        let ttl = self.settings.registry_ttl;
        let index = match self.kv.index().await {
            Some(index) if index.is_fresh(now(), ttl) => Rc::new(index),
            _ => match self.registry(&RegistryRequest::Index).await? {
                RegistryAnswer::Index(index) => Rc::new(index),
                other => return Err(other.into()),
            },
        };
        let until = if index.is_fresh(now(), ttl) {
            index.read_at.after(ttl)
        } else {
            // The origin cannot be asked: the object will not say more for a while.
            now().after(ttl)
        };
        INDEX.set(Some((Rc::clone(&index), until)));
        Ok(index)
    }

    async fn read_object(
        &self,
        issuer: &IssuerId,
        name: CrlName,
        seen: Option<Sha256>,
    ) -> Result<Result<(Head, web_sys::ReadableStream), Unavailable>, ObjectError> {
        let request = IssuerRequest::Serve { name, seen };
        match self.issuer(issuer, request).await? {
            (IssuerAnswer::Crl(head), Some(body)) => Ok(Ok((head, body))),
            (IssuerAnswer::Unavailable(unavailable), _) => Ok(Err(unavailable)),
            (other, _) => Err(other.into()),
        }
    }

    /// A part of a large CRL in KV.
    async fn part(
        &self,
        Wanted { issuer, name, .. }: &Wanted,
        head: &Head,
        part: u32,
    ) -> Option<web_sys::ReadableStream> {
        let key = replica::part_key(issuer, *name, head.sha256, part);
        let stream = self.kv.part(&key).await;
        if stream.is_none() {
            log(
                &serde_json::json!({ "level": "warning", "what": "a part is missing in KV", "key": key }),
            );
        }
        stream
    }

    /// What `within` cuts out of a part: from KV, or where it is missing there, out of the same version in the issuer's object.
    async fn chunks_of_part(
        self,
        wanted: Wanted,
        head: Head,
        opened: Option<web_sys::ReadableStream>,
        (part, within): (u32, ByteRange),
    ) -> Chunks {
        let stream = match opened {
            Some(stream) => Some(stream),
            None => self.part(&wanted, &head, part).await,
        };
        if let Some(stream) = stream {
            return streams::cut_stream(&stream, within);
        }
        match self.read_object(&wanted.issuer, wanted.name, None).await {
            Ok(Ok((current, body))) if current.sha256 == head.sha256 => {
                let first = replica::part_range(part, head.size)
                    .first
                    .saturating_add(within.first);
                let length = within.length;
                let range = ByteRange { first, length };
                streams::cut_stream(&body, range)
            }
            _ => {
                let gone = "the CRL was replaced while it was being read";
                futures_util::stream::iter([Err(JsValue::from_str(gone))]).boxed_local()
            }
        }
    }
}

/// Where a body lies.
#[derive(Debug)]
pub(crate) enum ShelfBody {
    /// In memory.
    Bytes(Uint8Array),
    /// All of it, in one stream.
    Stream(web_sys::ReadableStream),
    /// In parts, in KV; the first of those that are needed may be open.
    Parts(Option<web_sys::ReadableStream>),
}

impl WorkerObjects {
    /// How the answer comes to its body again.
    pub(crate) fn again(&self, wanted: &Wanted, served: &Served<ShelfBody>) -> Again {
        let Decision::Crl(answer) = &served.decision else {
            return Again::Never;
        };
        let body = answer.body();
        match &served.crl {
            _ if *body == Body::None => Again::Same,
            Some((_, ShelfBody::Bytes(_))) => Again::Same,
            Some((head, ShelfBody::Stream(_)))
                if served.source == Source::Replica
                    && wanted.encoding == Encoding::Der
                    && *body == Body::Whole =>
            {
                self.kv.again(&wanted.issuer, wanted.name, head)
            }
            _ => Again::Never,
        }
    }

    /// `body` as the platform takes it: a stream or bytes; null where there is none. It reads no more of the CRL than the answer needs.
    ///
    /// # Errors
    /// Where the platform cannot make one.
    pub(crate) async fn body(
        &self,
        wanted: &Wanted,
        body: &Body,
        crl: (Head, ShelfBody),
    ) -> Result<JsValue, JsValue> {
        let (head, source) = crl;
        let whole = wanted.encoding.length(head.size);
        let Some(range) = body.range(whole) else {
            if let ShelfBody::Stream(stream) = source {
                // Nobody reads it: let the source go.
                let _ = stream.cancel();
            }
            return Ok(JsValue::NULL);
        };
        let chunks = match (wanted.encoding, source) {
            // The hot path: the body goes to the client as it is.
            (Encoding::Der, ShelfBody::Stream(stream)) if range.length == whole => {
                return Ok(stream.into());
            }
            (Encoding::Der, ShelfBody::Bytes(bytes)) if range.length == whole => {
                return Ok(bytes.into());
            }
            (Encoding::Der, source) => self.der(wanted, &head, source, range),
            (Encoding::Pem, source) => {
                let Excerpt {
                    der,
                    encoder,
                    slice,
                } = Excerpt::of(range, head.size);
                let pem = streams::to_pem(self.der(wanted, &head, source, der), encoder);
                streams::cut(pem, slice)
            }
        };
        // To pump a stream takes longer, and breaks in the middle where something is wrong.
        if range.length <= kv::SMALL {
            streams::at_once(chunks).await.map(JsValue::from)
        } else {
            streams::readable(chunks, range.length).map(JsValue::from)
        }
    }

    /// The DER in `range`.
    fn der(&self, wanted: &Wanted, head: &Head, body: ShelfBody, range: ByteRange) -> Chunks {
        match body {
            ShelfBody::Bytes(bytes) => {
                let chunk = futures_util::stream::iter([Ok(bytes)]).boxed_local();
                streams::cut(chunk, Slice::of(range))
            }
            ShelfBody::Stream(stream) => streams::cut_stream(&stream, range),
            ShelfBody::Parts(first) => self.parts(wanted, head, first, range),
        }
    }

    fn parts(
        &self,
        wanted: &Wanted,
        head: &Head,
        mut first: Option<web_sys::ReadableStream>,
        range: ByteRange,
    ) -> Chunks {
        let (this, wanted, head) = (self.clone(), wanted.clone(), head.clone());
        kv::in_turn(replica::parts_of(range).map(move |part| {
            this.clone()
                .chunks_of_part(wanted.clone(), head.clone(), first.take(), part)
        }))
    }
}

impl Shelves for WorkerObjects {
    type Body = ShelfBody;

    fn now(&self) -> Timestamp {
        now()
    }

    async fn replica(&self, issuer: &IssuerId, name: CrlName) -> Option<(Metadata, ShelfBody)> {
        self.kv.crl(issuer, name).await
    }

    async fn open(&self, wanted: &Wanted, served: &mut Served<ShelfBody>) -> bool {
        let Some((head, ShelfBody::Parts(first))) = &mut served.crl else {
            return true;
        };
        let Wanted { encoding, .. } = wanted;
        let range = served.decision.body().range(encoding.length(head.size));
        let der = range.map(|range| encoding.der(range, head.size));
        let Some((part, _)) = der.and_then(|der| replica::parts_of(der).next()) else {
            return true;
        };
        *first = self.part(wanted, head, part).await;
        first.is_some()
    }

    fn remembered(
        &self,
        issuer: &IssuerId,
        name: CrlName,
        now: Timestamp,
    ) -> Option<(Head, Option<ShelfBody>)> {
        let (head, body) = kv::remembered(issuer, name, now)?;
        Some((head, body.map(ShelfBody::Bytes)))
    }

    async fn object(
        &self,
        issuer: &IssuerId,
        name: CrlName,
        seen: Option<Sha256>,
    ) -> Result<(Head, ShelfBody), Unserved> {
        match self.read_object(issuer, name, seen).await {
            Ok(Ok((head, stream))) => Ok((head, ShelfBody::Stream(stream))),
            Ok(Err(Unavailable::PublishedElsewhere)) => Err(Unserved::PublishedElsewhere),
            Ok(Err(Unavailable::RetryAfter { seconds })) => {
                Err(Unserved::Unavailable(Duration::from_secs(seconds)))
            }
            Err(error) => {
                log(&serde_json::json!({
                    "level": "error", "what": "an issuer's object did not answer",
                    "issuer": issuer, "cause": error.to_string(),
                }));
                Err(Unserved::Unavailable(Duration::from_secs(5)))
            }
        }
    }

    async fn lookup(&self, issuer: &IssuerId, name: CrlName) -> Lookup {
        // What was listed once is known; only what was not needs an index of this minute.
        let kept = INDEX.with_borrow(Clone::clone);
        let listed = kept.and_then(|(index, _)| index.issuers.get(issuer).cloned());
        if let Some(listed) = listed.filter(|listed| listed.may_have(name)) {
            return Lookup::Known(listed);
        }
        match self.index().await {
            Ok(index) => {
                let end = index.read_at.after(self.settings.registry_ttl);
                let listed = index.issuers.get(issuer).cloned();
                listed.map_or(Lookup::Unknown(end.since(now())), Lookup::Known)
            }
            Err(error) => {
                log(&serde_json::json!({
                    "level": "error", "what": "no list of issuers", "cause": error.to_string(),
                }));
                Lookup::CannotTell
            }
        }
    }

    fn refresh_soon(&self, issuer: &IssuerId, name: CrlName) {
        let now = now();
        let key = (issuer.clone(), name);
        let lately = |at: &Timestamp| now.since(*at) < REFRESH_PAUSE;
        if ASKED.with_borrow(|asked| asked.get(&key).is_some_and(lately)) {
            return;
        }
        let Some(context) = &self.context else {
            return;
        };
        ASKED.with_borrow_mut(|asked| {
            asked.retain(|_, at| lately(at));
            asked.insert(key, now);
        });
        let (this, issuer) = (self.clone(), issuer.clone());
        context.wait_until(
            async move {
                let called = this
                    .issuer(&issuer, IssuerRequest::RefreshDue { name })
                    .await;
                if let Err(error) = called {
                    log(&serde_json::json!({
                        "level": "warning", "what": "a refresh could not be asked for",
                        "issuer": issuer, "cause": error.to_string(),
                    }));
                }
            }
            .boxed_local(),
        );
    }
}

impl Objects for WorkerObjects {
    type Error = ObjectError;

    fn now(&self) -> Timestamp {
        now()
    }

    async fn sleep(&self, span: Duration) {
        worker::Delay::from(span).await;
    }

    async fn begin_tick(&self) -> Result<Option<Lease>, ObjectError> {
        match self.registry(&RegistryRequest::BeginTick).await? {
            RegistryAnswer::Lease(lease) => Ok(lease),
            other => Err(other.into()),
        }
    }

    async fn next_batch(&self, lease: &Lease) -> Result<Batch, ObjectError> {
        let request = RegistryRequest::NextBatch(lease.clone());
        match self.registry(&request).await? {
            RegistryAnswer::Batch(batch) => Ok(batch),
            other => Err(other.into()),
        }
    }

    async fn end_tick(&self, lease: &Lease, unreached: &[IssuerId]) -> Result<(), ObjectError> {
        let request = RegistryRequest::EndTick {
            lease: lease.clone(),
            unreached: unreached.to_vec(),
        };
        match self.registry(&request).await? {
            RegistryAnswer::Done => Ok(()),
            other => Err(other.into()),
        }
    }

    async fn refresh(&self, id: &IssuerId, trigger: Trigger) -> Result<Vec<Event>, ObjectError> {
        self.refresh_crls(id, None, trigger).await
    }
}
