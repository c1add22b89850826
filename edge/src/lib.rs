//! All that the Worker decides, without the platform: routes and HTTP, serving, the issuer's
//! service, refreshes, the registry, ticks, operators' calls and pages, events, settings. It
//! reaches the platform through ports, and is tested natively over ports that fail on demand.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::panic
    )
)]

pub mod actions;
pub mod config;
pub mod events;
pub mod fraction;
pub mod http;
pub mod issuer;
pub mod kv_layout;
mod lru;
pub mod object_calls;
pub mod operator;
pub mod origin_client;
pub mod problem;
pub mod public;
pub mod refresh;
pub mod registry;
pub mod routes;
mod row;
pub mod schedule;
pub mod served;
pub mod tables;
pub mod time;
pub mod url;
pub mod validity;
pub mod wait_slots;
