//! The issuer's Durable Object, less the platform: flights, the committed CRLs, what is owed to KV and D1, and the alarm.

mod flight;
mod lease;
mod protocol;
mod publish;
mod task;
#[cfg(test)]
mod tests;

use std::rc::Rc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{join, join_all};
use origin_api::{CrlName, IssuerId};

pub use flight::{Boarding, Flights, Landing};
pub use lease::{BodyLease, Leases};
pub use protocol::{IssuerAnswer, IssuerCall, IssuerRequest, Overview, TrustAnswer, Unavailable};
pub use task::OneAtATime;

use crate::config::Settings;
use crate::events::{Event, Outcome, Trigger};
use crate::refresh::{
    CrlState, Current, EventLog, Host, Origin, Publication, Refresh, Replica, Report, Sha256,
    Status, Store, StoreError, fingerprint,
};
use crate::time::{Timestamp, within};

/// How long one write to KV or D1 may take before it counts as failed, and is owed.
const WRITE_LIMIT: Duration = Duration::from_mins(1);
/// How soon events that D1 did not take, and removals that KV did not do, are tried again.
const PAUSE: Duration = Duration::from_secs(30);
/// The soonest that an alarm is set for. One for now, set inside an alarm, would stall; and where storage fails, so that nothing
/// that was tried is noted, the origin must not be asked without a pause.
const SOONEST: Duration = Duration::from_secs(5);
/// How many events go to D1 at once.
const DELIVERY_BATCH: usize = 50;
/// How many of the events that D1 does not have yet an operator sees.
const OUTBOX_SHOWN: usize = 200;
/// KV needs up to a minute to spread a write: what it says sooner proves nothing.
const KV_SPREAD: Duration = Duration::from_mins(1);

/// The seams that an issuer's object stands on.
pub trait Parts: 'static {
    /// The machine.
    type Host: Host;
    /// The origin.
    type Origin: Origin;
    /// The object's storage.
    type Store: Store;
    /// KV.
    type Replica: Replica;
    /// D1.
    type Log: EventLog;
}

/// Keeps one issuer's CRLs: whoever wants one, or wants it refreshed, asks here.
#[derive(Debug)]
pub struct Custodian<P: Parts> {
    /// The machine.
    pub host: P::Host,
    /// The origin.
    pub origin: P::Origin,
    /// The object's storage.
    pub store: Rc<P::Store>,
    /// KV.
    pub replica: P::Replica,
    /// D1.
    pub log: P::Log,
    /// The settings.
    pub settings: Rc<Settings>,
    /// Whose CRLs.
    pub issuer: IssuerId,
    /// The refreshes under way.
    pub flights: Flights<Report>,
    /// The bodies that are being read.
    pub leases: Leases,
    /// Copying to KV.
    pub publishing: OneAtATime,
    /// Delivering events to D1.
    pub delivering: OneAtATime,
}

/// A CRL to be served. Its body stays in storage for as long as this lives.
#[derive(Debug)]
pub struct Serving {
    /// The CRL.
    pub current: Current,
    /// Keeps the body from being swept.
    pub lease: BodyLease,
}

impl<P: Parts> Custodian<P> {
    /// To be called once, when the object starts: sweeps what a refresh had staged when the object last ended, and pays what was
    /// owed then. An alarm may not have been set in time.
    pub fn start(self: &Rc<Self>) {
        let this = Rc::clone(self);
        self.host
            .spawn(async move { this.settle_and_set_alarm().await }.boxed_local());
    }

    /// Carries out a request. A CRL's body comes beside its answer.
    pub async fn answer(
        self: &Rc<Self>,
        request: IssuerRequest,
    ) -> (IssuerAnswer, Option<Serving>) {
        let answer = match request {
            IssuerRequest::Serve { name, seen } => match self.serve(name).await {
                Ok(serving) => {
                    let head = serving.current.head.clone();
                    if seen != Some(head.sha256) {
                        self.replica_disagrees(name);
                    }
                    return (IssuerAnswer::Crl(head), Some(serving));
                }
                Err(unavailable) => IssuerAnswer::Unavailable(unavailable),
            },
            IssuerRequest::RefreshDue { name } => {
                self.refresh_due(name);
                IssuerAnswer::Done
            }
            IssuerRequest::Refresh { name, trigger } => {
                IssuerAnswer::Refreshed(self.refresh(name, trigger).await)
            }
            IssuerRequest::Overview => self.overview().map_or_else(failed, |overview| {
                IssuerAnswer::Overview(Box::new(overview))
            }),
            IssuerRequest::Trust { sha256 } => self
                .trust(sha256)
                .await
                .map_or_else(failed, IssuerAnswer::Trust),
        };
        (answer, None)
    }

