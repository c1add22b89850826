//! Metrics in the `OpenMetrics` text format: requests, the newest CRLs, calls by issuer, and
//! pushes.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::http::Method;
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::connector::ConnectorMetrics;
use crate::origin::IssuedCrl;
use crate::push::PushMetrics;

/// The media type of the text.
pub(super) const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: &'static str,
    /// The route's pattern: paths would make the table grow without limit.
    route: String,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CrlLabels {
    issuer: String,
    name: String,
}

pub(super) struct Metrics {
    requests: Family<RequestLabels, Counter>,
    request_seconds: Histogram,
    entries: Family<CrlLabels, Gauge>,
    size: Family<CrlLabels, Gauge>,
    this_update: Family<CrlLabels, Gauge>,
    next_update: Family<CrlLabels, Gauge>,
    lost: Family<CrlLabels, Gauge>,
    registry: Mutex<Registry>,
}

impl Metrics {
    pub(super) fn new(connectors: &ConnectorMetrics, pushes: &PushMetrics) -> Self {
        let metrics = Self {
            requests: Family::default(),
            request_seconds: Histogram::new([0.001, 0.005, 0.025, 0.1, 0.5, 2.0, 10.0]),
            entries: Family::default(),
            size: Family::default(),
            this_update: Family::default(),
            next_update: Family::default(),
            lost: Family::default(),
            registry: Mutex::new(Registry::with_prefix("crl_origin")),
        };
        metrics.register(connectors, pushes);
        metrics
    }

    fn register(&self, connectors: &ConnectorMetrics, pushes: &PushMetrics) {
        let mut registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        connectors.register(&mut registry);
        pushes.register(&mut registry);
        registry.register("requests", "Requests answered", self.requests.clone());
        let seconds = self.request_seconds.clone();
        registry.register_with_unit(
            "request_duration",
            "How long answers took to begin",
            Unit::Seconds,
            seconds,
        );
        registry.register(
            "crl_entries",
            "Entries of the newest CRL",
            self.entries.clone(),
        );
        registry.register_with_unit(
            "crl_size",
            "Size of the newest CRL",
            Unit::Bytes,
            self.size.clone(),
        );
        registry.register(
            "crl_state_lost",
            "1 if the database was restored and no CRL is made until `crl-origin recover`",
            self.lost.clone(),
        );
        let (this_update, next_update) = (self.this_update.clone(), self.next_update.clone());
        registry.register_with_unit(
            "crl_this_update",
            "When the newest CRL was made",
            Unit::Seconds,
            this_update,
        );
        registry.register_with_unit(
            "crl_next_update",
            "When the newest CRL expires",
            Unit::Seconds,
            next_update,
        );
    }

    pub(super) fn count(&self, method: &Method, route: &str, status: u16, duration: Duration) {
        let labels = RequestLabels {
            method: label(method),
            route: route.to_owned(),
            status,
        };
        self.requests.get_or_create(&labels).inc();
        self.request_seconds.observe(duration.as_secs_f64());
    }

    /// The metrics as text, with the newest CRLs among them.
    pub(super) fn encode(&self, crls: &[IssuedCrl]) -> Result<String, fmt::Error> {
        self.show(crls);
        let registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        let mut body = String::new();
        text::encode(&mut body, &registry)?;
        Ok(body)
    }

    fn show(&self, crls: &[IssuedCrl]) {
        for gauges in [
            &self.entries,
            &self.size,
            &self.this_update,
            &self.next_update,
            &self.lost,
        ] {
            // Lists that are no longer published disappear.
            gauges.clear();
        }
        for crl in crls {
            let labels = CrlLabels {
                issuer: crl.issuer.to_string(),
                name: crl.name.to_string(),
            };
            self.entries
                .get_or_create(&labels)
                .set(crl.entries.cast_signed());
            self.lost.get_or_create(&labels).set(crl.is_lost.into());
            self.size.get_or_create(&labels).set(crl.size.cast_signed());
            self.this_update
                .get_or_create(&labels)
                .set(crl.this_update.0);
            self.next_update
                .get_or_create(&labels)
                .set(crl.next_update.0);
        }
    }
}

/// The method's label. Clients may make up methods, so those that no call takes share one.
fn label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PATCH => "PATCH",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
