//! What serving needs of the platform: KV, the objects, byte streams, a clock and the log.

#![expect(
    async_fn_in_trait,
    reason = "an isolate has one thread: no future here needs Send"
)]

use std::ops::Range;
use std::time::Duration;

use futures_util::future::LocalBoxFuture;
use futures_util::stream::LocalBoxStream;
use origin_api::IssuerId;

use crate::issuer::{IssuerAnswer, IssuerRequest};
use crate::object_calls::{PlatformError, RegistryObject};
use crate::registry::Index;
use crate::time::Timestamp;

/// How long KV may take to answer; what it does not give, the objects have.
pub(super) const KV_LIMIT: Duration = Duration::from_secs(5);

/// Some bytes of a body, in the memory of the platform's choice.
pub trait Chunk: Clone + 'static {
    /// How many bytes.
    fn length(&self) -> usize;
    /// Those in `range`, which lies within the chunk; not copied if the platform can avoid it.
    #[must_use]
    fn slice(&self, range: Range<usize>) -> Self;
    /// A copy of the bytes.
    fn to_vec(&self) -> Vec<u8>;
    /// A chunk of these bytes.
    fn of(bytes: &[u8]) -> Self;
}

/// The bytes of a body, chunk by chunk.
pub type Chunks<C> = LocalBoxStream<'static, Result<C, PlatformError>>;

/// How a read of a CRL in KV ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KvRead {
    /// KV has it.
    Hit,
    /// KV does not have it.
    Miss,
    /// KV has a body that its metadata does not describe. Such a read also counts as failed.
    Mismatch,
    /// KV did not answer, or not in a form that this release reads.
    Failed,
}

impl KvRead {
    /// Its name in figures.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::Mismatch => "mismatch",
            Self::Failed => "failed",
        }
    }
}

/// The platform, as serving uses it. Every call may be retried.
pub trait Platform: RegistryObject + Clone + 'static {
    /// Bytes in memory.
    type Chunk: Chunk;
    /// A body that nothing has been read of.
    type Stream: 'static;

    /// The time now. It may stand still while code runs.
    fn now(&self) -> Timestamp;
    /// Waits.
    async fn sleep(&self, span: Duration);
    /// Waits until the client of this request has left; for ever if that cannot be seen.
    async fn client_left(&self);
    /// Counts a read of a CRL in KV.
    fn count_read(&self, outcome: KvRead);
    /// Writes one JSON object to the operator's log.
    fn log(&self, line: &serde_json::Value);
    /// Runs `task` beside the request, which does not wait for it.
    fn spawn(&self, task: LocalBoxFuture<'static, ()>);

    /// Reads a CRL in KV: its metadata, in JSON, and its body. None if KV has no such key.
    async fn kv_crl(&self, key: &str) -> Result<Option<(String, Self::Stream)>, PlatformError>;
    /// Reads one part of a large CRL in KV.
    async fn kv_part(&self, key: &str) -> Result<Option<Self::Stream>, PlatformError>;
    /// Reads the registry's index in KV.
    async fn kv_index(&self) -> Result<Option<Index>, PlatformError>;
    /// Asks an issuer's object. A body comes with [`IssuerAnswer::Crl`] alone.
    async fn issuer(
        &self,
        issuer: &IssuerId,
        request: IssuerRequest,
    ) -> Result<(IssuerAnswer, Option<Self::Stream>), PlatformError>;

    /// Reads a stream to its end.
    async fn read(&self, stream: Self::Stream) -> Result<Self::Chunk, PlatformError>;
    /// The first `end` bytes of a stream; the rest stays unread.
    fn chunks(&self, stream: Self::Stream, end: u64) -> Chunks<Self::Chunk>;
    /// Gives up a stream that is not needed.
    fn cancel(&self, stream: Self::Stream);
}
