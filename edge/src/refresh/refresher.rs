//! One refresh, step by step: ask the origin, admit, commit.

use std::rc::Rc;

use origin_api::{CrlName, IssuerId};

use super::attempt::Attempt;
use super::demand::Demand;
use super::error::{RefreshError, StoreError};
use super::object_state::StateChange;
use super::origin_fetch::{FetchError, OriginFetch};
use super::overrule::Overrule;
use super::ports::{Origin, Runtime, Store};
use super::removal_gate;
use super::staged::FetchOutcome;
use super::state::Candidate;
use super::state_cache::StateCache;
use crate::config::Settings;
use crate::events::{Event, EventId, Trigger};

/// How a refresh ended, for everyone who waited for it.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    /// The event, even if it was not recorded because it would repeat an earlier one.
    pub(crate) event: Event,
    /// Why there is no CRL, if so.
    pub(crate) error: Option<Rc<RefreshError>>,
}

impl Report {
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
}

impl<R: Runtime, O: Origin, S: Store> Refresher<R, O, S> {
    /// Asks the origin, admits what it gives, and commits. When this returns, storage has the new
    /// head and body or the old ones untouched, and the event is in the outbox. Dropping it leaves
    /// the old ones untouched too.
    pub(crate) async fn run(&self, name: CrlName, trigger: Trigger, demand: &Demand) -> Report {
        let started_at = self.runtime.now();
        let random = self.runtime.random();
        let fetch = OriginFetch {
            runtime: &self.runtime,
            origin: &self.origin,
            state: &self.state,
            settings: &self.settings,
            issuer: &self.issuer,
            name,
        };
        let result = fetch.run(demand).await;
        let attempt = Attempt {
            name,
            trigger,
            id: EventId::new(started_at, random),
            started_at,
            ended_at: self.runtime.now(),
            chance: random[9],
        };
        self.report(&attempt, result)
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
            .admit::<R::Hashed>(self.state.store())
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

    fn report(&self, attempt: &Attempt, result: Result<FetchOutcome, FetchError>) -> Report {
        let (event, result) = match self.commit(attempt, &result) {
            Ok(event) => (event, result),
            Err(error) => self.commit_failure(attempt, error),
        };
        Report {
            event,
            error: result.err().map(|failure| Rc::new(failure.error)),
        }
    }

    /// Writes the states and the event that follow from the result, in one transaction.
    fn commit(
        &self,
        attempt: &Attempt,
        result: &Result<FetchOutcome, FetchError>,
    ) -> Result<Event, StoreError> {
        let before = self.state.crl(attempt.name)?;
        let issuer_before = self.state.issuer()?;
        let event = attempt.event(&self.issuer, result, &before);
        if !attempt.leaves_trace(result, &before, &issuer_before) {
            return Ok(event);
        }
        if Attempt::is_outdated(result, &before) {
            return Err(StoreError::Conflict);
        }
        let is_recorded = attempt.should_record(&event, &before);
        let issuer = Attempt::next_issuer_state(&issuer_before, result);
        let crl = attempt.next_crl_state(before, &event, is_recorded, result, &self.settings);
        self.state.commit(StateChange {
            issuer: (issuer != issuer_before).then_some(issuer),
            crl: Some((attempt.name, crl)),
            event: is_recorded.then(|| event.clone()),
            ..StateChange::default()
        })?;
        Ok(event)
    }

    /// Storage did not take the result: record that instead. If even this fails, the log has it.
    fn commit_failure(
        &self,
        attempt: &Attempt,
        error: StoreError,
    ) -> (Event, Result<FetchOutcome, FetchError>) {
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
        (event, result)
    }
}
