//! The issuer's service: whoever wants a CRL, or wants it refreshed, asks here.

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{LocalBoxFuture, join, join_all};
use futures_util::stream::{self, StreamExt as _};
use origin_api::CrlName;

use super::alarm::Alarm;
use super::leases::{BodyLease, Leases};
use super::outbox::Outbox;
use super::ports::{IssuerDeps, IssuerPorts, Shared};
use super::protocol::{
    AcceptAnswer, IssuerAnswer, IssuerRequest, Overview, TrustAnswer, Unavailable,
};
use super::publisher::Publisher;
use super::removal::Removal;
use super::reports::Reports;
use super::singleflight::{FlightFuture, Join, Singleflight};
use super::turns::{AT_ONCE, Turns};
use crate::events::{Event, Outcome, Trigger};
use crate::refresh::{
    ChangesAnswer, ChangesPlace, CrlState, Current, ObjectState, RefreshError, Refresher, Report,
    Runtime as _, Sha256, Shards, StateCache, StateChange, StoreError, fingerprint,
};
use crate::time::{Timestamp, within};

/// How long shards that lost entries wait, at most, until the others have been asked.
const ASK_LIMIT: Duration = Duration::from_mins(5);

/// Keeps one issuer's CRLs.
pub struct IssuerService<P: IssuerPorts> {
    shared: Rc<Shared<P>>,
    refresher: Rc<Refresher<P::Runtime, P::Origin, P::Store>>,
    flights: Singleflight<Report>,
    turns: Turns,
    reports: Reports,
    leases: Leases,
    publisher: Rc<Publisher<P>>,
    outbox: Rc<Outbox<P>>,
    removal: Removal<P>,
    alarm: Alarm,
}

/// A CRL to be served. Its body stays in storage for as long as this lives.
#[derive(Debug)]
pub struct LeasedCrl {
    /// The CRL.
    pub current: Current,
    /// Keeps the body from being swept.
    pub lease: BodyLease,
}

impl<P: IssuerPorts> IssuerService<P> {
    /// Starts the service: sweeps what a refresh had staged when the object last ended, and does
    /// what was owed then. An alarm may not have been set in time.
    pub fn start(deps: IssuerDeps<P>) -> Rc<Self> {
        let state = Rc::new(StateCache::new(deps.store));
        let shared = Rc::new(Shared {
            runtime: deps.runtime.clone(),
            state: Rc::clone(&state),
            settings: Rc::clone(&deps.settings),
            issuer: deps.issuer.clone(),
        });
        let leases = Leases::default();
        let outbox = Rc::new(Outbox::new(&shared, deps.log));
        let publisher = Rc::new(Publisher::new(&shared, deps.replica, &leases, &outbox));
        let service = Rc::new(Self {
            removal: Removal::new(&shared, deps.registry, &publisher, &outbox),
            publisher,
            refresher: Rc::new(Refresher {
                runtime: deps.runtime,
                origin: deps.origin,
                state,
                settings: deps.settings,
                issuer: deps.issuer,
                shards: Shards::default(),
            }),
            flights: Singleflight::default(),
            turns: Turns::default(),
            reports: Reports::default(),
            alarm: Alarm::default(),
            shared,
            leases,
            outbox,
        });
        service.spawn_pending();
        service
    }

    /// The object's storage, which has the bodies.
    #[must_use]
    pub fn store(&self) -> Rc<P::Store> {
        self.shared.state.store_rc()
    }

