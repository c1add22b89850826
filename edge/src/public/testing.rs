//! The platform as the tests of serving see it: KV, the objects and time in memory. It notes who
//! was asked, and each part fails on demand.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

use futures_executor::block_on;
use futures_util::future::LocalBoxFuture;
use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use origin_api::{CrlName, IssuerId};

use super::*;
use crate::http::{Body, Method};
use crate::issuer::{IssuerAnswer, IssuerRequest, Unavailable};
use crate::kv_layout;
use crate::object_calls::{PlatformError, RegistryObject};
use crate::refresh::{Head, Metadata, Sha256};
use crate::registry::{Index, Listed, RegistryAnswer, RegistryRequest};
use crate::time::Timestamp;

impl Chunk for Vec<u8> {
    fn length(&self) -> usize {
        self.len()
    }

    fn slice(&self, range: Range<usize>) -> Self {
        self[range].to_vec()
    }

    fn to_vec(&self) -> Vec<u8> {
        self.clone()
    }

    fn of(bytes: &[u8]) -> Self {
        bytes.to_vec()
    }
}

/// A stream that ends, or breaks off, after these bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stream {
    pub(super) bytes: Vec<u8>,
    pub(super) breaks_off: bool,
}

impl From<Vec<u8>> for Stream {
    fn from(bytes: Vec<u8>) -> Self {
        Self {
            bytes,
            breaks_off: false,
        }
    }
}

/// What the platform has, and what was asked of it.
pub(super) struct World {
    pub(super) now: Cell<Timestamp>,
    /// Values in KV by key: metadata in JSON, and the body.
    pub(super) kv: RefCell<BTreeMap<String, (String, Vec<u8>)>>,
    pub(super) kv_index: RefCell<Option<Index>>,
    /// Whether KV answers, fails, or never answers.
    pub(super) kv_state: Cell<State>,
    /// The object's CRL, or why it has none.
    pub(super) object: RefCell<Result<(Head, Vec<u8>), Unavailable>>,
    pub(super) object_state: Cell<State>,
    pub(super) client_left: Cell<bool>,
    pub(super) index: RefCell<Option<Index>>,
    pub(super) asked: RefCell<Vec<&'static str>>,
    pub(super) seen: RefCell<Vec<Option<Sha256>>>,
    /// How the reads of KV ended.
    pub(super) reads: RefCell<Vec<KvRead>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Up,
    Fails,
    Hangs,
}

impl State {
    async fn check(self) -> Result<(), PlatformError> {
        match self {
            Self::Up => Ok(()),
            Self::Fails => Err(PlatformError("down".to_owned())),
            Self::Hangs => std::future::pending().await,
        }
    }
}

#[derive(Clone)]
pub(super) struct Twin(pub(super) Rc<World>);

impl Twin {
    fn note(&self, who: &'static str) {
        self.0.asked.borrow_mut().push(who);
    }

    /// Who was asked since the last call.
    pub(super) fn asked(&self) -> String {
        self.0.asked.take().join(" ")
    }

    /// Puts the full CRL into KV, in parts if it is large.
    pub(super) fn publish(&self, head: &Head, der: &[u8]) {
        self.publish_as(CrlName::Full, head, der);
    }

    /// Puts a CRL into KV, in parts if it is large.
    pub(super) fn publish_as(&self, name: CrlName, head: &Head, der: &[u8]) {
        let mut kv = self.0.kv.borrow_mut();
        let parts = kv_layout::part_count(head.size);
        for part in 0..parts {
            let key = kv_layout::part_key(&issuer(), name, head.sha256, part);
            let range = kv_layout::part_range(part, head.size);
            let bytes =
                &der[usize::try_from(range.first).unwrap()..usize::try_from(range.end()).unwrap()];
            kv.insert(key, (String::new(), bytes.to_vec()));
        }
        let metadata = Metadata {
            head: head.clone(),
            parts,
        };
        let json = serde_json::to_string(&metadata).unwrap();
        let body = if parts == 0 { der.to_vec() } else { Vec::new() };
        kv.insert(kv_layout::key(&issuer(), name), (json, body));
    }

    async fn object_answer(&self) -> Result<(IssuerAnswer, Option<Stream>), PlatformError> {
        self.0.object_state.get().check().await?;
        Ok(match self.0.object.borrow().clone() {
            Ok((head, der)) => (IssuerAnswer::Crl(head), Some(der.into())),
            Err(unavailable) => (IssuerAnswer::Unavailable(unavailable), None),
        })
    }

    pub(super) fn lose(&self, part: u32) {
        let mut kv = self.0.kv.borrow_mut();
        kv.retain(|key, _| !key.ends_with(&format!("/{part}")));
    }
}

impl Platform for Twin {
    type Chunk = Vec<u8>;
    type Stream = Stream;

    fn now(&self) -> Timestamp {
        self.0.now.get()
    }

