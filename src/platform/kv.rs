//! KV: the replica of CRLs and of the registry's index, written by the objects and read by every isolate.

use std::rc::Rc;

use futures_util::StreamExt as _;
use futures_util::stream;
use origin_api::{CrlName, IssuerId};
use worker::{KvError, KvStore};

use super::host::log;
use super::streams::{Chunks, Stored};
use crate::config::Settings;
use crate::refresh::{Metadata, Pieces, Replica, ReplicaError};
use crate::registry::{Index, IndexReplica};
use crate::replica;

/// KV as an issuer's object writes it.
#[derive(Debug)]
pub(super) struct KvReplica {
    pub(super) kv: KvStore,
    pub(super) stored: Stored,
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
            .map_err(|error| failed(doing)(KvError::from(error)))?;
        let put = self.kv.put_stream(key, body).map_err(failed(doing))?;
        let put = match metadata {
            Some(metadata) => put.metadata(metadata).map_err(failed(doing))?,
            None => put,
        };
        put.execute().await.map_err(failed(doing))
    }

    async fn put_manifest(&self, key: &str, metadata: &Metadata) -> Result<(), ReplicaError> {
        let doing = "take a manifest";
        let put = self
            .kv
            .put(key, "in parts, see the metadata")
            .and_then(|put| put.metadata(metadata))
            .map_err(failed(doing))?;
        put.execute().await.map_err(failed(doing))
    }

    async fn metadata(&self, key: &str) -> Result<Option<Metadata>, ReplicaError> {
        let read = self.kv.get(key).stream_with_metadata::<serde_json::Value>();
        let (body, metadata) = read.await.map_err(failed("tell what it has"))?;
        if let Some(body) = body {
            // Nobody reads it.
            let _ = worker::wasm_bindgen_futures::JsFuture::from(body.cancel()).await;
        }
        Ok(metadata.and_then(|metadata| serde_json::from_value(metadata).ok()))
    }

    async fn delete(&self, key: &str) -> Result<(), ReplicaError> {
        self.kv.delete(key).await.map_err(failed("remove a key"))
    }
}

/// The copy of the registry's index.
#[derive(Debug)]
pub(super) struct KvIndex(pub(super) KvStore);

impl IndexReplica for KvIndex {
    async fn put(&self, index: &Index) -> Result<(), ReplicaError> {
        let doing = "take the registry";
        let put = self
            .0
            .put(replica::REGISTRY, index)
            .map_err(failed(doing))?;
        put.execute().await.map_err(failed(doing))
    }
}

/// KV as an isolate reads it.
#[derive(Clone, Debug)]
pub(super) struct KvReader {
    pub(super) kv: KvStore,
    pub(super) settings: Rc<Settings>,
}

impl KvReader {
    /// The CRL, if KV has it in a form that this release reads. The body is passed on as it comes, or read in parts.
    pub(super) async fn crl(
        &self,
        issuer: &IssuerId,
        name: CrlName,
    ) -> Option<(Metadata, web_sys::ReadableStream)> {
        let key = replica::key(issuer, name);
        let read = self
            .kv
            .get(&key)
            .cache_ttl(self.settings.kv_cache_ttl.as_secs())
            .stream_with_metadata::<Metadata>();
        match read.await {
            Ok((Some(body), Some(metadata))) => Some((metadata, body)),
            Ok(_) => None,
            Err(error) => {
                // The issuer's object has the truth: what KV cannot give is asked for there.
                log(&serde_json::json!({
                    "level": "warning", "what": "KV did not give a CRL", "key": key, "cause": error.to_string(),
                }));
                None
            }
        }
    }

    /// One part of a large CRL.
    pub(super) async fn part(&self, key: &str) -> Option<web_sys::ReadableStream> {
        let read = self
            .kv
            .get(key)
            .cache_ttl(self.settings.kv_cache_ttl.as_secs())
            .stream();
        read.await.ok().flatten()
    }

    /// The registry's index.
    pub(super) async fn index(&self) -> Option<Index> {
        // 30 s is the least that KV allows; an isolate keeps what it read.
        let read = self.kv.get(replica::REGISTRY).cache_ttl(30).text();
        let text = read.await.ok().flatten()?;
        serde_json::from_str(&text).ok()
    }
}

/// Chunks of several sources, one after the other, each opened when the one before has ended.
pub(super) fn in_turn<F>(sources: impl Iterator<Item = F> + 'static) -> Chunks
where
    F: Future<Output = Chunks> + 'static,
{
    stream::iter(sources)
        .then(|source| source)
        .flatten()
        .boxed_local()
}

fn failed(doing: &'static str) -> impl Fn(KvError) -> ReplicaError {
    move |error| ReplicaError {
        doing,
        cause: error.to_string(),
    }
}
