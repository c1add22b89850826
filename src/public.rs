//! What relying parties see: routes, conditional requests, ranges, cache policy, PEM. Pure: no I/O, no clock, no platform types.
//!
//! [`Route::parse`] says what is asked for; [`answer()`] decides, from the head alone, what is answered; [`pem`],
//! [`parts`] and [`Slice`] tell how its body is cut from the stored bytes.

mod conditions;
mod date;
mod decision;
mod freshness;
pub mod parts;
pub mod pem;
mod range;
mod representation;
mod route;
mod slice;
#[cfg(test)]
mod tables;
mod validity;

pub use decision::answer;
pub use freshness::Policy;
pub use representation::Encoding;
pub use route::{Method, Route};
pub use slice::Slice;
pub use validity::Validity;
