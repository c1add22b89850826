//! What a command works with.

use std::sync::Arc;

use super::output::Output;
use crate::clock::Clock;
use crate::origin::Origin;

/// What a command works with.
pub(super) struct Session {
    pub(super) origin: Arc<Origin>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) output: Output,
}
