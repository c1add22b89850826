//! What a refresh needs of the world: small traits, each saying what is durable when it returns and what may be retried.

#![expect(
    clippy::missing_errors_doc,
    reason = "each seam has one error type, whose doc says when"
)]
#![expect(
    async_fn_in_trait,
    reason = "an isolate and a Durable Object have one thread: no future here needs Send"
)]

use std::time::Duration;

use crl::Hashed;
use futures_util::future::LocalBoxFuture;
use origin_api::{CrlName, Issuer, IssuerId};

use super::error::{OriginError, StoreError};
use super::head::{Head, Sha256};
use super::state::{CrlState, IssuerState};
use crate::events::{Event, EventId};
use crate::time::Timestamp;

/// The machine: time, chance, signatures, and tasks that outlive who started them.
pub trait Host {
    /// Hashes what is signed by RSA or ECDSA, and checks the signature.
    type Hashed: Hashed;
    /// The time now. It may stand still while code runs.
    fn now(&self) -> Timestamp;
    /// Waits.
    async fn sleep(&self, span: Duration);
    /// Unpredictable bytes.
    fn random(&self) -> [u8; 10];
    /// Runs a task to its end, whoever leaves in the meantime.
    fn spawn(&self, task: LocalBoxFuture<'static, ()>);
    /// Has the object's alarm go off at `at`, and no more at the time set before. Durable when it returns.
    async fn set_alarm(&self, at: Timestamp) -> Result<(), StoreError>;
    /// Tells the operator's log, as one JSON object.
    fn log(&self, line: &serde_json::Value);
}

/// The origin CA API. Every call may be retried; dropping a call or a body ends its connection.
pub trait Origin {
    /// A CRL's bytes as they arrive.
    type Body: OriginBody;
    /// The issuer's record; none where the origin does not know the issuer (404).
    async fn issuer(&self, id: &IssuerId) -> Result<Option<Issuer>, OriginError>;
    /// The current CRL, unless it is the one with the SHA-256 `held`.
    async fn crl(
        &self,
        id: &IssuerId,
        name: CrlName,
        held: Option<Sha256>,
    ) -> Result<Answer<Self::Body>, OriginError>;
}

/// What the origin answers.
#[derive(Debug)]
pub enum Answer<B> {
    /// 200.
    Crl {
        /// The DER, arriving.
        body: B,
        /// The `Revocation-Watermark`.
        watermark: Option<u64>,
    },
    /// 304: what is held is current.
    Current,
    /// 204: there is no CRL to publish.
    Nothing,
}

/// A CRL's bytes as they arrive.
pub trait OriginBody {
    /// Fills the front of `buffer` with what came next and tells how many bytes that were; 0 at the end.
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, OriginError>;
}

/// The Durable Object's storage: the truth. Calls are synchronous, and no answer leaves the object before what was
/// written is durable. A call that fails may yet have been kept: read again before deciding.
pub trait Store {
    /// What is known of the issuer.
    fn issuer(&self) -> Result<IssuerState, StoreError>;
    /// Replaces what is known of the issuer.
    fn set_issuer(&self, issuer: &IssuerState) -> Result<(), StoreError>;
    /// What is known of one CRL; the default where nothing is.
    fn crl(&self, name: CrlName) -> Result<CrlState, StoreError>;
    /// Everything that is known, by CRL name.
    fn crls(&self) -> Result<Vec<(CrlName, CrlState)>, StoreError>;
    /// Begins a body. It is stale until a conclusion names it.
    fn new_body(&self) -> Result<BodyId, StoreError>;
    /// Adds the piece number `index` to a body.
    fn append(&self, body: BodyId, index: u32, piece: &[u8]) -> Result<(), StoreError>;
    /// One piece of a body.
    fn piece(&self, body: BodyId, index: u32) -> Result<Vec<u8>, StoreError>;
    /// Removes every body that no CRL names and that is not in `keep`.
    fn sweep(&self, keep: &[BodyId]) -> Result<(), StoreError>;
    /// Writes everything in `conclusion`, or nothing.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where the CRL held is not the one that the conclusion was drawn from.
    fn conclude(&self, conclusion: &Conclusion<'_>) -> Result<(), StoreError>;
    /// Replaces the state of a CRL, where its head stays as it is.
    fn set_crl(&self, name: CrlName, state: &CrlState) -> Result<(), StoreError>;
    /// The oldest events that D1 does not have yet.
    fn owed_events(&self, limit: usize) -> Result<Vec<Event>, StoreError>;
    /// The newest of them, the newest first.
    fn newest_owed_events(&self, limit: usize) -> Result<Vec<Event>, StoreError>;
    /// How many these are in all.
    fn owed_event_count(&self) -> Result<u64, StoreError>;
    /// D1 has these events now.
    fn events_delivered(&self, ids: &[EventId]) -> Result<(), StoreError>;
    /// KV keys that are to be removed at a time or later.
    fn doomed(&self) -> Result<Vec<Doomed>, StoreError>;
    /// Adds to them.
    fn doom(&self, doomed: &[Doomed]) -> Result<(), StoreError>;
    /// This KV key is gone.
    fn buried(&self, key: &str) -> Result<(), StoreError>;
}

/// What a refresh comes to, written in one transaction.
#[derive(Clone, Copy, Debug)]
pub struct Conclusion<'a> {
    /// Which CRL.
    pub name: CrlName,
    /// The CRL held when the refresh began.
    pub drawn_from: Option<Sha256>,
    /// The state from now on.
    pub state: &'a CrlState,
    /// What is known of the issuer from now on, where that changed.
    pub issuer: Option<&'a IssuerState>,
    /// The event, into the outbox.
    pub event: Option<&'a Event>,
}

/// Names a body in storage.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct BodyId(pub u32);

/// A KV key that readers may still need until `after`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doomed {
    /// The key.
    pub key: String,
    /// When it may be removed.
    pub after: Timestamp,
}

