//! A lane for each issuer limits how many calls for it run at once. If an issuer's HSM, directory
//! or CA hangs, its calls fill its own lane and wait there; other issuers' calls still find threads
//! and connections.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::{Either, select};
use origin_api::IssuerId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{ConnectorError, ConnectorMetrics};
use crate::origin::{Origin, OriginError};
use crate::runtime::{Runtime, blocking};

/// How many calls for one issuer run at once: an edge asks for its CRLs side by side.
const WIDTH: usize = 4;

/// How long a call waits for its turn: less than the edge waits for an answer (`ORIGIN_TIMEOUT_MS`,
/// 30 s by default), so that its event says which issuer is stuck.
const PATIENCE: Duration = Duration::from_secs(20);

/// The lanes of all issuers.
#[derive(Clone)]
pub(super) struct Lanes {
    runtime: Arc<dyn Runtime>,
    metrics: ConnectorMetrics,
    by_issuer: Arc<Mutex<HashMap<IssuerId, Arc<Semaphore>>>>,
}

/// Lets one call run in an issuer's lane, until it is dropped.
pub(super) struct LanePermit {
    _permit: OwnedSemaphorePermit,
    _running: super::metrics::Counted,
}

impl Lanes {
    pub(super) fn new(runtime: Arc<dyn Runtime>, metrics: ConnectorMetrics) -> Self {
        Self {
            runtime,
            metrics,
            by_issuer: Arc::default(),
        }
    }

    /// Waits for a permit. `issuer` must exist: its lane stays in memory.
    pub(super) async fn enter(&self, issuer: &IssuerId) -> Result<LanePermit, ConnectorError> {
        let waiting = self.metrics.waiting(issuer);
        let lane = Arc::clone(
            self.by_issuer
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .entry(issuer.clone())
                .or_insert_with(|| Arc::new(Semaphore::new(WIDTH))),
        );
        let turn = std::pin::pin!(lane.acquire_owned());
        match select(turn, self.runtime.sleep(PATIENCE)).await {
            Either::Left((Ok(permit), _)) => {
                drop(waiting);
                Ok(LanePermit {
                    _permit: permit,
                    _running: self.metrics.running(issuer),
                })
            }
            Either::Left((Err(_), _)) | Either::Right(_) => {
                Err(ConnectorError::Busy(issuer.clone()))
            }
        }
    }

    /// Runs a blocking job of the origin in an issuer's lane. The job keeps its permit until it
    /// ends, also if its caller gives up before.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        issuer: &IssuerId,
        origin: &Arc<Origin>,
        job: impl FnOnce(&Origin) -> Result<T, ConnectorError> + Send + 'static,
    ) -> Result<T, ConnectorError> {
        let permit = self.enter(issuer).await?;
        let origin = Arc::clone(origin);
        let job = move || {
            let result = job(&origin);
            drop(permit);
            result
        };
        blocking(&*self.runtime, job)
            .await
            .map_err(|_| ConnectorError::Panicked)?
    }

    /// Reads something of the origin's, outside any lane.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        origin: &Arc<Origin>,
        job: impl FnOnce(&Origin) -> Result<T, OriginError> + Send + 'static,
    ) -> Result<T, ConnectorError> {
        let origin = Arc::clone(origin);
        let result = blocking(&*self.runtime, move || job(&origin)).await;
        Ok(result.map_err(|_| ConnectorError::Panicked)??)
    }
}
