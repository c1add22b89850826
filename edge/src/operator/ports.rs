//! What the operators' handlers need of the platform: a request, the objects, the tables in D1, a
//! clock, random bytes and the log.

#![expect(
    async_fn_in_trait,
    reason = "an isolate has one thread: no future here needs Send"
)]
#![expect(
    clippy::missing_errors_doc,
    reason = "they have one error type, which says that the platform failed"
)]

use std::rc::Rc;
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::access_keys::{AccessKeys, RsaKey};
use super::guesses::Guesses;
use crate::actions::Action;
use crate::object_calls::{IssuerObjects, PlatformError, RegistryObject};
use crate::registry::Index;
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
pub trait Ports: IssuerObjects + RegistryObject + 'static {
    /// The time now. It may stand still while code runs.
    fn now(&self) -> Timestamp;
    /// Waits.
    async fn sleep(&self, span: Duration);
    /// Unpredictable bytes.
    fn random(&self) -> Result<[u8; 16], PlatformError>;
    /// What the isolate remembers for these handlers.
    fn memory(&self) -> Rc<OperatorMemory>;
    /// The text at a URL, of at most `limit` bytes. No redirect is followed, and the connection
    /// ends after `span`.
    async fn read(&self, url: &str, limit: u32, span: Duration) -> Result<String, PlatformError>;
    /// Whether this is the signature of `signed` by RSASSA-PKCS1-v1_5 with SHA-256, RS256 of RFC
    /// 7518.
    async fn verify_rs256(
        &self,
        key: &RsaKey,
        signed: &str,
        signature: &[u8],
    ) -> Result<bool, PlatformError>;
    /// Writes one JSON object to the operator's log.
    fn log(&self, line: &serde_json::Value);
    /// The registry's index, no older than `REGISTRY_TTL_SECONDS` while the origin can be read.
    async fn index(&self) -> Result<Rc<Index>, PlatformError>;
    /// Keeps an action until D1 has it. Durable when this returns.
    async fn record(&self, action: &Action) -> Result<(), PlatformError>;
    /// How many events D1 refuses, known without D1.
    async fn events_pending(&self) -> Result<u64, PlatformError>;
    /// What relying parties got, as far as isolates have reported it.
    async fn served(&self) -> Result<Served, PlatformError>;
    /// The rows that `query` selects.
    async fn rows<T: DeserializeOwned>(&self, query: &Query) -> Result<Vec<T>, PlatformError>;
    /// How many rows D1 has read for this request's queries, as it counts and charges them.
    fn rows_read(&self) -> u64;
}
