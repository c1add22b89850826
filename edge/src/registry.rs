//! The registry: which issuers there are. One object keeps it, KV has a copy, and the origin is
//! asked by one caller at a time.

mod index;
mod protocol;
mod service;
mod shrink;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod tick;

pub use index::{Index, IndexError, Listed};
pub use protocol::{RegistryAnswer, RegistryRequest, Standing};
pub use service::{
    IndexReplica, OriginPages, Reading, RegistryError, RegistryPorts, RegistryService,
    RegistryStore, Row,
};
pub use shrink::Shrink;
pub use tick::{Batch, Lease, TICK_BATCH};
