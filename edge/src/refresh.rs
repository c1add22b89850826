//! One refresh of one CRL: ask the origin, admit its answer, commit it. Generic over the ports.

mod admission;
mod attempt;
mod backoff;
mod changes;
mod error;
mod fetch_outcome;
pub mod head;
mod moves;
mod object_state;
mod origin_fetch;
mod overrule;
mod ports;
mod refresher;
mod removal_gate;
mod serial_text;
mod shard_index;
mod shards;
mod stagings;
mod state;
mod state_cache;
mod stored_body;
#[cfg(test)]
pub(crate) mod testing;

pub use changes::{ChangesAnswer, ChangesPage, ChangesPlace};
pub use error::{OriginError, RefreshError, StoreError};
pub use head::{Head, HeadError, Sha256, Sha256Error};
pub use object_state::{ObjectState, StateChange};
pub(crate) use origin_fetch::Demand;
pub use ports::{
    Cause, ContentHash, CrlRequest, DEPARTED_LIMIT, Departure, EventLog, EventLogError, Metadata,
    Origin, OriginAnswer, OriginBody, OriginCrl, PIECE_BYTES, Pieces, Replica, ReplicaError,
    Runtime, StatusReport, Store,
};
pub(crate) use refresher::{Refresher, Report};
pub(crate) use removal_gate::MOVE_LIMIT;
pub(crate) use shards::Shards;
pub use state::{
    BodyId, Candidate, Changes, CrlState, Current, HeldCrl, IssuerState, LastError, Publication,
    Record, RecordedFailure, RefreshCount, StoredIndex, Unsettled, fingerprint,
};
pub(crate) use state_cache::StateCache;
