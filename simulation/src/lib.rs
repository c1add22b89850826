//! Origin and edge together, on virtual time, with everything failing.
//!
//! A run has one seed. From it comes every delay, every fault and the order of all tasks, so that a
//! run can be repeated to the byte. What runs is the real logic of the edge, over twins of the
//! platform (`kv`, `d1`, `object_storage`, `wire`), and the real origin over its real
//! database. `ledger` knows what is true, and `checks` what must be so after each storm.

mod caching;
mod checks;
mod clients;
mod clock;
mod coverage;
mod d1;
mod edge_node;
mod executor;
mod faults;
mod kv;
mod ledger;
mod lying_ca;
mod mutation;
mod named;
mod object_storage;
mod openssl_ca;
mod openssl_staff;
mod operators;
mod origin_node;
mod pace;
mod people;
mod platform;
mod random;
mod scenario;
mod shared_cache;
mod trace;
mod weather;
mod wire;
mod world;

pub use coverage::{Coverage, Meetings};
pub use faults::{Accident, Fault};
pub use ledger::Counts;
pub use mutation::Mutation;
pub use pace::Pace;
pub use scenario::{Report, run};
pub use world::Plan;
