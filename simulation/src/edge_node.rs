//! The edge: its objects, its isolates and its cron, over the twins of the platform.

mod host;
mod isolate;
mod network;
mod objects;
mod operator_api;

pub(crate) use isolate::{Answer, Isolate};
pub(crate) use objects::{Edge, EdgeDeps};