    /// The CRL as a relying party gets it: what is committed while it is valid, else what a refresh brings.
    ///
    /// # Errors
    /// Why there is nothing to serve.
    pub async fn serve(self: &Rc<Self>, name: CrlName) -> Result<Serving, Unavailable> {
        let now = self.host.now();
        let state = self.state(name);
        if let Some(current) = state.valid(now) {
            self.refresh_due(name);
            return Ok(self.serving(current.clone()));
        }
        // After a failure an expired CRL is asked for by the back-off, not by every client that comes.
        if state.is_due(now) && state.not_before.is_none_or(|not_before| not_before <= now) {
            self.fly(name, Trigger::Request, false).await;
        }
        let (now, state) = (self.host.now(), self.state(name));
        let servable = state.valid(now).or_else(|| {
            state
                .current
                .as_ref()
                .filter(|_| self.settings.serve_expired)
        });
        if let Some(current) = servable {
            return Ok(self.serving(current.clone()));
        }
        if state.last_outcome == Some(Outcome::Skipped) {
            return Err(Unavailable::PublishedElsewhere);
        }
        let wait = state.not_before.map_or(Duration::ZERO, |at| at.since(now));
        Err(Unavailable::RetryAfter {
            seconds: wait.as_secs().clamp(1, 3600),
        })
    }

    /// Begins the refresh of a CRL that is due, unless back-off forbids it, and does not wait for it.
    pub fn refresh_due(self: &Rc<Self>, name: CrlName) {
        let (now, state) = (self.host.now(), self.state(name));
        if state.is_due(now) && state.not_before.is_none_or(|not_before| not_before <= now) {
            drop(self.fly(name, Trigger::Request, false));
        }
    }

    /// Refreshes one CRL, or all of the issuer's, and tells what came of each. An operator looks at the table next: his events are
    /// in D1 when this returns, unless D1 is down. A tick does not wait for D1, which comes after the flight.
    pub async fn refresh(self: &Rc<Self>, name: Option<CrlName>, trigger: Trigger) -> Vec<Event> {
        let names = match name {
            Some(name) => vec![name],
            None => self.listed(),
        };
        let mut reports = self.refresh_each(&names, trigger).await;
        if name.is_none() {
            // Nobody asked for this list by name, and there is none.
            reports.retain(|report| !report.is_about_no_list());
            // Only with the first refresh did this object learn which lists there are.
            let learnt: Vec<_> = self
                .listed()
                .into_iter()
                .filter(|name| !names.contains(name))
                .collect();
            reports.extend(self.refresh_each(&learnt, trigger).await);
        }
        if trigger != Trigger::Cron {
            self.deliver_events().await;
        }
        reports.into_iter().map(|report| report.event).collect()
    }

    async fn refresh_each(self: &Rc<Self>, names: &[CrlName], trigger: Trigger) -> Vec<Report> {
        let new_crl = matches!(trigger, Trigger::Operator | Trigger::Hook);
        let now = self.host.now();
        let landings = names
            .iter()
            .filter(|name| {
                new_crl
                    || self
                        .state(**name)
                        .origin_closed_until
                        .is_none_or(|until| until <= now)
            })
            .map(|name| self.fly(*name, trigger, new_crl));
        join_all(landings).await
    }

    /// The alarm: refreshes what is due, pays what is owed, and sets itself for the next time. May run twice.
    ///
    /// # Errors
    /// Where storage fails: the platform then runs it again.
    pub async fn alarm(self: &Rc<Self>) -> Result<(), StoreError> {
        let now = self.host.now();
        let due: Vec<_> = self
            .listed()
            .into_iter()
            .filter(|name| {
                let state = self.state(*name);
                // One that has no next attempt comes back by the cron or by a request.
                let rests = state.last_outcome.is_some() && state.next_attempt.is_none();
                !rests && state.is_due(now) && state.not_before.is_none_or(|at| at <= now)
            })
            .collect();
        self.refresh_each(&due, Trigger::Alarm).await;
        self.settle().await;
        self.set_alarm().await
    }

