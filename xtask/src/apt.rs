//! Debian packages, for root on Debian and its relatives. Linux only; elsewhere this installs
//! nothing.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Result;

use crate::progress::Progress;

/// Whether packages can be installed here.
pub(crate) fn is_usable() -> bool {
    rustix::process::geteuid().is_root() && Path::new("/usr/bin/apt-get").exists()
}

/// Installs `packages`; `what` is the step's name.
pub(crate) fn install(progress: &Progress, what: &str, packages: &[&str]) -> Result<()> {
    if !packages.iter().all(|package| is_known(package)) {
        progress.run(
            "reading Debian's package lists",
            apt_get().arg("update"),
            ADVICE,
        )?;
    }
    progress.run(
        what,
        apt_get()
            .args(["install", "--yes", "--no-install-recommends"])
            .args(packages),
        ADVICE,
    )
}

const ADVICE: &str =
    "Check that Debian's package servers can be reached; `apt-get update` says more.";

/// Whether apt's lists offer the package; a fresh container has no lists.
fn is_known(package: &str) -> bool {
    Command::new("apt-cache")
        .args(["show", package])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command
        .env("DEBIAN_FRONTEND", "noninteractive")
        .args(["-o", "DPkg::Lock::Timeout=300"]);
    command
}
