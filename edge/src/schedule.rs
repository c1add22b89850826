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

use crate::events::{Event, Trigger};
use crate::object_calls::{IssuerObjects, PlatformError, RegistryObject};
use crate::registry::{ISSUER_TIME_LIMIT, Summary};
use crate::time::{Timestamp, within};

/// When a tick stops taking issuers: the platform ends a run after 15 minutes.
const TIME_TO_STOP: Duration = Duration::from_mins(12);
/// How long the registry's object may take to begin a tick: it reads the origin's list if that is
/// due, and goes on with it without the tick.
const TIME_TO_BEGIN: Duration = Duration::from_mins(5);
/// What is left of the 15 minutes for removing old rows. Those that are not removed wait for the
/// next tick.
const TIME_TO_PRUNE: Duration = Duration::from_secs(20);
/// How long any other call of the registry's object may take.
const TIME_TO_ANSWER: Duration = Duration::from_secs(20);
/// How many issuers one tick takes at the most: the platform allows 10,000 calls in one run, and
/// batches are calls too.
const MOST_ISSUERS: u64 = 9_000;

/// What a tick needs: the registry's object, every issuer's, and a clock.
pub trait Objects: IssuerObjects + RegistryObject {
    /// The time.
    fn now(&self) -> Timestamp;
    /// Waits.
    async fn sleep(&self, span: Duration);
}

/// A run of the cron trigger: refreshes every issuer as [`regenerate_all`], then does `prune`,
/// whatever came of the refreshes. The second result is absent if `prune` did not end in its time.
pub async fn run<O: Objects, P>(
    objects: &O,
    concurrency: usize,
    prune: impl Future<Output = P>,
) -> (Result<Option<Summary>, PlatformError>, Option<P>) {
    let walked = regenerate_all(objects, Trigger::Cron, concurrency).await;
    let pruned = within(objects.sleep(TIME_TO_PRUNE), prune).await;
    (walked, pruned)
}

/// Refreshes every issuer, `concurrency` at once; none if another tick is under way, or if the
/// registry cannot begin one in time.
///
/// # Errors
/// Only where the registry's object fails: what fails for an issuer is counted.
pub async fn regenerate_all<O: Objects>(
    objects: &O,
    trigger: Trigger,
    concurrency: usize,
) -> Result<Option<Summary>, PlatformError> {
    // The platform's time runs from here on, not from where the list is read.
    let stop_at = objects.now().after(TIME_TO_STOP);
    let begun = within(objects.sleep(TIME_TO_BEGIN), objects.begin_tick()).await;
    let Some(lease) = begun.transpose()?.flatten() else {
        return Ok(None);
    };
    let left = Cell::new(0);
    let issuers = stream::try_unfold(0_u64, async |taken| -> Result<_, PlatformError> {
        if objects.now() >= stop_at || taken >= MOST_ISSUERS {
            return Ok(None);
        }
        let asked = objects.next_batch(&lease);
        let Some(batch) = within(objects.sleep(TIME_TO_ANSWER), asked).await else {
            return Ok(None);
        };
        let batch = batch?;
        left.set(batch.left);
        let taken = taken.saturating_add(batch.issuers.len() as u64);
        let some = !batch.issuers.is_empty();
        let issuers = batch.issuers.into_iter().map(Ok::<_, PlatformError>);
        Ok(some.then(|| (stream::iter(issuers), taken)))
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
    let ended = objects.end_tick(&lease, &unreached);
    // If this fails, the lease ends by itself.
    within(objects.sleep(TIME_TO_ANSWER), ended)
        .await
        .unwrap_or(Ok(()))?;
    failed.map_or(Ok(Some(summary)), Err)
}

/// Asks one issuer's object; none where it does not answer in time, or at all.
async fn refresh<O: Objects>(objects: &O, id: &IssuerId, trigger: Trigger) -> Option<Vec<Event>> {
    within(
        objects.sleep(ISSUER_TIME_LIMIT),
        objects.refresh(id, None, trigger),
    )
    .await?
    .ok()
}
