//! One refresh of one CRL: ask the origin, admit its answer, commit it. Generic over the ports.

mod admission;
mod attempt;
mod backoff;
mod demand;
mod error;
pub mod head;
mod object_state;
mod origin_fetch;
mod ports;
mod refresher;
mod state;
mod stored_body;
#[cfg(test)]
pub(crate) mod testing;

pub(crate) use demand::Demand;
pub use error::{OriginError, RefreshError, StoreError};
pub use head::{Head, HeadError, Sha256, Sha256Error};
pub(crate) use object_state::StateCache;
pub use object_state::{Change, ObjectState};
pub use ports::{
    Answer, BodyId, CrlRequest, EventLog, EventLogError, HeldCrl, Metadata, Origin, OriginBody,
    OriginCrl, PIECE_BYTES, Pieces, Replica, ReplicaError, Runtime, Status, Store,
};
pub(crate) use refresher::{Refresher, Report};
pub use state::{
    CrlState, Current, IssuerState, LastError, Publication, Record, RecordedFailure, RefreshCount,
    Unsettled, fingerprint,
};