    async fn sleep(&self, span: Duration) {
        // Time passes only when nothing else can happen.
        let hangs = [&self.0.kv_state, &self.0.object_state];
        let hangs = hangs.iter().any(|state| state.get() == State::Hangs);
        if hangs && !self.0.client_left.get() {
            self.0.now.set(self.0.now.get().after(span));
        } else {
            std::future::pending::<()>().await;
        }
    }

    async fn client_left(&self) {
        if !self.0.client_left.get() {
            std::future::pending::<()>().await;
        }
    }

    fn log(&self, _: &serde_json::Value) {}

    fn count_read(&self, outcome: KvRead) {
        self.0.reads.borrow_mut().push(outcome);
    }

    fn spawn(&self, task: LocalBoxFuture<'static, ()>) {
        assert_eq!(task.now_or_never(), Some(()));
    }

    async fn kv_crl(&self, key: &str) -> Result<Option<(String, Stream)>, PlatformError> {
        self.note("kv");
        self.0.kv_state.get().check().await?;
        let value = self.0.kv.borrow().get(key).cloned();
        Ok(value.map(|(metadata, body)| (metadata, body.into())))
    }

    async fn kv_part(&self, key: &str) -> Result<Option<Stream>, PlatformError> {
        self.note("part");
        self.0.kv_state.get().check().await?;
        Ok(self
            .0
            .kv
            .borrow()
            .get(key)
            .map(|(_, part)| part.clone().into()))
    }

    async fn kv_index(&self) -> Result<Option<Index>, PlatformError> {
        self.note("kv-index");
        self.0.kv_state.get().check().await?;
        Ok(self.0.kv_index.borrow().clone())
    }

    async fn issuer(
        &self,
        _: &IssuerId,
        request: IssuerRequest,
    ) -> Result<(IssuerAnswer, Option<Stream>), PlatformError> {
        match request {
            IssuerRequest::Serve {
                seen, held_only, ..
            } => {
                self.note(if held_only { "object-held" } else { "object" });
                self.0.seen.borrow_mut().push(seen);
                self.object_answer().await
            }
            IssuerRequest::Held { .. } => {
                self.note("operators-object");
                self.object_answer().await
            }
            IssuerRequest::RefreshDue { .. } => {
                self.note("refresh");
                Ok((IssuerAnswer::Done, None))
            }
            other => panic!("serving does not ask {other:?}"),
        }
    }

    async fn read(&self, stream: Stream) -> Result<Vec<u8>, PlatformError> {
        self.note("read");
        if stream.breaks_off {
            return Err(PlatformError("it broke off".to_owned()));
        }
        Ok(stream.bytes)
    }

    fn chunks(&self, stream: Stream, end: u64) -> Chunks<Vec<u8>> {
        let mut bytes = stream.bytes;
        bytes.truncate(usize::try_from(end).unwrap());
        let chunks: Vec<_> = bytes.chunks(64 * 1024).map(<[u8]>::to_vec).collect();
        stream::iter(chunks.into_iter().map(Ok)).boxed_local()
    }

    fn cancel(&self, _: Stream) {}
}

impl RegistryObject for Twin {
    async fn registry_object(
        &self,
        request: RegistryRequest,
    ) -> Result<RegistryAnswer, PlatformError> {
        assert_eq!(request, RegistryRequest::Index);
        self.note("registry");
        let index = self.0.index.borrow().clone();
        let index = index.ok_or_else(|| PlatformError("no index".to_owned()))?;
        Ok(RegistryAnswer::Index(index))
    }
}

/// The issuer of every test.
pub(super) fn issuer() -> IssuerId {
    "demo".parse().unwrap()
}

/// An index, read at `now`, that lists these CRLs of the issuer.
pub(super) fn index(now: Timestamp, crls: &[CrlName]) -> Index {
    let listed = Listed {
        crls: crls.to_vec(),
        ..Listed::default()
    };
    Index {
        read_at: now,
        issuers: [(issuer(), listed)].into(),
        shrink: None,
    }
}

/// A request for the issuer's full CRL.
pub(super) fn wanted(method: Method, encoding: Encoding) -> Wanted {
    Wanted {
        method,
        issuer: issuer(),
        name: CrlName::Full,
        encoding,
    }
}

/// The bytes of an answer's body.
pub(super) fn bytes(served: Served<Twin>) -> Vec<u8> {
    match served.body {
        ResponseBody::Own => match served.answer.body {
            Body::Text(text) => text.into_bytes(),
            _ => Vec::new(),
        },
        ResponseBody::Bytes(bytes) => bytes,
        ResponseBody::Stream(stream) => stream.bytes,
        ResponseBody::Chunks(chunks, length) => {
            let chunks: Vec<Vec<u8>> = block_on(chunks.try_collect()).unwrap();
            let bytes = chunks.concat();
            assert_eq!(bytes.len() as u64, length);
            bytes
        }
    }
}
