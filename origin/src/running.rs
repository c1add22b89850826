//! The running service, over its ports: the clock, timers and threads, and the HTTP client.
//!
//! `crl-origin serve` runs it on Tokio and the network; a simulator runs it on virtual time.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use zeroize::Zeroizing;

use crate::bearer_token::TokenHash;
use crate::connector::Connectors;
use crate::http::{self, Service};
use crate::http_client::HttpClient;
use crate::origin::Origin;
use crate::push::{EdgeClient, Push, PushMetrics};
use crate::runtime::{Runtime, blocking};

/// How often the clock is observed while no CRL is made.
const OBSERVATION: Duration = Duration::from_mins(10);

/// The parts of the running service. It does nothing by itself: the router answers requests, and
/// the other parts are futures that run until they are dropped.
pub struct RunningService {
    origin: Arc<Origin>,
    runtime: Arc<dyn Runtime>,
    client: Arc<dyn HttpClient>,
    connectors: Connectors,
    pushes: PushMetrics,
}

impl RunningService {
    /// The service of an origin.
    #[must_use]
    pub fn new(
        origin: Arc<Origin>,
        runtime: Arc<dyn Runtime>,
        client: Arc<dyn HttpClient>,
    ) -> Self {
        Self {
            connectors: Connectors::new(
                Arc::clone(&origin),
                Arc::clone(&runtime),
                Arc::clone(&client),
            ),
            origin,
            runtime,
            client,
            pushes: PushMetrics::default(),
        }
    }

    /// All routes of the API, for callers with one of these tokens of scope admin, or with one that
    /// the origin keeps.
    pub fn router(&self, tokens: Vec<TokenHash>) -> Router {
        http::router(Service::new(
            Arc::clone(&self.origin),
            Arc::clone(&self.runtime),
            self.connectors.clone(),
            &self.pushes,
            tokens,
        ))
    }

    /// Has the edge at this URL refresh after each change, authorized by its `HOOK_TOKEN`.
    pub fn push(
        &self,
        edge: &str,
        hook_token: &str,
    ) -> impl Future<Output = ()> + Send + use<> + 'static {
        let client = Arc::clone(&self.client);
        let edge = EdgeClient::new(client, edge, Zeroizing::new(hook_token.to_owned()));
        let (origin, runtime) = (Arc::clone(&self.origin), Arc::clone(&self.runtime));
        Push::new(origin, runtime, edge, self.pushes.clone()).run()
    }

    /// Follows the directories of `openssl ca`, so that their revocations are pushed, too.
    pub fn follow_directories(&self) -> impl Future<Output = ()> + Send + use<> + 'static {
        let connectors = self.connectors.clone();
        async move { connectors.follow_directories().await }
    }

    /// Lets the expiry of certificates follow the clock.
    pub fn observe_clock(&self) -> impl Future<Output = ()> + Send + use<> + 'static {
        let (origin, runtime) = (Arc::clone(&self.origin), Arc::clone(&self.runtime));
        async move {
            loop {
                let (origin, now) = (Arc::clone(&origin), runtime.now());
                match blocking(&*runtime, move || origin.observe_clock(now)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => tracing::error!(%error, "cannot store the observed time"),
                    Err(error) => tracing::error!(%error, "cannot store the observed time"),
                }
                runtime.sleep(OBSERVATION).await;
            }
        }
    }
}
