//! Bodies on their way out, as the platform's streams: from storage, cut, joined, or turned into PEM.

use std::rc::Rc;

use futures_util::stream::{self, LocalBoxStream, Stream};
use futures_util::{StreamExt as _, TryStreamExt as _};
use wasm_streams::ReadableStream;
use worker::js_sys::{Promise, Uint8Array};
use worker::wasm_bindgen::prelude::*;
use worker::wasm_bindgen_futures::{JsFuture, spawn_local};
use worker::worker_sys::FixedLengthStream;

use crate::issuer_store::SqlStore;
use edge::answer::ByteRange;
use edge::issuer::BodyLease;
use edge::public::{Slice, pem};
use edge::refresh::{BodyId, Pieces};

/// Chunks as JavaScript has them: what only passes through is never copied into wasm memory.
pub(crate) type Chunks = LocalBoxStream<'static, Result<Uint8Array, JsValue>>;

/// A body in storage.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) store: Rc<SqlStore>,
}

impl Stored {
    /// A run of a body's pieces, as a stream for the platform. `lease` keeps them from being swept until the last is read.
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

    fn chunks(&self, pieces: Pieces, lease: Option<BodyLease>) -> Chunks {
        let store = Rc::clone(&self.store);
        let Pieces {
            body, first, end, ..
        } = pieces;
        stream::iter(first..end)
            .map(move |number| {
                let _ = &lease;
                piece(&store, body, number)
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

#[wasm_bindgen(inline_js = "
export const reader = (stream) => stream.getReader({ mode: 'byob' });

export const read = (reader, length) => reader.readAtLeast(length, new Uint8Array(length)).then(({ value }) => value);
")]
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

/// A stream that is being read. Once nobody wants more of it, its source may go.
struct Reading(Reader);

impl Drop for Reading {
    fn drop(&mut self) {
        let _ = self.0.cancel();
    }
}

/// What `range` cuts out of a stream of the platform's; the rest stays unread.
pub(crate) fn cut_stream(stream: &web_sys::ReadableStream, range: ByteRange) -> Chunks {
    let reading = reader(stream).map(Reading);
    let chunks = stream::once(async { reading }).map_ok(move |reading| {
        stream::try_unfold((reading, range.end()), |(reading, left)| async move {
            let length = u32::try_from(left).map_or(CHUNK, |left| left.min(CHUNK));
            let chunk = JsFuture::from(read(&reading.0, length)).await?;
            let chunk: Option<Uint8Array> = chunk.dyn_into().ok();
            let chunk = chunk.filter(|chunk| chunk.length() > 0);
            Ok(chunk.map(|chunk| {
                let left = left.saturating_sub(chunk.length().into());
                (chunk, (reading, left))
            }))
        })
    });
    cut(chunks.try_flatten().boxed_local(), Slice::of(range))
}

/// A stream, read to its end.
pub(crate) async fn whole(stream: web_sys::ReadableStream) -> Result<Uint8Array, JsValue> {
    let response = web_sys::Response::new_with_opt_readable_stream(Some(&stream))?;
    let buffer = JsFuture::from(response.array_buffer()?).await?;
    Ok(Uint8Array::new(&buffer))
}

/// What `slice` cuts out, and the rest unread.
pub(crate) fn cut(chunks: Chunks, slice: Slice) -> Chunks {
    stream::try_unfold((chunks, slice), |(mut chunks, mut slice)| async move {
        if slice.is_done() {
            return Ok(None);
        }
        let Some(chunk) = chunks.try_next().await? else {
            return Err(JsValue::from_str("the body ended before the range did"));
        };
        let part = slice.next(chunk.length() as usize);
        let (start, end) = (position(part.start), position(part.end));
        Ok(Some((chunk.subarray(start, end), (chunks, slice))))
    })
    .boxed_local()
}

fn position(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

/// What `encoder` makes of the DER: PEM.
pub(crate) fn to_pem(der: Chunks, encoder: pem::Encoder) -> Chunks {
    let text = der
        .map(Some)
        .chain(stream::iter([None]))
        .scan(Some(encoder), |encoder, chunk| {
            let text = match chunk {
                Some(Ok(der)) => encoder
                    .as_mut()
                    .map(|encoder| Ok(encoder.push(&der.to_vec()))),
                Some(Err(error)) => Some(Err(error)),
                None => encoder.take().map(|encoder| Ok(encoder.finish())),
            };
            async move { text }
        });
    text.map_ok(|text| Uint8Array::from(text.as_slice()))
        .boxed_local()
}

/// A stream for the platform of bytes that are all there. Where thousands wait for one CRL, pumping as many streams, as [`readable`]
/// does, takes the runtime longer than all the rest.
fn stream_of(bytes: &Uint8Array) -> Result<web_sys::ReadableStream, JsValue> {
    web_sys::Response::new_with_opt_js_u8_array(Some(bytes))?
        .body()
        .ok_or_else(|| JsValue::from_str("a response without a body"))
}

/// All chunks, once the last is there.
pub(crate) async fn at_once(chunks: Chunks) -> Result<Uint8Array, JsValue> {
    let mut chunks: Vec<Uint8Array> = chunks.try_collect().await?;
    if chunks.len() == 1
        && let Some(chunk) = chunks.pop()
    {
        return Ok(chunk);
    }
    let bytes: Vec<_> = chunks.iter().map(Uint8Array::to_vec).collect();
    Ok(Uint8Array::from(bytes.concat().as_slice()))
}

/// A stream for the platform, of exactly `length` bytes: a client sees a broken body as broken.
pub(crate) fn readable(
    chunks: impl Stream<Item = Result<Uint8Array, JsValue>> + 'static,
    length: u64,
) -> Result<web_sys::ReadableStream, JsValue> {
    let source = ReadableStream::from_stream(
        chunks
            .try_filter(|chunk| std::future::ready(chunk.length() > 0))
            .map_ok(JsValue::from),
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
