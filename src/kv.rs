//! KV: the replica of CRLs and of the registry's index, written by the objects and read by every
//! isolate.

pub(crate) mod options;

use edge::kv_layout;
use edge::refresh::{Metadata, Pieces, Replica, ReplicaError};
use edge::registry::{Index, IndexReplica};
use worker::js_sys::{JSON, Promise};
use worker::wasm_bindgen::prelude::*;
use worker::wasm_bindgen_futures::JsFuture;

use self::options::GetOptions;
use crate::fast_path;
use crate::js::to_js;
use crate::memory::memory;
use crate::streams::Stored;

#[wasm_bindgen]
extern "C" {
    /// The binding of a KV namespace. The `worker` crate's wrapper looks up all its methods by name
    /// for each request, and reads metadata field by field.
    #[derive(Clone, Debug)]
    pub(crate) type KvNamespace;

    #[wasm_bindgen(method, catch)]
    fn get(this: &KvNamespace, key: &str, options: &JsValue) -> Result<Promise, JsValue>;

    #[wasm_bindgen(method, catch, js_name = getWithMetadata)]
    fn get_with_metadata(
        this: &KvNamespace,
        key: &str,
        options: &JsValue,
    ) -> Result<Promise, JsValue>;

    #[wasm_bindgen(method, catch)]
    fn put(
        this: &KvNamespace,
        key: &str,
        value: &JsValue,
        options: &JsValue,
    ) -> Result<Promise, JsValue>;

    #[wasm_bindgen(method, catch)]
    fn delete(this: &KvNamespace, key: &str) -> Result<Promise, JsValue>;

    /// What `getWithMetadata` returns.
    type KvEntry;

    #[wasm_bindgen(method, getter)]
    fn value(this: &KvEntry) -> Option<web_sys::ReadableStream>;

    #[wasm_bindgen(method, getter)]
    fn metadata(this: &KvEntry) -> JsValue;
}

#[derive(serde::Serialize)]
struct PutOptions<'m> {
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'m Metadata>,
}

impl KvNamespace {
    /// A value and its metadata, in JSON.
    pub(crate) async fn read_with_metadata(
        &self,
        key: &str,
        options: GetOptions,
    ) -> worker::Result<Option<(String, web_sys::ReadableStream)>> {
        let read = self.get_with_metadata(key, &to_js(&options)?)?;
        let entry: KvEntry = JsFuture::from(read).await?.unchecked_into();
        let Some(value) = entry.value() else {
            return Ok(None);
        };
        let metadata = String::from(JSON::stringify(&entry.metadata())?);
        Ok(Some((metadata, value)))
    }

    /// A value.
    pub(crate) async fn read(
        &self,
        key: &str,
        options: GetOptions,
    ) -> worker::Result<Option<web_sys::ReadableStream>> {
        let read = self.get(key, &to_js(&options)?)?;
        Ok(JsFuture::from(read).await?.dyn_into().ok())
    }

    /// A value that is text.
    pub(crate) async fn read_text(
        &self,
        key: &str,
        options: GetOptions,
    ) -> worker::Result<Option<String>> {
        let read = self.get(key, &to_js(&options)?)?;
        Ok(JsFuture::from(read).await?.as_string())
    }

    async fn write(
        &self,
        key: &str,
        value: &JsValue,
        metadata: Option<&Metadata>,
    ) -> worker::Result<()> {
        memory().forget(key);
        fast_path::forget();
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
        let options = GetOptions::now();
        let read = self.kv.read_with_metadata(key, options).await;
        let Some((json, body)) = read.map_err(failed("return its metadata"))? else {
            return Ok(None);
        };
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
            self.0.write(kv_layout::REGISTRY, &text.into(), None).await
        };
        put.await.map_err(failed("take the registry"))
    }
}

fn failed(doing: &'static str) -> impl Fn(worker::Error) -> ReplicaError {
    move |error| ReplicaError {
        doing,
        cause: error.to_string(),
    }
}
