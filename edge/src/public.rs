//! What relying parties see: conditional requests, ranges, cache policy, PEM. Pure: no I/O, no clock, no platform types.
//!
//! [`decide()`] decides, from the head alone, what is answered; [`pem`] and [`Slice`] make its body from the stored bytes.

mod conditions;
mod date;
mod decision;
mod freshness;
pub mod pem;
mod range;
mod representation;
mod serve;
mod slice;
#[cfg(test)]
mod tables;
mod validity;

pub use decision::{CrlAnswer, Decision, decide, health};
pub use freshness::Policy;
pub use representation::Encoding;
pub use serve::{Lookup, Served, Shelves, Source, Unserved, Wanted, serve};
pub use slice::Slice;
pub use validity::Validity;
