//! Regenerate-all: walks the registry, the longest-unrefreshed first, a few at once, within its time. One bad issuer never stops
//! the others.

#![expect(
    async_fn_in_trait,
    reason = "an isolate has one thread: no future here needs Send"
)]

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream;
use origin_api::IssuerId;
use serde::{Deserialize, Serialize};

use crate::events::{Event, Outcome, Trigger};
use crate::registry::{Batch, Lease};
use crate::time::Timestamp;

/// When a tick stops taking issuers: the platform ends a run after 15 minutes.
const TIME_TO_STOP: Duration = Duration::from_secs(13 * 60);
/// How many issuers one tick takes at the most: the platform allows 10,000 calls in one run, and batches are calls too.
const MOST_ISSUERS: u64 = 9_000;

/// What a tick needs: the registry's object, and every issuer's.
pub trait Objects {
    /// Why an object did not answer.
    type Error: std::fmt::Display;
    /// The time.
    fn now(&self) -> Timestamp;
    /// Begins a tick; none where another one is under way.
    async fn begin_tick(&self) -> Result<Option<Lease>, Self::Error>;
    /// The issuers to ask next.
    async fn next_batch(&self, lease: &Lease) -> Result<Batch, Self::Error>;
    /// Ends the tick.
    async fn end_tick(&self, lease: &Lease, unreached: &[IssuerId]) -> Result<(), Self::Error>;
    /// Has an issuer's CRLs refreshed.
    async fn refresh(&self, id: &IssuerId, trigger: Trigger) -> Result<Vec<Event>, Self::Error>;
}

/// What a tick did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Another tick was under way, so this one did nothing.
    pub already_under_way: bool,
    /// How many issuers were asked.
    pub issuers: u64,
    /// CRLs by outcome.
    pub published: u64,
    /// Those that were current.
    pub unchanged: u64,
    /// Those that are published elsewhere.
    pub skipped: u64,
    /// Those that were refused.
    pub rejected: u64,
    /// Those for which none came.
    pub failed: u64,
    /// Issuers whose object did not answer.
    pub unanswered: u64,
    /// Issuers that the next tick begins with.
    pub not_reached: u64,
}

impl Summary {
    /// Whether there was something to do, and nothing of it was done.
    #[must_use]
    pub const fn everything_failed(&self) -> bool {
        self.published == 0
            && self.unchanged == 0
            && self.skipped == 0
            && (self.rejected > 0 || self.failed > 0 || self.unanswered > 0)
    }

    fn count(&mut self, event: &Event) {
        let counter = match event.outcome {
            Outcome::Published => &mut self.published,
            Outcome::Unchanged => &mut self.unchanged,
            Outcome::Skipped => &mut self.skipped,
            Outcome::Rejected => &mut self.rejected,
            Outcome::Failed => &mut self.failed,
        };
        *counter = counter.saturating_add(1);
    }
}

/// Refreshes every issuer, `concurrency` at once.
///
/// # Errors
/// Only where the registry's object fails: what fails for an issuer is counted.
pub async fn regenerate_all<O: Objects>(
    objects: &O,
    trigger: Trigger,
    concurrency: usize,
) -> Result<Summary, O::Error> {
    let Some(lease) = objects.begin_tick().await? else {
        return Ok(Summary {
            already_under_way: true,
            ..Summary::default()
        });
    };
    let stop_at = lease.began_at.after(TIME_TO_STOP);
    let mut summary = Summary::default();
    let mut unreached = Vec::new();
    while objects.now() < stop_at && summary.issuers < MOST_ISSUERS {
        let batch = objects.next_batch(&lease).await?;
        summary.not_reached = batch.left;
        if batch.issuers.is_empty() {
            break;
        }
        let mut asked = stream::iter(&batch.issuers)
            .map(|id| async move {
                // A batch that is slow must not carry the tick past its end.
                if objects.now() < stop_at {
                    (id, Some(objects.refresh(id, trigger).await))
                } else {
                    (id, None)
                }
            })
            .buffer_unordered(concurrency.max(1));
        while let Some((id, answer)) = asked.next().await {
            match answer {
                Some(Ok(events)) => events.iter().for_each(|event| summary.count(event)),
                Some(Err(_)) => summary.unanswered = summary.unanswered.saturating_add(1),
                None => {
                    unreached.push(id.clone());
                    continue;
                }
            }
            summary.issuers = summary.issuers.saturating_add(1);
        }
    }
    summary.not_reached = summary.not_reached.saturating_add(unreached.len() as u64);
    objects.end_tick(&lease, &unreached).await?;
    Ok(summary)
}
