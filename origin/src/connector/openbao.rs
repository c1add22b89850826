//! OpenBao and Vault. Their PKI engines have the same API: they issue, revoke, and make the CRL,
//! which is fetched from there, and rotated when a new one is wanted or due.
//!
//! The engine's `config/crl` decides what its CRL is worth. With `disable=true` it is empty,
//! whatever was revoked. With `auto_rebuild=true` a revocation is not on it until the engine
//! rebuilds it by schedule, hours later, so it is rotated at each request; otherwise the engine
//! makes a new one at each revocation by itself.

mod config;
mod engine;

use std::cmp::Ordering;
use std::sync::Arc;
use std::time::Duration;

use crl::CrlNumber;
use futures_util::future::BoxFuture;

use super::fetch::Fetched;
use super::passed_on::PassedOn;
use super::{Answer, Connector, ConnectorError, ConnectorMetrics, CrlRequest, UpstreamFault};
use crate::runtime::Runtime;

pub(super) use config::CrlConfigs;
pub(crate) use engine::{Engine, EngineIssuer};

/// How long to wait for a rotated CRL on a node that lags behind the active one.
const LAG: Duration = Duration::from_secs(10);

/// How often to look for it.
const LAG_TICK: Duration = Duration::from_millis(250);

/// Passes on the CRL of an issuer of a PKI engine.
pub(super) struct OpenBao {
    pub(super) engine: Engine,
    pub(super) configs: CrlConfigs,
    pub(super) passed_on: PassedOn,
    pub(super) metrics: ConnectorMetrics,
    pub(super) runtime: Arc<dyn Runtime>,
}

impl Connector for OpenBao {
    fn crl<'a>(&'a self, request: &'a CrlRequest) -> BoxFuture<'a, Result<Answer, ConnectorError>> {
        Box::pin(async {
            let current = self.current(request).await;
            current.map_err(|fault| ConnectorError::Upstream {
                issuer: request.issuer.id.clone(),
                fault,
            })
        })
    }
}

impl OpenBao {
    async fn current(&self, request: &CrlRequest) -> Result<Answer, UpstreamFault> {
        let newest = self.newest_number(request);
        let present = match self.engine.crl(request).await {
            // A CRL that has expired is one that is due.
            Err(UpstreamFault::Refused(crl::Refusal::Expired { .. })) => None,
            Ok(fetched) if Some(fetched.number()) < newest => {
                // It is not rotated until its number is greater: an engine that was restored from a
                // backup would have forgotten revocations.
                Some(self.wait_for(request, newest, Ordering::is_ge).await?)
            }
            fetched => Some(fetched?),
        };
        let Some(present) = present else {
            self.refuse_disabled(request, false).await?;
            self.engine.rotate().await?;
            let rotated = self.wait_for(request, newest, Ordering::is_gt).await?;
            return self.pass_on(request, rotated).await;
        };
        let is_held = present.is_held(request);
        let is_due = present.validity().is_half_over(request.now.as_unix_time());
        let must_rotate =
            request.wants_new() || is_held && is_due || self.rebuilds_by_schedule(request).await;
        if !must_rotate {
            return self.pass_on(request, present).await;
        }
        if present.is_empty() {
            // An engine that is disabled does not rotate its CRL either.
            self.refuse_disabled(request, false).await?;
        }
        if let Err(fault) = self.engine.rotate().await {
            if request.caller.renew && is_held {
                return Err(fault);
            }
            // One that is valid is better than none.
            tracing::warn!(issuer = %request.issuer.id, %fault, "the engine does not rotate its CRL, which is still valid");
            self.metrics
                .count_failure(&request.issuer.id, "rotate_failed");
            return self.pass_on(request, present).await;
        }
        let rotated = self
            .wait_for(request, Some(present.number()), Ordering::is_gt)
            .await?;
        self.pass_on(request, rotated).await
    }

    fn newest_number(&self, request: &CrlRequest) -> Option<CrlNumber> {
        self.passed_on.newest_number(request, &self.engine.source())
    }

    /// Whether a revocation waits for the engine's schedule. If the token may not read that, it is
    /// taken to be so.
    async fn rebuilds_by_schedule(&self, request: &CrlRequest) -> bool {
        let (issuer, engine) = (&request.issuer.id, &self.engine);
        let config = self.configs.recent(issuer, engine, &*self.runtime).await;
        config.is_none_or(|config| config.auto_rebuild)
    }

    /// The CRL, once its number compares so with that one. The engine's node may lag behind the
    /// active one by moments, and a restored engine by more.
    async fn wait_for(
        &self,
        request: &CrlRequest,
        number: Option<CrlNumber>,
        is_enough: fn(Ordering) -> bool,
    ) -> Result<Fetched, UpstreamFault> {
        let until = self.runtime.uptime() + LAG;
        loop {
            let fetched = self.engine.crl(request).await;
            let is_over = self.runtime.uptime() >= until;
            match (fetched, number) {
                (Err(UpstreamFault::Refused(crl::Refusal::Expired { .. })), _) if !is_over => {}
                (Ok(fetched), Some(number)) if !is_enough(fetched.number().cmp(&number)) => {
                    if is_over {
                        return Err(UpstreamFault::Behind {
                            found: fetched.number(),
                            passed_on: number,
                        });
                    }
                }
                (fetched, _) => return fetched,
            }
            self.runtime.sleep(LAG_TICK).await;
        }
    }

    /// Refuses an engine whose CRL is disabled, which is empty whatever was revoked. If it
    /// `must_be_known`, also refuses an engine whose configuration the token may not read.
    async fn refuse_disabled(
        &self,
        request: &CrlRequest,
        must_be_known: bool,
    ) -> Result<(), UpstreamFault> {
        let (issuer, engine) = (&request.issuer.id, &self.engine);
        let config = self.configs.current(issuer, engine, &*self.runtime).await?;
        let mount = || engine.mount().to_owned();
        match config {
            Some(config) if config.disable => Err(UpstreamFault::Disabled { mount: mount() }),
            None if must_be_known => Err(UpstreamFault::ConfigForbidden { mount: mount() }),
            _ => Ok(()),
        }
    }

    /// Passes on a CRL that the caller needs.
    async fn pass_on(
        &self,
        request: &CrlRequest,
        fetched: Fetched,
    ) -> Result<Answer, UpstreamFault> {
        if fetched.is_empty() && !fetched.is_held(request) {
            self.refuse_disabled(request, true).await?;
        }
        let source = self.engine.source();
        // Each rotation makes another CRL, which is no news if it has the same entries.
        if !request.wants_new() && self.passed_on.is_as_good(request, &source, &fetched) {
            return Ok(Answer::Unchanged);
        }
        self.passed_on.remember(request, &source, &fetched);
        Ok(fetched.answer(request))
    }
}
