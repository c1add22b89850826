//! KV: eventually consistent. Each point of presence sees a write after a time of its own, and
//! caches what it has read, also that there was nothing.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use edge::refresh::Metadata;
use futures_util::future::pending;
use origin_api::Timestamp;

use crate::clock::Timeline;
use crate::executor::{Executor, Scope};
use crate::faults::{Fault, Faults};
use crate::ledger::{Ledger, List};
use crate::random::Random;
use crate::trace::Trace;

/// A point of presence, by its number.
pub(crate) type Pop = usize;

/// Where the objects live.
pub(crate) const OBJECTS_POP: Pop = 0;

/// What has a key.
#[derive(Clone, Debug)]
pub(crate) struct Value {
    pub(crate) bytes: Bytes,
    /// In JSON.
    pub(crate) metadata: Option<String>,
}

/// KV does not answer as it should.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KvDown;

/// KV. Clones are the same.
#[derive(Clone)]
pub(crate) struct Kv(Rc<Inside>);

struct Inside {
    timeline: Timeline,
    executor: Executor,
    platform: Scope,
    random: Random,
    faults: Faults,
    trace: Trace,
    ledger: Ledger,
    pops: usize,
    keys: RefCell<BTreeMap<String, Key>>,
}

#[derive(Default)]
struct Key {
    /// The last writes, the newest last.
    versions: Vec<Version>,
    caches: BTreeMap<Pop, Cached>,
}

struct Version {
    /// When each point of presence sees it.
    visible_at: Vec<Timestamp>,
    value: Option<Rc<Value>>,
}

struct Cached {
    read_at: Timestamp,
    value: Option<Rc<Value>>,
}

/// What KV runs on.
pub(crate) struct KvDeps {
    pub(crate) timeline: Timeline,
    pub(crate) executor: Executor,
    pub(crate) platform: Scope,
    pub(crate) random: Random,
    pub(crate) faults: Faults,
    pub(crate) trace: Trace,
    pub(crate) ledger: Ledger,
    pub(crate) pops: usize,
}

impl Kv {
    pub(crate) fn new(deps: KvDeps) -> Self {
        let KvDeps {
            timeline,
            executor,
            platform,
            random,
            faults,
            trace,
            ledger,
            pops,
        } = deps;
        Self(Rc::new(Inside {
            timeline,
            executor,
            platform,
            random,
            faults,
            trace,
            ledger,
            pops,
            keys: RefCell::default(),
        }))
    }

    /// Reads a key at a point of presence, from its cache if that is younger than `ttl`.
    pub(crate) async fn read(
        &self,
        pop: Pop,
        key: &str,
        ttl: Duration,
        step: &'static str,
    ) -> Result<Option<Rc<Value>>, KvDown> {
        self.answer(step).await?;
        let now = self.0.timeline.now();
        let mut keys = self.0.keys.borrow_mut();
        let key = keys.entry(key.to_owned()).or_default();
        if let Some(cached) = key.caches.get(&pop)
            && now.since(cached.read_at) < ttl
        {
            return Ok(cached.value.clone());
        }
        let mut versions = key.versions.iter().rev();
        let visible = versions.find(|version| version.visible_at[pop] <= now);
        let value = visible.and_then(|version| version.value.clone());
        let cached = Cached {
            read_at: now,
            value: value.clone(),
        };
        key.caches.insert(pop, cached);
        Ok(value)
    }

    /// Writes a value, or removes it. A write that fails or is given up may land later.
    pub(crate) async fn write(
        &self,
        key: &str,
        value: Option<Value>,
        step: &'static str,
    ) -> Result<(), KvDown> {
        self.answer(step).await?;
        let strikes = |fault| self.0.faults.strikes(fault, step);
        if strikes(Fault::KvPutLost) {
            return Err(KvDown);
        }
        if strikes(Fault::KvPutLate) {
            let (this, key) = (self.clone(), key.to_owned());
            let late = self.0.random.seconds(1..540);
            self.0.executor.spawn(self.0.platform, async move {
                this.0.timeline.sleep(late).await;
                this.land(&key, value);
            });
            return pending().await;
        }
        self.land(key, value);
        if strikes(Fault::KvPutKept) {
            return Err(KvDown);
        }
        Ok(())
    }

    async fn answer(&self, step: &'static str) -> Result<(), KvDown> {
        let Inside {
            timeline,
            random,
            faults,
            ..
        } = &*self.0;
        timeline.sleep(random.millis(1..60)).await;
        if faults.strikes(Fault::KvHangs, step) {
            return pending().await;
        }
        if faults.strikes(Fault::KvDown, step) {
            return Err(KvDown);
        }
        Ok(())
    }

    fn land(&self, key: &str, value: Option<Value>) {
        let now = self.0.timeline.now();
        let what = value.as_ref().map_or(0, |value| value.bytes.len());
        self.0.trace.line(format!("KV has {key}: {what} bytes"));
        if let (Some(value), Some(list)) = (&value, list_of(key))
            && let Some(metadata) = value.metadata.as_ref()
        {
            match serde_json::from_str::<Metadata>(metadata) {
                Ok(metadata) => self.0.ledger.in_kv(&list, &metadata, &value.bytes),
                Err(error) => self
                    .0
                    .ledger
                    .violated("metadata can be read", &error.to_string()),
            }
        }
        let is_slow = self.0.faults.strikes(Fault::KvStale, "KV spreads");
        let lag = |_| {
            let longest = if is_slow { 600_000 } else { 55_000 };
            now.after(self.0.random.millis(0..longest))
        };
        let version = Version {
            visible_at: (0..self.0.pops).map(lag).collect(),
            value: value.map(Rc::new),
        };
        let mut keys = self.0.keys.borrow_mut();
        let key = keys.entry(key.to_owned()).or_default();
        key.versions.push(version);
        // What no point of presence can see any more is forgotten.
        let is_seen = |version: &Version| version.visible_at.iter().all(|at| *at <= now);
        let newest = key.versions.iter().rposition(is_seen).unwrap_or(0);
        key.versions.drain(..newest);
    }

    pub(crate) fn faults(&self) -> &Faults {
        &self.0.faults
    }

    /// Has a value at once.
    pub(crate) fn put_now(&self, key: &str, value: Value) {
        self.land(key, Some(value));
    }

    /// Loses a value.
    pub(crate) fn lose(&self, key: &str) {
        self.land(key, None);
    }

    /// What has this key when every write has spread.
    pub(crate) fn newest(&self, key: &str) -> Option<Rc<Value>> {
        let keys = self.0.keys.borrow();
        keys.get(key)?.versions.last()?.value.clone()
    }
}

/// The list that has its CRL under this key.
fn list_of(key: &str) -> Option<List> {
    let (issuer, name) = key.strip_prefix("crl/")?.split_once('/')?;
    Some((issuer.parse().ok()?, name.parse().ok()?))
}
