//! The registry's object, less the platform: reads the origin page by page, remembers who is gone,
//! and hands out ticks.

#![expect(
    async_fn_in_trait,
    reason = "a Durable Object has one thread: no future here needs Send"
)]

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::rc::Rc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{LocalBoxFuture, Shared, WeakShared};
use origin_api::{CrlName, Issuer, IssuerId};

use super::index::{Index, Listed};
use super::job::StoredJob;
use super::protocol::{RegistryAnswer, RegistryRequest, Standing};
use super::shrink::Shrink;
use super::tick::{Batch, ISSUER_TIME_LIMIT, Lease, TICK_BATCH};
use crate::config::Settings;
use crate::object_calls::IssuerObjects;
use crate::refresh::{OriginError, ReplicaError, Runtime, StoreError};
use crate::time::{Timestamp, within};

/// How many withdrawn CRLs of an issuer are remembered: those that were withdrawn last.
const MOST_WITHDRAWN: usize = 64;
/// How many pages are read before the origin counts as broken: 1,000 issuers each.
const MOST_PAGES: usize = 200;
/// How long the copy in KV may take before it counts as late. Ticks, hooks and unknown issuers wait
/// for the reading that writes it.
const COPY_LIMIT: Duration = Duration::from_secs(10);
/// Which part of `ORIGIN_TIMEOUT_MS` the origin has for its list while a relying party waits: 5 of
/// 30 seconds by default.
const HURRY: u32 = 6;
/// A `Retry-After` beyond this counts as this: a mistaken one must not hide new issuers for days.
const LONGEST_PAUSE: Duration = Duration::from_hours(1);

/// The origin's list of issuers, page by page.
pub trait OriginPages {
    /// One page. An issuer whose record cannot be read is left out, and named in the log: it must
    /// not hide the others.
    async fn page(
        &self,
        cursor: Option<&str>,
    ) -> Result<(Vec<Issuer>, Option<String>), OriginError>;
}

/// The copy of the index in KV.
pub trait IndexReplica {
    /// Replaces the copy.
    async fn put(&self, index: &Index) -> Result<(), ReplicaError>;
}

/// One issuer in the object's storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The issuer's id.
    pub id: IssuerId,
    /// Its CRLs.
    pub crls: Vec<CrlName>,
    /// CRLs that the origin listed before and does not list now.
    pub withdrawn: Vec<CrlName>,
    /// Since when the origin does not list it.
    pub gone_since: Option<Timestamp>,
}

impl From<&Issuer> for Row {
    fn from(issuer: &Issuer) -> Self {
        Self {
            id: issuer.id.clone(),
            crls: issuer.crls.iter().map(|crl| crl.name).collect(),
            withdrawn: Vec::new(),
            gone_since: None,
        }
    }
}

impl Row {
    /// Notes what the origin listed before and does not list now.
    fn withdraw(&mut self, before: &Self) {
        let all = before.crls.iter().chain(&before.withdrawn);
        let withdrawn = all.filter(|name| !self.crls.contains(name));
        self.withdrawn = withdrawn.copied().take(MOST_WITHDRAWN).collect();
    }
}

/// The object's storage. Calls are synchronous and durable before an answer leaves the object.
#[expect(
    clippy::missing_errors_doc,
    reason = "all fail alike, and for no reason that a caller could tell apart"
)]
pub trait RegistryStore {
    /// Every issuer, and when the origin was read.
    fn rows(&self) -> Result<(Option<Timestamp>, Vec<Row>), StoreError>;
    /// Replaces or adds these, removes those, and notes the shrink and when the origin was read;
    /// all or nothing.
    fn update(
        &self,
        read_at: Timestamp,
        changed: &[Row],
        removed: &[IssuerId],
        shrink: Option<&Shrink>,
    ) -> Result<(), StoreError>;
    /// Removes an issuer that is gone.
    fn remove(&self, issuer: &IssuerId) -> Result<(), StoreError>;
    /// The shrink that stands.
    fn shrink(&self) -> Result<Option<Shrink>, StoreError>;
    /// Replaces it.
    fn set_shrink(&self, shrink: &Shrink) -> Result<(), StoreError>;
    /// The issuers that the origin lists, or those that are `gone`, which were last asked before
    /// `began_at`, the longest ago first; and how many there are in all.
    fn unasked(
        &self,
        began_at: Timestamp,
        limit: usize,
        gone: bool,
    ) -> Result<(Vec<IssuerId>, u64), StoreError>;
    /// These were asked at `at`.
    fn asked(&self, issuers: &[IssuerId], at: Timestamp) -> Result<(), StoreError>;
    /// The lease of the tick under way.
    fn lease(&self) -> Result<Option<Lease>, StoreError>;
    /// Replaces it.
    fn set_lease(&self, lease: Option<&Lease>) -> Result<(), StoreError>;
    /// The last job.
    fn job(&self) -> Result<Option<StoredJob>, StoreError>;
    /// Replaces it.
    fn set_job(&self, job: &StoredJob) -> Result<(), StoreError>;
}

