//! The only room that names the platform's bindings: KV, D1, durable storage, the origin client, the clock, the log.

mod again;
mod bindings;
mod d1;
mod dashboard;
mod entry;
mod host;
mod issuer_object;
mod issuer_store;
mod js;
mod kept;
mod kv;
mod objects;
mod operator;
mod origin;
mod reading;
mod records;
mod registry_object;
mod registry_store;
mod reply;
mod signature;
mod sql;
mod streams;
mod task;
mod url;

pub(crate) use again::answers;
pub(crate) use entry::{fetch, scheduled};
pub use issuer_object::IssuerObject;
pub use registry_object::RegistryObject;
