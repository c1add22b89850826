//! What the connectors count, by issuer: calls that wait or run, and those that failed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use origin_api::{IssuerId, Timestamp};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

/// Handles to the connectors' metrics; a clone counts to the same ones.
#[derive(Clone, Debug, Default)]
pub(crate) struct ConnectorMetrics {
    waiting: Family<IssuerLabel, Gauge>,
    running: Family<IssuerLabel, Gauge>,
    failures: Family<FailureLabels, Counter>,
    failing: Family<FailureLabels, Gauge>,
    /// The code under which each issuer is in `failing`.
    last_failures: Arc<Mutex<HashMap<IssuerId, &'static str>>>,
    config_changed: Family<IssuerLabel, Gauge>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct IssuerLabel {
    issuer: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FailureLabels {
    issuer: String,
    code: &'static str,
}

impl ConnectorMetrics {
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register(
            "issuer_calls_waiting",
            "Calls that wait for earlier ones of the same issuer",
            self.waiting.clone(),
        );
        registry.register(
            "issuer_calls_running",
            "Calls that are with the issuer's key, directory or CA",
            self.running.clone(),
        );
        registry.register(
            "issuer_call_failures",
            "Calls that failed, by the code of the error",
            self.failures.clone(),
        );
        registry.register(
            "issuer_failing",
            "1 while the last call, or the last look at the issuer's directory, failed with that code",
            self.failing.clone(),
        );
        registry.register_with_unit(
            "issuer_config_changed",
            "When a change of a connected CA's configuration that affects its CRL was last seen",
            Unit::Seconds,
            self.config_changed.clone(),
        );
    }

    pub(super) fn waiting(&self, issuer: &IssuerId) -> Counted {
        Counted::new(&self.waiting, issuer)
    }

    pub(super) fn running(&self, issuer: &IssuerId) -> Counted {
        Counted::new(&self.running, issuer)
    }

    pub(super) fn succeeded(&self, issuer: &IssuerId) {
        if let Some(code) = self.last_failures().remove(issuer) {
            self.failing.remove(&FailureLabels::new(issuer, code));
        }
    }

    /// As [`succeeded`](Self::succeeded), if what failed last failed with that code.
    pub(super) fn recovered(&self, issuer: &IssuerId, from: &'static str) {
        if self.last_failures().get(issuer) == Some(&from) {
            self.succeeded(issuer);
        }
    }

    pub(super) fn failed(&self, issuer: &IssuerId, code: &'static str) {
        let before = self.last_failures().insert(issuer.clone(), code);
        if let Some(before) = before.filter(|before| *before != code) {
            self.failing.remove(&FailureLabels::new(issuer, before));
        }
        let labels = FailureLabels::new(issuer, code);
        self.failing.get_or_create(&labels).set(1);
        self.count_failure(issuer, code);
    }

    /// Counts a failure of a part, despite which the call may succeed.
    pub(super) fn count_failure(&self, issuer: &IssuerId, code: &'static str) {
        let labels = FailureLabels::new(issuer, code);
        self.failures.get_or_create(&labels).inc();
    }

    pub(super) fn config_changed(&self, issuer: &IssuerId, now: Timestamp) {
        let changed = self
            .config_changed
            .get_or_create(&IssuerLabel::from(issuer));
        changed.set(now.as_unix_time().0);
    }

    fn last_failures(&self) -> MutexGuard<'_, HashMap<IssuerId, &'static str>> {
        self.last_failures
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl FailureLabels {
    fn new(issuer: &IssuerId, code: &'static str) -> Self {
        Self {
            issuer: issuer.to_string(),
            code,
        }
    }
}

impl From<&IssuerId> for IssuerLabel {
    fn from(issuer: &IssuerId) -> Self {
        Self {
            issuer: issuer.to_string(),
        }
    }
}

/// One in a gauge, until it is dropped.
pub(super) struct Counted(Gauge);

impl Counted {
    fn new(family: &Family<IssuerLabel, Gauge>, issuer: &IssuerId) -> Self {
        let gauge = family.get_or_create(&IssuerLabel::from(issuer)).clone();
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}
