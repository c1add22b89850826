//! The entries of a CRL, kept encoded in memory between two makings, and brought up to date by reading what changed.
//!
//! They lie in blocks of consecutive positions. One more revocation touches one block, so a list of a million entries
//! is up to date again after reading a few thousand rows. The blocks are shared with the responses being sent.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::resume_unwind;
use std::thread::{self, ScopedJoinHandle};

use bytes::{BufMut, Bytes, BytesMut};
use origin_api::Watermark;
use rusqlite::Connection;

use crate::store::issuers::{self, IssuerNumber};
use crate::store::revocations::{self, Scope};
use crate::store::{Store, StoreError};

/// Positions in a block: at some 50 bytes an entry, 50 KB. Few in tests, so that there are many blocks.
const BLOCK: i64 = if cfg!(test) { 4 } else { 1024 };

/// How many read a whole list at once.
const READERS: i64 = 4;

/// The entries of one list.
#[derive(Debug, Default)]
pub struct Entries {
    /// Up to where the blocks follow the revocations; `None` if nothing was read.
    watermark: Option<Watermark>,
    blocks: BTreeMap<i64, Block>,
}

#[derive(Clone, Debug, Default)]
struct Block {
    bytes: Bytes,
    count: u64,
}

impl Entries {
    /// Reads all, if nothing was read yet. Nobody who writes is held up by it: what changes meanwhile, [`follow`](Self::follow)
    /// reads again.
    ///
    /// # Errors
    /// SQLite's.
    pub fn read_ahead(
        &mut self,
        store: &Store,
        issuer: IssuerNumber,
        scope: Scope,
    ) -> Result<(), StoreError> {
        if self.watermark.is_some() {
            return Ok(());
        }
        // The watermark first: each reader sees at least what it stands for.
        let (watermark, end) = store.read(|c| {
            let end = revocations::next_position(c, issuer)?;
            Ok::<_, StoreError>((issuers::watermark(c, issuer)?, end))
        })?;
        let share = end.div_euclid(BLOCK).div_euclid(READERS).saturating_add(1);
        let share = share.saturating_mul(BLOCK);
        let starts = (0..READERS).map(|reader| reader.saturating_mul(share));
        let parts = thread::scope(|scope_of_threads| {
            let readers: Vec<_> = starts
                .map(|start| {
                    let positions = start..start.saturating_add(share);
                    scope_of_threads
                        .spawn(move || store.read(|c| read(c, issuer, scope, positions)))
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

    /// Reads what changed since the last time.
    ///
    /// If the transaction behind `c` is rolled back, throw these entries away.
    ///
    /// # Errors
    /// SQLite's.
    pub fn follow(
        &mut self,
        c: &Connection,
        issuer: IssuerNumber,
        scope: Scope,
        watermark: Watermark,
    ) -> Result<(), StoreError> {
        match self.watermark {
            None => self.blocks = read(c, issuer, scope, 0..i64::MAX)?,
            Some(last) => {
                let mut touched = BTreeSet::new();
                revocations::changed_positions(c, issuer, last, |position| {
                    touched.insert(position.div_euclid(BLOCK));
                })?;
                for number in touched {
                    let start = number.saturating_mul(BLOCK);
                    let block = read(c, issuer, scope, start..start.saturating_add(BLOCK))?;
                    self.blocks.remove(&number);
                    self.blocks.extend(block);
                }
            }
        }
        self.watermark = Some(watermark);
        Ok(())
    }

    /// How many entries there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.blocks.values().map(|block| block.count).sum()
    }

    /// Octets of all entries together.
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

fn read(
    c: &Connection,
    issuer: IssuerNumber,
    scope: Scope,
    positions: std::ops::Range<i64>,
) -> Result<BTreeMap<i64, Block>, StoreError> {
    let mut blocks = BTreeMap::new();
    let (mut number, mut bytes, mut count) = (0, BytesMut::new(), 0);
    let mut close = |number: i64, bytes: &mut BytesMut, count: &mut u64| {
        if !bytes.is_empty() {
            // A copy of the exact length: what the buffer grew beyond that is not kept.
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
    revocations::entries(c, issuer, scope, positions, |position, entry| {
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
    use crate::profile::Profile;
    use crate::revocation;
    use crate::store::revocations::{RevocationRow, State};

    fn row(position: i64, state: State) -> RevocationRow {
        RevocationRow {
            serial: format!("{:x}", position + 1).parse().unwrap(),
            revoked_at: UnixTime(1_795_435_200),
            reason: Reason::Superseded,
            invalidity_date: None,
            not_after: None,
            shard: u32::try_from(position % 2).ok(),
            state,
        }
    }

    /// Changes in no particular order, and after each few: following them gives what reading anew gives.
    #[test]
    fn following_changes_is_reading_anew() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("origin.db")).unwrap();
        let created: Result<_, StoreError> = store.write(|t| {
            let id = "ca".parse().unwrap();
            issuers::insert(
                t,
                &id,
                b"",
                "{}",
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
            let compared: Result<(), StoreError> = store.write(|t| {
                for _ in 0..random % 3 {
                    random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    let state = if random.is_multiple_of(4) {
                        State::Released
                    } else {
                        State::Listed
                    };
                    let row = row(i64::from((random >> 8) % 40), state);
                    let known = revocations::find(t, issuer, &row.serial)?;
                    let position = match known {
                        Some((position, _)) => position,
                        None => revocations::next_position(t, issuer)?,
                    };
                    let entry = revocation::entry(&row).unwrap();
                    revocations::put(t, issuer, position, &row, entry.as_deref(), watermark)?;
                }
                random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                for (scope, followed) in scopes.into_iter().zip(&mut followed) {
                    followed.follow(t, issuer, scope, watermark)?;
                    let mut anew = Entries::default();
                    anew.follow(t, issuer, scope, watermark)?;
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
            ahead.read_ahead(&store, issuer, scope).unwrap();
            assert_eq!(followed.chunks().concat(), ahead.chunks().concat());
        }
        assert!(
            followed.iter().all(|entries| entries.count() > 5),
            "{followed:?}"
        );
    }
}
