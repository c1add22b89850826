//! What one isolate remembers of what it read, for the requests that it answers later.
//!
//! Nothing here is the truth: each piece says how long it may be relied on, and a restart loses
//! all.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use crl::CrlNumber;

use super::ports::{Chunk, KV_LIMIT};
use crate::issuer::Unavailable;
use crate::lru::LruCache;
use crate::refresh::{Metadata, Sha256};
use crate::registry::Index;
use crate::time::Timestamp;
use crate::wait_slots::WaitSlots;

/// How long a head that was read from KV answers requests without another read. KV itself lags by
/// `KV_CACHE_TTL_SECONDS`, at least 30.
const HEAD_MEMORY: Duration = Duration::from_secs(2);

/// How long it answers them while KV fails. Then the issuer's object is asked, which may have a
/// newer CRL; if it fails too, what is remembered answers until it expires.
const OUTAGE_MEMORY: Duration = Duration::from_mins(5);

/// How long a key that KV does not have is not read again, which KV itself caches for longer, and
/// how long an object that had no CRL is not asked again. In each of these spans one request reads
/// KV.
const ABSENT_MEMORY: Duration = Duration::from_secs(1);

/// How old what is remembered may be.
#[derive(Clone, Copy, Debug)]
pub(super) enum Age {
    /// [`HEAD_MEMORY`].
    Recent,
    /// [`OUTAGE_MEMORY`].
    Outage,
    /// Until it expires.
    Any,
}

/// The largest CRL that is read whole and remembered, in bytes. Reading a small one from KV costs
/// five times as much as all else that an answer takes.
pub(super) const SMALL: u64 = 128 * 1024;

/// How many heads an isolate remembers, at about 1 KB each.
const HEADS: u64 = 1_000;

/// How many bytes of small bodies it remembers.
const BODY_BYTES: u64 = 12 * 1024 * 1024;

/// How rarely one isolate asks for the refresh of one CRL.
const REFRESH_PAUSE: Duration = Duration::from_secs(20);

/// The memory of one isolate, which all its requests share.
#[derive(Debug)]
pub struct Memory<C> {
    /// What KV returned, by its key. Cleared for a key when this isolate writes it.
    heads: RefCell<LruCache<String, Remembered>>,
    /// Small bodies, by their hash: they never change.
    bodies: RefCell<LruCache<Sha256, C>>,
    /// The registry's index, and until when it says which issuers do not exist.
    index: RefCell<Option<(Rc<Index>, Timestamp)>>,
    /// The requests that wait for the registry or an issuer's object.
    pub(super) slots: WaitSlots,
}

#[derive(Debug)]
struct Remembered {
    /// The metadata, in JSON and parsed; none if KV had no such key.
    value: Option<(String, Rc<Metadata>)>,
    read_at: Timestamp,
    /// When this isolate last asked for the CRL's refresh.
    refresh_asked_at: Option<Timestamp>,
    /// The number of the CRL that this isolate served last.
    served: Option<CrlNumber>,
    /// Why the issuer's object had no CRL, and when it said so.
    refusal: Option<(Unavailable, Timestamp)>,
}

impl<C> Default for Memory<C> {
    fn default() -> Self {
        Self {
            heads: RefCell::new(LruCache::new(HEADS)),
            bodies: RefCell::new(LruCache::new(BODY_BYTES)),
            index: RefCell::default(),
            slots: WaitSlots::default(),
        }
    }
}

impl<C: Chunk> Memory<C> {
    /// Forgets what KV returned for a key: it is being written.
    pub fn forget(&self, key: &str) {
        if let Some(remembered) = self.heads.borrow_mut().get(key) {
            remembered.value = None;
            remembered.read_at = Timestamp::from_millis(0);
            remembered.refusal = None;
        }
    }

    /// Whether this isolate has served a CRL with a greater number: KV is behind then.
    pub(super) fn is_behind(&self, key: &str, number: CrlNumber) -> bool {
        let mut heads = self.heads.borrow_mut();
        let served = heads.get(key).and_then(|remembered| remembered.served);
        served.is_some_and(|served| served > number)
    }

