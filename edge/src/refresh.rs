//! One refresh, step by step: ask the origin, read, admit, conclude. Generic over the seams; knows no platform.

mod error;
mod exchange;
pub mod head;
mod pace;
mod seams;
mod state;
mod stored_body;
#[cfg(test)]
pub(crate) mod testing;

use std::cell::Cell;
use std::rc::Rc;

use origin_api::{CrlName, IssuerId};

pub use error::{OriginError, RefreshError, StoreError};
pub use head::{Head, HeadError, Sha256, Sha256Error};
pub use seams::{
    Answer, BodyId, Conclusion, Doomed, EventLog, EventLogError, Host, Metadata, Origin,
    OriginBody, Pieces, Replica, ReplicaError, Status, Store,
};
pub use state::{CrlState, Current, IssuerState, LastError, Publication, Record, fingerprint};

use crate::config::Settings;
use crate::events::{Event, EventId, Outcome, Seen, Trigger};
use crate::time::Timestamp;
use exchange::{Exchange, Found};

/// How many bytes a piece of a body has, save the last: a row of the object's storage holds 2 MB.
pub const PIECE_BYTES: usize = 1024 * 1024;

/// What is asked of a refresh, by all who wait for it.
#[derive(Debug, Default)]
pub struct Demand {
    new_crl: Cell<bool>,
    asked: Cell<bool>,
}

impl Demand {
    /// A demand for a new CRL, or for whatever is current.
    #[must_use]
    pub fn new(new_crl: bool) -> Self {
        Self {
            new_crl: Cell::new(new_crl),
            asked: Cell::new(false),
        }
    }

    /// Asks for a new CRL, if the origin was not asked yet; tells whether it is in time.
    pub fn raise(&self) -> bool {
        let in_time = !self.asked.get();
        if in_time {
            self.new_crl.set(true);
        }
        in_time
    }

    /// The moment at which the origin is asked: from now on the demand is fixed.
    pub(crate) fn settle(&self) -> bool {
        self.asked.set(true);
        self.new_crl.get()
    }
}

/// How a refresh ended, for everyone who waited for it.
#[derive(Clone, Debug)]
pub struct Report {
    /// The event; also where none was recorded, because the same was said before.
    pub event: Event,
    /// Whether the CRL's state changed without an event that would tell D1.
    pub untold: bool,
    /// Why there is no CRL, if so.
    pub error: Option<Rc<RefreshError>>,
}

impl Report {
    fn told(event: Event) -> Self {
        Self {
            event,
            untold: false,
            error: None,
        }
    }

    fn because(self, error: Option<RefreshError>) -> Self {
        Self {
            error: error.map(Rc::new),
            ..self
        }
    }

    /// Whether the issuer has no list of this name.
    #[must_use]
    pub fn is_about_no_list(&self) -> bool {
        matches!(self.error.as_deref(), Some(RefreshError::NotListed(_)))
    }
}

/// Refreshes one issuer's CRLs.
#[derive(Debug)]
pub struct Refresh<'a, H, O, S> {
    /// The machine.
    pub host: &'a H,
    /// The origin.
    pub origin: &'a O,
    /// The object's storage.
    pub store: &'a S,
    /// The settings.
    pub settings: &'a Settings,
    /// Whose CRLs.
    pub issuer: &'a IssuerId,
}

impl<H: Host, O: Origin, S: Store> Refresh<'_, H, O, S> {
    /// Asks the origin, admits what it gives, and concludes: when this returns, the object's storage has the new head and
    /// body or the old ones untouched, and the event is in the outbox. Dropping it leaves the old ones untouched too.
    pub async fn run(&self, name: CrlName, trigger: Trigger, demand: &Demand) -> Report {
        let started_at = self.host.now();
        let random = self.host.random();
        let id = EventId::new(started_at, random);
        let mut seen = Seen::default();
        let found = Exchange {
            refresh: self,
            name,
        }
        .run(demand, &mut seen)
        .await;
        let ended = Ended {
            name,
            trigger,
            id,
            started_at,
            now: self.host.now(),
            chance: random[9],
        };
        match self.conclude(&ended, &found, &seen) {
            Ok(report) => report.because(found.err()),
            Err(error) => self.conclude_anyway(&ended, error, &seen),
        }
    }

    /// Writes what the refresh comes to.
    fn conclude(
        &self,
        ended: &Ended,
        found: &Result<Found, RefreshError>,
        seen: &Seen,
    ) -> Result<Report, StoreError> {
        let before = self.store.crl(ended.name)?;
        let issuer_before = self.store.issuer()?;
        let event = ended.event(self.issuer, found, seen);
        // Before the record was read, nobody could know that there is no such list.
        if matches!(found, Err(RefreshError::NotListed(_))) && before == CrlState::default() {
            return Ok(Report::told(event));
        }
        let mut state = ended.state(&before, found, self.settings);
        let skipped = event.outcome == Outcome::Skipped;
        let skipped_before = before.last_outcome == Some(Outcome::Skipped);
        let silent = skipped
            && match ended.trigger {
                // Who asks on purpose is told again.
                Trigger::Operator | Trigger::Hook => false,
                Trigger::Alarm | Trigger::Request => skipped_before,
                // A tick says it once, for all lists of the issuer: by another one, since this one was last refreshed.
                Trigger::Cron => issuer_before
                    .skip_told_at
                    .is_some_and(|told_at| told_at > before.refreshed_at()),
            };
        let mut issuer = issuer_before.clone();
        if !silent {
            state.last_event = Some(event.id);
            if skipped {
                issuer.skip_told_at = Some(ended.started_at);
            }
        }
        match found {
            Ok(Found::New(admitted)) => {
                // Meanwhile the operator may have trusted another one, which then stays.
                let pinned = issuer.pinned.get_or_insert(admitted.certificate.clone());
                if *pinned == admitted.certificate {
                    issuer.waiting = None;
                }
            }
            Ok(Found::Unchanged) => issuer.waiting = None,
            Err(RefreshError::IssuerChanged) => {
                issuer.waiting = issuer
                    .record
                    .as_ref()
                    .map(|record| record.issuer.certificate.clone());
            }
            _ => {}
        }
        let drawn_from = match found {
            Ok(Found::New(admitted)) => admitted.drawn_from,
            _ => before.head().map(|head| head.sha256),
        };
        let concluded = self.store.conclude(&Conclusion {
            name: ended.name,
            drawn_from,
            state: &state,
            issuer: (issuer != issuer_before).then_some(&issuer),
            event: (!silent).then_some(&event),
        });
        let report = Report {
            untold: silent && !skipped_before,
            ..Report::told(event)
        };
        match concluded {
            Ok(()) => Ok(report),
            // A write that failed may have been kept all the same.
            Err(_) if self.store.crl(ended.name)? == state => Ok(report),
            Err(error) => Err(error),
        }
    }

    /// Storage did not take the conclusion: say that instead. Where even this fails, the log has it.
    fn conclude_anyway(&self, ended: &Ended, error: StoreError, seen: &Seen) -> Report {
        let found = Err(RefreshError::Store(error));
        let report = self.conclude(ended, &found, seen).unwrap_or_else(|again| {
            let event = ended.event(self.issuer, &found, seen);
            self.host.log(&serde_json::json!({
                "level": "error", "what": "event lost to failing storage",
                "event": event, "cause": again.to_string(),
            }));
            Report::told(event)
        });
        report.because(found.err())
    }
}

