//! Copies committed CRLs to KV: one value, or parts behind a manifest if it is too large for one;
//! and deletes what no reader needs any more.

use std::rc::Rc;
use std::time::Duration;

use futures_util::FutureExt as _;
use origin_api::CrlName;

use super::alarm::SOONEST;
use super::coalesced::Coalesced;
use super::leases::{BodyLease, Leases};
use super::outbox::Outbox;
use super::ports::{IssuerPorts, Shared, cause_of};
use crate::kv_layout::{PART_BYTES, key, part_count, part_key, part_range};
use crate::refresh::{
    CrlState, Current, Head, MOVE_LIMIT, Metadata, ObjectState, PIECE_BYTES, Pieces, Publication,
    Replica as _, ReplicaError, Runtime as _, StateChange, StoreError, Unsettled,
};
use crate::time::Timestamp;

/// How long one write to KV may take before it counts as failed: a value, or one part.
const WRITE_LIMIT: Duration = Duration::from_mins(1);
/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_mins(5);
/// KV takes up to a minute to spread a write: what it returns sooner proves nothing.
const KV_SPREAD: Duration = Duration::from_mins(1);
/// A write that was given up may land until so long after.
const LATE_WRITE: Duration = Duration::from_mins(10);
/// How often KV is compared until then.
const COMPARE_EVERY: Duration = Duration::from_mins(1);
/// How long a reader may need the parts of a replaced CRL, beyond its cache's time.
const READING_TIME: Duration = Duration::from_mins(10);

/// Pieces in a part.
#[expect(clippy::cast_possible_truncation, reason = "20")]
const PIECES_PER_PART: u32 = (PART_BYTES / PIECE_BYTES as u64) as u32;

/// Publishes to KV.
pub(super) struct Publisher<P: IssuerPorts> {
    shared: Rc<Shared<P>>,
    replica: P::Replica,
    leases: Leases,
    outbox: Rc<Outbox<P>>,
    running: Coalesced,
}

/// A CRL that KV is to get.
struct Owed {
    name: CrlName,
    current: Current,
    attempts: u32,
    parts_done: u32,
    is_begun: bool,
}

impl<P: IssuerPorts> Publisher<P> {
    pub(super) fn new(
        shared: &Rc<Shared<P>>,
        replica: P::Replica,
        leases: &Leases,
        outbox: &Rc<Outbox<P>>,
    ) -> Self {
        Self {
            shared: Rc::clone(shared),
            replica,
            leases: leases.clone(),
            outbox: Rc::clone(outbox),
            running: Coalesced::default(),
        }
    }

    /// Publishes what is owed, compares what is not settled, and deletes what is due.
    pub(super) async fn flush(self: &Rc<Self>) {
        let this = Rc::clone(self);
        let run = async move {
            this.shared.ok_or_log(this.put_off_shards());
            while let Some(owed) = this.next_owed() {
                if this.shared.ok_or_log(this.publish(owed).await).is_none() {
                    return;
                }
            }
            this.compare_unsettled().await;
            this.delete_pending().await;
        };
        self.running.run(|| run.boxed_local()).await;
    }

    /// Puts off the shards from which entries have moved to others, until clients everywhere see
    /// those: in between an entry would be on neither.
    fn put_off_shards(&self) -> Result<(), StoreError> {
        let now = self.shared.runtime.now();
        let spread = self.spread();
        let put_off = self.shared.state.with(|state| {
            let crls = state.crls.iter();
            let put_off = crls.filter_map(|(name, crl)| {
                let until = shards_before(state, *name, crl, spread, now)?;
                Some((*name, until))
            });
            put_off.collect::<Vec<_>>()
        })?;
        for (name, until) in put_off {
            let mut crl = self.shared.state.crl(name)?;
            if let Publication::Owed { retry_at, .. } = &mut crl.publication {
                *retry_at = until;
            }
            self.shared.state.commit(StateChange::of_crl(name, crl))?;
        }
        Ok(())
    }

    /// For how long clients may see the CRL before the one that is written to KV now.
    fn spread(&self) -> Duration {
        self.shared.settings.kv_cache_ttl.saturating_add(KV_SPREAD)
    }

