//! Calls of the Durable Objects: a request to one, and the answer that belongs to it.

#![expect(
    async_fn_in_trait,
    reason = "an isolate has one thread: no future here needs Send"
)]

use origin_api::{CrlName, IssuerId};

use crate::events::{Event, EventId, Trigger};
use crate::issuer::{
    AcceptAnswer, IssuerAnswer, IssuerRequest, Overview, RetireAnswer, TrustAnswer,
};
use crate::refresh::{ChangesAnswer, ChangesPlace, Sha256};
use crate::registry::{Batch, Index, Lease, RefreshJob, RegistryAnswer, RegistryRequest, Standing};

/// The platform failed: the cause, for the log and never for a client. An object that fails, or
/// answers another request, is a failure of the platform.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PlatformError(pub String);

impl From<IssuerAnswer> for PlatformError {
    /// Of an answer that does not belong to the request.
    fn from(answer: IssuerAnswer) -> Self {
        match answer {
            IssuerAnswer::Failed(cause) => Self(cause),
            _ => Self("an issuer's object answered another request".to_owned()),
        }
    }
}

impl From<RegistryAnswer> for PlatformError {
    /// Of an answer that does not belong to the request.
    fn from(answer: RegistryAnswer) -> Self {
        match answer {
            RegistryAnswer::Failed(cause) => Self(cause),
            _ => Self("the registry's object answered another request".to_owned()),
        }
    }
}

/// The issuers' objects. Every call may be retried.
pub trait IssuerObjects {
    /// Sends a request to an issuer's object. What it says of the request holds when this returns.
    async fn issuer_object(
        &self,
        issuer: &IssuerId,
        request: IssuerRequest,
    ) -> Result<IssuerAnswer, PlatformError>;

    /// What the issuer's object knows.
    async fn overview(&self, issuer: &IssuerId) -> Result<Overview, PlatformError> {
        match self.issuer_object(issuer, IssuerRequest::Overview).await? {
            IssuerAnswer::Overview(overview) => Ok(*overview),
            other => Err(other.into()),
        }
    }

    /// Refreshes one CRL of the issuer, or all. The events are durable when this returns.
    async fn refresh(
        &self,
        issuer: &IssuerId,
        name: Option<CrlName>,
        trigger: Trigger,
    ) -> Result<Vec<Event>, PlatformError> {
        let request = IssuerRequest::Refresh { name, trigger };
        match self.issuer_object(issuer, request).await? {
            IssuerAnswer::Refreshed(events) => Ok(events),
            other => Err(other.into()),
        }
    }

    /// Has the object of an issuer that is gone do what it owes, or begin to.
    async fn flush_pending(&self, issuer: &IssuerId) -> Result<(), PlatformError> {
        match self
            .issuer_object(issuer, IssuerRequest::FlushPending)
            .await?
        {
            IssuerAnswer::Done => Ok(()),
            other => Err(other.into()),
        }
    }

    /// Pins the changed certificate that is waiting if it has this SHA-256, and refreshes.
    async fn trust(&self, issuer: &IssuerId, sha256: Sha256) -> Result<TrustAnswer, PlatformError> {
        let request = IssuerRequest::Trust { sha256 };
        match self.issuer_object(issuer, request).await? {
            IssuerAnswer::Trust(answer) => Ok(answer),
            other => Err(other.into()),
        }
    }

    /// Removes one CRL of the issuer, or all, if the origin no longer lists it.
    async fn retire(
        &self,
        issuer: &IssuerId,
        name: Option<CrlName>,
    ) -> Result<RetireAnswer, PlatformError> {
        let request = IssuerRequest::Retire { name };
        match self.issuer_object(issuer, request).await? {
            IssuerAnswer::Retire(answer) => Ok(answer),
            other => Err(other.into()),
        }
    }

    /// Admits the CRL that was refused last if it has this SHA-256. `by` is the operator's name.
    async fn accept(
        &self,
        issuer: &IssuerId,
        name: CrlName,
        sha256: Sha256,
        by: &str,
    ) -> Result<AcceptAnswer, PlatformError> {
        let by = by.to_owned();
        let request = IssuerRequest::Accept { name, sha256, by };
        match self.issuer_object(issuer, request).await? {
            IssuerAnswer::Accept(answer) => Ok(answer),
            other => Err(other.into()),
        }
    }

