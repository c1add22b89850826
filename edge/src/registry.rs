//! The registry: which issuers there are. One object keeps it, KV has a copy, and the origin is
//! asked by one caller at a time.

mod index;
mod job;
mod protocol;
mod run_job;
mod service;
mod shrink;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod tick;
#[cfg(any(test, feature = "testing"))]
pub mod twin;

pub use index::{Index, IndexError, Listed};
pub use job::{JobState, RefreshJob, StoredJob};
pub use protocol::{RegistryAnswer, RegistryRequest, Standing};
pub use service::{
    IndexReplica, OriginPages, Reading, RegistryError, RegistryPorts, RegistryService,
    RegistryStore, Row,
};
pub use shrink::Shrink;
pub(crate) use tick::ISSUER_TIME_LIMIT;
pub use tick::{Batch, Lease, Summary, TICK_BATCH};
