//! The body of an answer, made from no more of the CRL than it needs.

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use super::memory::SMALL;
use super::ports::{Chunk, Chunks, Platform};
use super::representation::Wanted;
use super::{Encoding, pem};
use crate::http::{ByteRange, Slice};
use crate::issuer::{IssuerAnswer, IssuerRequest};
use crate::kv_layout;
use crate::object_calls::PlatformError;
use crate::refresh::Head;

/// Where the bytes of a CRL are.
pub(super) enum BodySource<P: Platform> {
    /// In memory.
    Bytes(P::Chunk),
    /// In one stream.
    Stream(P::Stream),
    /// In KV, in parts.
    Parts,
    /// Nowhere: the answer needs no body.
    Unread,
}

/// The body of an answer.
pub enum ResponseBody<P: Platform> {
    /// None, or the answer's text.
    Own,
    /// Bytes in memory.
    Bytes(P::Chunk),
    /// A whole stream, as it is.
    Stream(P::Stream),
    /// This many bytes, in chunks.
    Chunks(Chunks<P::Chunk>, u64),
}

/// The bytes of `range` of the CRL, in the encoding asked for. None if it is stored in parts and
/// the first that is needed is missing in KV.
pub(super) async fn assemble<P: Platform>(
    platform: &P,
    wanted: &Wanted,
    head: &Head,
    stored: BodySource<P>,
    range: Option<ByteRange>,
) -> Result<Option<ResponseBody<P>>, PlatformError> {
    let Some(range) = range else {
        if let BodySource::Stream(stream) = stored {
            platform.cancel(stream);
        }
        return Ok(Some(ResponseBody::Own));
    };
    let is_whole = range.length == wanted.encoding.length(head.size);
    let is_in_memory = matches!(stored, BodySource::Bytes(_));
    let chunks = match (wanted.encoding, stored) {
        (Encoding::Der, BodySource::Stream(stream)) if is_whole => {
            return Ok(Some(ResponseBody::Stream(stream)));
        }
        (Encoding::Der, BodySource::Bytes(bytes)) if is_whole => {
            return Ok(Some(ResponseBody::Bytes(bytes)));
        }
        (Encoding::Der, stored) => der(platform, wanted, head, stored, range).await,
        (Encoding::Pem, stored) => {
            let excerpt = pem::Excerpt::of(range, head.size);
            let der = der(platform, wanted, head, stored, excerpt.der).await;
            der.map(|der| cut(to_pem(der, excerpt.encoder), excerpt.slice))
        }
    };
    let Some(chunks) = chunks else {
        return Ok(None);
    };
    // A short stream costs more than its bytes, and breaks off in the middle if something is wrong.
    Ok(Some(if is_in_memory || range.length <= SMALL {
        ResponseBody::Bytes(collect(chunks).await?)
    } else {
        ResponseBody::Chunks(chunks, range.length)
    }))
}

/// The DER in `range`. None if the first part of it is missing in KV.
async fn der<P: Platform>(
    platform: &P,
    wanted: &Wanted,
    head: &Head,
    stored: BodySource<P>,
    range: ByteRange,
) -> Option<Chunks<P::Chunk>> {
    match stored {
        BodySource::Bytes(bytes) => {
            let whole = stream::iter([Ok(bytes)]).boxed_local();
            Some(cut(whole, Slice::of(range)))
        }
        BodySource::Stream(stream) => Some(cut_stream(platform, stream, range)),
        BodySource::Parts => parts(platform, wanted, head, range).await,
        BodySource::Unread => None,
    }
}

/// The parts that `range` lies in, one after the other. The first is opened now, each other one
/// when the one before has ended.
async fn parts<P: Platform>(
    platform: &P,
    wanted: &Wanted,
    head: &Head,
    range: ByteRange,
) -> Option<Chunks<P::Chunk>> {
    let mut parts = kv_layout::parts_of(range);
    let (first, within) = parts.next()?;
    let first = part(platform, wanted, head, first).await?;
    let first = cut_stream(platform, first, within);
    let (platform, wanted, head) = (platform.clone(), wanted.clone(), head.clone());
    let rest = stream::iter(parts)
        .then(move |(number, within)| {
            let (platform, wanted, head) = (platform.clone(), wanted.clone(), head.clone());
            async move { later_part(&platform, &wanted, &head, number, within).await }
        })
        .flatten();
    Some(first.chain(rest).boxed_local())
}

