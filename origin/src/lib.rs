//! The origin CA API: makes CRLs with local keys, and passes on the CRLs of other CAs.
//!
//! `http` and [`cli`] call [`origin`], which enforces the rules and keeps its state in [`store`].
//! `connector` gets an issuer's CRLs from a local key or from another CA; `push` has the edge
//! refresh after a revocation; [`import`] reads revocations from other software.
//!
//! The rules that need no database: [`revocation`], [`sequence`], [`trusted_time`], [`profile`],
//! [`list_config`] and [`ca`]. [`entries`] caches what a CRL is made of. Time and randomness come
//! from [`clock`] and [`random`]; `main` chooses the system's, and everything below gets them as
//! arguments. So do `connector` and `push` with timers, threads ([`runtime`]) and the HTTP client
//! ([`http_client`]). [`running`] puts the service together over these.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

pub mod bearer_token;
pub mod ca;
pub mod cli;
pub mod clock;
mod connector;
pub mod connector_config;
pub mod defaults;
mod delta_entries;
pub mod entries;
pub mod hex;
mod http;
pub mod http_client;
pub mod import;
pub mod list_config;
pub mod origin;
#[cfg(not(feature = "testing"))]
mod pause;
#[cfg(feature = "testing")]
pub mod pause;
pub mod profile;
mod push;
pub mod random;
pub mod revocation;
pub mod running;
pub mod runtime;
pub mod sequence;
pub mod store;
pub mod trusted_time;
pub mod vault;
pub mod wire;
