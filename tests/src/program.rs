//! This workspace's own programs, found beside the running test program.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
    sync::Once,
};

/// The path of `xtask` or `crl-origin`, built and fresh.
///
/// `cargo xtask test` has built them before and says so; otherwise cargo is asked, once.
pub(crate) fn path(name: &str) -> PathBuf {
    static BUILT: Once = Once::new();
    BUILT.call_once(|| {
        if env::var_os("CRL_EDGE_BINARIES_BUILT").is_none() {
            let built = Command::new(env!("CARGO"))
                .args([
                    "build",
                    "--quiet",
                    "--package",
                    "xtask",
                    "--package",
                    "crl-origin",
                ])
                .current_dir(workspace())
                .status();
            assert!(
                built.is_ok_and(|status| status.success()),
                "cannot build xtask and crl-origin"
            );
        }
    });
    let test_program = env::current_exe().expect("a path of this program");
    // target/PROFILE/deps/this-program
    let target = test_program.ancestors().nth(3).expect("a target folder");
    target.join("debug").join(name)
}

/// The checkout.
pub(crate) fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("a workspace")
}
