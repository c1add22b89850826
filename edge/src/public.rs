//! What relying parties see: conditional requests, ranges, cache policy, PEM, and where a CRL is
//! read from. [`Serving`] answers a request; it reaches the platform through [`ports`](Platform).

mod body;
mod conditions;
mod date;
mod decision;
mod freshness;
mod index;
mod memory;
mod pem;
mod ports;
mod preflight;
mod range;
mod replay;
mod representation;
mod serve;
mod slice;
#[cfg(test)]
mod tables;
#[cfg(test)]
mod testing;
mod wanted;

pub use crate::validity::Validity;
pub use body::ResponseBody;
pub use decision::health;
pub use freshness::Policy;
pub use memory::Memory;
pub use ports::{Chunk, Chunks, KvRead, Platform};
pub use preflight::preflight;
pub use replay::{ANSWER_BYTES, REPLAY_BYTES, Replay};
pub use representation::Encoding;
pub use serve::{Served, Serving, Source};
use slice::Slice;
pub use wanted::Wanted;
