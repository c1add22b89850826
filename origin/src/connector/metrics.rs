//! What the connectors count, by issuer: calls that wait or run, and those that failed.

use origin_api::IssuerId;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Handles to the connectors' metrics; a clone counts to the same ones.
#[derive(Clone, Debug, Default)]
pub(crate) struct ConnectorMetrics {
    waiting: Family<IssuerLabel, Gauge>,
    running: Family<IssuerLabel, Gauge>,
    failures: Family<FailureLabels, Counter>,
    failing: Family<IssuerLabel, Gauge>,
    config_changes: Family<IssuerLabel, Counter>,
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
            "1 if the last call, or the last look at the issuer's directory, failed",
            self.failing.clone(),
        );
        registry.register(
            "issuer_config_changes",
            "Changes of a connected CA's configuration that decide what its CRL lists",
            self.config_changes.clone(),
        );
    }

    pub(super) fn waiting(&self, issuer: &IssuerId) -> Counted {
        Counted::new(&self.waiting, issuer)
    }

    pub(super) fn running(&self, issuer: &IssuerId) -> Counted {
        Counted::new(&self.running, issuer)
    }

    pub(super) fn succeeded(&self, issuer: &IssuerId) {
        self.failing
            .get_or_create(&IssuerLabel::from(issuer))
            .set(0);
    }

    pub(super) fn failed(&self, issuer: &IssuerId, code: &'static str) {
        self.failing
            .get_or_create(&IssuerLabel::from(issuer))
            .set(1);
        self.count_failure(issuer, code);
    }

    /// Counts a failure of a part, despite which the call may succeed.
    pub(super) fn count_failure(&self, issuer: &IssuerId, code: &'static str) {
        let labels = FailureLabels {
            issuer: issuer.to_string(),
            code,
        };
        self.failures.get_or_create(&labels).inc();
    }

    pub(super) fn config_changed(&self, issuer: &IssuerId) {
        let labels = IssuerLabel::from(issuer);
        self.config_changes.get_or_create(&labels).inc();
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
