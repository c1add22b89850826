//! What pushes count: issuers that wait, the age of the oldest, and attempts by outcome.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::queue::Queue;

/// Handles to the metrics of pushes; a clone counts to the same ones.
#[derive(Clone, Debug, Default)]
pub(crate) struct PushMetrics {
    waiting: Gauge,
    running: Gauge,
    oldest: Gauge,
    pushes: Family<Labels, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    outcome: &'static str,
}

impl PushMetrics {
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register(
            "pushes_waiting",
            "Issuers with changes that the edge has not yet confirmed",
            self.waiting.clone(),
        );
        registry.register(
            "pushes_running",
            "Pushes that are with the edge",
            self.running.clone(),
        );
        registry.register_with_unit(
            "push_oldest_wait",
            "How long the issuer that waits longest has been owed its push",
            Unit::Seconds,
            self.oldest.clone(),
        );
        registry.register("pushes", "Pushes, by outcome", self.pushes.clone());
    }

    pub(super) fn show(&self, queue: &Queue, now: Duration) {
        let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.waiting.set(count(queue.waiting()));
        self.running.set(count(queue.running()));
        self.oldest
            .set(queue.oldest_wait(now).as_secs().cast_signed());
    }

    pub(super) fn succeeded(&self) {
        self.count("done");
    }

    pub(super) fn failed(&self, code: &'static str) {
        self.count(code);
    }

    fn count(&self, outcome: &'static str) {
        self.pushes.get_or_create(&Labels { outcome }).inc();
    }
}
