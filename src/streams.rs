//! Bodies on their way out, as the platform's streams.

use std::rc::Rc;

use edge::issuer::BodyLease;
use edge::object_calls::PlatformError;
use edge::public::Chunks;
use edge::refresh::{BodyId, Pieces};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use wasm_streams::ReadableStream;
use worker::js_sys::{Promise, Uint8Array};
use worker::wasm_bindgen::prelude::*;
use worker::wasm_bindgen_futures::{JsFuture, spawn_local};
use worker::worker_sys::FixedLengthStream;

use crate::issuer_store::SqlStore;
use crate::js::JsBytes;
use crate::platform::now;

/// A body in storage.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) store: Rc<SqlStore>,
}

impl Stored {
    /// A run of a body's pieces, as a stream for the platform. `lease` keeps them from being swept
    /// until the last is read.
    pub(crate) fn stream(
        &self,
        pieces: Pieces,
        lease: Option<BodyLease>,
    ) -> Result<web_sys::ReadableStream, JsValue> {
        let Pieces {
            body, first, end, ..
        } = pieces;
        if end.saturating_sub(first) == 1 {
            stream_of(&piece(&self.store, body, first)?)
        } else {
            readable(self.chunks(pieces, lease), pieces.size)
        }
    }

    fn chunks(&self, pieces: Pieces, lease: Option<BodyLease>) -> Chunks<JsBytes> {
        let store = Rc::clone(&self.store);
        let Pieces {
            body, first, end, ..
        } = pieces;
        stream::iter(first..end)
            .map(move |number| {
                if let Some(lease) = &lease {
                    lease.renew(now());
                }
                let piece = piece(&store, body, number);
                piece
                    .map(JsBytes)
                    .map_err(|error| PlatformError(worker::Error::from(error).to_string()))
            })
            .boxed_local()
    }
}

fn piece(store: &SqlStore, body: BodyId, number: u32) -> Result<Uint8Array, JsValue> {
    store
        .piece_buffer(body, number)
        .map(|buffer| Uint8Array::new(&buffer))
        .map_err(|error| JsValue::from_str(&error.to_string()))
}

#[wasm_bindgen(module = "/src/streams.js")]
extern "C" {
    type Reader;

    #[wasm_bindgen(catch)]
    fn reader(stream: &web_sys::ReadableStream) -> Result<Reader, JsValue>;

    fn read(reader: &Reader, length: u32) -> Promise;

    #[wasm_bindgen(method)]
    fn cancel(this: &Reader) -> Promise;
}

/// How many bytes a chunk has, save the last. By itself the platform gives 4 KiB at a time.
const CHUNK: u32 = 64 * 1024;

/// A stream that is being read. Dropping it cancels the stream, which frees its source.
struct Reading(Reader);

impl Drop for Reading {
    fn drop(&mut self) {
        let _ = self.0.cancel();
    }
}

/// The first `end` bytes of a stream of the platform's; the rest stays unread.
pub(crate) fn first_bytes(stream: &web_sys::ReadableStream, end: u64) -> Chunks<JsBytes> {
    let reading = reader(stream).map(Reading);
    let chunks = stream::once(async { reading }).map_ok(move |reading| {
        stream::try_unfold((reading, end), |(reading, left)| async move {
            let length = u32::try_from(left).map_or(CHUNK, |left| left.min(CHUNK));
            if length == 0 {
                return Ok(None);
            }
            let chunk = JsFuture::from(read(&reading.0, length)).await?;
            let chunk: Option<Uint8Array> = chunk.dyn_into().ok();
            let chunk = chunk.filter(|chunk| chunk.length() > 0);
            Ok(chunk.map(|chunk| {
                let left = left.saturating_sub(chunk.length().into());
                (JsBytes(chunk), (reading, left))
            }))
        })
    });
    chunks
        .try_flatten()
        .map_err(|error: JsValue| PlatformError(worker::Error::from(error).to_string()))
        .boxed_local()
}

/// A stream, read to its end.
pub(crate) async fn whole(stream: web_sys::ReadableStream) -> Result<JsBytes, JsValue> {
    let response = web_sys::Response::new_with_opt_readable_stream(Some(&stream))?;
    let buffer = JsFuture::from(response.array_buffer()?).await?;
    Ok(JsBytes(Uint8Array::new(&buffer)))
}

/// A stream for the platform of bytes that are all there. Where thousands wait for one CRL, pumping
/// as many streams, as [`readable`] does, takes the runtime longer than all the rest.
fn stream_of(bytes: &Uint8Array) -> Result<web_sys::ReadableStream, JsValue> {
    web_sys::Response::new_with_opt_js_u8_array(Some(bytes))?
        .body()
        .ok_or_else(|| JsValue::from_str("a response without a body"))
}

/// A stream for the platform, of exactly `length` bytes: a client sees a broken body as broken.
pub(crate) fn readable(
    chunks: Chunks<JsBytes>,
    length: u64,
) -> Result<web_sys::ReadableStream, JsValue> {
    let source = ReadableStream::from_stream(
        chunks
            .try_filter(|chunk| std::future::ready(chunk.0.length() > 0))
            .map_ok(|chunk| JsValue::from(chunk.0))
            .map_err(|error| JsValue::from_str(&error.0)),
    );
    let fixed: JsValue = FixedLengthStream::new_big_int(length.into())?.into();
    let fixed: web_sys::TransformStream = fixed.unchecked_into();
    let mut writable = wasm_streams::WritableStream::from_raw(fixed.writable().unchecked_into());
    spawn_local(async move {
        let mut source = source;
        // A failure breaks the readable side, and who reads it sees that.
        let _ = source.pipe_to(&mut writable).await;
    });
    Ok(fixed.readable())
}
