//! Outside programs that some tests compare with or drive. A test whose program is missing is
//! skipped; `cargo xtask setup --all` installs them, and so does a test run with `CI=true`, in
//! which a skip is a failure.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::Result;

use crate::apt;
use crate::workspace::Workspace;

/// A program, and the Debian package that brings it.
const PROGRAMS: [(&str, &str); 10] = [
    ("openssl", "openssl"),
    ("curl", "curl"),
    ("java", "default-jdk-headless"),
    ("chromium", "chromium"),
    ("promtool", "prometheus"),
    ("certtool", "gnutls-bin"),
    ("nginx", "nginx-light"),
    ("softhsm2-util", "softhsm2"),
    ("faketime", "faketime"),
    // Compiles libFuzzer.
    ("c++", "g++"),
];

/// Python programs, pinned, in an environment of their own.
const REQUIREMENTS: &str = "xtask/python/requirements.txt";

/// Whether this is a run that may install, and must not skip.
pub(crate) fn is_ci() -> bool {
    env::var("CI").is_ok_and(|ci| ci == "true")
}

/// Installs what is missing. A program that cannot be had is left to the tests that need it.
pub(crate) fn install(workspace: &Workspace) -> Result<()> {
    let missing = PROGRAMS
        .iter()
        .filter(|(program, _)| !is_in_path(program))
        .map(|(_, package)| *package)
        .collect::<Vec<_>>();
    if !missing.is_empty() {
        if apt::is_usable() {
            apt::install(
                &workspace.progress(),
                "installing Debian packages for the tests",
                &missing,
            )?;
        } else {
            eprintln!(
                "Debian packages install only on Linux as root. Install these, or what your system calls them: {}",
                missing.join(", ")
            );
        }
    }
    install_python(workspace)
}

/// Folders with programs that tests should find first.
pub(crate) fn paths(workspace: &Workspace) -> Vec<PathBuf> {
    vec![python(workspace).join("bin"), PathBuf::from("/usr/sbin")]
}

fn python(workspace: &Workspace) -> PathBuf {
    workspace.tools().join("python")
}

fn install_python(workspace: &Workspace) -> Result<()> {
    let progress = workspace.progress();
    let requirements = workspace.join(REQUIREMENTS);
    let Ok(wanted) = fs::read_to_string(&requirements) else {
        return Ok(());
    };
    let folder = python(workspace);
    let installed = folder.join("installed-requirements.txt");
    if fs::read_to_string(&installed).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    progress.run(
        "making a Python environment",
        Command::new("python3").args(["-m", "venv"]).arg(&folder),
        "On Debian, install python3-venv.",
    )?;
    progress.run(
        "installing Python programs for the tests",
        Command::new(folder.join("bin/pip"))
            .args(["install", "--require-virtualenv", "-r"])
            .arg(&requirements),
        "Check that PyPI can be reached.",
    )?;
    fs::write(installed, wanted)?;
    Ok(())
}

fn is_in_path(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain([Path::new("/usr/sbin").to_owned()])
        .any(|folder| folder.join(program).exists())
}
