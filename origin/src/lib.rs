//! The origin CA API: makes CRLs for its own keys and in front of other CAs.
//!
//! [`http`] and [`cli`] are the two ways to reach [`origin`], which decides everything and keeps its state in [`store`].
//! [`connector`] is where an issuer's CRLs come from, [`push`] tells the edge of revocations, [`import`] reads those that were
//! made elsewhere. [`ca`], [`revocation`], [`sequence`], [`profile`] and [`entries`] are the rules, without network or clock.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

pub mod ca;
pub mod cli;
pub mod clock;
pub mod connector;
pub mod connector_config;
pub mod defaults;
pub mod entries;
pub mod hex;
pub mod http;
pub mod import;
pub mod origin;
pub mod profile;
pub mod push;
pub mod revocation;
pub mod sequence;
pub mod store;
pub mod vault;
pub mod wire;
