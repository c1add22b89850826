//! The encoded entries of a CRL, cached in memory between two makings and updated from the rows
//! that changed.
//!
//! Entries are grouped in blocks of consecutive positions. A revocation touches one block, so a
//! list of a million entries is up to date after reading about a thousand rows. The blocks are
//! shared with the responses being sent.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::resume_unwind;
use std::thread::{self, ScopedJoinHandle};

use bytes::{BufMut, Bytes, BytesMut};
use origin_api::Watermark;
use rusqlite::Connection;

use crate::store::issuers::{self, IssuerNumber};
use crate::store::revocations::{self, Scope};
use crate::store::{Store, StoreError};

/// Positions in a block: about 50 KB at 50 bytes an entry. Few in tests, so that there are many
/// blocks.
const BLOCK: i64 = if cfg!(test) { 4 } else { 1024 };

/// How many threads read a whole list.
const READERS: i64 = 4;

/// The entries of one list.
#[derive(Debug, Default)]
pub struct Entries {
    /// The watermark that the blocks reflect; `None` if nothing has been read.
    watermark: Option<Watermark>,
    blocks: BTreeMap<i64, Block>,
}

#[derive(Clone, Debug, Default)]
struct Block {
    bytes: Bytes,
    count: u64,
}

impl Entries {
    /// Reads all entries, or what changed since the last call, without blocking writers. What
    /// changes in the meantime, which is little, is left to [`follow`](Self::follow).
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn catch_up(
        &mut self,
        store: &Store,
        issuer: IssuerNumber,
        scope: Scope,
    ) -> Result<(), StoreError> {
        if self.watermark.is_none() {
            self.read_all(store, issuer, scope)?;
        }
        catch_up(store, |conn| {
            let watermark = issuers::watermark(conn, issuer)?;
            self.follow(conn, issuer, scope, watermark)
        })
    }

    fn read_all(
        &mut self,
        store: &Store,
        issuer: IssuerNumber,
        scope: Scope,
    ) -> Result<(), StoreError> {
        // The watermark first: each reader then sees at least that state.
        let (watermark, end) = store.read(|conn| {
            let end = revocations::next_position(conn, issuer)?;
            Ok::<_, StoreError>((issuers::watermark(conn, issuer)?, end))
        })?;
        let share = end.div_euclid(BLOCK).div_euclid(READERS).saturating_add(1);
        let share = share.saturating_mul(BLOCK);
        let starts = (0..READERS).map(|reader| reader.saturating_mul(share));
        let parts = thread::scope(|scope_of_threads| {
            let readers: Vec<_> = starts
                .map(|start| {
                    let positions = start..start.saturating_add(share);
                    scope_of_threads
                        .spawn(move || store.read(|conn| read(conn, issuer, scope, positions)))
                })
                .collect();
            let join = |reader: ScopedJoinHandle<'_, _>| {
                reader.join().unwrap_or_else(|panic| resume_unwind(panic))
            };
            readers
                .into_iter()
                .map(join)
                .collect::<Result<Vec<_>, StoreError>>()
        })?;
        self.blocks = parts.into_iter().flatten().collect();
        self.watermark = Some(watermark);
        Ok(())
    }

    /// Reads what changed since the last call. Returns the number of changes.
    ///
    /// If the transaction of `conn` is rolled back, discard these entries.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn follow(
        &mut self,
        conn: &Connection,
        issuer: IssuerNumber,
        scope: Scope,
        watermark: Watermark,
    ) -> Result<usize, StoreError> {
        let mut changes = 0_usize;
        match self.watermark {
            None => {
                self.blocks = read(conn, issuer, scope, 0..i64::MAX)?;
                changes = self.blocks.len();
            }
            Some(last) => {
                let mut touched = BTreeSet::new();
                revocations::changed_positions(conn, issuer, last, |position| {
                    changes = changes.saturating_add(1);
                    touched.insert(position.div_euclid(BLOCK));
                })?;
                for number in touched {
                    let start = number.saturating_mul(BLOCK);
                    let block = read(conn, issuer, scope, start..start.saturating_add(BLOCK))?;
                    self.blocks.remove(&number);
                    self.blocks.extend(block);
                }
            }
        }
        self.watermark = Some(watermark);
        Ok(changes)
    }

    /// The number of entries.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.blocks.values().map(|block| block.count).sum()
    }

    /// The size of all entries, in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.blocks
            .values()
            .map(|block| block.bytes.len() as u64)
            .sum()
    }

    /// The entries' bytes, in order.
    #[must_use]
    pub fn chunks(&self) -> Vec<Bytes> {
        self.blocks
            .values()
            .map(|block| block.bytes.clone())
            .collect()
    }
}

