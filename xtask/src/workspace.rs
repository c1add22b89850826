//! Where things are in this checkout, and commands that run at its root.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::progress::Progress;

/// The checkout that this xtask was compiled from.
pub(crate) struct Workspace {
    root: PathBuf,
}

impl Workspace {
    pub(crate) fn find() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .context("xtask is in no workspace")?;
        Ok(Self {
            root: root.to_owned(),
        })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn join(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// Tools belong to the checkout, also when `CARGO_TARGET_DIR` points elsewhere.
    pub(crate) fn tools(&self) -> PathBuf {
        self.join("target/tools")
    }

    /// Where this run's cargo puts native builds.
    pub(crate) fn native_target(&self) -> PathBuf {
        env::var_os("CARGO_TARGET_DIR")
            .map_or_else(|| self.join("target"), |folder| self.root.join(folder))
    }

    /// A command that runs at the root.
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.root);
        command
    }

    /// The cargo that runs this xtask.
    pub(crate) fn cargo(&self) -> Command {
        self.command(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
    }

    /// Shows long steps, and remembers how long they took in this checkout.
    pub(crate) fn progress(&self) -> Progress {
        Progress::new(self.join("target/tools/times"))
    }
}
