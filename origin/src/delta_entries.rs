//! The entries of a delta CRL (RFC 5280, section 5.2.4): what changed since its base, and removals
//! of what left.

use std::collections::BTreeMap;

use bytes::Bytes;
use crl::WriteError;
use origin_api::Watermark;
use rusqlite::Connection;

use crate::entries;
use crate::store::issuers::{self, IssuerNumber};
use crate::store::{Store, StoreError, revocations};

/// Why the entries cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DeltaError {
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A removal cannot be encoded.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// The entries of a delta.
#[derive(Debug, Default)]
pub(crate) struct DeltaEntries {
    /// The watermark of the base.
    base: Watermark,
    /// The watermark that the entries reflect.
    watermark: Watermark,
    /// The DER of each entry by its position. What has changed since the base stays changed.
    entries: BTreeMap<i64, Vec<u8>>,
}

impl DeltaEntries {
    /// Those of a delta to a base that reflects this watermark, none read yet.
    pub(crate) fn new(base: Watermark) -> Self {
        Self {
            base,
            watermark: base,
            entries: BTreeMap::new(),
        }
    }

    pub(crate) fn base(&self) -> Watermark {
        self.base
    }

    /// Reads what has changed, without blocking writers. What changes in the meantime, which is
    /// little, is left to [`follow`](Self::follow).
    pub(crate) fn catch_up(
        &mut self,
        store: &Store,
        issuer: IssuerNumber,
    ) -> Result<(), DeltaError> {
        entries::catch_up(store, |conn| {
            let watermark = issuers::watermark(conn, issuer)?;
            self.follow(conn, issuer, watermark)
        })
    }

    /// Reads what changed since the last call, up to `watermark`, the issuer's. Returns the number
    /// of changes.
    pub(crate) fn follow(
        &mut self,
        conn: &Connection,
        issuer: IssuerNumber,
        watermark: Watermark,
    ) -> Result<usize, DeltaError> {
        let (mut changes, mut failure) = (0_usize, None);
        revocations::changes(conn, issuer, self.watermark, |position, row, entry| {
            changes = changes.saturating_add(1);
            let entry = match entry {
                Some(entry) => Ok(entry.to_vec()),
                None => row.removal(),
            };
            match entry {
                Ok(entry) => drop(self.entries.insert(position, entry)),
                Err(error) => failure = Some(error),
            }
        })?;
        if let Some(error) = failure {
            return Err(error.into());
        }
        self.watermark = watermark;
        Ok(changes)
    }

    pub(crate) fn count(&self) -> u64 {
        self.entries.len() as u64
    }

    /// The entries' bytes, in order.
    pub(crate) fn chunk(&self) -> Bytes {
        let size = self.entries.values().map(Vec::len).sum();
        let mut bytes = Vec::with_capacity(size);
        for entry in self.entries.values() {
            bytes.extend_from_slice(entry);
        }
        bytes.into()
    }
}
