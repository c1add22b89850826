//! Regenerate-all on an operator's request: a job, and what is stored to carry it on.

use origin_api::IssuerId;
use serde::{Deserialize, Serialize};

use super::tick::{Lease, Summary};
use crate::events::EventId;
use crate::time::{Rfc3339, Timestamp};

/// A regenerate-all that an operator asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefreshJob {
    /// The id of the action that asked for it.
    pub id: EventId,
    /// How far it is.
    pub state: JobState,
    /// When it was asked for.
    pub requested_at: Rfc3339,
    /// When it took its first issuers.
    pub started_at: Option<Rfc3339>,
    /// When it ended.
    pub finished_at: Option<Rfc3339>,
    /// What it has done so far.
    pub summary: Summary,
}

/// How far a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// It begins once the tick that is under way has ended.
    Waiting,
    /// It refreshes issuers.
    Running,
    /// Every issuer was asked.
    Finished,
}

impl JobState {
    /// Every one, in the order in which they follow each other.
    #[cfg(test)]
    pub(crate) const ALL: [Self; 3] = [Self::Waiting, Self::Running, Self::Finished];
}

/// A job with what is needed to carry it on. One is stored: the last that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredJob {
    pub(super) job: RefreshJob,
    /// Its right to walk the registry, once it has it.
    pub(super) lease: Option<Lease>,
    /// The issuers that it took and that have not answered. After a restart they are asked again.
    pub(super) batch: Vec<IssuerId>,
}

impl StoredJob {
    pub(super) fn new(id: EventId, requested_at: Timestamp) -> Self {
        Self {
            job: RefreshJob {
                id,
                state: JobState::Waiting,
                requested_at: Rfc3339(requested_at),
                started_at: None,
                finished_at: None,
                summary: Summary::default(),
            },
            lease: None,
            batch: Vec::new(),
        }
    }

    pub(super) fn is_finished(&self) -> bool {
        self.job.state == JobState::Finished
    }

    /// Begins from the first issuer.
    pub(super) fn begin(&mut self, lease: Lease) {
        self.job.state = JobState::Running;
        self.job.started_at = Some(Rfc3339(lease.began_at));
        self.job.summary = Summary::default();
        self.batch.clear();
        self.lease = Some(lease);
    }
}
