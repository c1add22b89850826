//! What the operators' handlers need of the platform: a request, the objects, the tables in D1, a
//! clock, random bytes and the log.

#![expect(
    async_fn_in_trait,
    reason = "an isolate has one thread: no future here needs Send"
)]
#![expect(
    clippy::missing_errors_doc,
    reason = "each port has one error type, which says that the platform failed"
)]

use std::fmt::Display;
use std::rc::Rc;
use std::time::Duration;

use origin_api::{CrlName, IssuerId};
use serde::de::DeserializeOwned;

use super::access_keys::{AccessKeys, RsaKey};
use super::guesses::Guesses;
use crate::actions::Action;
use crate::events::{Event, EventId, Trigger};
use crate::issuer::{
    AcceptAnswer, IssuerAnswer, IssuerRequest, Overview, RetireAnswer, TrustAnswer,
};
use crate::refresh::{ChangesAnswer, ChangesPlace, Sha256};
use crate::registry::{Index, RefreshJob, RegistryAnswer, RegistryRequest};
use crate::served::Served;
use crate::tables::Query;
use crate::time::Timestamp;

/// A request as it arrived.
pub trait Request {
    /// The method, in upper case.
    fn method(&self) -> &str;
    /// The absolute URL, its query included.
    fn url(&self) -> &str;
    /// The value of the header `name`, in any case; several lines are joined by commas.
    fn header(&self, name: &str) -> Option<String>;
    /// The body as text. The error is for the log.
    async fn text(&self) -> Result<String, String>;
}

/// What an isolate remembers for the operators' handlers.
#[derive(Debug, Default)]
pub struct OperatorMemory {
    pub(super) guesses: Guesses,
    pub(super) access_keys: AccessKeys,
}

/// The platform, as the operators' handlers use it. Every call may be retried.
pub trait Ports: 'static {
    /// Why the platform failed: text for the log, never for a client. An object that fails, or
    /// answers another request, is a failure of the platform.
    type Error: Display + From<IssuerAnswer> + From<RegistryAnswer>;
    /// The time now. It may stand still while code runs.
    fn now(&self) -> Timestamp;
    /// Waits.
    async fn sleep(&self, span: Duration);
    /// Unpredictable bytes.
    fn random(&self) -> Result<[u8; 16], Self::Error>;
    /// What the isolate remembers for these handlers.
    fn memory(&self) -> Rc<OperatorMemory>;
    /// The text at a URL, of at most `limit` bytes. No redirect is followed, and the connection
    /// ends after `span`.
    async fn read(&self, url: &str, limit: u32, span: Duration) -> Result<String, Self::Error>;
    /// Whether this is the signature of `signed` by RSASSA-PKCS1-v1_5 with SHA-256, RS256 of RFC
    /// 7518.
    async fn verify_rs256(
        &self,
        key: &RsaKey,
        signed: &str,
        signature: &[u8],
    ) -> Result<bool, Self::Error>;
    /// Writes one JSON object to the operator's log.
    fn log(&self, line: &serde_json::Value);
    /// The registry's index, no older than `REGISTRY_TTL_SECONDS` while the origin can be read.
    async fn index(&self) -> Result<Rc<Index>, Self::Error>;
    /// Sends a request to the issuer's object. What it says of the request holds when this returns.
    async fn issuer_object(
        &self,
        issuer: &IssuerId,
        request: IssuerRequest,
    ) -> Result<IssuerAnswer, Self::Error>;
    /// Sends a request to the registry's object, as [`Self::issuer_object`] does.
    async fn registry_object(
        &self,
        request: RegistryRequest,
    ) -> Result<RegistryAnswer, Self::Error>;
    /// Keeps an action until D1 has it. Durable when this returns.
    async fn record(&self, action: &Action) -> Result<(), Self::Error>;
    /// How many events D1 refuses, known without D1.
    async fn events_pending(&self) -> Result<u64, Self::Error>;
    /// What relying parties got, as far as isolates have reported it.
    async fn served(&self) -> Result<Served, Self::Error>;
    /// The rows that `query` selects.
    async fn rows<T: DeserializeOwned>(&self, query: &Query) -> Result<Vec<T>, Self::Error>;
    /// How many rows D1 has read for this request's queries, as it counts and charges them.
    fn rows_read(&self) -> u64;

    /// What the issuer's object knows.
    async fn overview(&self, issuer: &IssuerId) -> Result<Overview, Self::Error> {
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
    ) -> Result<Vec<Event>, Self::Error> {
        let request = IssuerRequest::Refresh { name, trigger };
        match self.issuer_object(issuer, request).await? {
            IssuerAnswer::Refreshed(events) => Ok(events),
            other => Err(other.into()),
        }
    }

    /// Pins the changed certificate that is waiting if it has this SHA-256, and refreshes.
    async fn trust(&self, issuer: &IssuerId, sha256: Sha256) -> Result<TrustAnswer, Self::Error> {
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
    ) -> Result<RetireAnswer, Self::Error> {
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
    ) -> Result<AcceptAnswer, Self::Error> {
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
    ) -> Result<ChangesAnswer, Self::Error> {
        let request = IssuerRequest::Changes { name, place };
        match self.issuer_object(issuer, request).await? {
            IssuerAnswer::Changes(answer) => Ok(answer),
            other => Err(other.into()),
        }
    }

    /// Lets the issuers go that vanished from the registry; gives how many are gone now, if some
    /// waited for it.
    async fn confirm_registry(&self) -> Result<Option<u64>, Self::Error> {
        match self.registry_object(RegistryRequest::ConfirmShrink).await? {
            RegistryAnswer::Confirmed(gone) => Ok(gone),
            other => Err(other.into()),
        }
    }

    /// Refreshes every issuer as a job with this id, unless one is under way; the one that is under
    /// way then. Durable when this returns.
    async fn request_job(&self, id: EventId) -> Result<RefreshJob, Self::Error> {
        match self
            .registry_object(RegistryRequest::RequestJob(id))
            .await?
        {
            RegistryAnswer::Job(Some(job)) => Ok(job),
            other => Err(other.into()),
        }
    }

    /// The last such job.
    async fn last_job(&self) -> Result<Option<RefreshJob>, Self::Error> {
        match self.registry_object(RegistryRequest::LastJob).await? {
            RegistryAnswer::Job(job) => Ok(job),
            other => Err(other.into()),
        }
    }
}
