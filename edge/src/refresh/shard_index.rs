//! Where a serial number stands among an issuer's shards, without reading their lists: an index of
//! each list in rows of the object's storage.

use std::cell::Cell;

use crl::{Index, Rows, Serial, WalkError};

use super::error::StoreError;
use super::ports::Store;
use super::state::{BodyId, StoredIndex};
use super::stored_body::StoredBody;

/// A list in storage, and its index if it has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct IndexedList {
    body: BodyId,
    pieces: u32,
    pub(super) index: Cell<Option<StoredIndex>>,
}

impl IndexedList {
    pub(super) const fn new(body: BodyId, pieces: u32, index: Option<StoredIndex>) -> Self {
        Self {
            body,
            pieces,
            index: Cell::new(index),
        }
    }

    /// The index, made now if there is none. `key` should be unpredictable.
    fn index(&self, store: &impl Store, key: u64) -> Result<StoredIndex, StoreError> {
        if let Some(index) = self.index.get() {
            return Ok(index);
        }
        let mut rows = StoredRows {
            store,
            body: store.new_body()?,
            pieces: 0,
        };
        let mut source = StoredBody::new(store, self.body, self.pieces);
        let index = Index::build(&mut source, &mut rows, key).map_err(unreadable)?;
        rows.append(&index.to_bytes())?;
        let stored = StoredIndex {
            body: rows.body,
            pieces: rows.pieces,
        };
        self.index.set(Some(stored));
        Ok(stored)
    }

    /// The places of those of `serials` that the list has.
    pub(super) fn find(
        &self,
        store: &impl Store,
        serials: &[Serial<'_>],
        key: u64,
    ) -> Result<Vec<usize>, StoreError> {
        let stored = self.index(store, key)?;
        let bytes = store.piece(stored.body, stored.pieces.saturating_sub(1))?;
        let index = Index::from_bytes(&bytes)
            .ok_or_else(|| StoreError::Unreadable("the index of a list".to_owned()))?;
        let mut rows = StoredRows {
            store,
            body: stored.body,
            pieces: stored.pieces,
        };
        let mut source = StoredBody::new(store, self.body, self.pieces);
        let mut found = Vec::new();
        index
            .find_all(serials, &mut rows, &mut source, |place| found.push(place))
            .map_err(unreadable)?;
        Ok(found)
    }
}

/// The list was read whole when it came.
fn unreadable(error: WalkError<StoreError>) -> StoreError {
    match error {
        WalkError::Source(error) => error,
        unreadable => StoreError::Unreadable(unreadable.to_string()),
    }
}

/// Rows in the pieces of a body.
struct StoredRows<'a, S> {
    store: &'a S,
    body: BodyId,
    pieces: u32,
}

impl<S: Store> Rows for StoredRows<'_, S> {
    type Error = StoreError;

    fn append(&mut self, row: &[u8]) -> Result<(), StoreError> {
        self.store.append(self.body, self.pieces, row)?;
        self.pieces = self.pieces.saturating_add(1);
        Ok(())
    }

    fn read(&mut self, index: usize, row: &mut Vec<u8>) -> Result<(), StoreError> {
        let index = u32::try_from(index).unwrap_or(u32::MAX);
        *row = self.store.piece(self.body, index)?;
        Ok(())
    }
}