/// Why the registry cannot tell.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// The origin could not be asked, and there is no earlier list.
    #[error("the list of issuers cannot be read: {0}")]
    Origin(#[from] OriginError),
    /// The object's storage failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl RegistryError {
    /// How long the origin wants to be left alone.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Origin(error) => error.retry_after(),
            Self::Store(_) => None,
        }
    }
}

/// The ports that the registry's object stands on.
pub trait RegistryPorts: 'static {
    /// Clock, timers, tasks and log.
    type Runtime: Runtime;
    /// The origin.
    type Origin: OriginPages;
    /// The object's storage.
    type Store: RegistryStore;
    /// KV.
    type Replica: IndexReplica;
    /// The issuers' objects.
    type Issuers: IssuerObjects;
}

/// Keeps the registry.
#[derive(Debug)]
pub struct RegistryService<P: RegistryPorts> {
    /// Clock, timers, tasks and log.
    pub runtime: P::Runtime,
    /// The origin.
    pub origin: P::Origin,
    /// The object's storage.
    pub store: P::Store,
    /// KV.
    pub replica: P::Replica,
    /// The issuers' objects.
    pub issuers: P::Issuers,
    /// The settings.
    pub settings: Rc<Settings>,
    /// The reading under way, and the index that the last one left.
    pub reading: Reading,
}

type Read = Result<Rc<Index>, RegistryError>;

/// The reading of the origin that is under way, if any, and what is known.
#[derive(Debug, Default)]
pub struct Reading {
    under_way: RefCell<Option<WeakShared<LocalBoxFuture<'static, Read>>>>,
    index: RefCell<Option<Rc<Index>>>,
    /// What the last reading failed with, and until when the origin is left alone: unknown ids must
    /// cost it nothing.
    failed: RefCell<Option<(RegistryError, Timestamp)>>,
}

impl<P: RegistryPorts> RegistryService<P> {
    /// Carries out a request.
    pub async fn answer(self: &Rc<Self>, request: RegistryRequest) -> RegistryAnswer {
        let answer = match request {
            RegistryRequest::Index => self
                .index_soon()
                .await
                .map(|index| RegistryAnswer::Index((*index).clone())),
            RegistryRequest::BeginTick => self.begin_tick().await.map(RegistryAnswer::Lease),
            RegistryRequest::NextBatch(lease) => self
                .next_batch(&lease)
                .map(RegistryAnswer::Batch)
                .map_err(RegistryError::from),
            RegistryRequest::EndTick { lease, unreached } => self
                .end_tick(&lease, &unreached)
                .and_then(|()| self.flush_gone(&lease))
                .map(|()| RegistryAnswer::Done)
                .map_err(RegistryError::from),
            RegistryRequest::Standing(issuer) => {
                self.standing(&issuer).await.map(RegistryAnswer::Standing)
            }
            RegistryRequest::Removed(issuer) => self
                .removed(&issuer)
                .map(|()| RegistryAnswer::Done)
                .map_err(RegistryError::from),
            RegistryRequest::ConfirmShrink => {
                self.confirm_shrink().await.map(RegistryAnswer::Confirmed)
            }
            RegistryRequest::RequestJob(id) => self
                .request_job(id)
                .await
                .map(|job| RegistryAnswer::Job(Some(job))),
            RegistryRequest::LastJob => self
                .last_job()
                .map(RegistryAnswer::Job)
                .map_err(RegistryError::from),
        };
        answer.unwrap_or_else(|error| RegistryAnswer::Failed(error.to_string()))
    }