    fn next_owed(&self) -> Option<Owed> {
        let now = self.shared.runtime.now();
        let spread = self.spread();
        // It may be that storage did not take that a shard is put off.
        let may_be_written =
            |state: &_, name, crl: &_| shards_before(state, name, crl, spread, now).is_none();
        let owed = self.shared.state.with(|state| {
            state
                .crls
                .iter()
                .find_map(|(name, crl)| match crl.publication {
                    Publication::Owed {
                        attempts,
                        retry_at,
                        parts_done,
                        is_begun,
                    } if retry_at <= now && may_be_written(state, *name, crl) => Some(Owed {
                        name: *name,
                        current: crl.current.clone()?,
                        attempts,
                        parts_done,
                        is_begun,
                    }),
                    _ => None,
                })
        });
        self.shared.ok_or_log(owed).flatten()
    }

    async fn publish(&self, owed: Owed) -> Result<(), StoreError> {
        let Owed {
            name,
            current,
            attempts,
            is_begun,
            ..
        } = &owed;
        let lease = self.leases.take(current.body, self.shared.runtime.now());
        // Noted first: if the object ends meanwhile, the next one knows that a write may land late.
        self.update(*name, current, |crl| {
            if let Publication::Owed { is_begun, .. } = &mut crl.publication {
                *is_begun = true;
            }
        })?;
        let written = self.write(&owed, &lease).await;
        let now = self.shared.runtime.now();
        let is_done = written.is_ok();
        self.update(*name, current, |crl| {
            if is_done {
                crl.publication = Publication::Done { at: now };
                if *is_begun {
                    // An earlier write did not end as it should.
                    crl.unsettled = Some(Unsettled {
                        compare_at: now.after(COMPARE_EVERY),
                        until: now.after(LATE_WRITE),
                    });
                }
            } else if let Publication::Owed {
                attempts, retry_at, ..
            } = &mut crl.publication
            {
                let pause = SOONEST.saturating_mul(1 << (*attempts).min(8));
                *retry_at = now.after(pause.min(LONGEST_PAUSE));
                *attempts = attempts.saturating_add(1);
            }
        })?;
        if let Err(cause) = written {
            self.shared.runtime.log(&serde_json::json!({
                "level": "warning", "what": "publish to KV failed, will be tried again",
                "issuer": self.shared.issuer, "crl": name, "attempts": attempts, "cause": cause,
            }));
        }
        if *attempts > 0 || !is_done {
            self.outbox.mark(*name);
            self.outbox.flush().await;
        }
        Ok(())
    }

    /// Changes the state of a CRL, unless another than `current` was committed meanwhile.
    fn update(
        &self,
        name: CrlName,
        current: &Current,
        change: impl FnOnce(&mut CrlState),
    ) -> Result<(), StoreError> {
        let mut crl = self.shared.state.crl(name)?;
        if crl.current.as_ref() != Some(current) {
            return Ok(());
        }
        change(&mut crl);
        let mut schedule_deletes = Vec::new();
        if matches!(crl.publication, Publication::Done { .. }) {
            schedule_deletes = self.parts_of(name, &std::mem::take(&mut crl.replaced));
        }
        self.shared.state.commit(StateChange {
            schedule_deletes,
            ..StateChange::of_crl(name, crl)
        })
    }

    /// Writes to KV, from the part at which the last attempt stopped. The manifest comes last: a
    /// reader who finds it finds every part.
    async fn write(&self, owed: &Owed, lease: &BodyLease) -> Result<(), String> {
        let (name, current) = (owed.name, &owed.current);
        let Current {
            head, body, pieces, ..
        } = current;
        let (issuer, parts) = (&self.shared.issuer, part_count(head.size));
        let metadata = Metadata {
            head: head.clone(),
            parts,
        };
        let key = key(issuer, name);
        if parts == 0 {
            let all = Pieces {
                body: *body,
                first: 0,
                end: *pieces,
                size: head.size,
            };
            return self
                .bounded(self.replica.put_pieces(&key, all, Some(&metadata)))
                .await;
        }
        for part in owed.parts_done..parts {
            let first = part.saturating_mul(PIECES_PER_PART);
            let of_part = Pieces {
                body: *body,
                first,
                end: first.saturating_add(PIECES_PER_PART).min(*pieces),
                size: part_range(part, head.size).length,
            };
            let part_key = part_key(issuer, name, head.sha256, part);
            self.bounded(self.replica.put_pieces(&part_key, of_part, None))
                .await?;
            lease.renew(self.shared.runtime.now());
            self.update(name, current, |crl| {
                if let Publication::Owed { parts_done, .. } = &mut crl.publication {
                    *parts_done = part.saturating_add(1);
                }
            })
            .map_err(|error| error.to_string())?;
        }
        self.bounded(self.replica.put_manifest(&key, &metadata))
            .await
    }