    /// What the CRLs of a name added and removed.
    async fn changes(
        &self,
        issuer: &IssuerId,
        name: CrlName,
        place: ChangesPlace,
    ) -> Result<ChangesAnswer, PlatformError> {
        let request = IssuerRequest::Changes { name, place };
        match self.issuer_object(issuer, request).await? {
            IssuerAnswer::Changes(answer) => Ok(answer),
            other => Err(other.into()),
        }
    }
}

/// The registry's object. Every call may be retried.
pub trait RegistryObject {
    /// Sends a request to the registry's object. What it says of the request holds when this
    /// returns.
    async fn registry_object(
        &self,
        request: RegistryRequest,
    ) -> Result<RegistryAnswer, PlatformError>;

    /// The index, which the object reads from the origin if it must.
    async fn registry_index(&self) -> Result<Index, PlatformError> {
        match self.registry_object(RegistryRequest::Index).await? {
            RegistryAnswer::Index(index) => Ok(index),
            other => Err(other.into()),
        }
    }

    /// Begins a tick; none while another one is under way.
    async fn begin_tick(&self) -> Result<Option<Lease>, PlatformError> {
        match self.registry_object(RegistryRequest::BeginTick).await? {
            RegistryAnswer::Lease(lease) => Ok(lease),
            other => Err(other.into()),
        }
    }

    /// The issuers that a tick asks next.
    async fn next_batch(&self, lease: &Lease) -> Result<Batch, PlatformError> {
        let request = RegistryRequest::NextBatch(lease.clone());
        match self.registry_object(request).await? {
            RegistryAnswer::Batch(batch) => Ok(batch),
            other => Err(other.into()),
        }
    }

    /// Ends a tick, which took the issuers `unreached` and did not reach them.
    async fn end_tick(&self, lease: &Lease, unreached: &[IssuerId]) -> Result<(), PlatformError> {
        let request = RegistryRequest::EndTick {
            lease: lease.clone(),
            unreached: unreached.to_vec(),
        };
        match self.registry_object(request).await? {
            RegistryAnswer::Done => Ok(()),
            other => Err(other.into()),
        }
    }

    /// Whether the origin lists the issuer.
    async fn standing(&self, issuer: &IssuerId) -> Result<Standing, PlatformError> {
        let request = RegistryRequest::Standing(issuer.clone());
        match self.registry_object(request).await? {
            RegistryAnswer::Standing(standing) => Ok(standing),
            other => Err(other.into()),
        }
    }

    /// The issuer is gone, and its object has removed it.
    async fn removed(&self, issuer: &IssuerId) -> Result<(), PlatformError> {
        let request = RegistryRequest::Removed(issuer.clone());
        match self.registry_object(request).await? {
            RegistryAnswer::Done => Ok(()),
            other => Err(other.into()),
        }
    }

    /// Lets the issuers go that vanished from the registry; gives how many are gone now, if some
    /// waited for it.
    async fn confirm_registry(&self) -> Result<Option<u64>, PlatformError> {
        match self.registry_object(RegistryRequest::ConfirmShrink).await? {
            RegistryAnswer::Confirmed(gone) => Ok(gone),
            other => Err(other.into()),
        }
    }

    /// Refreshes every issuer as a job with this id, unless one is under way; the one that is under
    /// way then. Durable when this returns.
    async fn request_job(&self, id: EventId) -> Result<RefreshJob, PlatformError> {
        match self
            .registry_object(RegistryRequest::RequestJob(id))
            .await?
        {
            RegistryAnswer::Job(Some(job)) => Ok(job),
            other => Err(other.into()),
        }
    }

    /// The last such job.
    async fn last_job(&self) -> Result<Option<RefreshJob>, PlatformError> {
        match self.registry_object(RegistryRequest::LastJob).await? {
            RegistryAnswer::Job(job) => Ok(job),
            other => Err(other.into()),
        }
    }
}
