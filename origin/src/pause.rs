//! Points at which a test kills the process, to show that a crash there loses nothing.

/// In debug builds, stops here if `CRL_ORIGIN_PAUSE_AT` names this point: prints `paused` to
/// standard error and waits to be killed. Exits once standard input is closed, so that the process
/// does not outlive the test.
pub(crate) fn point(name: &str) {
    #[cfg(debug_assertions)]
    if std::env::var_os("CRL_ORIGIN_PAUSE_AT").is_some_and(|at| at == name) {
        eprintln!("paused");
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(1);
    }
    #[cfg(not(debug_assertions))]
    let _ = name;
}