    /// A CRL with this number is served.
    pub(super) fn keep_served(&self, key: &str, number: CrlNumber) {
        let mut heads = self.heads.borrow_mut();
        if let Some(remembered) = heads.get(key) {
            remembered.served = Some(number);
            return;
        }
        let unread = Remembered {
            value: None,
            read_at: Timestamp::from_millis(0),
            refresh_asked_at: None,
            served: Some(number),
            refusal: None,
        };
        heads.insert(key.to_owned(), 1, unread);
    }

    /// The metadata that KV last returned for `key`, if that was at most `age` before `now`.
    pub(super) fn head(&self, key: &str, now: Timestamp, age: Age) -> Option<Rc<Metadata>> {
        let mut heads = self.heads.borrow_mut();
        let remembered = heads.get(key)?;
        let is_usable = match age {
            Age::Recent => now.since(remembered.read_at) < HEAD_MEMORY,
            Age::Outage => now.since(remembered.read_at) < OUTAGE_MEMORY,
            Age::Any => true,
        };
        let (_, metadata) = remembered.value.as_ref().filter(|_| is_usable)?;
        Some(Rc::clone(metadata))
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
        if let Some(known) = heads.get(key)
            && let Some((known_json, metadata)) = &known.value
            && known_json == json
        {
            known.read_at = now;
            return Ok(Rc::clone(metadata));
        }
        let metadata = Rc::new(serde_json::from_str(json)?);
        let remembered = Remembered {
            value: Some((json.to_owned(), Rc::clone(&metadata))),
            read_at: now,
            refresh_asked_at: None,
            served: heads.get(key).and_then(|known| known.served),
            refusal: None,
        };
        heads.insert(key.to_owned(), 1, remembered);
        Ok(metadata)
    }

    /// The JSON of the metadata that is remembered for `key`.
    pub(super) fn json(&self, key: &str) -> Option<String> {
        let mut heads = self.heads.borrow_mut();
        let (json, _) = heads.get(key)?.value.as_ref()?;
        Some(json.clone())
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

    /// Whether the caller is to read KV. If KV lacked the key, one request in each `ABSENT_MEMORY`
    /// claims the read, and the others take the CRL as absent meanwhile: while KV is slow, all
    /// requests of a crowd that waits for a CRL would read it.
    pub(super) fn claim_read(&self, key: &str, now: Timestamp) -> bool {
        let mut heads = self.heads.borrow_mut();
        let Some(absent) = heads.get(key).filter(|it| it.value.is_none()) else {
            return true;
        };
        let age = now.since(absent.read_at);
        if age >= ABSENT_MEMORY && age < KV_LIMIT {
            absent.read_at = now;
        }
        age >= ABSENT_MEMORY
    }

    pub(super) fn keep_absent(&self, key: &str, now: Timestamp) {
        let mut heads = self.heads.borrow_mut();
        let absent = Remembered {
            value: None,
            read_at: now,
            refresh_asked_at: None,
            served: heads.get(key).and_then(|known| known.served),
            refusal: None,
        };
        heads.insert(key.to_owned(), 1, absent);
    }

    /// Why the issuer's object had no CRL a moment ago: a crowd that cannot get it need not ask the
    /// object each time.
    pub(super) fn refusal(&self, key: &str, now: Timestamp) -> Option<Unavailable> {
        let mut heads = self.heads.borrow_mut();
        let (unavailable, at) = heads.get(key)?.refusal.as_ref()?;
        (now.since(*at) < ABSENT_MEMORY).then(|| unavailable.clone())
    }

    /// The issuer's object had no CRL at `now`.
    pub(super) fn keep_refusal(&self, key: &str, unavailable: &Unavailable, now: Timestamp) {
        if let Some(remembered) = self.heads.borrow_mut().get(key) {
            remembered.refusal = Some((unavailable.clone(), now));
        }
    }

    /// Whether the caller is to ask for this CRL's refresh. One call in each [`REFRESH_PAUSE`]
    /// claims that.
    pub(super) fn claim_refresh(&self, key: &str, now: Timestamp) -> bool {
        let mut heads = self.heads.borrow_mut();
        let Some(remembered) = heads.get(key) else {
            return true;
        };
        let asked_at = remembered.refresh_asked_at;
        if asked_at.is_some_and(|asked_at| now.since(asked_at) < REFRESH_PAUSE) {
            return false;
        }
        remembered.refresh_asked_at = Some(now);
        true
    }
}
