//! Bytes in JavaScript's memory: what only passes through is never copied into wasm's.

use std::ops::Range;

use edge::public::Chunk;
use worker::js_sys::Uint8Array;

/// Some bytes.
#[derive(Clone, Debug)]
pub(crate) struct JsBytes(pub(crate) Uint8Array);

impl Chunk for JsBytes {
    fn length(&self) -> usize {
        self.0.length() as usize
    }

    fn slice(&self, range: Range<usize>) -> Self {
        Self(self.0.subarray(position(range.start), position(range.end)))
    }

    fn to_vec(&self) -> Vec<u8> {
        self.0.to_vec()
    }

    fn of(bytes: &[u8]) -> Self {
        Self(Uint8Array::from(bytes))
    }
}

fn position(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}
