//! Time and threads, as the service, `push` and the connectors use them: an
//! argument, so that a simulator can run them on virtual time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::{BoxFuture, pending};
use futures_util::stream::{FuturesUnordered, StreamExt};
use origin_api::Timestamp;
use tokio::sync::oneshot;

use crate::clock::Clock;

/// A clock, which may jump, timers that do not, and threads for work that blocks.
pub trait Runtime: Clock {
    /// Time since a fixed instant. It never goes back, and back-off is measured with it.
    fn uptime(&self) -> Duration;

    /// Completes after that time.
    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()>;

    /// Runs a job that may block, apart from the threads that poll futures. The job runs to its end
    /// even if the future is dropped.
    fn run_blocking(&self, job: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()>;
}

/// A blocking job panicked; the panic was logged where it happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the job panicked")]
pub(crate) struct Panicked;

/// Runs a blocking job and returns its result.
///
/// # Errors
/// [`Panicked`].
pub(crate) async fn blocking<T: Send + 'static>(
    runtime: &dyn Runtime,
    job: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Panicked> {
    let (sender, receiver) = oneshot::channel();
    let job = move || {
        // The receiver is gone if the caller was cancelled.
        let _ = sender.send(job());
    };
    runtime.run_blocking(Box::new(job)).await;
    receiver.await.map_err(|_| Panicked)
}

/// The output of the next future of a set that completes; waits for ever if the set is empty.
pub(crate) async fn next_completed<F: Future>(running: &mut FuturesUnordered<F>) -> F::Output {
    match running.next().await {
        Some(output) => output,
        None => pending().await,
    }
}

/// A clock, and Tokio's timers and threads.
pub(crate) struct TokioRuntime {
    clock: Arc<dyn Clock>,
    started: Instant,
}

impl TokioRuntime {
    /// A runtime with this clock, which counts its uptime from now.
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            started: Instant::now(),
        }
    }
}

impl Clock for TokioRuntime {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

impl Runtime for TokioRuntime {
    fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(time))
    }

    fn run_blocking(&self, job: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
        Box::pin(async {
            // A panic shows in the result that `blocking` waits for.
            let _ = tokio::task::spawn_blocking(job).await;
        })
    }
}
