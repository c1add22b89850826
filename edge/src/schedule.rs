//! Regenerate-all: walks the registry, the longest-unrefreshed first, a few at once, within its
//! time. One bad issuer never stops the others.

#![expect(
    async_fn_in_trait,
    reason = "an isolate has one thread: no future here needs Send"
)]

#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::pin::pin;
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use origin_api::IssuerId;
use serde::{Deserialize, Serialize};

use crate::events::{Event, Outcome, Trigger};
use crate::registry::{Batch, Lease};
use crate::time::{Timestamp, within};

/// When a tick stops taking issuers: the platform ends a run after 15 minutes.
const TIME_TO_STOP: Duration = Duration::from_mins(12);
/// How long one issuer may keep a place among those that are asked at once. Its object goes on
/// without the tick.
const PATIENCE: Duration = Duration::from_mins(2);
/// How many issuers one tick takes at the most: the platform allows 10,000 calls in one run, and
/// batches are calls too.
const MOST_ISSUERS: u64 = 9_000;

/// What a tick needs: the registry's object, and every issuer's.
pub trait Objects {
    /// Why an object did not answer.
    type Error: std::fmt::Display;
    /// The time.
    fn now(&self) -> Timestamp;
    /// Waits.
    async fn sleep(&self, span: Duration);
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

    /// Counts an issuer, by what its object answered, if it did.
    fn count(&mut self, events: Option<&[Event]>) {
        let increment = |counter: &mut u64| *counter = counter.saturating_add(1);
        increment(&mut self.issuers);
        let Some(events) = events else {
            return increment(&mut self.unanswered);
        };
        for event in events {
            increment(match event.outcome {
                Outcome::Published => &mut self.published,
                Outcome::Unchanged => &mut self.unchanged,
                Outcome::Skipped => &mut self.skipped,
                Outcome::Rejected => &mut self.rejected,
                Outcome::Failed => &mut self.failed,
            });
        }
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
    let left = Cell::new(0);
    let issuers = stream::try_unfold(0_u64, async |taken| {
        if objects.now() >= stop_at || taken >= MOST_ISSUERS {
            return Ok(None);
        }
        let batch = objects.next_batch(&lease).await?;
        left.set(batch.left);
        let taken = taken.saturating_add(batch.issuers.len() as u64);
        let some = !batch.issuers.is_empty();
        Ok(some.then(|| (stream::iter(batch.issuers.into_iter().map(Ok)), taken)))
    });
    let answers = issuers.try_flatten().map(|id| async {
        let id = id?;
        // What was taken must not carry the tick past its end.
        if objects.now() >= stop_at {
            return Ok((id, None));
        }
        let answer = refresh(objects, &id, trigger).await;
        Ok((id, Some(answer)))
    });
    let mut answers = pin!(answers.buffer_unordered(concurrency.max(1)));
    let mut summary = Summary::default();
    let mut unreached = Vec::new();
    let mut failed = None;
    while let Some(answer) = answers.next().await {
        match answer {
            Ok((_, Some(answer))) => summary.count(answer.as_deref()),
            Ok((id, None)) => unreached.push(id),
            // Those under way are still waited for.
            Err(error) => failed = Some(error),
        }
    }
    summary.not_reached = left.get().saturating_add(unreached.len() as u64);
    objects.end_tick(&lease, &unreached).await?;
    failed.map_or(Ok(summary), Err)
}

/// Asks one issuer's object; none where it does not answer in time, or at all.
async fn refresh<O: Objects>(objects: &O, id: &IssuerId, trigger: Trigger) -> Option<Vec<Event>> {
    within(objects.sleep(PATIENCE), objects.refresh(id, trigger))
        .await?
        .ok()
}
