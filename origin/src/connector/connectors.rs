//! Finds an issuer's connector, and asks it.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use origin_api::{CrlName, IssuerId};

use super::follow::Indexes;
use super::lanes::Lanes;
use super::passed_on::PassedOn;
use super::{
    Answer, Connector, ConnectorError, ConnectorMetrics, CrlRequest, external, local, openbao,
    openssl, url,
};
use crate::connector_config::ConnectorConfig;
use crate::http_client::HttpClient;
use crate::origin::{Caller, Origin, OriginError};
use crate::runtime::Runtime;

/// All issuers, each behind its connector.
#[derive(Clone)]
pub(crate) struct Connectors {
    pub(super) origin: Arc<Origin>,
    pub(super) runtime: Arc<dyn Runtime>,
    pub(super) metrics: ConnectorMetrics,
    pub(super) indexes: Indexes,
    client: Arc<dyn HttpClient>,
    lanes: Lanes,
    passed_on: PassedOn,
    configs: openbao::CrlConfigs,
}

impl Connectors {
    /// Connectors for the origin's issuers.
    pub(crate) fn new(
        origin: Arc<Origin>,
        runtime: Arc<dyn Runtime>,
        client: Arc<dyn HttpClient>,
    ) -> Self {
        let metrics = ConnectorMetrics::default();
        let configs = openbao::CrlConfigs::new(metrics.clone());
        Self {
            lanes: Lanes::new(Arc::clone(&runtime), metrics.clone()),
            origin,
            runtime,
            metrics,
            client,
            indexes: Indexes::default(),
            passed_on: PassedOn::default(),
            configs,
        }
    }

    /// What the connectors count.
    pub(crate) fn metrics(&self) -> &ConnectorMetrics {
        &self.metrics
    }

    /// The current CRL of an issuer.
    pub(crate) async fn crl(
        &self,
        issuer: IssuerId,
        name: CrlName,
        caller: Caller,
    ) -> Result<Answer, ConnectorError> {
        let (issuer, config) = self
            .lanes
            .read(&self.origin, move |origin| origin.connection(&issuer))
            .await?;
        // An issuer without any CRL is asked all the same: it has nothing to publish, under
        // whatever name.
        if !issuer.crls.is_empty() && issuer.crls.iter().all(|crl| crl.name != name) {
            return Err(OriginError::CrlNotFound(issuer.id, name).into());
        }
        let request = CrlRequest {
            issuer,
            name,
            caller,
            now: self.runtime.now(),
        };
        let answer = self.connector(config).crl(&request).await;
        match &answer {
            Ok(_) => self.metrics.succeeded(&request.issuer.id),
            Err(error) => self.metrics.failed(&request.issuer.id, error.code()),
        }
        answer
    }

    /// Runs a job of the origin that may wait for an issuer's HSM, in that issuer's lane.
    pub(crate) async fn in_lane<T: Send + 'static>(
        &self,
        issuer: &IssuerId,
        job: impl FnOnce(&Origin) -> Result<T, OriginError> + Send + 'static,
    ) -> Result<T, ConnectorError> {
        let known = issuer.clone();
        // Only an issuer that exists has a lane.
        self.lanes
            .read(&self.origin, move |origin| origin.issuer(&known).map(drop))
            .await?;
        let job = |origin: &Origin| Ok(job(origin)?);
        self.lanes.run(issuer, &self.origin, job).await
    }

    fn connector(&self, config: ConnectorConfig) -> Box<dyn Connector> {
        match config {
            ConnectorConfig::Local => Box::new(local::Local {
                origin: Arc::clone(&self.origin),
                lanes: self.lanes.clone(),
            }),
            ConnectorConfig::OpenSsl(config) => Box::new(openssl::OpenSsl {
                config,
                origin: Arc::clone(&self.origin),
                lanes: self.lanes.clone(),
                runtime: Arc::clone(&self.runtime),
                indexes: self.indexes.clone(),
            }),
            ConnectorConfig::OpenBao(config) => Box::new(InLane {
                lanes: self.lanes.clone(),
                connector: openbao::OpenBao {
                    engine: openbao::Engine::new(config, Arc::clone(&self.client)),
                    configs: self.configs.clone(),
                    passed_on: self.passed_on.clone(),
                    metrics: self.metrics.clone(),
                    runtime: Arc::clone(&self.runtime),
                },
            }),
            ConnectorConfig::Url(config) => Box::new(InLane {
                lanes: self.lanes.clone(),
                connector: url::Url {
                    config,
                    client: Arc::clone(&self.client),
                    passed_on: self.passed_on.clone(),
                },
            }),
            ConnectorConfig::External => Box::new(external::External),
        }
    }
}

/// A connector that asks a CA over the network, within its issuer's lane.
struct InLane<C> {
    lanes: Lanes,
    connector: C,
}

impl<C: Connector> Connector for InLane<C> {
    fn crl<'a>(&'a self, request: &'a CrlRequest) -> BoxFuture<'a, Result<Answer, ConnectorError>> {
        Box::pin(async {
            let _place = self.lanes.enter(&request.issuer.id).await?;
            self.connector.crl(request).await
        })
    }
}
