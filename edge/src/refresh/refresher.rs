//! One refresh, step by step: ask the origin, admit, commit.

use std::collections::BTreeMap;
use std::rc::Rc;

use origin_api::{CrlName, IssuerId};

use super::attempt::Attempt;
use super::error::{RefreshError, StoreError};
use super::fetch_outcome::{FetchError, FetchOutcome};
use super::moves::{self, Case, EntryLocation, Located, Waiting};
use super::object_state::StateChange;
use super::origin_fetch::{Demand, Fetched, OriginFetch};
use super::overrule::Overrule;
use super::ports::{Origin, OriginAnswer, Runtime, Store};
use super::removal_gate;
use super::shard_index::IndexedList;
use super::shards::Shards;
use super::stagings::Staging;
use super::state::{Candidate, HeldCrl};
use super::state_cache::StateCache;
use crate::config::Settings;
use crate::events::{Event, EventId, Trigger};

type FetchResult = Result<FetchOutcome, FetchError>;

/// How a refresh ended, for everyone who waited for it.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    /// The event, even if it was not recorded because it would repeat an earlier one.
    pub(crate) event: Event,
    /// Why there is no CRL, if so.
    pub(crate) error: Option<Rc<RefreshError>>,
}

impl Report {
    fn new(event: Event, result: FetchResult) -> Self {
        Self {
            event,
            error: result.err().map(|failure| Rc::new(failure.error)),
        }
    }

    /// Whether the issuer has no list of this name.
    pub(crate) fn is_not_listed(&self) -> bool {
        matches!(self.error.as_deref(), Some(RefreshError::NotListed(_)))
    }
}

/// Refreshes one issuer's CRLs.
#[derive(Debug)]
pub(crate) struct Refresher<R, O, S> {
    pub(crate) runtime: R,
    pub(crate) origin: O,
    pub(crate) state: Rc<StateCache<S>>,
    pub(crate) settings: Rc<Settings>,
    pub(crate) issuer: IssuerId,
    pub(crate) shards: Shards,
}

impl<R: Runtime, O: Origin, S: Store> Refresher<R, O, S> {
    /// Asks the origin, admits what it gives, and commits. When this returns, storage has the new
    /// head and body or the old ones untouched, and the event is in the outbox. Dropping it leaves
    /// the old ones untouched too.
    ///
    /// `None`: the CRL of a shard has come, and waits for the issuer's other shards until
    /// [`Refresher::settle`].
    pub(crate) async fn run(
        &self,
        name: CrlName,
        trigger: Trigger,
        demand: &Demand,
    ) -> Option<Report> {
        let started_at = self.runtime.now();
        let random = self.runtime.random();
        let asked_at = self.shards.now();
        let staging = self.state.begin_staging();
        let result = self.fetch(name, demand, None, &staging).await;
        let attempt = Attempt {
            name,
            trigger,
            id: EventId::new(started_at, random),
            started_at,
            ended_at: self.runtime.now(),
            chance: random[9],
        };
        let report = match result {
            Ok(Fetched::Arrived(arrival)) => {
                let waiting = Waiting::new(attempt, *arrival, staging, self.shards.now());
                self.shards.add(waiting);
                self.settle_at_once(name)
            }
            Ok(Fetched::Outcome(outcome)) => Some(self.report(&attempt, Ok(outcome))),
            Err(error) => Some(self.report(&attempt, Err(error))),
        };
        // Other shards may rely on the answer if it is committed, or waits with them.
        if report.as_ref().is_none_or(|report| report.error.is_none()) {
            self.shards.set_asked(name, asked_at);
        }
        report
    }

    async fn fetch(
        &self,
        name: CrlName,
        demand: &Demand,
        waiting: Option<HeldCrl>,
        staging: &Staging,
    ) -> Result<Fetched, FetchError> {
        let fetch = OriginFetch {
            runtime: &self.runtime,
            origin: &self.origin,
            state: &self.state,
            settings: &self.settings,
            issuer: &self.issuer,
            name,
            waiting,
            staging,
        };
        fetch.run(demand).await
    }

    /// Asks the origin whether a CRL that waits is still the current one; if not, the newer one
    /// waits in its place.
    pub(crate) async fn ask_again(&self, name: CrlName) {
        let Some(held) = self.shards.waiting_crl(name) else {
            return;
        };
        let asked_at = self.shards.now();
        let staging = self.state.begin_staging();
        let demand = Demand::default();
        match self.fetch(name, &demand, Some(held), &staging).await {
            Ok(Fetched::Outcome(OriginAnswer::Unchanged)) => {}
            Ok(Fetched::Arrived(arrival)) => self.shards.replace(name, *arrival, staging),
            // The one that waits is concluded as it is, and the next refresh brings this one.
            Ok(Fetched::Outcome(_)) | Err(_) => return,
        }
        self.shards.set_asked(name, asked_at);
    }

    /// The listed shards that have not been asked since the CRLs that wait came, and do not wait
    /// themselves; and those that wait, but were asked before another one came.
    pub(crate) fn shards_to_ask(&self) -> (Vec<CrlName>, Vec<CrlName>) {
        self.shards.to_ask(&self.listed_shards())
    }

