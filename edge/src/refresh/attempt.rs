//! What follows from the result of a refresh: its event, and the next states. Pure.

use std::time::Duration;

use crl::UnixTime;
use origin_api::{CrlName, IssuerId};

use super::backoff;
use super::error::RefreshError;
use super::fetch_outcome::{Admitted, FetchError, FetchOutcome};
use super::head::Head;
use super::ports::OriginAnswer;
use super::state::{
    Changes, CrlState, Current, IssuerState, LastError, Publication, RecordedFailure, RefreshCount,
};
use crate::config::Settings;
use crate::events::{Event, EventId, Outcome, PartialCrl, Trigger};
use crate::time::Timestamp;

/// How often a failure that repeats is recorded.
const REPEATED_FAILURE: Duration = Duration::from_hours(1);

/// A refresh that has ended.
pub(super) struct Attempt {
    pub(super) name: CrlName,
    pub(super) trigger: Trigger,
    pub(super) id: EventId,
    pub(super) started_at: Timestamp,
    pub(super) ended_at: Timestamp,
    pub(super) chance: backoff::Chance,
}

type FetchResult = Result<FetchOutcome, FetchError>;

impl Attempt {
    pub(super) fn event(
        &self,
        issuer: &IssuerId,
        result: &FetchResult,
        before: &CrlState,
    ) -> Event {
        let outcome = match result {
            Ok(OriginAnswer::Crl(_)) => Outcome::Published,
            Ok(OriginAnswer::Unchanged) => Outcome::Unchanged,
            Ok(OriginAnswer::NothingToPublish) => Outcome::Skipped,
            Err(failure) => failure.error.outcome(),
        };
        let crl = match result {
            Ok(OriginAnswer::Crl(admitted)) => admitted.partial(),
            Ok(OriginAnswer::Unchanged) => before.head().map(PartialCrl::from).unwrap_or_default(),
            Ok(OriginAnswer::NothingToPublish) => PartialCrl::default(),
            Err(failure) => failure.crl.clone(),
        };
        let event = Event::new(
            self.id,
            (issuer, self.name),
            self.trigger,
            outcome,
            self.started_at,
            self.duration(),
        )
        .about(&crl);
        match result {
            Ok(_) => event,
            Err(failure) => event.because(failure.error.code(), failure.error.to_string()),
        }
    }

    /// Whether anything is stored. A name that the origin does not list and that has no state is
    /// made up, or was guessed before the record was read.
    pub(super) fn leaves_trace(
        &self,
        result: &FetchResult,
        before: &CrlState,
        issuer: &IssuerState,
    ) -> bool {
        let may_exist = match result {
            Err(failure) => !matches!(failure.error, RefreshError::NotListed(_)),
            Ok(OriginAnswer::NothingToPublish) => {
                self.trigger != Trigger::Request || issuer.lists(self.name)
            }
            Ok(_) => true,
        };
        may_exist || *before != CrlState::default()
    }

    /// Whether another CRL than the one that the result replaces was committed meanwhile.
    pub(super) fn is_outdated(result: &FetchResult, before: &CrlState) -> bool {
        let held = before.head().map(|head| head.sha256);
        matches!(result, Ok(OriginAnswer::Crl(admitted)) if admitted.replaces != held)
    }

    /// Whether to record the refresh as an event. Those of operators and hooks always are; a new
    /// CRL is, and "unchanged" is not; a failure that repeats is recorded once an hour.
    pub(super) fn should_record(&self, event: &Event, before: &CrlState) -> bool {
        if matches!(self.trigger, Trigger::Operator | Trigger::Hook) {
            return true;
        }
        match event.outcome {
            Outcome::Published => true,
            Outcome::Unchanged => false,
            Outcome::Skipped => before.last_outcome != Some(Outcome::Skipped),
            Outcome::Rejected | Outcome::Failed => {
                let is_repeated = |last: &RecordedFailure| {
                    event.error_code.as_ref() == Some(&last.code)
                        && self.ended_at.since(last.at) < REPEATED_FAILURE
                };
                !before.recorded_failure.as_ref().is_some_and(is_repeated)
            }
        }
    }

