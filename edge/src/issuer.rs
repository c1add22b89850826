//! The issuer's Durable Object, without the platform: a service made of a singleflight, a
//! publisher to KV, an outbox to D1, and an alarm.

mod alarm;
mod coalesced;
mod leases;
mod outbox;
mod ports;
mod protocol;
mod publisher;
mod service;
mod singleflight;
#[cfg(test)]
mod tests;

pub use leases::BodyLease;
pub use ports::{IssuerDeps, IssuerPorts};
pub use protocol::{IssuerAnswer, IssuerCall, IssuerRequest, Overview, TrustAnswer, Unavailable};
pub use service::{IssuerService, Serving};