    /// Carries out a request. A CRL's body comes beside its answer.
    pub async fn answer(
        self: &Rc<Self>,
        request: IssuerRequest,
    ) -> (IssuerAnswer, Option<LeasedCrl>) {
        let answer = match request {
            IssuerRequest::Serve {
                name,
                seen,
                held_only,
            } => {
                let served = if held_only {
                    self.serve_held(name)
                } else {
                    self.serve(name).await
                };
                match served {
                    Ok(leased) => {
                        let head = leased.current.head.clone();
                        if seen != Some(head.sha256) {
                            self.replica_disagrees(name);
                        }
                        return (IssuerAnswer::Crl(head), Some(leased));
                    }
                    Err(unavailable) => IssuerAnswer::Unavailable(unavailable),
                }
            }
            IssuerRequest::Held { name } => match self.shared.state.crl(name) {
                Ok(CrlState {
                    current: Some(current),
                    ..
                }) => {
                    let head = current.head.clone();
                    return (IssuerAnswer::Crl(head), Some(self.leased(current)));
                }
                Ok(_) => IssuerAnswer::Unavailable(Unavailable::NotHeld),
                Err(error) => failed(error),
            },
            IssuerRequest::RefreshDue { name } => {
                self.refresh_due(name);
                IssuerAnswer::Done
            }
            IssuerRequest::Refresh { name, trigger } => {
                IssuerAnswer::Refreshed(self.refresh(name, trigger).await)
            }
            IssuerRequest::FlushPending => {
                self.shared.ok_or_log(self.removal.look().await);
                self.spawn_pending();
                IssuerAnswer::Done
            }
            IssuerRequest::Overview => self.overview().map_or_else(failed, |overview| {
                IssuerAnswer::Overview(Box::new(overview))
            }),
            IssuerRequest::Trust { sha256 } => self
                .trust(sha256)
                .await
                .map_or_else(failed, IssuerAnswer::Trust),
            IssuerRequest::Retire { name } => self.retire(name).await,
            IssuerRequest::Accept { name, sha256, by } => self
                .accept(name, sha256, &by)
                .await
                .map_or_else(failed, IssuerAnswer::Accept),
            IssuerRequest::Changes { name, place } => self
                .changes(name, &place)
                .map_or_else(failed, IssuerAnswer::Changes),
        };
        (answer, None)
    }

    /// The CRL for a relying party: the committed one while it is valid, else the one that a
    /// refresh brings.
    pub(super) async fn serve(self: &Rc<Self>, name: CrlName) -> Result<LeasedCrl, Unavailable> {
        let now = self.shared.runtime.now();
        let crl = self.crl(name);
        if let Some(current) = crl.valid(now) {
            let current = current.clone();
            self.refresh_due(name);
            return Ok(self.leased(current));
        }
        let is_gone = self.is_gone();
        // After a failure the back-off decides when the origin is asked, not the clients.
        let mut outcome = crl.last_outcome;
        if crl.may_refresh(now) && !is_gone {
            let report = self.join_or_start(name, Trigger::Request, false).await;
            outcome = Some(report.event.outcome);
        }
        let (now, crl) = (self.shared.runtime.now(), self.crl(name));
        if let Some(leased) = self.servable(&crl, now) {
            return Ok(leased);
        }
        if outcome == Some(Outcome::Skipped) {
            return Err(Unavailable::PublishedElsewhere);
        }
        let wait = crl.not_before.map_or(Duration::ZERO, |at| at.since(now));
        Err(Unavailable::RetryAfter {
            seconds: wait.as_secs().clamp(1, 3600),
        })
    }

    /// The committed CRL for a relying party, if the origin lists none of this name any more.
    fn serve_held(&self, name: CrlName) -> Result<LeasedCrl, Unavailable> {
        self.servable(&self.crl(name), self.shared.runtime.now())
            .ok_or(Unavailable::NotHeld)
    }

    /// The committed CRL, if it is valid or may be served expired.
    fn servable(&self, crl: &CrlState, now: Timestamp) -> Option<LeasedCrl> {
        let expired = || {
            let current = crl.current.as_ref();
            current.filter(|_| self.shared.settings.serve_expired)
        };
        let current = crl.valid(now).or_else(expired)?;
        Some(self.leased(current.clone()))
    }

    /// Starts the refresh of a CRL that is due, unless back-off forbids it.
    fn refresh_due(self: &Rc<Self>, name: CrlName) {
        if self.crl(name).may_refresh(self.shared.runtime.now()) && !self.is_withdrawn(name) {
            drop(self.join_or_start(name, Trigger::Request, false));
        }
    }

