//! The state that every command gets.

use std::sync::Arc;

use super::output::Output;
use crate::clock::Clock;
use crate::origin::Origin;

/// The origin, the clock and the output of one run of crl-origin.
pub(super) struct Session {
    pub(super) origin: Arc<Origin>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) output: Output,
}
