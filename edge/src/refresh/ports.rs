//! The ports of an issuer's object. Each says what is durable when a call returns, and what may be
//! retried.

#![expect(
    clippy::missing_errors_doc,
    reason = "each port has one error type, whose doc says when"
)]
#![expect(
    async_fn_in_trait,
    reason = "an isolate and a Durable Object have one thread: no future here needs Send"
)]

use std::time::Duration;

use crl::Hashed;
use futures_util::future::LocalBoxFuture;
use origin_api::{CrlName, Issuer, IssuerId};
use serde::{Deserialize, Serialize};

use super::error::{OriginError, StoreError};
use super::head::{Head, Sha256};
use super::object_state::{ObjectState, StateChange};
use super::state::{BodyId, CrlState, HeldCrl};
use crate::events::Event;
use crate::time::Timestamp;

/// Bytes in a piece of a body; the last piece may have fewer. A row of the object's storage holds
/// at most 2 MB.
pub const PIECE_BYTES: usize = 1024 * 1024;

/// Clock, timers, randomness, tasks, the object's alarm, and the log.
pub trait Runtime {
    /// Hashes what is signed by RSA or ECDSA, and checks the signature.
    type Hashed: Hashed;
    /// Hashes the whole CRL, for its identity.
    type ContentHash: ContentHash;
    /// The current time. The platform's clock may stand still while code runs.
    fn now(&self) -> Timestamp;
    /// Waits.
    async fn sleep(&self, span: Duration);
    /// Unpredictable bytes.
    fn random(&self) -> [u8; 10];
    /// Runs a task to its end, even if the client that caused it leaves.
    fn spawn(&self, task: LocalBoxFuture<'static, ()>);
    /// Replaces the object's alarm. Durable when it returns.
    async fn set_alarm(&self, at: Timestamp) -> Result<(), StoreError>;
    /// Writes one JSON object to the operator's log.
    fn log(&self, line: &serde_json::Value);
}

/// The SHA-256 of bytes that come in pieces.
pub trait ContentHash {
    /// Of no bytes yet.
    fn new() -> Self;
    /// Takes the next bytes.
    fn update(&mut self, bytes: &[u8]);
    /// After the last bytes.
    fn finish(self) -> Result<Sha256, StoreError>;
}

/// By the crate, if the platform has no faster one.
impl ContentHash for sha2::Sha256 {
    fn new() -> Self {
        Self::default()
    }

    fn update(&mut self, bytes: &[u8]) {
        sha2::Digest::update(self, bytes);
    }

    fn finish(self) -> Result<Sha256, StoreError> {
        Ok(Sha256(sha2::Digest::finalize(self).into()))
    }
}

/// The origin CA API. Every call may be retried; dropping a call or a body closes its connection.
pub trait Origin {
    /// A CRL's bytes as they arrive.
    type Body: OriginBody;
    /// The issuer's record; `None` if the origin does not know the issuer (404).
    async fn issuer(&self, id: &IssuerId) -> Result<Option<Issuer>, OriginError>;
    /// The current CRL.
    async fn crl(
        &self,
        id: &IssuerId,
        name: CrlName,
        request: &CrlRequest,
    ) -> Result<OriginAnswer<OriginCrl<Self::Body>>, OriginError>;
    /// Why entries that were on the last CRL are not on this one: at most [`DEPARTED_LIMIT`] serial
    /// numbers, in hexadecimal. `None` if the origin has no evidence (404, 405 or 501).
    async fn departed(
        &self,
        id: &IssuerId,
        name: CrlName,
        serials: &[&str],
    ) -> Result<Option<Vec<Departure>>, OriginError>;
}

/// The most serial numbers in one call of [`Origin::departed`].
pub const DEPARTED_LIMIT: usize = 10_000;

/// Why an entry is no longer on a CRL, as the origin says.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Departure {
    /// The serial number in hexadecimal.
    pub serial: String,
    /// Why.
    pub because: Cause,
}

/// Why an entry is no longer on a CRL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The certificate has expired.
    Expired,
    /// It was on hold, and was released.
    Released,
    /// The origin does not know.
    #[serde(other)]
    Unknown,
}

/// What the origin is asked for a CRL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CrlRequest {
    /// The CRL that the edge holds, or held last.
    pub held: Option<HeldCrl>,
    /// Demands a new CRL, whatever is held (`Cache-Control: no-cache`).
    pub new_crl: bool,
}

/// The answer to a request for a CRL: the same type from the wire to the event.
#[derive(Debug)]
pub enum OriginAnswer<T> {
    /// 200: a CRL.
    Crl(T),
    /// 304, or the same bytes again: the CRL held is current.
    Unchanged,
    /// 204, or no CRL is listed: the issuer publishes its CRLs elsewhere.
    NothingToPublish,
}

