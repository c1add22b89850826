//! The issuer's Durable Object, without the platform: a service made of a singleflight, a
//! publisher to KV, an outbox to D1, the removal of what the origin no longer lists, and an alarm.

mod alarm;
mod coalesced;
mod leases;
mod outbox;
mod ports;
mod protocol;
mod publisher;
mod removal;
mod reports;
mod service;
mod singleflight;
#[cfg(test)]
mod tests;
mod turns;

pub use leases::BodyLease;
pub use ports::{IssuerDeps, IssuerPorts};
pub use protocol::{
    AcceptAnswer, IssuerAnswer, IssuerCall, IssuerRequest, Overview, RetireAnswer, TrustAnswer,
    Unavailable,
};
pub use service::{IssuerService, LeasedCrl};