    /// What operators see.
    ///
    /// # Errors
    /// Where storage fails.
    pub fn overview(&self) -> Result<Overview, StoreError> {
        Ok(Overview {
            issuer: self.store.issuer()?,
            crls: self.store.crls()?,
            events_owed: self.store.owed_event_count()?,
            outbox: self.store.newest_owed_events(OUTBOX_SHOWN)?,
        })
    }

    /// Pins the changed certificate that waits for the operator, if it has this SHA-256, and
    /// refreshes with it. Another one may have come since the operator compared them.
    ///
    /// # Errors
    /// Storage failed.
    pub async fn trust(self: &Rc<Self>, sha256: Sha256) -> Result<TrustAnswer, StoreError> {
        let mut issuer = self.store.issuer()?;
        let Some(waiting) = issuer.waiting.take() else {
            return Ok(TrustAnswer::NoneWaiting);
        };
        let found = fingerprint(&waiting);
        if found != sha256 {
            return Ok(TrustAnswer::OtherWaiting(found));
        }
        issuer.pinned = Some(waiting);
        self.store.set_issuer(&issuer)?;
        let events = self.refresh(None, Trigger::Operator).await;
        Ok(TrustAnswer::Pinned(events))
    }

    /// KV showed a reader something else than what is committed, or nothing: copy it again, unless KV just had no time to spread it.
    pub fn replica_disagrees(self: &Rc<Self>, name: CrlName) {
        let mut state = self.state(name);
        let now = self.host.now();
        let patience = self.settings.kv_cache_ttl.saturating_add(KV_SPREAD);
        if matches!(state.publication, Publication::Done { at } if now.since(at) > patience) {
            state.publication = Publication::Owed {
                attempts: 0,
                retry_at: now,
            };
            if self.store.set_crl(name, &state).is_ok() {
                let this = Rc::clone(self);
                self.host
                    .spawn(async move { this.settle_and_set_alarm().await }.boxed_local());
            }
        }
    }

    /// Boards the flight of a CRL. The flight goes on if what this returns is dropped.
    fn fly(
        self: &Rc<Self>,
        name: CrlName,
        trigger: Trigger,
        new_crl: bool,
    ) -> impl Future<Output = Report> + use<P> {
        let boarding = self.flights.board(name, new_crl, |demand| {
            let this = Rc::clone(self);
            async move {
                let refresh = Refresh {
                    host: &this.host,
                    origin: &this.origin,
                    store: &*this.store,
                    settings: &this.settings,
                    issuer: &this.issuer,
                };
                refresh.run(name, trigger, &demand).await
            }
        });
        let landing = boarding.landing();
        if let Boarding::Launched(landing) = boarding {
            let this = Rc::clone(self);
            self.host.spawn(
                async move {
                    let report = landing.await;
                    this.log_report(&report);
                    this.settle_and_set_alarm().await;
                    if report.untold {
                        this.report(name).await;
                    }
                    if report.event.outcome == Outcome::Unchanged {
                        this.compare_with_replica(name).await;
                    }
                }
                .boxed_local(),
            );
        }
        landing
    }

    async fn settle_and_set_alarm(self: &Rc<Self>) {
        // Twice: so that what is owed is paid even if this object ends in the middle of paying.
        let set = self.set_alarm().await;
        self.note(set);
        self.settle().await;
        let set = self.set_alarm().await;
        self.note(set);
    }

    /// Pays what is owed: the copy in KV, the events in D1, what is to be removed.
    async fn settle(self: &Rc<Self>) {
        if self.flights.all_landed() {
            self.note(self.store.sweep(&self.leases.held()));
        }
        let this = Rc::clone(self);
        let publish = self
            .publishing
            .run(|| async move { this.publish_owed().await }.boxed_local());
        // Neither waits for the other: one of them may be down.
        join(publish, self.deliver_events()).await;
        self.remove_doomed().await;
    }