/// A CRL on its way from the origin.
#[derive(Debug)]
pub struct OriginCrl<B> {
    /// The DER, arriving.
    pub body: B,
    /// Its `Revocation-Watermark`.
    pub watermark: Option<u64>,
}

/// A CRL's bytes as they arrive.
pub trait OriginBody {
    /// Fills the front of `buffer` with the next bytes and returns how many they are; 0 at the end.
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, OriginError>;
}

/// The Durable Object's storage: the truth. Calls are synchronous, and no answer leaves the object
/// before what was written is durable. A call that fails may have been kept all the same.
pub trait Store {
    /// Everything but bodies and events.
    fn load(&self) -> Result<ObjectState, StoreError>;
    /// Writes everything in `changes`, or nothing. Beside each is the CRL that the state being
    /// replaced has committed: [`StoreError::Conflict`] if storage has another.
    fn commit(&self, changes: &[(StateChange, Option<Sha256>)]) -> Result<(), StoreError>;
    /// Begins a body. It may be swept until a state names it.
    fn new_body(&self) -> Result<BodyId, StoreError>;
    /// Adds the piece number `index` to a body.
    fn append(&self, body: BodyId, index: u32, piece: &[u8]) -> Result<(), StoreError>;
    /// One piece of a body.
    fn piece(&self, body: BodyId, index: u32) -> Result<Vec<u8>, StoreError>;
    /// Removes every body that is not in `keep` and was made before the body `before`, or at any
    /// time. The number of a body is greater than that of any made before it.
    fn sweep(&self, keep: &[BodyId], before: Option<BodyId>) -> Result<(), StoreError>;
    /// The oldest events that D1 does not have yet.
    fn owed_events(&self, limit: usize) -> Result<Vec<Event>, StoreError>;
    /// The newest of them, the newest first.
    fn newest_owed_events(&self, limit: usize) -> Result<Vec<Event>, StoreError>;
}

/// KV, which points of presence read. It is eventually consistent, and each write may be retried.
/// A write cannot be cancelled: one that failed or timed out may land later.
pub trait Replica {
    /// Writes a run of a body's pieces as the value of `key`, with `metadata` if given. The value
    /// is whole when this returns; readers may see the old one for a while.
    async fn put_pieces(
        &self,
        key: &str,
        pieces: Pieces,
        metadata: Option<&Metadata>,
    ) -> Result<(), ReplicaError>;
    /// Writes the manifest of a body that is stored in parts.
    async fn put_manifest(&self, key: &str, metadata: &Metadata) -> Result<(), ReplicaError>;
    /// The metadata of `key`.
    async fn metadata(&self, key: &str) -> Result<Option<Metadata>, ReplicaError>;
    /// Removes a key.
    async fn delete(&self, key: &str) -> Result<(), ReplicaError>;
}

/// A run of a body's pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pieces {
    /// The body.
    pub body: BodyId,
    /// The first piece.
    pub first: u32,
    /// One past the last piece.
    pub end: u32,
    /// The bytes of these pieces together.
    pub size: u64,
}

/// The metadata of `crl/{issuer}/{name}` in KV: at most 1,024 bytes of JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// The CRL that the value holds.
    pub head: Head,
    /// Into how many parts the body is cut; 0 if the value is the body itself.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub parts: u32,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
const fn is_zero(parts: &u32) -> bool {
    *parts == 0
}

/// KV failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("KV did not {doing}: {cause}")]
pub struct ReplicaError {
    /// What was being done.
    pub doing: &'static str,
    /// What KV said.
    pub cause: String,
}

/// The tables in D1. Writing an event or a status twice changes nothing.
pub trait EventLog {
    /// Appends events and writes how the issuer's CRLs stand. All or nothing; durable when it
    /// returns. It fails if the table refuses an event, unless it has an event of the same id.
    async fn append(
        &self,
        events: &[Event],
        statuses: &[StatusReport],
    ) -> Result<(), EventLogError>;
}

/// How one CRL stands: its rows in `crl_status` and `crl_refresh_counts`.
#[derive(Clone, Debug)]
pub struct StatusReport {
    /// The issuer.
    pub issuer_id: IssuerId,
    /// Which of its CRLs.
    pub crl_name: CrlName,
    /// The state.
    pub state: CrlState,
    /// SHA-256 of the certificate that is trusted.
    pub pinned: Option<Sha256>,
    /// SHA-256 of a changed certificate that waits for the operator.
    pub pending_certificate: Option<Sha256>,
    /// How many events are not in D1, apart from those written with this status.
    pub events_owed: u64,
}

/// D1 failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("D1 did not take the events: {0}")]
pub struct EventLogError(pub String);
