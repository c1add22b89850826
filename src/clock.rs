//! The platform's clock.

use edge::time::Timestamp;
use worker::js_sys;

/// The time now, as the platform has it: it stands still while code runs.
#[must_use]
pub(crate) fn now() -> Timestamp {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "JavaScript gives whole milliseconds, of which doubles hold more than are to come"
    )]
    let millis = js_sys::Date::now() as i64;
    Timestamp::from_millis(millis)
}
