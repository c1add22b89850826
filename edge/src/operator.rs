//! What operators see and do: calls behind a token, figures, and the dashboard. Pure: rows in; JSON, CSV, Prometheus text and
//! HTML out. The platform fetches the rows and runs the calls.

pub mod authorization;
pub mod call;
pub mod crl_status;
pub mod dashboard;
pub mod event_page;
pub mod event_query;
pub mod issuers;
pub mod media;
pub mod metrics;
pub mod openapi;
pub mod parameters;
pub mod query;
#[cfg(test)]
pub(crate) mod testing;

pub use authorization::{Caller, caller};
pub use call::{Call, Endpoint};
pub use query::Query;
