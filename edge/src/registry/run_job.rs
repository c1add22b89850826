//! Runs regenerate-all as a job: the registry's object keeps it in its storage and carries it out
//! from its alarm, so that neither a client that leaves nor a restart ends it.

use std::rc::Rc;
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};

use super::job::{JobState, RefreshJob, StoredJob};
use super::service::{RegistryError, RegistryPorts, RegistryService, RegistryStore as _};
use super::tick::{ISSUER_TIME_LIMIT, Lease, TICK_BATCH};
use crate::events::{EventId, Trigger};
use crate::object_calls::IssuerObjects as _;
use crate::refresh::{Runtime as _, StoreError};
use crate::time::{Rfc3339, within};

/// How long one alarm works on a job before it lets the object's other work have the next one.
const WORKING_TIME: Duration = Duration::from_mins(1);
/// How many batches one alarm carries out at most: the platform allows 10,000 calls in one run, and
/// a batch has 18.
const MOST_BATCHES: u32 = 400;
/// When a job that waits for the end of a tick looks again.
const TICK_PAUSE: Duration = Duration::from_secs(10);
/// An alarm that is set for now, in an alarm, does not go off.
const AT_ONCE: Duration = Duration::from_millis(1);

/// What carrying out a batch led to.
enum Step {
    /// There may be more batches.
    Done,
    /// A tick is under way.
    Blocked,
    /// There is no job to carry out.
    Nothing,
}

impl<P: RegistryPorts> RegistryService<P> {
    /// The job that is under way, or else a new one with this id. Durable when it returns.
    ///
    /// # Errors
    /// There is no list of issuers, or storage fails. It may be asked for again.
    pub(super) async fn request_job(
        self: &Rc<Self>,
        id: EventId,
    ) -> Result<RefreshJob, RegistryError> {
        self.index().await?;
        let stored = match self.store.job()? {
            Some(under_way) if !under_way.is_finished() => under_way,
            _ => {
                let new = StoredJob::new(id, self.runtime.now());
                self.store.set_job(&new)?;
                new
            }
        };
        self.wake_in(AT_ONCE).await?;
        Ok(stored.job)
    }

    /// The last job that was asked for.
    ///
    /// # Errors
    /// Storage fails.
    pub(super) fn last_job(&self) -> Result<Option<RefreshJob>, StoreError> {
        Ok(self.store.job()?.map(|stored| stored.job))
    }

    /// Sets the alarm of a job that is not finished, in case it was lost.
    ///
    /// # Errors
    /// Storage fails.
    pub(super) async fn wake_job(&self) -> Result<(), StoreError> {
        match self.store.job()? {
            Some(stored) if !stored.is_finished() => self.wake_in(AT_ONCE).await,
            _ => Ok(()),
        }
    }

    /// The alarm: carries out a part of the job, and sets the alarm for the next part.
    ///
    /// # Errors
    /// Storage fails: the platform then runs the alarm again.
    pub async fn alarm(&self) -> Result<(), StoreError> {
        let stop_at = self.runtime.now().after(WORKING_TIME);
        for _ in 0..MOST_BATCHES {
            match self.next_step().await? {
                Step::Done if self.runtime.now() < stop_at => {}
                Step::Done => break,
                Step::Blocked => return self.wake_in(TICK_PAUSE).await,
                Step::Nothing => return Ok(()),
            }
        }
        self.wake_in(AT_ONCE).await
    }

    async fn wake_in(&self, span: Duration) -> Result<(), StoreError> {
        self.runtime.set_alarm(self.runtime.now().after(span)).await
    }

    async fn next_step(&self) -> Result<Step, StoreError> {
        let Some(mut stored) = self.store.job()? else {
            return Ok(Step::Nothing);
        };
        if stored.is_finished() {
            if let Some(lease) = &stored.lease {
                self.end_tick(lease, &[])?;
            }
            return Ok(Step::Nothing);
        }
        let now = self.runtime.now();
        let lease = match &stored.lease {
            Some(lease) if self.holds(lease)? => lease.clone(),
            // A tick took over a lease that was not renewed for minutes, and with it the record of
            // who was asked.
            _ => {
                let Some(lease) = Lease::begin(self.store.lease()?.as_ref(), now) else {
                    return Ok(Step::Blocked);
                };
                stored.begin(lease.clone());
                lease
            }
        };
        if stored.batch.is_empty() {
            let (issuers, all) = self.store.unasked(lease.began_at, TICK_BATCH, false)?;
            stored.job.summary.not_reached = all;
            stored.batch = issuers;
        }
        if stored.batch.is_empty() {
            stored.job.state = JobState::Finished;
            stored.job.finished_at = Some(Rfc3339(now));
        }
        // In this order, a failure in between has issuers asked twice, and none left out.
        self.store.set_job(&stored)?;
        self.store.set_lease(Some(&lease.renewed(now)))?;
        self.store.asked(&stored.batch, now.max(lease.began_at))?;
        self.ask_batch(&mut stored).await?;
        Ok(Step::Done)
    }

    /// Has the issuers of the batch refreshed, and notes each that answered.
    async fn ask_batch(&self, stored: &mut StoredJob) -> Result<(), StoreError> {
        let concurrency = self.settings.regenerate_concurrency.max(1);
        let answers = stream::iter(stored.batch.clone()).map(|id| async {
            let refreshed = self.issuers.refresh(&id, None, Trigger::Operator);
            let answer = within(self.runtime.sleep(ISSUER_TIME_LIMIT), refreshed).await;
            (id, answer.and_then(Result::ok))
        });
        let mut answers = answers.buffer_unordered(concurrency);
        while let Some((id, events)) = answers.next().await {
            stored.batch.retain(|waiting| *waiting != id);
            let summary = &mut stored.job.summary;
            summary.count(events.as_deref());
            summary.not_reached = summary.not_reached.saturating_sub(1);
            self.store.set_job(stored)?;
        }
        Ok(())
    }
}
