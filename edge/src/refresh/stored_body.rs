//! A stored body as the source of bytes that the CRL library compares.

use super::error::StoreError;
use super::ports::{PIECE_BYTES, Store};
use super::state::BodyId;

/// A body in the object's storage. Keeps the piece that was read last: reads are in order, and
/// shorter than a piece.
pub(super) struct StoredBody<'a, S> {
    store: &'a S,
    body: BodyId,
    pieces: u32,
    last: Option<(u32, Vec<u8>)>,
}

impl<'a, S: Store> StoredBody<'a, S> {
    pub(super) fn new(store: &'a S, body: BodyId, pieces: u32) -> Self {
        Self {
            store,
            body,
            pieces,
            last: None,
        }
    }

    fn piece(&mut self, index: u32) -> Result<&[u8], StoreError> {
        let piece = match self.last.take() {
            Some((last, piece)) if last == index => piece,
            _ => self.store.piece(self.body, index)?,
        };
        Ok(&self.last.insert((index, piece)).1)
    }
}

impl<S: Store> crl::Source for StoredBody<'_, S> {
    type Error = StoreError;

    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> Result<usize, StoreError> {
        // Every piece but the last has `PIECE_BYTES`.
        let index = u32::try_from(offset.checked_div(PIECE_BYTES as u64).unwrap_or(u64::MAX))
            .unwrap_or(u32::MAX);
        if index >= self.pieces {
            return Ok(0);
        }
        let start = usize::try_from(offset.checked_rem(PIECE_BYTES as u64).unwrap_or_default())
            .unwrap_or_default();
        let rest = self.piece(index)?.get(start..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..count), rest.get(..count)) {
            to.copy_from_slice(from);
        }
        Ok(count)
    }
}
