//! The registry: which issuers there are. One object keeps it, KV has a copy, and the origin is asked by one caller at a time.

mod index;
mod keeper;
mod protocol;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod tick;

pub use index::{Index, IndexError, Listed};
pub use keeper::{
    IndexReplica, Keeper, KeeperParts, OriginPages, Reading, RegistryError, RegistryStore, Row,
};
pub use protocol::{RegistryAnswer, RegistryRequest};
pub use tick::{Batch, Lease, TICK_BATCH};