    /// Refreshes one CRL, or all of the issuer's: one event for each. An operator looks at the
    /// table next, so the events are in D1 when this returns, unless D1 is down. A tick does not
    /// wait for D1.
    pub(super) async fn refresh(
        self: &Rc<Self>,
        name: Option<CrlName>,
        trigger: Trigger,
    ) -> Vec<Event> {
        let names = match name {
            Some(name) => vec![name],
            None => self.listed(),
        };
        let mut reports = self.refresh_each(names.clone(), trigger).await;
        if name.is_none() {
            // Nobody named this list, and there is none.
            reports.retain(|report| !report.is_not_listed());
            // Only the first refresh reads which lists there are.
            let mut others = self.listed();
            others.retain(|name| !names.contains(name));
            reports.extend(self.refresh_each(others, trigger).await);
        }
        if trigger != Trigger::Cron {
            self.outbox.flush().await;
        }
        reports.into_iter().map(|report| report.event).collect()
    }

    /// Refreshes these CRLs, a few at once. It goes on if the caller leaves.
    fn refresh_each(
        self: &Rc<Self>,
        mut names: Vec<CrlName>,
        trigger: Trigger,
    ) -> impl Future<Output = Vec<Report>> + use<P> {
        let new_crl = matches!(trigger, Trigger::Operator | Trigger::Hook);
        names.retain(|name| new_crl || !self.is_origin_closed(*name));
        let this = Rc::clone(self);
        let all: LocalBoxFuture<'static, Vec<Report>> = stream::iter(names)
            .map(move |name| this.join_or_start(name, trigger, new_crl))
            .buffered(AT_ONCE)
            .collect()
            .boxed_local();
        let all = all.shared();
        self.shared
            .runtime
            .spawn(all.clone().map(drop).boxed_local());
        all
    }

    /// The alarm: refreshes what is due, does what is owed, and sets itself again. It may run
    /// twice.
    ///
    /// # Errors
    /// Storage failed: the platform then runs it again.
    pub async fn alarm(self: &Rc<Self>) -> Result<(), StoreError> {
        self.alarm.has_gone_off();
        let now = self.shared.runtime.now();
        let is_due = |name: &CrlName| {
            let crl = self.crl(*name);
            // The cron or a request brings back a list without a next attempt.
            crl.last_outcome.is_none() || crl.next_attempt.is_some_and(|at| at <= now)
        };
        let mut due = if self.is_gone() {
            Vec::new()
        } else {
            self.listed()
        };
        due.retain(is_due);
        if !due.is_empty() {
            self.refresh_each(due, Trigger::Alarm).await;
        }
        self.removal.remove_expired().await?;
        self.do_pending().await;
        self.set_alarm().await
    }

    /// What operators see.
    pub(super) fn overview(&self) -> Result<Overview, StoreError> {
        let outbox = self.outbox.newest()?;
        self.shared.state.with(|state| Overview {
            issuer: state.issuer.clone(),
            crls: state
                .crls
                .iter()
                .filter(|(_, crl)| crl.is_removable() || crl.remembered.is_none())
                .map(|(name, crl)| (*name, crl.clone()))
                .collect(),
            events_owed: state.events_owed,
            outbox,
        })
    }

    /// Pins the changed certificate that waits for the operator, if it has this SHA-256, and
    /// refreshes with it. Another one may have come since the operator compared them.
    pub(super) async fn trust(self: &Rc<Self>, sha256: Sha256) -> Result<TrustAnswer, StoreError> {
        let mut issuer = self.shared.state.issuer()?;
        let Some(pending) = issuer.pending_certificate.take() else {
            return Ok(TrustAnswer::NoneWaiting);
        };
        let found = fingerprint(&pending);
        if found != sha256 {
            return Ok(TrustAnswer::OtherWaiting(found));
        }
        issuer.pinned = Some(pending);
        self.shared.state.commit(StateChange {
            issuer: Some(issuer),
            ..StateChange::default()
        })?;
        let events = self.refresh(None, Trigger::Operator).await;
        Ok(TrustAnswer::Pinned(events))
    }

    /// Removes a CRL, or all of the issuer's, that the origin no longer lists. When it returns, KV
    /// and D1 have removed them too, unless one of them is down.
    async fn retire(self: &Rc<Self>, name: Option<CrlName>) -> IssuerAnswer {
        let retired = self.removal.retire(name).await;
        self.do_pending_and_set_alarm().await;
        retired.map_or_else(failed, IssuerAnswer::Retire)
    }