    async fn publish_owed(self: &Rc<Self>) {
        while let Some((name, current, attempts)) = self.next_owed() {
            let _lease = self.leases.take(current.body);
            let write = publish::publish(&self.replica, &self.issuer, name, &current);
            let published = self.within(WRITE_LIMIT, write).await;
            let Some(mut after) = self.note(self.store.crl(name)) else {
                return;
            };
            if after.current.as_ref() != Some(&current) {
                // Another CRL was committed meanwhile, and its own publication is owed.
                continue;
            }
            let now = self.host.now();
            after.publication = match published {
                Some(Ok(())) => {
                    let (replaced, ttl) = (&after.replaced, self.settings.kv_cache_ttl);
                    let doomed = publish::doomed_parts(&self.issuer, name, replaced, now, ttl);
                    if self.note(self.store.doom(&doomed)).is_some() {
                        after.replaced.clear();
                    }
                    Publication::Done { at: now }
                }
                failed => {
                    self.host.log(&serde_json::json!({
                        "level": "warning", "what": "publish to KV failed, will be tried again",
                        "issuer": self.issuer, "crl": name, "attempts": attempts,
                        "cause": cause_of(failed),
                    }));
                    let pause = SOONEST
                        .saturating_mul(1 << attempts.min(8))
                        .min(Duration::from_mins(5));
                    Publication::Owed {
                        attempts: attempts.saturating_add(1),
                        retry_at: now.after(pause),
                    }
                }
            };
            if self.note(self.store.set_crl(name, &after)).is_none() {
                return;
            }
            if attempts > 0 || matches!(after.publication, Publication::Owed { .. }) {
                self.report(name).await;
            }
        }
    }

    /// Tells D1 what no event tells: that KV did not take a CRL, or took it after all; a skip that another list's event stands for.
    async fn report(&self, name: CrlName) {
        if let Some(statuses) = self.note(self.statuses([name], 0)) {
            let report = self.log.append(&[], &statuses);
            // What is lost here is told again with the next event.
            let _ = self.within(WRITE_LIMIT, report).await;
        }
    }

    /// A CRL that KV is to get now, and how often that was tried.
    fn next_owed(&self) -> Option<(CrlName, Current, u32)> {
        let now = self.host.now();
        let crls = self.note(self.store.crls())?;
        crls.into_iter()
            .find_map(|(name, state)| match state.publication {
                Publication::Owed { attempts, retry_at } if retry_at <= now => {
                    Some((name, state.current?, attempts))
                }
                _ => None,
            })
    }

    /// A refresh found the CRL unchanged: a good time to see whether KV still has it.
    async fn compare_with_replica(self: &Rc<Self>, name: CrlName) {
        let state = self.state(name);
        let key = crate::replica::key(&self.issuer, name);
        let Some(Ok(found)) = self.within(WRITE_LIMIT, self.replica.metadata(&key)).await else {
            return;
        };
        let found = found.map(|metadata| metadata.head.sha256);
        if found != state.head().map(|head| head.sha256) {
            self.replica_disagrees(name);
        }
    }

    /// Brings the outbox to D1.
    pub async fn deliver_events(self: &Rc<Self>) {
        let this = Rc::clone(self);
        self.delivering
            .run(|| async move { this.deliver_all().await }.boxed_local())
            .await;
    }

    async fn deliver_all(self: &Rc<Self>) {
        while let Some(events) = self.note(self.store.owed_events(DELIVERY_BATCH)) {
            if events.is_empty() {
                return;
            }
            let names = events.iter().map(|event| event.crl_name);
            let Some(statuses) = self.note(self.statuses(names, events.len() as u64)) else {
                return;
            };
            let append = self.log.append(&events, &statuses);
            match self.within(WRITE_LIMIT, append).await {
                Some(Ok(())) => {
                    let ids: Vec<_> = events.iter().map(|event| event.id).collect();
                    if self.note(self.store.events_delivered(&ids)).is_none() {
                        return;
                    }
                }
                failed => {
                    self.host.log(&serde_json::json!({
                        "level": "warning", "what": "D1 did not take events, they are kept and tried again",
                        "issuer": self.issuer, "events": events.len(),
                        "cause": cause_of(failed),
                    }));
                    return;
                }
            }
        }
    }