/// The circumstances of a refresh that has ended.
struct Ended {
    name: CrlName,
    trigger: Trigger,
    id: EventId,
    started_at: Timestamp,
    now: Timestamp,
    chance: pace::Chance,
}

impl Ended {
    fn event(&self, issuer: &IssuerId, found: &Result<Found, RefreshError>, seen: &Seen) -> Event {
        let outcome = match found {
            Ok(Found::New(_)) => Outcome::Published,
            Ok(Found::Unchanged) => Outcome::Unchanged,
            Ok(Found::Nothing) => Outcome::Skipped,
            Err(error) => error.outcome(),
        };
        let event = Event::new(
            self.id,
            (issuer, self.name),
            self.trigger,
            outcome,
            self.started_at,
            self.now.since(self.started_at),
        )
        .about(seen);
        match found {
            Ok(_) => event,
            Err(error) => event.because(error.code(), error.to_string()),
        }
    }

    fn state(
        &self,
        before: &CrlState,
        found: &Result<Found, RefreshError>,
        settings: &Settings,
    ) -> CrlState {
        let mut state = before.clone();
        let millis = u64::try_from(self.now.as_millis()).unwrap_or(0);
        state.revision = state.revision.saturating_add(1).max(millis);
        state.last_duration_ms =
            u64::try_from(self.now.since(self.started_at).as_millis()).unwrap_or(u64::MAX);
        match found {
            Ok(found) => {
                state.consecutive_failures = 0;
                state.failing_since = None;
                state.last_error = None;
                state.origin_closed_until = None;
                match found {
                    Found::New(admitted) => {
                        let mut head = admitted.head.clone();
                        head.generated_at = self.now;
                        head.refresh_after = self.refresh_time(&head, settings);
                        state.last_outcome = Some(Outcome::Published);
                        state.next_attempt = Some(head.refresh_after);
                        state.not_before = state.next_attempt;
                        state.watermark = admitted.watermark.or(state.watermark);
                        state.replaced.extend(before.head().cloned());
                        state.current = Some(Current {
                            head,
                            body: admitted.body,
                            pieces: admitted.pieces,
                        });
                        state.publication = Publication::Owed {
                            attempts: 0,
                            retry_at: self.now,
                        };
                    }
                    Found::Unchanged => {
                        state.last_outcome = Some(Outcome::Unchanged);
                        state.next_attempt =
                            before.head().map(|head| self.refresh_time(head, settings));
                        state.not_before = state.next_attempt;
                    }
                    Found::Nothing => {
                        state.last_outcome = Some(Outcome::Skipped);
                        state.next_attempt = None;
                        state.not_before = Some(self.now.after(settings.registry_ttl));
                    }
                }
            }
            Err(error) => {
                state.consecutive_failures = state.consecutive_failures.saturating_add(1);
                state.failing_since = state.failing_since.or(Some(self.started_at));
                state.last_outcome = Some(error.outcome());
                state.last_error = Some(LastError {
                    code: error.code().to_owned(),
                    message: error.to_string(),
                    at: self.now,
                });
                let retry = pace::retry_time(
                    state.consecutive_failures,
                    before.head(),
                    error.retry_after(),
                    self.now,
                    self.chance,
                );
                // Of an issuer that is gone at the origin, an alarm would ask for ever.
                let gone = error.says_unknown() && before.valid(self.now).is_none();
                state.next_attempt = (!gone).then_some(retry);
                state.not_before = Some(retry);
                state.origin_closed_until = error.retry_after().map(|_| retry);
            }
        }
        state
    }

    fn refresh_time(&self, head: &Head, settings: &Settings) -> Timestamp {
        pace::refresh_time(
            head.this_update.into(),
            head.next_update.into(),
            settings.refresh_at,
            self.now,
            self.chance,
        )
    }
}