    async fn bounded(
        &self,
        write: impl Future<Output = Result<(), ReplicaError>>,
    ) -> Result<(), String> {
        match self.shared.within(WRITE_LIMIT, write).await {
            Some(Ok(())) => Ok(()),
            failed => Err(cause_of(failed)),
        }
    }

    /// The parts of CRLs that are replaced in KV now, each to be deleted when no point of presence
    /// can hold their manifest any more.
    fn parts_of(&self, name: CrlName, replaced: &[Head]) -> Vec<(String, Timestamp)> {
        let now = self.shared.runtime.now();
        // KV spreads the write, a reader's cache keeps the manifest, and the reader reads on.
        let cached = self.shared.settings.kv_cache_ttl;
        let after = now.after(cached.saturating_add(READING_TIME));
        let parts_of = |head: &Head| {
            let sha256 = head.sha256;
            (0..part_count(head.size))
                .map(move |part| (part_key(&self.shared.issuer, name, sha256, part), after))
        };
        replaced.iter().flat_map(parts_of).collect()
    }

    /// The keys that KV has of a CRL that is removed, each with the time at which it is deleted.
    pub(super) fn keys_of(&self, name: CrlName, crl: &CrlState) -> Vec<(String, Timestamp)> {
        let now = self.shared.runtime.now();
        let late = match crl.publication {
            Publication::Owed { is_begun: true, .. } => Some(now.after(LATE_WRITE)),
            _ => crl.unsettled.map(|unsettled| unsettled.until),
        };
        // A write that lands late would bring it back.
        let after = late.unwrap_or(now);
        let replaced = crl.replaced.iter().chain(crl.head());
        let mut keys = self.parts_of(name, &replaced.cloned().collect::<Vec<_>>());
        keys.push((key(&self.shared.issuer, name), after));
        keys
    }

    /// Marks the CRL to be published again, since a read of KV returned another one or none.
    /// Does nothing while the last write may still be spreading. Returns whether it is marked.
    pub(super) fn owe_again(&self, name: CrlName) -> bool {
        let now = self.shared.runtime.now();
        let patience = self.spread();
        let Some(mut crl) = self.shared.ok_or_log(self.shared.state.crl(name)) else {
            return false;
        };
        if !matches!(crl.publication, Publication::Done { at } if now.since(at) > patience) {
            return false;
        }
        crl.owe_publication(now, 0);
        let change = StateChange::of_crl(name, crl);
        self.shared
            .ok_or_log(self.shared.state.commit(change))
            .is_some()
    }

    /// Whether KV has the committed CRL; `None` if KV does not answer.
    pub(super) async fn is_in_kv(&self, name: CrlName) -> Option<bool> {
        let key = key(&self.shared.issuer, name);
        let found = self.replica.metadata(&key);
        let found = self.shared.within(WRITE_LIMIT, found).await?.ok()?;
        let crl = self.shared.ok_or_log(self.shared.state.crl(name))?;
        Some(found.as_ref().map(|metadata| &metadata.head) == crl.head())
    }

