//! The platform's clock and log.

use std::time::Duration;

use edge::time::Timestamp;
use worker::{Delay, js_sys};

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

/// Waits.
pub(crate) async fn sleep(span: Duration) {
    Delay::from(span).await;
}

/// Writes one line to the operator's log, at the level that it names.
pub(crate) fn log(line: &serde_json::Value) {
    match line.get("level").and_then(serde_json::Value::as_str) {
        Some("error") => worker::console_error!("{line}"),
        Some("warning") => worker::console_warn!("{line}"),
        _ => worker::console_log!("{line}"),
    }
}
