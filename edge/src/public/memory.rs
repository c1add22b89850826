//! What one isolate remembers of what it read, for the requests that it answers later.
//!
//! Nothing here is the truth: each piece says how long it may be relied on, and a restart loses all.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use origin_api::{CrlName, IssuerId};

use super::ports::Chunk;
use crate::lru::LruCache;
use crate::refresh::{Metadata, Sha256};
use crate::registry::Index;
use crate::time::Timestamp;

/// How long a head that was read from KV answers requests without another read. KV itself lags by
/// `KV_CACHE_TTL_SECONDS`, at least 30.
const HEAD_MEMORY: Duration = Duration::from_secs(2);

/// The largest CRL that is read whole and remembered, in bytes. Reading a small one from KV costs five
/// times as much as all else that an answer takes.
pub(super) const SMALL: u64 = 128 * 1024;

/// How many heads an isolate remembers, at about 1 KB each.
const HEADS: u64 = 1_000;

/// How many bytes of small bodies it remembers.
const BODY_BYTES: u64 = 12 * 1024 * 1024;

/// How rarely one isolate asks for the refresh of one CRL.
const REFRESH_PAUSE: Duration = Duration::from_secs(20);

/// How many CRLs it remembers to have asked about. One that is forgotten is asked about once more.
const REFRESHES: u64 = 10_000;

/// The memory of one isolate, which all its requests share.
#[derive(Debug)]
pub struct Memory<C> {
    /// What KV returned, by its key. Cleared for a key when this isolate writes it.
    heads: RefCell<LruCache<String, Remembered>>,
    /// Small bodies, by their hash: they never change.
    bodies: RefCell<LruCache<Sha256, C>>,
    /// The registry's index, and until when it says which issuers do not exist.
    index: RefCell<Option<(Rc<Index>, Timestamp)>>,
    /// When a refresh was last asked for.
    refreshes: RefCell<LruCache<(IssuerId, CrlName), Timestamp>>,
}

#[derive(Debug)]
struct Remembered {
    json: String,
    metadata: Rc<Metadata>,
    read_at: Timestamp,
}

impl<C> Default for Memory<C> {
    fn default() -> Self {
        Self {
            heads: RefCell::new(LruCache::new(HEADS)),
            bodies: RefCell::new(LruCache::new(BODY_BYTES)),
            index: RefCell::default(),
            refreshes: RefCell::new(LruCache::new(REFRESHES)),
        }
    }
}

impl<C: Chunk> Memory<C> {
    /// Forgets what KV returned for a key: it is being written.
    pub fn forget(&self, key: &str) {
        self.heads.borrow_mut().remove(key);
    }

    /// The metadata that KV returned for `key` a moment ago.
    pub(super) fn recent(&self, key: &str, now: Timestamp) -> Option<Rc<Metadata>> {
        let mut heads = self.heads.borrow_mut();
        let remembered = heads.get(key)?;
        let is_recent = now.since(remembered.read_at) < HEAD_MEMORY;
        is_recent.then(|| Rc::clone(&remembered.metadata))
    }

    /// Parses metadata that was read from KV at `now`, unless it is what was read last time, and
    /// remembers it.
    pub(super) fn metadata(
        &self,
        key: &str,
        json: &str,
        now: Timestamp,
    ) -> Result<Rc<Metadata>, serde_json::Error> {
        let mut heads = self.heads.borrow_mut();
        if let Some(known) = heads.get(key).filter(|known| known.json == json) {
            known.read_at = now;
            return Ok(Rc::clone(&known.metadata));
        }
        let metadata = Rc::new(serde_json::from_str(json)?);
        let remembered = Remembered {
            json: json.to_owned(),
            metadata: Rc::clone(&metadata),
            read_at: now,
        };
        heads.insert(key.to_owned(), 1, remembered);
        Ok(metadata)
    }

    /// The JSON of the metadata that is remembered for `key`.
    pub(super) fn json(&self, key: &str) -> Option<String> {
        let mut heads = self.heads.borrow_mut();
        heads.get(key).map(|remembered| remembered.json.clone())
    }

    pub(super) fn body(&self, sha256: Sha256) -> Option<C> {
        self.bodies
            .borrow_mut()
            .get(&sha256)
            .map(|body| body.clone())
    }

    /// Remembers a body, whose hash was checked.
    pub(super) fn keep_body(&self, sha256: Sha256, body: &C) {
        let weight = body.length() as u64;
        self.bodies
            .borrow_mut()
            .insert(sha256, weight, body.clone());
    }

    /// The registry's index, and until when it says which issuers do not exist.
    pub(super) fn index(&self) -> Option<(Rc<Index>, Timestamp)> {
        self.index.borrow().clone()
    }

    pub(super) fn keep_index(&self, index: &Rc<Index>, until: Timestamp) {
        self.index.replace(Some((Rc::clone(index), until)));
    }

    /// Whether a refresh may be asked for now; if so, not again for a while.
    pub(super) fn may_ask_for_refresh(
        &self,
        issuer: &IssuerId,
        name: CrlName,
        now: Timestamp,
    ) -> bool {
        let mut refreshes = self.refreshes.borrow_mut();
        let crl = (issuer.clone(), name);
        if refreshes
            .get(&crl)
            .is_some_and(|asked_at| now.since(*asked_at) < REFRESH_PAUSE)
        {
            return false;
        }
        refreshes.insert(crl, 1, now);
        true
    }
}