    /// Commits the CRL that was refused last, if it has this SHA-256 and an operator may accept it.
    pub(super) async fn accept(
        self: &Rc<Self>,
        name: CrlName,
        sha256: Sha256,
        by: &str,
    ) -> Result<AcceptAnswer, StoreError> {
        let Some(candidate) = self.shared.state.crl(name)?.candidate else {
            return Ok(AcceptAnswer::NoneRefused);
        };
        if candidate.sha256 != sha256 {
            return Ok(AcceptAnswer::OtherRefused(candidate.sha256));
        }
        let report = self.refresher.accept(name, &candidate, by)?;
        self.after_refresh(name, &report).await;
        self.outbox.flush().await;
        Ok(AcceptAnswer::Checked(Box::new(report.event)))
    }

    /// What the last CRLs of a name added and removed.
    pub(super) fn changes(
        &self,
        name: CrlName,
        place: &ChangesPlace,
    ) -> Result<ChangesAnswer, StoreError> {
        let crl = self.shared.state.crl(name)?;
        match (crl.head(), &crl.changes) {
            (Some(head), Some(changes)) => changes.read(self.shared.state.store(), head, place),
            _ => Ok(ChangesAnswer::Forgotten(None)),
        }
    }

    /// KV returned something else to a reader than what is committed, or nothing.
    pub(super) fn replica_disagrees(self: &Rc<Self>, name: CrlName) {
        if self.publisher.owe_again(name) {
            self.spawn_pending();
        }
    }

    /// Joins the refresh of a CRL that is under way, or starts one and what follows it (KV, D1, the
    /// alarm). Dropping the result does not stop it.
    fn join_or_start(
        self: &Rc<Self>,
        name: CrlName,
        trigger: Trigger,
        new_crl: bool,
    ) -> FlightFuture<Report> {
        let join = self.flights.join(name, new_crl, |demand| {
            let this = Rc::clone(self);
            async move {
                let turn = this.turns.take().await;
                let report = this.refresher.run(name, trigger, &demand).await;
                drop(turn);
                match report {
                    Some(report) => report,
                    None => this.wait_for_shards(name).await,
                }
            }
        });
        let result = join.result();
        if let Join::Started(flight) = join {
            let this = Rc::clone(self);
            let task = async move {
                let report = flight.await;
                this.after_refresh(name, &report).await;
            };
            self.shared.runtime.spawn(task.boxed_local());
        }
        result
    }

    /// The new CRL of a shard waits until the others have been asked whether they have what it
    /// lost.
    async fn wait_for_shards(self: &Rc<Self>, name: CrlName) -> Report {
        self.reports.wake();
        if !self.reports.is_under_way.replace(true) {
            let this = Rc::clone(self);
            let settle = async move {
                this.shared.within(ASK_LIMIT, this.ask_shards()).await;
                this.reports.is_under_way.set(false);
                this.reports.add(this.refresher.settle());
            };
            self.shared.runtime.spawn(settle.boxed_local());
        }
        self.reports.take(name).await
    }

    /// Asks the origin for all shards that may have what those that wait have lost. Some of them
    /// may then wait, too.
    async fn ask_shards(self: &Rc<Self>) {
        let mut asked = Vec::new();
        loop {
            let (mut others, waiting) = self.refresher.shards_to_ask();
            // One that failed twice, or whose refresh began too early twice, is not asked again.
            others.retain(|name| {
                let times = asked.iter().filter(|other| *other == name).count();
                times < 2 && !self.is_origin_closed(*name)
            });
            if others.is_empty() {
                join_all(waiting.into_iter().map(|name| self.ask_again(name))).await;
                return;
            }
            join_all(others.iter().map(|name| self.ask_shard(*name))).await;
            asked.extend(others);
        }
    }

    /// Refreshes a shard, until it has ended or waits.
    async fn ask_shard(self: &Rc<Self>, name: CrlName) {
        let ended = self.join_or_start(name, Trigger::Alarm, false);
        let shards = &self.refresher.shards;
        let waits = self.reports.until(|| shards.is_waiting(name).then_some(()));
        within(waits, ended).await;
    }

    async fn ask_again(&self, name: CrlName) {
        let _turn = self.turns.take().await;
        self.refresher.ask_again(name).await;
    }