/// KV: the replica that points of presence read. Eventually consistent; each write may be retried.
pub trait Replica {
    /// Writes pieces `first` to `last` of a body as the value of `key`, with the head as metadata where given.
    /// The value is whole when this returns; readers may see the old one for a while.
    async fn put_pieces(
        &self,
        key: &str,
        pieces: Pieces,
        metadata: Option<&Metadata>,
    ) -> Result<(), ReplicaError>;
    /// Writes the manifest of a body that is stored in parts.
    async fn put_manifest(&self, key: &str, metadata: &Metadata) -> Result<(), ReplicaError>;
    /// What KV says of `key`.
    async fn metadata(&self, key: &str) -> Result<Option<Metadata>, ReplicaError>;
    /// Removes a key.
    async fn delete(&self, key: &str) -> Result<(), ReplicaError>;
}

/// A run of a body's pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pieces {
    /// Which body.
    pub body: BodyId,
    /// The first piece.
    pub first: u32,
    /// One past the last piece.
    pub end: u32,
    /// How many bytes these pieces have together.
    pub size: u64,
}

/// The metadata of `crl/{issuer}/{name}` in KV: at most 1,024 bytes of JSON.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Metadata {
    /// The CRL that the value holds.
    pub head: Head,
    /// Into how many parts the body is cut; 0 where the value is the body itself.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub parts: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
const fn is_zero(parts: &u32) -> bool {
    *parts == 0
}

/// KV did not do it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("KV did not {doing}: {cause}")]
pub struct ReplicaError {
    /// What was being done.
    pub doing: &'static str,
    /// What KV said.
    pub cause: String,
}

/// The event table and the status table in D1. Appending an event or a status twice changes nothing.
pub trait EventLog {
    /// Appends events and replaces the status of the issuer's CRLs. All or nothing; durable when it returns.
    async fn append(&self, events: &[Event], report: &[Status]) -> Result<(), EventLogError>;
}

/// How one CRL stands: its row in `crl_status`.
#[derive(Clone, Debug)]
pub struct Status {
    /// Whose.
    pub issuer_id: IssuerId,
    /// Which.
    pub crl_name: CrlName,
    /// The state.
    pub state: CrlState,
    /// SHA-256 of the certificate that is trusted.
    pub pinned: Option<Sha256>,
    /// SHA-256 of a changed certificate that waits for the operator.
    pub waiting: Option<Sha256>,
    /// How many events are not in D1 yet, these not counted.
    pub events_owed: u64,
}

/// D1 did not do it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("D1 did not take the events: {0}")]
pub struct EventLogError(pub String);
