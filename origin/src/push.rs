//! Has the edge refresh an issuer's CRLs after a change to its revocations, so that the change
//! shows within seconds.
//!
//! The hand-over is in the database: each change raises the issuer's watermark, in the same
//! transaction, and an issuer whose watermark is above the one last pushed is owed a push. So
//! nothing is lost when the service stops; a change made by another process (a command, an import)
//! counts as well; and many changes at once cost one push. [`Queue`] decides which issuer is next,
//! [`EdgeClient`] makes the call.

mod edge;
mod metrics;
mod queue;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, Either, select};
use futures_util::stream::FuturesUnordered;
use origin_api::{IssuerId, Watermark};

use crate::origin::Origin;
use crate::runtime::{Runtime, blocking, next_completed};
use queue::{Outcome, Queue};

pub(crate) use edge::EdgeClient;
pub(crate) use metrics::PushMetrics;

/// How often the database is asked which issuers are owed a push. With [`queue`]'s `YOUNG`, a fresh
/// revocation is on its way to the edge within two seconds, however many wait.
const TICK: Duration = Duration::from_millis(500);

/// Pushes to one edge.
pub(crate) struct Push {
    origin: Arc<Origin>,
    runtime: Arc<dyn Runtime>,
    edge: EdgeClient,
    metrics: PushMetrics,
}

/// Issuers that are owed a push, with their watermarks.
type Owed = Vec<(IssuerId, Watermark)>;

/// A push that has ended.
struct Pushed {
    issuer: IssuerId,
    outcome: Outcome,
}

impl Push {
    pub(crate) fn new(
        origin: Arc<Origin>,
        runtime: Arc<dyn Runtime>,
        edge: EdgeClient,
        metrics: PushMetrics,
    ) -> Self {
        Self {
            origin,
            runtime,
            edge,
            metrics,
        }
    }

    /// Runs until it is dropped. Pushes run side by side: one that hangs delays no other issuer's.
    pub(crate) async fn run(self) {
        let mut queue = Queue::default();
        let mut running: FuturesUnordered<BoxFuture<'_, Pushed>> = FuturesUnordered::new();
        let mut reading = self.read_owed(Duration::ZERO);
        loop {
            let next = {
                let ended = pin!(next_completed(&mut running));
                match select(reading, ended).await {
                    Either::Left((owed, _)) => Either::Left(owed),
                    Either::Right((pushed, unfinished)) => Either::Right((pushed, unfinished)),
                }
            };
            match next {
                Either::Left(owed) => {
                    if let Some(owed) = owed {
                        queue.update(owed, self.runtime.uptime());
                    }
                    reading = self.read_owed(TICK);
                }
                Either::Right((pushed, unfinished)) => {
                    queue.finish(&pushed.issuer, pushed.outcome, self.runtime.uptime());
                    reading = unfinished;
                }
            }
            while let Some((issuer, watermark)) = queue.start(self.runtime.uptime()) {
                running.push(Box::pin(self.push(issuer, watermark)));
            }
            self.metrics.show(&queue, self.runtime.uptime());
        }
    }

    /// Which issuers are owed a push, after `wait`; `None` if the database does not say.
    fn read_owed(&self, wait: Duration) -> BoxFuture<'_, Option<Owed>> {
        Box::pin(async move {
            self.runtime.sleep(wait).await;
            let origin = Arc::clone(&self.origin);
            match blocking(&*self.runtime, move || origin.owed_pushes()).await {
                Ok(Ok(owed)) => Some(owed),
                Ok(Err(error)) => {
                    tracing::error!(%error, "cannot read which issuers are owed a push");
                    None
                }
                Err(error) => {
                    tracing::error!(%error, "cannot read which issuers are owed a push");
                    None
                }
            }
        })
    }

    async fn push(&self, issuer: IssuerId, watermark: Watermark) -> Pushed {
        let outcome = match self.edge.refresh(&issuer).await {
            Ok(()) => {
                tracing::info!(%issuer, %watermark, "the edge refreshed the issuer's CRLs");
                self.record(issuer.clone(), watermark).await;
                Outcome::Done(watermark)
            }
            Err(error) => {
                tracing::warn!(%issuer, code = error.code(), %error, "the edge did not refresh the issuer's CRLs");
                self.metrics.failed(error.code());
                error.outcome()
            }
        };
        Pushed { issuer, outcome }
    }

    /// Records the push. If that fails the issuer stays owed, and is pushed once more than it need
    /// be.
    async fn record(&self, issuer: IssuerId, watermark: Watermark) {
        self.metrics.succeeded();
        let origin = Arc::clone(&self.origin);
        match blocking(&*self.runtime, move || origin.pushed(&issuer, watermark)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "cannot record a push"),
            Err(error) => tracing::warn!(%error, "cannot record a push"),
        }
    }
}

#[cfg(test)]
mod tests;
