//! What the registry's Durable Object is asked and what it answers: one type each, as JSON between
//! the Worker and the object.

use origin_api::{CrlName, IssuerId};
use serde::{Deserialize, Serialize};

use super::index::Index;
use super::job::RefreshJob;
use super::tick::{Batch, Lease};
use crate::events::EventId;

/// What the registry's object can be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RegistryRequest {
    /// The index. Answered by [`RegistryAnswer::Index`].
    Index,
    /// Begins a tick. Answered by [`RegistryAnswer::Lease`].
    BeginTick,
    /// The next issuers of a tick. Answered by [`RegistryAnswer::Batch`].
    NextBatch(Lease),
    /// Ends a tick. Answered by [`RegistryAnswer::Done`].
    EndTick {
        /// The tick.
        lease: Lease,
        /// The issuers that the tick took and did not reach: the next one begins with them.
        unreached: Vec<IssuerId>,
    },
    /// Whether the origin lists an issuer now. Answered by [`RegistryAnswer::Standing`].
    Standing(IssuerId),
    /// An issuer that is gone was removed by its object. Answered by [`RegistryAnswer::Done`].
    Removed(IssuerId),
    /// Lets the issuers go that vanished in one reading. Answered by
    /// [`RegistryAnswer::Confirmed`].
    ConfirmShrink,
    /// Regenerates all as a job with this id, unless one is under way. Answered by
    /// [`RegistryAnswer::Job`].
    RequestJob(EventId),
    /// The last job. Answered by [`RegistryAnswer::Job`].
    LastJob,
}

/// How an issuer stands, as of a reading within `REGISTRY_TTL_SECONDS`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// The origin lists it with these CRLs, or it vanished with too many others.
    Listed(Vec<CrlName>),
    /// The origin does not list it.
    Gone,
}

/// What the registry's object answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RegistryAnswer {
    /// Every issuer, as of the last reading of the origin.
    Index(Index),
    /// The lease of a tick; absent while another tick holds it.
    Lease(Option<Lease>),
    /// The issuers that a tick asks next.
    Batch(Batch),
    /// How an issuer stands.
    Standing(Standing),
    /// How many issuers are gone now; absent if none waited for it.
    Confirmed(Option<u64>),
    /// The job that was asked about; absent if none was ever asked for.
    Job(Option<RefreshJob>),
    /// The request was carried out, and there is nothing more to say.
    Done,
    /// The object could not do it: the cause, for the log.
    Failed(String),
}