    /// The issuer's state after the refresh.
    pub(super) fn next_issuer_state(before: &IssuerState, result: &FetchResult) -> IssuerState {
        let mut issuer = before.clone();
        if result.is_ok() {
            issuer.gone_since = None;
        }
        match result {
            Ok(OriginAnswer::Crl(admitted)) => {
                // Meanwhile the operator may have trusted another certificate, which then stays.
                let pinned = issuer.pinned.get_or_insert(admitted.certificate.clone());
                if *pinned == admitted.certificate {
                    issuer.pending_certificate = None;
                }
            }
            Ok(OriginAnswer::Unchanged) => issuer.pending_certificate = None,
            Err(failure) if matches!(failure.error, RefreshError::IssuerChanged) => {
                issuer.pending_certificate = issuer
                    .record
                    .as_ref()
                    .map(|record| record.issuer.certificate.clone());
            }
            Ok(OriginAnswer::NothingToPublish) | Err(_) => {}
        }
        issuer
    }

    /// The CRL's state after the refresh.
    pub(super) fn next_crl_state(
        &self,
        before: CrlState,
        event: &Event,
        is_recorded: bool,
        result: &FetchResult,
        settings: &Settings,
    ) -> CrlState {
        let mut state = before;
        let millis = u64::try_from(self.ended_at.as_millis()).unwrap_or(0);
        state.revision = state.revision.saturating_add(1).max(millis);
        state.last_duration_ms = event.duration_ms;
        state.last_outcome = Some(event.outcome);
        count(&mut state.counts, event);
        match result {
            Ok(answer) => {
                state.consecutive_failures = 0;
                state.failing_since = None;
                state.last_error = None;
                state.recorded_failure = None;
                state.origin_closed_until = None;
                state.candidate = None;
                state.withheld_since = None;
                state.unconfirmed_since = None;
                match answer {
                    OriginAnswer::Crl(admitted) => {
                        self.replace_current(&mut state, admitted, settings);
                    }
                    OriginAnswer::Unchanged => self.prolong(&mut state, settings),
                    OriginAnswer::NothingToPublish => {
                        state.next_attempt = None;
                        state.not_before = Some(self.ended_at.after(settings.registry_ttl));
                    }
                }
            }
            Err(failure) => {
                if event.outcome == Outcome::Rejected {
                    state.candidate.clone_from(&failure.candidate);
                }
                if matches!(failure.error, RefreshError::EntriesVanished { .. }) {
                    state.withheld_since.get_or_insert(self.ended_at);
                }
                if matches!(failure.error, RefreshError::MoveUnconfirmed { .. }) {
                    state.unconfirmed_since.get_or_insert(self.ended_at);
                }
                self.fail(&mut state, &failure.error, event, is_recorded);
            }
        }
        state
    }

    /// Puts the admitted CRL in the place of the one that is held.
    fn replace_current(&self, state: &mut CrlState, admitted: &Admitted, settings: &Settings) {
        let mut head = admitted.head.clone();
        // Clients compare Last-Modified, which counts seconds: each CRL has its own.
        let next_second = |head: &Head| {
            let UnixTime(second) = head.committed_at.as_unix_time();
            Timestamp::from(UnixTime(second.saturating_add(1)))
        };
        let earliest = state.last_head().map(next_second);
        head.committed_at = earliest.map_or(self.ended_at, |at| at.max(self.ended_at));
        head.refresh_after = self.refresh_time(&head, settings);
        let changes = state.changes.take();
        state.changes = Some(Changes::next(
            changes,
            state.head(),
            &head,
            admitted.changes,
        ));
        state
            .replaced
            .extend(state.current.take().map(|current| current.head));
        state.next_attempt = Some(head.refresh_after);
        state.not_before = state.next_attempt;
        state.watermark = admitted.watermark.or(state.watermark);
        state.remembered = None;
        state.removal_owed = false;
        state.moved_to.clone_from(&admitted.moved_to);
        state.index = admitted.index;
        state.current = Some(Current {
            head,
            body: admitted.body,
            pieces: admitted.pieces,
            coverage: Some(admitted.coverage.clone()),
        });
        state.findings.clone_from(&admitted.findings);
        state.owe_publication(self.ended_at, 0);
    }