    fn listed_shards(&self) -> Vec<CrlName> {
        let listed = self.state.with(|state| state.issuer.listed());
        let mut listed = listed.unwrap_or_default();
        listed.retain(|name| matches!(name, CrlName::Shard(_)));
        listed
    }

    /// Concludes the refresh of a CRL that has just come if nothing can be gained by asking the
    /// other shards: clients have no CRL that could be kept, or all entries are known to stand on
    /// others.
    fn settle_at_once(&self, name: CrlName) -> Option<Report> {
        let now = self.runtime.now();
        let before = self.state.crl(name);
        let is_served = before.is_ok_and(|crl| crl.valid(now).is_some());
        let located = self.locate(name, &self.shards.waiting());
        if is_served && !located.as_ref().is_ok_and(Located::is_settled) {
            return None;
        }
        let mut reports = self.conclude(vec![(name, located)]);
        reports.pop().map(|(_, report)| report)
    }

    /// Concludes the refreshes of all CRLs that wait.
    pub(crate) fn settle(&self) -> Vec<(CrlName, Report)> {
        let waiting = self.shards.waiting();
        let locate = |name: &CrlName| (*name, self.locate(*name, &waiting));
        let located = waiting.keys().map(locate).collect();
        drop(waiting);
        self.conclude(located)
    }

    /// Concludes the refreshes of CRLs that wait, together. Nothing here awaits, and those that
    /// pass are committed in one transaction: an entry that moves is always on one of them.
    fn conclude(
        &self,
        located: Vec<(CrlName, Result<Located, StoreError>)>,
    ) -> Vec<(CrlName, Report)> {
        let now = self.runtime.now();
        let listed = self.listed_shards();
        let mut taken = self.shards.take(located.iter().map(|(name, _)| name));
        let mut judged = BTreeMap::new();
        let mut reports = Vec::new();
        for (name, located) in located {
            let states = located.and_then(|located| Ok((located, self.state.crl(name)?)));
            match states {
                Ok(states) => {
                    judged.insert(name, states);
                }
                Err(error) => {
                    let waiting = taken.remove(&name);
                    let report =
                        |waiting: Waiting| (name, self.report(&waiting.attempt, Err(error.into())));
                    reports.extend(waiting.map(report));
                }
            }
        }
        let cases = judged.iter().filter_map(|(name, (located, before))| {
            let waiting = taken.get(name)?;
            let case = Case {
                located,
                comparison: &waiting.arrival.comparison,
                held: before.current.as_ref()?,
                before,
                is_confirmed: self.shards.is_confirmed(waiting, &listed),
            };
            Some((*name, case))
        });
        let cases: Vec<_> = cases.collect();
        let verdicts = moves::judge(&cases, &self.settings, now);
        let mut passing = Vec::new();
        let mut rest = Vec::new();
        for (name, waiting) in taken {
            let Waiting {
                mut attempt,
                mut arrival,
                list,
                ..
            } = waiting;
            attempt.ended_at = now;
            arrival.admitted.index = list.index.get();
            let judged = judged.get(&name);
            let held = judged.and_then(|(_, before)| before.current.as_ref());
            let result = match (judged, held, verdicts.get(&name)) {
                (Some((located, _)), Some(held), Some(own)) => {
                    moves::conclude(arrival, located, &verdicts, *own, held, now)
                        .map_err(|failure| *failure)
                }
                _ => Err(StoreError::Conflict.into()),
            };
            match result {
                Ok(admitted) => passing.push((attempt, Ok(OriginAnswer::Crl(Box::new(admitted))))),
                Err(error) => rest.push((attempt, error)),
            }
        }
        reports.extend(self.report_together(passing));
        for (attempt, error) in rest {
            reports.push((attempt.name, self.report(&attempt, Err(error))));
        }
        reports
    }

    /// Where the entries that a waiting CRL lost stand.
    fn locate(
        &self,
        name: CrlName,
        waiting: &BTreeMap<CrlName, Waiting>,
    ) -> Result<Located, StoreError> {
        let Some(own) = waiting.get(&name) else {
            return Ok(Located::default());
        };
        let (store, now) = (self.state.store(), self.runtime.now());
        let key = removal_gate::key(self.runtime.random());
        let others = self
            .listed_shards()
            .into_iter()
            .filter(|other| *other != name);
        let (mut held, mut withheld) = (Vec::new(), Vec::new());
        let mut together = Vec::new();
        for other in others {
            if let Some(waiting) = waiting.get(&other) {
                together.push((EntryLocation::Waiting(other), &waiting.list));
                continue;
            }
            let crl = self.state.crl(other)?;
            if let Some(current) = crl.valid(now) {
                let list = IndexedList::new(current.body, current.pieces, crl.index);
                held.push((other, list));
            }
            if let Some(candidate) = crl.candidate.filter(Candidate::lost_entries) {
                let list = IndexedList::new(candidate.body, candidate.pieces, None);
                withheld.push((EntryLocation::Withheld(other), list));
            }
        }
        let locations = held
            .iter()
            .map(|(other, list)| (EntryLocation::Held(*other), list));
        let locations = locations
            .chain(together)
            .chain(withheld.iter().map(|(location, list)| (*location, list)));
        let locations: Vec<_> = locations.collect();
        let located = Located::find(store, &own.arrival.open, &locations, key);
        // An index that was made is kept with its CRL.
        for (other, list) in &held {
            let mut crl = self.state.crl(*other)?;
            if crl.index != list.index.get() {
                crl.index = list.index.get();
                self.state.commit(StateChange::of_crl(*other, crl))?;
            }
        }
        located
    }

