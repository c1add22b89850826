//! What relying parties see: conditional requests, ranges, cache policy, PEM, and where a CRL is
//! read from. [`Serving`] answers a request; it reaches the platform through [`ports`](Platform).

mod body;
mod conditions;
mod decision;
mod freshness;
mod index;
mod memory;
mod pem;
mod ports;
mod range;
mod representation;
mod serve;
#[cfg(test)]
mod tables;
#[cfg(test)]
mod testing;

pub use crate::validity::Validity;
pub use body::ResponseBody;
pub use decision::{health, preflight};
pub use freshness::Policy;
pub use memory::Memory;
pub use ports::{Chunk, Chunks, KvRead, Platform};
pub use representation::{Encoding, Wanted};
pub use serve::{ANSWER_BYTES, REPLAY_BYTES, Replay, Served, Serving, Source};
