//! Events that D1 refuses, reported by a way that does not go through D1: to the registry's object,
//! which `/metrics` asks.

#![expect(
    async_fn_in_trait,
    reason = "an isolate has one thread: no future here needs Send"
)]

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::time::Duration;

use origin_api::IssuerId;
use serde::{Deserialize, Serialize};

use super::Event;
use crate::refresh::{EventLog, EventLogError, StatusReport};
use crate::time::{Timestamp, within};

/// How long a write may take before its events count as pending. Callers wait longer than this.
const PATIENCE: Duration = Duration::from_secs(30);
/// How rarely one issuer's object reports. It retries D1 more often.
const REPORT_PAUSE: Duration = Duration::from_mins(1);
/// How long a report counts. While D1 refuses, another comes sooner.
const REPORT_LIFETIME: Duration = Duration::from_mins(5);

/// What the registry's object is asked about pending events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PendingRequest {
    /// D1 refuses this many events of an issuer. Answered by [`PendingAnswer::Noted`].
    EventsPending {
        /// The issuer.
        issuer: IssuerId,
        /// How many events.
        events: u64,
    },
    /// How many events D1 refuses in all. Answered by [`PendingAnswer::Total`].
    PendingTotal,
}

/// What the registry's object answers about pending events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PendingAnswer {
    /// The report counts.
    Noted,
    /// The sum of the reports.
    Total(u64),
}

/// The reports, in the memory of the registry's object: a lost one is repeated within a minute.
#[derive(Debug, Default)]
pub struct PendingReports(RefCell<HashMap<IssuerId, (u64, Timestamp)>>);

impl PendingReports {
    /// Carries out a request.
    pub fn answer(&self, request: PendingRequest, now: Timestamp) -> PendingAnswer {
        let mut reports = self.0.borrow_mut();
        reports.retain(|_, (_, at)| now.since(*at) < REPORT_LIFETIME);
        match request {
            PendingRequest::EventsPending { issuer, events } => {
                reports.insert(issuer, (events, now));
                PendingAnswer::Noted
            }
            PendingRequest::PendingTotal => {
                let events = reports.values().map(|(events, _)| *events);
                PendingAnswer::Total(events.fold(0, u64::saturating_add))
            }
        }
    }
}

/// How an issuer's object reports.
pub trait PendingReporter {
    /// The time now.
    fn now(&self) -> Timestamp;
    /// Waits.
    async fn sleep(&self, span: Duration);
    /// Sends a report. A lost one is repeated.
    async fn report(&self, request: PendingRequest);
}

/// An event log that reports what it could not append.
#[derive(Debug)]
pub struct ReportingLog<L, R> {
    log: L,
    reporter: R,
    reported_at: Cell<Option<Timestamp>>,
}

impl<L, R> ReportingLog<L, R> {
    /// Wraps `log`.
    #[must_use]
    pub const fn new(log: L, reporter: R) -> Self {
        Self {
            log,
            reporter,
            reported_at: Cell::new(None),
        }
    }
}

impl<L: EventLog, R: PendingReporter> EventLog for ReportingLog<L, R> {
    async fn append(&self, events: &[Event], report: &[StatusReport]) -> Result<(), EventLogError> {
        let append = self.log.append(events, report);
        let appended = within(self.reporter.sleep(PATIENCE), append).await;
        let appended = appended.unwrap_or_else(|| Err(EventLogError("timed out".to_owned())));
        let now = self.reporter.now();
        let is_quiet = |at| now.since(at) < REPORT_PAUSE;
        if let (Err(_), Some(event)) = (&appended, events.first())
            && !self.reported_at.get().is_some_and(is_quiet)
        {
            self.reported_at.set(Some(now));
            let behind = report.first().map_or(0, |status| status.events_owed);
            let request = PendingRequest::EventsPending {
                issuer: event.issuer_id.clone(),
                events: behind.saturating_add(events.len() as u64),
            };
            self.reporter.report(request).await;
        }
        appended
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use futures_executor::block_on;

    use super::*;
    use crate::tables::testing::{NOW, event};

    #[derive(Clone, Copy)]
    enum D1 {
        Works,
        Refuses,
        Hangs,
    }

    struct Log(D1);

    impl EventLog for Log {
        async fn append(&self, _: &[Event], _: &[StatusReport]) -> Result<(), EventLogError> {
            match self.0 {
                D1::Works => Ok(()),
                D1::Refuses => Err(EventLogError("full".to_owned())),
                D1::Hangs => pending().await,
            }
        }
    }

    struct Reporter {
        d1: D1,
        now: Cell<Timestamp>,
        registry: PendingReports,
        reports: Cell<u32>,
    }

    impl PendingReporter for Reporter {
        fn now(&self) -> Timestamp {
            self.now.get()
        }

        async fn sleep(&self, _: Duration) {
            match self.d1 {
                D1::Hangs => ready(()).await,
                _ => pending().await,
            }
        }

        async fn report(&self, request: PendingRequest) {
            self.reports.set(self.reports.get() + 1);
            self.registry.answer(request, self.now());
        }
    }

    impl Reporter {
        fn total(&self) -> u64 {
            let answer = self
                .registry
                .answer(PendingRequest::PendingTotal, self.now());
            let PendingAnswer::Total(total) = answer else {
                panic!("{answer:?}")
            };
            total
        }
    }

    fn log(d1: D1) -> ReportingLog<Log, Reporter> {
        let reporter = Reporter {
            d1,
            now: Cell::new(NOW),
            registry: PendingReports::default(),
            reports: Cell::new(0),
        };
        ReportingLog::new(Log(d1), reporter)
    }

    #[test]
    fn events_that_d1_refuses_are_known_without_d1() {
        for (d1, total) in [(D1::Works, 0), (D1::Refuses, 2), (D1::Hangs, 2)] {
            let log = log(d1);
            let appended = block_on(log.append(&[event(1), event(2)], &[]));
            assert_eq!(appended.is_ok(), total == 0);
            assert_eq!(log.reporter.total(), total);
        }
    }

    #[test]
    fn a_report_is_repeated_each_minute_and_ends_when_d1_is_back() {
        let log = log(D1::Refuses);
        let append = || block_on(log.append(&[event(1)], &[]));
        for seconds in [0, 30, 59, 61, 90] {
            log.reporter
                .now
                .set(NOW.after(Duration::from_secs(seconds)));
            assert!(append().is_err());
        }
        assert_eq!(log.reporter.reports.get(), 2);
        log.reporter.now.set(NOW.after(Duration::from_mins(6)));
        assert_eq!(log.reporter.total(), 1);
        log.reporter.now.set(NOW.after(Duration::from_secs(361)));
        assert_eq!(log.reporter.total(), 0);
    }

    #[test]
    fn a_status_alone_is_no_event() {
        let log = log(D1::Refuses);
        assert!(block_on(log.append(&[], &[])).is_err());
        assert_eq!(log.reporter.total(), 0);
    }
}