    /// Commits the CRL that was refused last, because an operator accepts it. `by` is the
    /// operator's name. Nothing here awaits, so nothing can happen meanwhile.
    pub(crate) fn accept(
        &self,
        name: CrlName,
        candidate: &Candidate,
        by: &str,
    ) -> Result<Report, StoreError> {
        let started_at = self.runtime.now();
        let random = self.runtime.random();
        let (before, issuer) = (self.state.crl(name)?, self.state.issuer()?);
        let overrule = Overrule {
            candidate,
            by,
            name,
            before: &before,
            issuer: &issuer,
            settings: &self.settings,
            now: started_at,
            key: removal_gate::key(random),
        };
        let result = overrule
            .admit::<R>(self.state.store())
            .map_err(|error| FetchError::about(error, candidate.partial()));
        let attempt = Attempt {
            name,
            trigger: Trigger::Operator,
            id: EventId::new(started_at, random),
            started_at,
            ended_at: self.runtime.now(),
            chance: random[9],
        };
        Ok(self.report(&attempt, result))
    }

    fn report(&self, attempt: &Attempt, result: FetchResult) -> Report {
        match self.commit(attempt, &result) {
            Ok(event) => Report::new(event, result),
            Err(error) => self.report_failure(attempt, error),
        }
    }

    fn commit(&self, attempt: &Attempt, result: &FetchResult) -> Result<Event, StoreError> {
        let (event, change) = self.outcome(attempt, result)?;
        self.state.commit_all(change)?;
        Ok(event)
    }

    /// Commits refreshes that have ended, in one transaction: all of them, or none.
    fn report_together(&self, ended: Vec<(Attempt, FetchResult)>) -> Vec<(CrlName, Report)> {
        let outcomes = ended.iter();
        let outcomes = outcomes.map(|(attempt, result)| self.outcome(attempt, result));
        let committed = outcomes
            .collect::<Result<Vec<_>, _>>()
            .and_then(|outcomes| {
                let (events, changes): (Vec<_>, Vec<_>) = outcomes.into_iter().unzip();
                self.state.commit_all(changes.into_iter().flatten())?;
                Ok(events)
            });
        match committed {
            Ok(events) => {
                let report = |((attempt, result), event): ((Attempt, FetchResult), Event)| {
                    (attempt.name, Report::new(event, result))
                };
                ended.into_iter().zip(events).map(report).collect()
            }
            Err(error) => {
                let report = |(attempt, _): (Attempt, FetchResult)| {
                    (attempt.name, self.report_failure(&attempt, error.clone()))
                };
                ended.into_iter().map(report).collect()
            }
        }
    }

    /// The event, and what is to be stored with it, that follow from the result.
    fn outcome(
        &self,
        attempt: &Attempt,
        result: &FetchResult,
    ) -> Result<(Event, Option<StateChange>), StoreError> {
        let before = self.state.crl(attempt.name)?;
        let issuer_before = self.state.issuer()?;
        let event = attempt.event(&self.issuer, result, &before);
        if !attempt.leaves_trace(result, &before, &issuer_before) {
            return Ok((event, None));
        }
        if Attempt::is_outdated(result, &before) {
            return Err(StoreError::Conflict);
        }
        let is_recorded = attempt.should_record(&event, &before);
        let issuer = Attempt::next_issuer_state(&issuer_before, result);
        let crl = attempt.next_crl_state(before, &event, is_recorded, result, &self.settings);
        let change = StateChange {
            issuer: (issuer != issuer_before).then_some(issuer),
            crl: Some((attempt.name, crl)),
            event: is_recorded.then(|| event.clone()),
            ..StateChange::default()
        };
        Ok((event, Some(change)))
    }

    /// Storage did not take the result: record that instead. If even this fails, the log has it.
    fn report_failure(&self, attempt: &Attempt, error: StoreError) -> Report {
        let result = Err(FetchError::from(error));
        let event = self.commit(attempt, &result).unwrap_or_else(|again| {
            let before = self.state.crl(attempt.name).unwrap_or_default();
            let event = attempt.event(&self.issuer, &result, &before);
            self.runtime.log(&serde_json::json!({
                "level": "error", "what": "event lost to failing storage",
                "event": event, "cause": again.to_string(),
            }));
            event
        });
        Report::new(event, result)
    }
}
