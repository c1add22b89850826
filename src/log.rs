//! The operator's log.

/// Writes one line to the operator's log, at the level that it names.
pub(crate) fn log(line: &serde_json::Value) {
    match line.get("level").and_then(serde_json::Value::as_str) {
        Some("error") => worker::console_error!("{line}"),
        Some("warning") => worker::console_warn!("{line}"),
        _ => worker::console_log!("{line}"),
    }
}
