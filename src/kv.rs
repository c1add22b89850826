//! KV: the replica of CRLs and of the registry's index, written by the objects and read by every isolate.

use std::cell::{OnceCell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream;
use origin_api::{CrlName, IssuerId};
use sha2::Digest as _;
use worker::Delay;
use worker::js_sys::{Promise, Uint8Array};
use worker::wasm_bindgen::prelude::*;
use worker::wasm_bindgen_futures::JsFuture;

use crate::again::{self, Again};
use crate::bindings::Bindings;
use crate::host::{log, now};
use crate::js::to_js;
use crate::kept::Kept;
use crate::objects::ShelfBody;
use crate::reading::Reading;
use crate::streams::{self, Chunks, Stored};
use edge::config::Settings;
use edge::refresh::{Head, Metadata, Pieces, Replica, ReplicaError, Sha256};
use edge::registry::{Index, IndexReplica};
use edge::replica;
use edge::time::{Timestamp, within};

#[wasm_bindgen]
extern "C" {
    /// The binding of a KV namespace. The `worker` crate's wrapper looks up all its methods by name for each request, and reads
    /// metadata field by field.
    #[derive(Clone, Debug)]
    pub(crate) type KvNamespace;

    #[wasm_bindgen(method, catch)]
    fn get(this: &KvNamespace, key: &str, options: &JsValue) -> Result<Promise, JsValue>;

    #[wasm_bindgen(method, catch)]
    fn put(
        this: &KvNamespace,
        key: &str,
        value: &JsValue,
        options: &JsValue,
    ) -> Result<Promise, JsValue>;

    #[wasm_bindgen(method, catch)]
    fn delete(this: &KvNamespace, key: &str) -> Result<Promise, JsValue>;
}

/// How long a head that was read is remembered; what was answered by it may be answered for up to a second more. KV itself lags by
/// `KV_CACHE_TTL_SECONDS`, 30 at the least.
const HEAD_MEMORY: Duration = Duration::from_secs(2);

/// How long a read may take until it begins to answer, in milliseconds: what KV does not give the objects have.
pub(crate) const LIMIT_MILLIS: u32 = 5_000;

/// Up to how many bytes a CRL is read whole, and kept: to read it from KV takes eight times as long as all else.
pub(crate) const SMALL: u64 = 128 * 1024;

thread_local! {
    /// What this isolate read lately, by its key in KV.
    static READ: RefCell<Kept<1000, String, Read>> = RefCell::default();
    /// Small bodies that it read, 12.5 MiB at the most, in JavaScript's memory.
    static BODIES: RefCell<Kept<100, Sha256, Uint8Array>> = RefCell::default();
    /// The options of the hot path's read, made once: settings do not change within an isolate.
    static CRL_OPTIONS: OnceCell<JsValue> = const { OnceCell::new() };
}

/// The metadata of a CRL that was read.
struct Read {
    json: String,
    metadata: Metadata,
    at: Timestamp,
}

/// What a read is to give, and for how long this point of presence may keep it.
#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct GetOptions {
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_ttl: Option<u64>,
}

#[derive(serde::Serialize)]
struct PutOptions<'m> {
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'m Metadata>,
}

