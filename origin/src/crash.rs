//! Points at which a test kills the process, to show that a crash there loses nothing.

/// In debug builds, aborts the process if `CRL_ORIGIN_CRASH_AT` names this point. Nothing is
/// flushed and no destructor runs, as with `kill -9`.
pub(crate) fn point(name: &str) {
    #[cfg(debug_assertions)]
    if std::env::var_os("CRL_ORIGIN_CRASH_AT").is_some_and(|at| at == name) {
        std::process::abort();
    }
    #[cfg(not(debug_assertions))]
    let _ = name;
}
