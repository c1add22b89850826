//! The state and the calls that all handlers share.

use std::sync::Arc;

use origin_api::{IssuerId, Timestamp};

use super::error::ApiError;
use super::metrics::Metrics;
use crate::bearer_token::TokenHash;
use crate::connector::Connectors;
use crate::origin::{Origin, OriginError};
use crate::push::PushMetrics;
use crate::runtime::{Runtime, blocking};

/// State shared by the handlers.
#[derive(Clone)]
pub(crate) struct Service {
    pub(super) origin: Arc<Origin>,
    pub(super) runtime: Arc<dyn Runtime>,
    pub(super) connectors: Arc<Connectors>,
    /// Tokens of scope admin, from the settings. Only their hashes are kept and compared, so that
    /// the time of a comparison says nothing about a token.
    pub(super) tokens: Arc<[TokenHash]>,
    pub(super) metrics: Arc<Metrics>,
}

impl Service {
    /// A service over the origin, for callers with one of these tokens or one that the origin
    /// keeps.
    pub(crate) fn new(
        origin: Arc<Origin>,
        runtime: Arc<dyn Runtime>,
        connectors: Connectors,
        pushes: &PushMetrics,
        tokens: Vec<TokenHash>,
    ) -> Self {
        Self {
            metrics: Arc::new(Metrics::new(connectors.metrics(), pushes)),
            origin,
            runtime,
            connectors: Arc::new(connectors),
            tokens: tokens.into(),
        }
    }

    /// Runs a call of the origin, which blocks on the database, at the present moment.
    pub(super) async fn call<T: Send + 'static>(
        &self,
        f: impl FnOnce(&Origin, Timestamp) -> Result<T, OriginError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let (origin, now) = (Arc::clone(&self.origin), self.runtime.now());
        let result = blocking(&*self.runtime, move || f(&origin, now)).await;
        Ok(result.map_err(|_| ApiError::internal())??)
    }

    /// As [`call`](Self::call), for a call that signs with the issuer's key: if its HSM hangs,
    /// other issuers' calls do not wait.
    pub(super) async fn call_and_sign<T: Send + 'static>(
        &self,
        issuer: &IssuerId,
        f: impl FnOnce(&Origin, Timestamp) -> Result<T, OriginError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let now = self.runtime.now();
        let call = move |origin: &Origin| f(origin, now);
        Ok(self.connectors.in_lane(issuer, call).await?)
    }
}