/// Runs `follow`, which reads what changed and returns how much, on snapshots until only a little
/// changed during the last one.
pub(crate) fn catch_up<E: From<StoreError>>(
    store: &Store,
    mut follow: impl FnMut(&Connection) -> Result<usize, E>,
) -> Result<(), E> {
    /// What a write transaction may read without making others wait.
    const FEW: usize = 100;
    /// Other writers may change more and more: not for ever.
    const ROUNDS: usize = 5;
    for _ in 0..ROUNDS {
        if store.read(&mut follow)? <= FEW {
            break;
        }
    }
    Ok(())
}

fn read(
    conn: &Connection,
    issuer: IssuerNumber,
    scope: Scope,
    positions: std::ops::Range<i64>,
) -> Result<BTreeMap<i64, Block>, StoreError> {
    let mut blocks = BTreeMap::new();
    let (mut number, mut bytes, mut count) = (0, BytesMut::new(), 0);
    let mut close = |number: i64, bytes: &mut BytesMut, count: &mut u64| {
        if !bytes.is_empty() {
            // Copy to the exact length, without the buffer's spare capacity.
            blocks.insert(
                number,
                Block {
                    bytes: Bytes::copy_from_slice(bytes),
                    count: *count,
                },
            );
        }
        bytes.clear();
        *count = 0;
    };
    revocations::entries(conn, issuer, scope, positions, |position, entry| {
        let at = position.div_euclid(BLOCK);
        if at != number {
            close(number, &mut bytes, &mut count);
            number = at;
        }
        bytes.put_slice(entry);
        count = count.saturating_add(1);
    })?;
    close(number, &mut bytes, &mut count);
    Ok(blocks)
}

#[cfg(test)]
mod tests {
    use crl::{Reason, UnixTime};

    use super::*;
    use crate::connector_config::ConnectorConfig;
    use crate::profile::Profile;
    use crate::revocation::{RevokedCertificate, State};

    fn row(position: i64, state: State) -> RevokedCertificate {
        RevokedCertificate {
            serial: format!("{:x}", position + 1).parse().unwrap(),
            revoked_at: UnixTime(1_795_435_200),
            reason: Reason::Superseded,
            invalidity_date: None,
            not_after: None,
            shard: u32::try_from(position % 2).ok(),
            state,
        }
    }

    /// Random changes: following them gives the same entries as reading all of them again.
    #[test]
    fn following_changes_equals_reading_everything_again() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("origin.db")).unwrap();
        let created: Result<_, StoreError> = store.write(|tx| {
            let id = "ca".parse().unwrap();
            issuers::insert(
                tx,
                &id,
                b"",
                &ConnectorConfig::Local,
                Profile::default(),
                Watermark(0),
                UnixTime(0),
            )
        });
        let issuer = created.unwrap();
        let scopes = [Scope::All, Scope::Shard(0), Scope::Shard(1)];
        let mut followed = scopes.map(|_| Entries::default());
        let mut random = 7_u32;
        for watermark in (1..200).map(Watermark) {
            let compared: Result<(), StoreError> = store.write(|tx| {
                for _ in 0..random % 3 {
                    random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    let state = if random.is_multiple_of(4) {
                        State::Released
                    } else {
                        State::Listed
                    };
                    let row = row(i64::from((random >> 8) % 40), state);
                    let known = revocations::find(tx, issuer, &row.serial)?;
                    let position = match known {
                        Some((position, _)) => position,
                        None => revocations::next_position(tx, issuer)?,
                    };
                    let entry = row.entry().unwrap();
                    revocations::put(tx, issuer, position, &row, entry.as_deref(), watermark)?;
                }
                random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                for (scope, followed) in scopes.into_iter().zip(&mut followed) {
                    followed.follow(tx, issuer, scope, watermark)?;
                    let mut anew = Entries::default();
                    anew.follow(tx, issuer, scope, watermark)?;
                    assert_eq!(followed.chunks().concat(), anew.chunks().concat());
                    assert_eq!(
                        (followed.count(), followed.size()),
                        (anew.count(), anew.size())
                    );
                }
                Ok(())
            });
            compared.unwrap();
        }
        for (scope, followed) in scopes.into_iter().zip(&followed) {
            let mut ahead = Entries::default();
            ahead.catch_up(&store, issuer, scope).unwrap();
            assert_eq!(followed.chunks().concat(), ahead.chunks().concat());
        }
        assert!(
            followed.iter().all(|entries| entries.count() > 5),
            "{followed:?}"
        );
    }
}