/// Some bytes of a part: from KV, or if it is missing there, from the same CRL in the issuer's
/// object.
async fn later_part<P: Platform>(
    platform: &P,
    wanted: &Wanted,
    head: &Head,
    number: u32,
    within: ByteRange,
) -> Chunks<P::Chunk> {
    if let Some(stream) = part(platform, wanted, head, number).await {
        return cut_stream(platform, stream, within);
    }
    let request = IssuerRequest::Serve {
        name: wanted.name,
        seen: None,
        held_only: false,
    };
    match platform.issuer(&wanted.issuer, request).await {
        Ok((IssuerAnswer::Crl(current), Some(stream))) if current.sha256 == head.sha256 => {
            let part = kv_layout::part_range(number, head.size);
            let range = ByteRange {
                first: part.first.saturating_add(within.first),
                length: within.length,
            };
            cut_stream(platform, stream, range)
        }
        _ => {
            let replaced = PlatformError("the CRL was replaced while it was being read".to_owned());
            stream::iter([Err(replaced)]).boxed_local()
        }
    }
}

async fn part<P: Platform>(
    platform: &P,
    Wanted { issuer, name, .. }: &Wanted,
    head: &Head,
    number: u32,
) -> Option<P::Stream> {
    let key = kv_layout::part_key(issuer, *name, head.sha256, number);
    let (stream, cause) = match platform.kv_part(&key).await {
        Ok(Some(stream)) => return Some(stream),
        Ok(None) => (None, "KV has no such key".to_owned()),
        Err(error) => (None, error.to_string()),
    };
    platform.log(&serde_json::json!({
        "level": "warning", "what": "a part is missing in KV", "key": key, "cause": cause,
    }));
    stream
}

fn cut_stream<P: Platform>(platform: &P, stream: P::Stream, range: ByteRange) -> Chunks<P::Chunk> {
    cut(platform.chunks(stream, range.end()), Slice::of(range))
}

/// The bytes that `slice` takes; what follows them stays unread.
fn cut<C: Chunk>(chunks: Chunks<C>, slice: Slice) -> Chunks<C> {
    stream::try_unfold((chunks, slice), |(mut chunks, mut slice)| async move {
        if slice.is_done() {
            return Ok(None);
        }
        let Some(chunk) = chunks.try_next().await? else {
            let short = "the body ended before the range did";
            return Err(PlatformError(short.to_owned()));
        };
        let part = slice.next(chunk.length());
        Ok(Some((chunk.slice(part), (chunks, slice))))
    })
    .boxed_local()
}

/// The PEM of the DER that `encoder` is for.
fn to_pem<C: Chunk>(der: Chunks<C>, encoder: pem::Encoder) -> Chunks<C> {
    der.map(Some)
        .chain(stream::iter([None]))
        .scan(Some(encoder), |encoder, chunk| {
            let text = match chunk {
                Some(Ok(der)) => encoder
                    .as_mut()
                    .map(|encoder| Ok(C::of(&encoder.push(&der.to_vec())))),
                Some(Err(error)) => Some(Err(error)),
                None => encoder.take().map(|encoder| Ok(C::of(&encoder.finish()))),
            };
            async move { text }
        })
        .boxed_local()
}

/// All chunks in one.
async fn collect<C: Chunk>(chunks: Chunks<C>) -> Result<C, PlatformError> {
    let mut chunks: Vec<C> = chunks.try_collect().await?;
    if chunks.len() == 1
        && let Some(chunk) = chunks.pop()
    {
        return Ok(chunk);
    }
    let bytes: Vec<_> = chunks.iter().map(Chunk::to_vec).collect();
    Ok(C::of(&bytes.concat()))
}