    async fn after_refresh(self: &Rc<Self>, name: CrlName, report: &Report) {
        let outcome = report.event.outcome;
        let level = if outcome.succeeded() { "info" } else { "error" };
        self.shared
            .runtime
            .log(&serde_json::json!({ "level": level, "what": "refresh", "event": report.event }));
        if self.crl(name).last_outcome.is_some() {
            self.outbox.mark(name);
        }
        let error = report.error.as_deref();
        if error.is_some_and(RefreshError::says_unknown) && !self.is_gone() {
            self.shared.ok_or_log(self.removal.look().await);
        }
        self.do_pending_and_set_alarm().await;
        // A good time to see whether KV still has it.
        if outcome == Outcome::Unchanged && self.publisher.is_in_kv(name).await == Some(false) {
            self.replica_disagrees(name);
        }
    }

    fn spawn_pending(self: &Rc<Self>) {
        let this = Rc::clone(self);
        let settle = async move { this.do_pending_and_set_alarm().await };
        self.shared.runtime.spawn(settle.boxed_local());
    }

    async fn do_pending_and_set_alarm(self: &Rc<Self>) {
        // Before, so that what is owed is done even if the object ends meanwhile; and after.
        let set = self.set_alarm().await;
        self.shared.ok_or_log(set);
        self.do_pending().await;
        let set = self.set_alarm().await;
        self.shared.ok_or_log(set);
    }

    async fn set_alarm(&self) -> Result<(), StoreError> {
        let removal = |state: &ObjectState| self.removal.next_time(state);
        self.alarm.follow(&self.shared, removal).await
    }

    /// Does the pending work: sweeps unused bodies, writes to KV, and delivers events to D1. If
    /// nothing is left of an issuer that is gone, the registry forgets it.
    async fn do_pending(&self) {
        let read = self.leases.held(self.shared.runtime.now());
        self.shared.ok_or_log(self.shared.state.sweep(read));
        // Neither waits for the other: one of them may be down.
        join(self.publisher.flush(), self.outbox.flush()).await;
        self.shared.ok_or_log(self.removal.forget_once_done().await);
    }

    /// The issuer's CRLs, as far as this object knows.
    fn listed(&self) -> Vec<CrlName> {
        let listed = self.shared.state.with(|state| state.issuer.listed());
        self.shared
            .ok_or_log(listed)
            .unwrap_or_else(|| vec![CrlName::Full])
    }

    /// Whether the registry does not list the issuer any more, as far as this object knows.
    fn is_gone(&self) -> bool {
        let is_gone = self
            .shared
            .state
            .with(|state| state.issuer.gone_since.is_some());
        self.shared.ok_or_log(is_gone).unwrap_or(false)
    }

    /// Whether the origin is known not to list this CRL any more.
    fn is_withdrawn(&self, name: CrlName) -> bool {
        let is_withdrawn = self
            .shared
            .state
            .with(|state| state.issuer.has_withdrawn(name));
        self.shared.ok_or_log(is_withdrawn).unwrap_or(false)
    }

    /// Whether the origin wants to be left alone about this CRL.
    fn is_origin_closed(&self, name: CrlName) -> bool {
        let closed_until = self.crl(name).origin_closed_until;
        closed_until.is_some_and(|until| until > self.shared.runtime.now())
    }

    fn leased(&self, current: Current) -> LeasedCrl {
        LeasedCrl {
            lease: self.leases.take(current.body, self.shared.runtime.now()),
            current,
        }
    }

    /// What is known of a CRL; nothing, after an entry in the log, if storage cannot be read.
    fn crl(&self, name: CrlName) -> CrlState {
        self.shared
            .ok_or_log(self.shared.state.crl(name))
            .unwrap_or_default()
    }
}

impl<P: IssuerPorts> fmt::Debug for IssuerService<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssuerService")
            .field("issuer", &self.shared.issuer)
            .finish_non_exhaustive()
    }
}

#[expect(clippy::needless_pass_by_value, reason = "as `map_or_else` gives it")]
fn failed(error: StoreError) -> IssuerAnswer {
    IssuerAnswer::Failed(error.to_string())
}