    /// The index, read from the origin if it is older than `REGISTRY_TTL_SECONDS`. However many
    /// ask, the origin is read once. Where it cannot be read, the last index is the answer.
    ///
    /// # Errors
    /// If there is no index at all.
    pub async fn index(self: &Rc<Self>) -> Read {
        let now = self.runtime.now();
        let known = self.known()?;
        if let Some(index) = &known
            && index.is_fresh(now, self.settings.registry_ttl)
        {
            return Ok(Rc::clone(index));
        }
        let failed = self.reading.failed.borrow().clone();
        let read = match failed {
            Some((error, until)) if until > now => Err(error),
            _ => self.read().await,
        };
        read.or_else(|error| known.ok_or(error))
    }

    /// [`Self::index`] for relying parties: the last index if the origin does not answer within its
    /// share of the time ([`HURRY`]), since the issuer's object needs the rest. The reading goes on
    /// in the background.
    async fn index_soon(self: &Rc<Self>) -> Read {
        let known = self.known()?;
        let limit = self.settings.origin_timeout.checked_div(HURRY);
        let read = self.index();
        match known {
            Some(known) => within(self.runtime.sleep(limit.unwrap_or_default()), read)
                .await
                .unwrap_or(Ok(known)),
            None => read.await,
        }
    }

    /// Whether the origin lists an issuer.
    ///
    /// # Errors
    /// The origin was not read within `REGISTRY_TTL_SECONDS`: nothing is removed on old news.
    pub async fn standing(self: &Rc<Self>, issuer: &IssuerId) -> Result<Standing, RegistryError> {
        let index = self.index().await?;
        if !index.is_fresh(self.runtime.now(), self.settings.registry_ttl) {
            let failed = self.reading.failed.borrow().clone();
            let error = failed.map(|(error, _)| error);
            return Err(error.unwrap_or(RegistryError::Store(StoreError::Conflict)));
        }
        let listed = index.issuers.get(issuer);
        let listed = listed.filter(|listed| listed.gone_since.is_none());
        Ok(listed.map_or(Standing::Gone, |listed| {
            Standing::Listed(listed.crls.clone())
        }))
    }

    /// Forgets an issuer that is gone and that its object has removed.
    ///
    /// # Errors
    /// Storage failed.
    pub fn removed(&self, issuer: &IssuerId) -> Result<(), StoreError> {
        self.store.remove(issuer)?;
        // Read again from storage.
        self.reading.index.take();
        Ok(())
    }

    /// Lets the issuers go that vanished in one reading, as far as they are missing still. Gives
    /// how many are gone now; `None` if none waited for it.
    ///
    /// # Errors
    /// Storage failed, or the origin cannot be read.
    pub async fn confirm_shrink(self: &Rc<Self>) -> Result<Option<u64>, RegistryError> {
        let Some(shrink) = self.store.shrink()? else {
            return Ok(None);
        };
        self.store.set_shrink(&Shrink {
            confirmed: Some(shrink.vanished),
            ..shrink
        })?;
        let index = self.read().await?;
        let gone = index.issuers.values();
        let gone = gone.filter(|listed| listed.gone_since == Some(index.read_at));
        Ok(Some(gone.count() as u64))
    }

