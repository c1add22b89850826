//! Tells the edge of revocations, so that they show within seconds.
//!
//! What is owed is in the database: an issuer whose watermark is beyond the one that the edge was last told of. So nothing
//! is forgotten when the service stops, revocations made by a command or an import count as well, and however many there are
//! at once, the edge is told once. An edge that cannot be told is told later, less and less often.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use origin_api::{IssuerId, Watermark};
use reqwest::{Client, StatusCode};
use tokio::time::Instant;
use zeroize::Zeroizing;

use crate::clock::Clock;
use crate::connector::Connectors;
use crate::origin::Origin;

/// How often the database is looked at.
const TICK: Duration = Duration::from_secs(1);

/// The longest time between two attempts for an issuer of which the edge would not hear.
const LONGEST_WAIT: Duration = Duration::from_mins(5);

/// The longest time between two attempts to reach the edge: once it is back, revocations are to show within seconds.
const LONGEST_WAIT_FOR_EDGE: Duration = Duration::from_secs(15);

/// An edge to be told.
pub struct Push {
    origin: Arc<Origin>,
    connectors: Connectors,
    clock: Arc<dyn Clock>,
    client: Client,
    edge: String,
    token: Zeroizing<String>,
    /// While the edge as a whole cannot be reached.
    down: Option<Failing>,
    /// The issuers of which it could not be told.
    failing: HashMap<IssuerId, Failing>,
}

/// What failed, and when to try again.
#[derive(Clone, Copy, Debug)]
struct Failing {
    attempts: u32,
    again_at: Instant,
}

impl Failing {
    fn again(before: Option<&Self>, longest: Duration) -> Self {
        let attempts = before.map_or(0, |before| before.attempts).saturating_add(1);
        Self {
            attempts,
            again_at: Instant::now() + wait_after(attempts).min(longest),
        }
    }

    fn is_to_wait(&self) -> bool {
        Instant::now() < self.again_at
    }
}

/// Why the edge could not be told.
#[derive(Debug, thiserror::Error)]
enum PushError {
    /// It cannot be reached.
    #[error("cannot be reached: {0}")]
    Unreachable(reqwest::Error),
    /// It would not refresh, or could not.
    #[error("answered {0}")]
    Status(StatusCode),
}

impl Push {
    /// A push to the edge at this URL, with its `HOOK_TOKEN`.
    #[must_use]
    pub fn new(
        origin: Arc<Origin>,
        connectors: Connectors,
        clock: Arc<dyn Clock>,
        client: Client,
        edge: &str,
        token: Zeroizing<String>,
    ) -> Self {
        let edge = edge.trim_end_matches('/').to_owned();
        Self {
            origin,
            connectors,
            clock,
            client,
            edge,
            token,
            down: None,
            failing: HashMap::new(),
        }
    }

    /// Runs until it is dropped.
    pub async fn run(mut self) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.connectors.follow_all(self.clock.now()).await;
            let origin = Arc::clone(&self.origin);
            match tokio::task::spawn_blocking(move || origin.owed_pushes()).await {
                Ok(Ok(owed)) => self.pay(owed).await,
                Ok(Err(error)) => {
                    tracing::error!(%error, "cannot look up what the edge is to be told");
                }
                Err(error) => {
                    tracing::error!(%error, "looking up what the edge is to be told was cut off");
                }
            }
        }
    }

    async fn pay(&mut self, owed: Vec<(IssuerId, Watermark)>) {
        if self.down.as_ref().is_some_and(Failing::is_to_wait) {
            return;
        }
        for (issuer, watermark) in owed {
            let before = self.failing.get(&issuer);
            if before.is_some_and(Failing::is_to_wait) {
                continue;
            }
            match self.tell(&issuer).await {
                Ok(()) => {
                    tracing::info!(%issuer, %watermark, "the edge was told of revocations");
                    self.down = None;
                    self.failing.remove(&issuer);
                    self.note(issuer, watermark).await;
                }
                Err(PushError::Unreachable(error)) if error.is_connect() => {
                    let down = Failing::again(self.down.as_ref(), LONGEST_WAIT_FOR_EDGE);
                    tracing::warn!(%error, attempts = down.attempts, "the edge cannot be reached");
                    self.down = Some(down);
                    return;
                }
                Err(error) => {
                    let failing = Failing::again(before, LONGEST_WAIT);
                    tracing::warn!(%issuer, %error, attempts = failing.attempts, "the edge could not be told of revocations");
                    self.down = None;
                    self.failing.insert(issuer, failing);
                }
            }
        }
    }

    async fn tell(&self, issuer: &IssuerId) -> Result<(), PushError> {
        let url = format!("{}/v1/issuers/{issuer}/refresh", self.edge);
        let request = self.client.post(url).bearer_auth(self.token.as_str());
        let response = request.send().await.map_err(PushError::Unreachable)?;
        match response.status() {
            StatusCode::OK => Ok(()),
            status => Err(PushError::Status(status)),
        }
    }

    async fn note(&self, issuer: IssuerId, watermark: Watermark) {
        let origin = Arc::clone(&self.origin);
        // If it cannot be noted, the edge is told once more than it need be.
        if let Ok(Err(error)) =
            tokio::task::spawn_blocking(move || origin.pushed(&issuer, watermark)).await
        {
            tracing::warn!(%error, "cannot note that the edge was told");
        }
    }
}

/// One second, then twice as long each time.
fn wait_after(attempts: u32) -> Duration {
    let seconds = 1_u64
        .checked_shl(attempts.saturating_sub(1))
        .unwrap_or(u64::MAX);
    Duration::from_secs(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_become_rarer_up_to_a_limit() {
        let waits: Vec<u64> = [1, 2, 3, 9, 10, 64, 65, u32::MAX]
            .map(|n| wait_after(n).min(LONGEST_WAIT).as_secs())
            .into();
        assert_eq!(waits, [1, 2, 4, 256, 300, 300, 300, 300]);
    }
}
