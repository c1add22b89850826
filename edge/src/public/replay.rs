//! Whether an answer may be given again, to the same request within the same second, and how.

/// How an answer is given again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replay<C> {
    /// With the same body: bytes in memory, or none. A stream can be sent only once, so it has no
    /// place here.
    SameBody(Option<C>),
    /// With the body that KV returns for this key, if its metadata is still this, in JSON.
    ReadKv {
        /// The CRL's key.
        key: String,
        /// The metadata that the answer was made from.
        metadata: String,
    },
    /// Not at all.
    No,
}

/// How many bytes of answers an isolate may remember. One without a body counts as
/// [`ANSWER_BYTES`].
pub const REPLAY_BYTES: u32 = 16 * 1024 * 1024;

/// What an answer weighs besides its body: its key and headers, in bytes.
pub const ANSWER_BYTES: u32 = 4 * 1024;