    fn read(self: &Rc<Self>) -> Shared<LocalBoxFuture<'static, Read>> {
        let mut under_way = self.reading.under_way.borrow_mut();
        let running = under_way
            .as_ref()
            .and_then(WeakShared::upgrade)
            .filter(|reading| reading.peek().is_none());
        running.unwrap_or_else(|| {
            let this = Rc::clone(self);
            let reading = async move { this.read_origin().await }
                .boxed_local()
                .shared();
            *under_way = reading.downgrade();
            // Who asked may leave: the reading goes on.
            self.runtime.spawn(reading.clone().map(drop).boxed_local());
            reading
        })
    }

    async fn read_origin(&self) -> Read {
        let index = self.adopt_origin().await.inspect_err(|error| {
            let ttl = self.settings.registry_ttl;
            let pause = error.retry_after().unwrap_or_default().min(LONGEST_PAUSE).max(ttl);
            let until = self.runtime.now().after(pause);
            *self.reading.failed.borrow_mut() = Some((error.clone(), until));
            self.runtime.log(&serde_json::json!({
                "level": "error", "what": "the list of issuers could not be read", "cause": error.to_string(),
            }));
        })?;
        *self.reading.index.borrow_mut() = Some(Rc::clone(&index));
        let put = within(self.runtime.sleep(COPY_LIMIT), self.replica.put(&index)).await;
        let cause = match put {
            Some(Ok(())) => return Ok(index),
            Some(Err(error)) => error.to_string(),
            None => "timed out".to_owned(),
        };
        // Readers ask here when their copy is old, so a copy that is late costs time, not truth.
        self.runtime.log(&serde_json::json!({
            "level": "warning", "what": "the registry's copy in KV is late", "cause": cause,
        }));
        Ok(index)
    }

    async fn adopt_origin(&self) -> Read {
        Ok(Rc::new(self.adopt(self.pages().await?)?))
    }

    /// All issuers that the origin lists. Each page becomes rows before the next is read, so that
    /// only one page of certificates is in memory.
    async fn pages(&self) -> Result<Vec<Row>, OriginError> {
        let mut listed = Vec::new();
        let mut cursor: Option<String> = None;
        for _ in 0..MOST_PAGES {
            let (page, next) = self.page(cursor.as_deref()).await?;
            listed.extend(page.iter().map(Row::from));
            match next {
                Some(next) if Some(&next) != cursor.as_ref() => cursor = Some(next),
                Some(_) => break,
                None => return Ok(listed),
            }
        }
        Err(OriginError::MalformedRecord(
            "the pages of the list of issuers do not end".to_owned(),
        ))
    }

    async fn page(
        &self,
        cursor: Option<&str>,
    ) -> Result<(Vec<Issuer>, Option<String>), OriginError> {
        let limit = self.settings.origin_timeout;
        within(self.runtime.sleep(limit), self.origin.page(cursor))
            .await
            .unwrap_or(Err(OriginError::Timeout(limit)))
    }

    /// Stores what the origin lists. An issuer that it no longer lists is marked as gone, and kept
    /// until its object has removed it, at most for `EVENT_RETENTION_DAYS`.
    fn adopt(&self, mut after: Vec<Row>) -> Result<Index, StoreError> {
        let now = self.runtime.now();
        let (_, before) = self.store.rows()?;
        let mut here = HashSet::new();
        here.extend(after.iter().map(|row| &row.id));
        let listed = before.iter().filter(|row| row.gone_since.is_none());
        let (mut listed_before, mut vanished) = (0_u64, 0_u64);
        for row in listed {
            listed_before = listed_before.saturating_add(1);
            vanished = vanished.saturating_add(u64::from(!here.contains(&row.id)));
        }
        let shrink = Shrink::after(self.store.shrink()?, listed_before, vanished, now);
        let gone_since = shrink.is_none().then_some(now);
        let (kept, forgotten): (Vec<_>, Vec<_>) = before
            .iter()
            .filter(|row| !here.contains(&row.id))
            .map(|row| Row {
                gone_since: row.gone_since.or(gone_since),
                ..row.clone()
            })
            .partition(|row| {
                row.gone_since
                    .is_none_or(|since| now.since(since) < self.settings.event_retention)
            });
        let mut known = HashMap::new();
        known.extend(before.iter().map(|row| (&row.id, row)));
        for row in &mut after {
            if let Some(before) = known.get(&row.id) {
                row.withdraw(before);
            }
        }
        after.extend(kept);
        let changed: Vec<_> = after
            .iter()
            .filter(|row| known.get(&row.id) != Some(row))
            .cloned()
            .collect();
        let removed: Vec<_> = forgotten.into_iter().map(|row| row.id).collect();
        self.store
            .update(now, &changed, &removed, shrink.as_ref())?;
        if let Some(shrink) = &shrink {
            self.runtime.log(&serde_json::json!({
                "level": "error", "what": "more than half of the issuers vanished from the registry, none is removed before a day has passed or POST /v1/registry/confirm",
                "shrink": shrink,
            }));
        }
        Ok(index_of(now, after, shrink))
    }

    fn known(&self) -> Result<Option<Rc<Index>>, StoreError> {
        if let Some(index) = self.reading.index.borrow().as_ref() {
            return Ok(Some(Rc::clone(index)));
        }
        let (read_at, rows) = self.store.rows()?;
        let shrink = self.store.shrink()?;
        Ok(read_at.map(|read_at| {
            let index = Rc::new(index_of(read_at, rows, shrink));
            *self.reading.index.borrow_mut() = Some(Rc::clone(&index));
            index
        }))
    }

    /// Begins a tick, unless one is under way.
    ///
    /// # Errors
    /// If the registry cannot be read.
    pub async fn begin_tick(self: &Rc<Self>) -> Result<Option<Lease>, RegistryError> {
        self.index().await?;
        self.wake_job().await?;
        let lease = Lease::begin(self.store.lease()?.as_ref(), self.runtime.now());
        if let Some(lease) = &lease {
            self.store.set_lease(Some(lease))?;
        }
        Ok(lease)
    }

    /// The issuers that the tick of `lease` asks next. They count as asked from now on: what a tick
    /// does not come to is where the next one begins.
    ///
    /// # Errors
    /// If storage fails. A tick whose lease another one took over gets an empty batch.
    pub fn next_batch(&self, lease: &Lease) -> Result<Batch, StoreError> {
        let now = self.runtime.now();
        if !self.holds(lease)? {
            return Ok(Batch::default());
        }
        let (issuers, all) = self.store.unasked(lease.began_at, TICK_BATCH, false)?;
        self.store.asked(&issuers, now.max(lease.began_at))?;
        self.store.set_lease(Some(&lease.renewed(now)))?;
        Ok(Batch {
            left: all.saturating_sub(issuers.len() as u64),
            issuers,
        })
    }

    /// Ends the tick of `lease`. Those that it took and did not come to are asked first next time.
    ///
    /// # Errors
    /// If storage fails.
    pub fn end_tick(&self, lease: &Lease, unreached: &[IssuerId]) -> Result<(), StoreError> {
        self.store.asked(unreached, Timestamp::from_millis(0))?;
        if self.holds(lease)? {
            self.store.set_lease(None)?;
        }
        Ok(())
    }

    /// Has the objects of issuers that are gone do what they owe: no tick refreshes them, and they
    /// may have lost their alarms.
    fn flush_gone(self: &Rc<Self>, lease: &Lease) -> Result<(), StoreError> {
        let (gone, _) = self.store.unasked(lease.began_at, TICK_BATCH, true)?;
        self.store.asked(&gone, self.runtime.now())?;
        let this = Rc::clone(self);
        let ask = async move {
            for issuer in &gone {
                // The next tick asks those that do not answer again.
                let asked = this.issuers.flush_pending(issuer);
                within(this.runtime.sleep(ISSUER_TIME_LIMIT), asked).await;
            }
        };
        self.runtime.spawn(ask.boxed_local());
        Ok(())
    }

    /// Whether no other tick has taken over the lease.
    pub(super) fn holds(&self, lease: &Lease) -> Result<bool, StoreError> {
        let held = self.store.lease()?;
        Ok(held.is_some_and(|held| held.began_at == lease.began_at))
    }
}

fn index_of(read_at: Timestamp, rows: Vec<Row>, shrink: Option<Shrink>) -> Index {
    let mut issuers = BTreeMap::new();
    issuers.extend(rows.into_iter().map(|row| {
        let listed = Listed {
            crls: row.crls,
            withdrawn: row.withdrawn,
            gone_since: row.gone_since,
        };
        (row.id, listed)
    }));
    Index {
        read_at,
        issuers,
        shrink,
    }
}