    /// Compares KV with what is committed, while a write may land late.
    async fn compare_unsettled(&self) {
        let now = self.shared.runtime.now();
        let due = self.shared.state.with(|state| {
            let is_due = |crl: &CrlState| crl.unsettled.is_some_and(|it| it.compare_at <= now);
            let due = state.crls.iter().filter(|(_, crl)| is_due(crl));
            due.map(|(name, _)| *name).collect::<Vec<_>>()
        });
        for name in self.shared.ok_or_log(due).unwrap_or_default() {
            let agrees = self.is_in_kv(name).await;
            let Some(mut crl) = self.shared.ok_or_log(self.shared.state.crl(name)) else {
                return;
            };
            // A comparison that KV did not answer is not the last one.
            crl.unsettled = crl
                .unsettled
                .filter(|unsettled| unsettled.until > now || agrees.is_none())
                .map(|unsettled| Unsettled {
                    compare_at: now.after(COMPARE_EVERY),
                    ..unsettled
                });
            if agrees == Some(false) && matches!(crl.publication, Publication::Done { .. }) {
                crl.owe_publication(now, 0);
            }
            let change = StateChange::of_crl(name, crl);
            self.shared.ok_or_log(self.shared.state.commit(change));
        }
        // What disagreed is written at once.
        while let Some(owed) = self.next_owed() {
            if self.shared.ok_or_log(self.publish(owed).await).is_none() {
                return;
            }
        }
    }

    /// The keys of the committed CRLs.
    fn keys_in_use(&self, state: &ObjectState) -> Vec<String> {
        let issuer = &self.shared.issuer;
        let mut keys = Vec::new();
        for (name, crl) in &state.crls {
            if let Some(head) = crl.head() {
                let part = |part| part_key(issuer, *name, head.sha256, part);
                keys.extend((0..part_count(head.size)).map(part));
                keys.push(key(issuer, *name));
            }
        }
        keys
    }

    async fn delete_pending(&self) {
        let now = self.shared.runtime.now();
        let due = self.shared.state.with(|state| {
            let due = state
                .pending_deletes
                .iter()
                .filter(|(_, after)| **after <= now);
            let needed = self.keys_in_use(state);
            let due = due.map(|(key, _)| (key.clone(), needed.contains(key)));
            due.collect::<Vec<_>>()
        });
        for (key, is_needed) in self.shared.ok_or_log(due).unwrap_or_default() {
            // What was removed may have come back.
            if is_needed || self.bounded(self.replica.delete(&key)).await.is_ok() {
                self.shared.ok_or_log(self.shared.state.commit(StateChange {
                    deleted: vec![key],
                    ..StateChange::default()
                }));
            }
        }
    }
}

/// When to look again whether a CRL that is owed now may be written; `None` if it may. It waits for
/// the shards to which its entries have moved, unless one of these waits for it, or what KV has of
/// it is about to expire.
fn shards_before(
    state: &ObjectState,
    name: CrlName,
    crl: &CrlState,
    spread: Duration,
    now: Timestamp,
) -> Option<Timestamp> {
    let head = crl.head()?;
    let waits = move |crl: &CrlState| {
        let head = crl.head();
        head.is_some_and(|head| now.since(head.committed_at) < MOVE_LIMIT)
    };
    let is_due = matches!(crl.publication, Publication::Owed { retry_at, .. } if retry_at <= now);
    if !is_due || !waits(crl) || crl.moved_to.is_empty() {
        return None;
    }
    let served = crl.replaced.last().unwrap_or(head);
    if Timestamp::from(served.next_update) <= now.after(spread.saturating_mul(2)) {
        return None;
    }
    let mut reached: Vec<CrlName> = Vec::new();
    let mut ends = Vec::new();
    for to in &crl.moved_to {
        // From shard to shard, as entries have moved.
        reached.clear();
        reached.push(*to);
        let mut next = 0_usize;
        while let Some(shard) = reached.get(next).and_then(|shard| state.crls.get(shard)) {
            for further in shard.moved_to.iter().filter(|_| waits(shard)) {
                if !reached.contains(further) {
                    reached.push(*further);
                }
            }
            next = next.saturating_add(1);
        }
        if reached.contains(&name) {
            continue;
        }
        match state.crls.get(to).map(|crl| &crl.publication) {
            Some(Publication::Owed { retry_at, .. }) => {
                ends.push((*retry_at).max(now.after(SOONEST)));
            }
            Some(Publication::Done { at }) if at.after(spread) > now => {
                ends.push(at.after(spread));
            }
            _ => {}
        }
    }
    ends.into_iter().max()
}
