//! What is known of each engine's `config/crl`. Its owner may change it at any time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use origin_api::IssuerId;

use super::engine::{CrlConfig, Engine};
use crate::connector::{ConnectorMetrics, UpstreamFault};
use crate::runtime::Runtime;

/// How long an answer is relied upon. Each takes a login, which may be counted and audited.
const RECENT: Duration = Duration::from_mins(5);

/// The last answers, by issuer. Lost with the process.
#[derive(Clone)]
pub(in crate::connector) struct CrlConfigs {
    metrics: ConnectorMetrics,
    last: Arc<Mutex<HashMap<IssuerId, Answer>>>,
}

/// The configuration, or `None` if the token may not read it, and when that was.
type Answer = (Option<CrlConfig>, Duration);

impl CrlConfigs {
    pub(in crate::connector) fn new(metrics: ConnectorMetrics) -> Self {
        Self {
            metrics,
            last: Arc::default(),
        }
    }

    /// The configuration as it was minutes ago at most, if it can be read.
    pub(super) async fn recent(
        &self,
        issuer: &IssuerId,
        engine: &Engine,
        runtime: &dyn Runtime,
    ) -> Option<CrlConfig> {
        let last = self.lock().get(issuer).copied();
        if let Some((config, at)) = last
            && runtime.uptime() < at + RECENT
        {
            return config;
        }
        match self.current(issuer, engine, runtime).await {
            Ok(config) => config,
            Err(fault) => {
                tracing::warn!(%issuer, %fault, "cannot read the engine's config/crl");
                last.and_then(|(config, _)| config)
            }
        }
    }

    /// The configuration now.
    pub(super) async fn current(
        &self,
        issuer: &IssuerId,
        engine: &Engine,
        runtime: &dyn Runtime,
    ) -> Result<Option<CrlConfig>, UpstreamFault> {
        let config = engine.crl_config().await?;
        let answer = (config, runtime.uptime());
        let before = self.lock().insert(issuer.clone(), answer);
        if before.is_none_or(|(before, _)| before != config) {
            match config {
                Some(config) => {
                    tracing::info!(%issuer, meaning = config.meaning(), "the engine's config/crl");
                }
                None => {
                    tracing::warn!(%issuer, "the token may not read the engine's config/crl: its CRL is rotated at each request");
                }
            }
            if before.is_some() {
                self.metrics.config_changed(issuer, runtime.now());
            }
        }
        Ok(config)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IssuerId, Answer>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