    /// The CRL held stays current. If it was due, its refresh time moves on, and KV gets to know:
    /// its copy would look due from now on, and be asked for again and again.
    fn prolong(&self, state: &mut CrlState, settings: &Settings) {
        let Some(current) = &mut state.current else {
            return;
        };
        let head = &mut current.head;
        let was_due = head.refresh_after <= self.ended_at;
        if was_due {
            head.refresh_after = self.refresh_time(head, settings);
        }
        state.next_attempt = Some(head.refresh_after);
        state.not_before = state.next_attempt;
        if was_due {
            // KV has the parts, if there are any: they do not change.
            state.owe_publication(self.ended_at, u32::MAX);
        }
    }

    fn fail(&self, state: &mut CrlState, error: &RefreshError, event: &Event, is_recorded: bool) {
        state.consecutive_failures = state.consecutive_failures.saturating_add(1);
        state.failing_since = state.failing_since.or(Some(self.started_at));
        state.last_error = Some(LastError {
            code: error.code().to_owned(),
            message: error.to_string(),
            at: self.ended_at,
        });
        if is_recorded {
            state.recorded_failure = event.error_code.clone().map(|code| RecordedFailure {
                code,
                at: self.ended_at,
            });
        }
        let retry = backoff::retry_time(
            state.consecutive_failures,
            state.head(),
            error.retry_after(),
            self.ended_at,
            self.chance,
        );
        // The alarm would ask for ever for an issuer that is gone at the origin.
        let is_gone = error.says_unknown() && state.valid(self.ended_at).is_none();
        state.next_attempt = (!is_gone).then_some(retry);
        state.not_before = Some(retry);
        state.origin_closed_until = error.retry_after().map(|_| retry);
    }

    fn refresh_time(&self, head: &Head, settings: &Settings) -> Timestamp {
        backoff::refresh_time(
            head.this_update.into(),
            head.next_update.into(),
            settings.refresh_at,
            self.ended_at,
            self.chance,
        )
    }

    fn duration(&self) -> Duration {
        self.ended_at.since(self.started_at)
    }
}

impl CrlState {
    /// KV is to get the committed CRL, of which it has `parts_done` parts.
    pub(crate) fn owe_publication(&mut self, now: Timestamp, parts_done: u32) {
        let (was_begun, parts_before) = match self.publication {
            Publication::Owed {
                is_begun,
                parts_done,
                ..
            } => (is_begun, parts_done),
            Publication::Nothing | Publication::Done { .. } => (false, u32::MAX),
        };
        self.publication = Publication::Owed {
            attempts: 0,
            retry_at: now,
            parts_done: parts_done.min(parts_before),
            is_begun: was_begun,
        };
    }
}

/// Adds the refresh to the counts.
fn count(counts: &mut Vec<RefreshCount>, event: &Event) {
    let is_same = |count: &&mut RefreshCount| {
        (count.trigger, count.outcome) == (event.trigger, event.outcome)
    };
    if let Some(count) = counts.iter_mut().find(is_same) {
        count.refreshes = count.refreshes.saturating_add(1);
        count.duration_ms = count.duration_ms.saturating_add(event.duration_ms);
    } else {
        counts.push(RefreshCount {
            trigger: event.trigger,
            outcome: event.outcome,
            refreshes: 1,
            duration_ms: event.duration_ms,
        });
    }
}