fn read_as(r#type: &'static str, cache_ttl: Option<u64>) -> worker::Result<JsValue> {
    to_js(&GetOptions { r#type, cache_ttl })
}

impl KvNamespace {
    async fn write(
        &self,
        key: &str,
        value: &JsValue,
        metadata: Option<&Metadata>,
    ) -> worker::Result<()> {
        READ.with_borrow_mut(|read| read.remove(key));
        again::forget();
        let options = to_js(&PutOptions { metadata })?;
        JsFuture::from(self.put(key, value, &options)?).await?;
        Ok(())
    }
}

/// KV as an issuer's object writes it.
#[derive(Debug)]
pub(crate) struct KvReplica {
    pub(crate) kv: KvNamespace,
    pub(crate) stored: Stored,
}

impl Replica for KvReplica {
    async fn put_pieces(
        &self,
        key: &str,
        pieces: Pieces,
        metadata: Option<&Metadata>,
    ) -> Result<(), ReplicaError> {
        let doing = "take a body";
        let body = self
            .stored
            .stream(pieces, None)
            .map_err(|error| failed(doing)(error.into()))?;
        let put = self.kv.write(key, &body, metadata);
        put.await.map_err(failed(doing))
    }

    async fn put_manifest(&self, key: &str, metadata: &Metadata) -> Result<(), ReplicaError> {
        let value = "in parts, see the metadata".into();
        let put = self.kv.write(key, &value, Some(metadata));
        put.await.map_err(failed("take a manifest"))
    }

    async fn metadata(&self, key: &str) -> Result<Option<Metadata>, ReplicaError> {
        let read = async { Reading::of(&self.kv, key, &read_as("stream", None)?)?.await };
        let Some((body, json)) = read.await.map_err(failed("tell what it has"))? else {
            return Ok(None);
        };
        // Nobody reads it.
        let _ = JsFuture::from(body.cancel()).await;
        // What this release does not read is as good as absent.
        Ok(serde_json::from_str(&json).ok())
    }

    async fn delete(&self, key: &str) -> Result<(), ReplicaError> {
        let delete = async {
            JsFuture::from(self.kv.delete(key)?).await?;
            Ok(())
        };
        delete.await.map_err(failed("remove a key"))
    }
}

/// The copy of the registry's index.
#[derive(Debug)]
pub(crate) struct KvIndex(pub(crate) KvNamespace);

impl IndexReplica for KvIndex {
    async fn put(&self, index: &Index) -> Result<(), ReplicaError> {
        let put = async {
            let text = serde_json::to_string(index)?;
            self.0.write(replica::REGISTRY, &text.into(), None).await
        };
        put.await.map_err(failed("take the registry"))
    }
}

/// The head of a CRL that this isolate read a moment before `now`, and its body where that is small.
pub(crate) fn remembered(
    issuer: &IssuerId,
    name: CrlName,
    now: Timestamp,
) -> Option<(Head, Option<Uint8Array>)> {
    let key = replica::key(issuer, name);
    let head = READ.with_borrow(|read| {
        let Read { metadata, at, .. } = read.get(&key)?;
        (now.since(*at) < HEAD_MEMORY).then(|| metadata.head.clone())
    })?;
    let body = kept_body(&head);
    Some((head, body))
}

fn kept_body(head: &Head) -> Option<Uint8Array> {
    BODIES.with_borrow(|bodies| bodies.get(&head.sha256).cloned())
}

/// The body of a CRL, as it is best passed on.
async fn body(metadata: &Metadata, stream: web_sys::ReadableStream) -> worker::Result<ShelfBody> {
    let Metadata { head, parts } = metadata;
    if *parts > 0 {
        let _ = stream.cancel();
        return Ok(ShelfBody::Parts(None));
    }
    if head.size > SMALL {
        return Ok(ShelfBody::Stream(stream));
    }
    if let Some(bytes) = kept_body(head) {
        let _ = stream.cancel();
        return Ok(ShelfBody::Bytes(bytes));
    }
    let bytes = streams::whole(stream).await?;
    // What is kept is answered many times.
    if sha2::Sha256::digest(bytes.to_vec())[..] != head.sha256.0 {
        return Err("the body is not the one that the metadata tells of".into());
    }
    BODIES.with_borrow_mut(|bodies| bodies.insert(head.sha256, bytes.clone()));
    Ok(ShelfBody::Bytes(bytes))
}

/// Reads the metadata of what was read, and remembers it. It is mostly what it was.
fn remember(key: &str, json: String) -> worker::Result<Metadata> {
    READ.with_borrow_mut(|read| {
        if let Some(read) = read.get_mut(key).filter(|read| read.json == json) {
            read.at = now();
            return Ok(read.metadata.clone());
        }
        let metadata: Metadata = serde_json::from_str(&json)?;
        let new = Read {
            json,
            metadata: metadata.clone(),
            at: now(),
        };
        read.insert(key.to_owned(), new);
        Ok(metadata)
    })
}

/// KV as an isolate reads it.
#[derive(Clone, Debug)]
pub(crate) struct KvReader {
    pub(crate) bindings: Bindings,
    pub(crate) settings: Rc<Settings>,
}

impl KvReader {
    /// The CRL, if KV has it in a form that this release reads.
    pub(crate) async fn crl(
        &self,
        issuer: &IssuerId,
        name: CrlName,
    ) -> Option<(Metadata, ShelfBody)> {
        let key = replica::key(issuer, name);
        let read = async {
            let kv = self.bindings.kv()?;
            let read = Reading::of(&kv, &key, &self.crl_options()?)?.await?;
            let Some((stream, json)) = read else {
                return Ok(None);
            };
            let metadata = remember(&key, json)?;
            let body = body(&metadata, stream).await?;
            Ok(Some((metadata, body)))
        };
        read.await.unwrap_or_else(|error: worker::Error| {
            // The issuer's object has the truth: what KV cannot give is asked for there.
            log(&serde_json::json!({
                "level": "warning", "what": "KV did not give a CRL", "key": key, "cause": error.to_string(),
            }));
            None
        })
    }

    /// How a CRL with this head, which was read a moment ago, is read again.
    pub(crate) fn again(&self, issuer: &IssuerId, name: CrlName, head: &Head) -> Again {
        let key = replica::key(issuer, name);
        let metadata = READ.with_borrow(|read| {
            let read = read.get(&key).filter(|read| read.metadata.head == *head);
            read.map(|read| read.json.clone())
        });
        match (metadata, self.crl_options()) {
            (Some(metadata), Ok(options)) => Again::Read {
                key,
                options,
                metadata,
            },
            _ => Again::Never,
        }
    }

    fn crl_options(&self) -> worker::Result<JsValue> {
        if let Some(options) = CRL_OPTIONS.with(|options| options.get().cloned()) {
            return Ok(options);
        }
        let options = read_as("stream", Some(self.settings.kv_cache_ttl.as_secs()))?;
        Ok(CRL_OPTIONS.with(|made| made.get_or_init(|| options).clone()))
    }

    /// One part of a large CRL.
    pub(crate) async fn part(&self, key: &str) -> Option<web_sys::ReadableStream> {
        let kv = self.bindings.kv().ok()?;
        let promise = kv.get(key, &self.crl_options().ok()?).ok()?;
        in_time(promise).await?.dyn_into().ok()
    }

    /// The registry's index.
    pub(crate) async fn index(&self) -> Option<Index> {
        // 30 s is the least that KV allows; an isolate keeps what it read.
        let options = read_as("text", Some(30)).ok()?;
        let kv = self.bindings.kv().ok()?;
        let promise = kv.get(replica::REGISTRY, &options).ok()?;
        let text = in_time(promise).await?.as_string()?;
        serde_json::from_str(&text).ok()
    }
}

/// What a read gives, unless it fails or takes too long.
async fn in_time(promise: Promise) -> Option<JsValue> {
    let limit = Delay::from(Duration::from_millis(LIMIT_MILLIS.into()));
    within(limit, JsFuture::from(promise)).await?.ok()
}

/// Chunks of several sources, one after the other, each opened when the one before has ended.
pub(crate) fn in_turn<F>(sources: impl Iterator<Item = F> + 'static) -> Chunks
where
    F: Future<Output = Chunks> + 'static,
{
    stream::iter(sources)
        .then(|source| source)
        .flatten()
        .boxed_local()
}

fn failed(doing: &'static str) -> impl Fn(worker::Error) -> ReplicaError {
    move |error| ReplicaError {
        doing,
        cause: error.to_string(),
    }
}