    /// The rows in `crl_status` of the CRLs that these events are about.
    fn statuses(
        &self,
        names: impl IntoIterator<Item = CrlName>,
        delivered: u64,
    ) -> Result<Vec<Status>, StoreError> {
        let issuer = self.store.issuer()?;
        let owed = self.store.owed_event_count()?;
        let mut each = Vec::new();
        for name in names {
            if !each.contains(&name) {
                each.push(name);
            }
        }
        each.into_iter()
            .map(|name| {
                Ok(Status {
                    issuer_id: self.issuer.clone(),
                    crl_name: name,
                    state: self.store.crl(name)?,
                    pinned: issuer.pinned.as_ref().map(fingerprint),
                    waiting: issuer.waiting.as_ref().map(fingerprint),
                    events_owed: owed.saturating_sub(delivered),
                })
            })
            .collect()
    }

    async fn remove_doomed(&self) {
        let now = self.host.now();
        for doomed in self.note(self.store.doomed()).unwrap_or_default() {
            if doomed.after > now {
                continue;
            }
            let removed = self.within(WRITE_LIMIT, self.replica.delete(&doomed.key));
            if matches!(removed.await, Some(Ok(()))) {
                self.note(self.store.buried(&doomed.key));
            }
        }
    }

    async fn set_alarm(&self) -> Result<(), StoreError> {
        match self.wake_time()? {
            Some(at) => {
                let soonest = self.host.now().after(SOONEST);
                self.host.set_alarm(at.max(soonest)).await
            }
            None => Ok(()),
        }
    }

    /// When something is to be done next.
    fn wake_time(&self) -> Result<Option<Timestamp>, StoreError> {
        let listed = self.listed();
        let refreshes_and_publications =
            self.store.crls()?.into_iter().flat_map(|(name, state)| {
                let refresh = state.next_attempt.filter(|_| listed.contains(&name));
                let publication = match state.publication {
                    Publication::Owed { retry_at, .. } => Some(retry_at),
                    Publication::Nothing | Publication::Done { .. } => None,
                };
                [refresh, publication]
            });
        // What is owed to D1 and KV was just tried.
        let soon = self.host.now().after(PAUSE);
        let delivery = (self.store.owed_event_count()? > 0).then_some(soon);
        let doomed = self.store.doomed()?.into_iter();
        let removals = doomed.map(|doomed| doomed.after.max(soon));
        Ok(refreshes_and_publications
            .flatten()
            .chain(delivery)
            .chain(removals)
            .min())
    }

    /// The CRLs that the issuer has, as far as this object knows: at least the full one.
    fn listed(&self) -> Vec<CrlName> {
        let record = self
            .note(self.store.issuer())
            .and_then(|issuer| issuer.record);
        match record {
            Some(record) if !record.issuer.crls.is_empty() => {
                record.issuer.crls.iter().map(|crl| crl.name).collect()
            }
            _ => vec![CrlName::Full],
        }
    }

    fn serving(&self, current: Current) -> Serving {
        Serving {
            lease: self.leases.take(current.body),
            current,
        }
    }

    /// What is known of a CRL; nothing where storage cannot be read, which the log tells.
    fn state(&self, name: CrlName) -> CrlState {
        self.note(self.store.crl(name)).unwrap_or_default()
    }

    async fn within<T>(&self, limit: Duration, step: impl Future<Output = T>) -> Option<T> {
        within(self.host.sleep(limit), step).await
    }

    fn note<T>(&self, result: Result<T, StoreError>) -> Option<T> {
        result
            .inspect_err(|error| {
                self.host.log(&serde_json::json!({
                    "level": "error", "what": "storage failed",
                    "issuer": self.issuer, "cause": error.to_string(),
                }));
            })
            .ok()
    }

    fn log_report(&self, report: &Report) {
        let level = if report.event.outcome.succeeded() {
            "info"
        } else {
            "error"
        };
        self.host
            .log(&serde_json::json!({ "level": level, "what": "refresh", "event": report.event }));
    }
}

#[expect(clippy::needless_pass_by_value, reason = "as `map_or_else` gives it")]
fn failed(error: StoreError) -> IssuerAnswer {
    IssuerAnswer::Failed(error.to_string())
}

/// Why a write did not do, in words.
fn cause_of<E: std::fmt::Display>(failed: Option<Result<(), E>>) -> String {
    match failed {
        Some(Err(error)) => error.to_string(),
        _ => "timed out".to_owned(),
    }
}
