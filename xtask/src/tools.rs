//! The tools that build and run the Worker, at pinned versions, under target/tools.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Result;

use crate::toolchain::path_with;
use crate::workspace::Workspace;

/// The version of cargo-deny.
const CARGO_DENY: &str = "0.20.2";

/// The version of cargo-mutants.
const CARGO_MUTANTS: &str = "27.1.0";

/// The tools that every command needs, installed at the right version.
pub(crate) struct Tools<'w> {
    workspace: &'w Workspace,
    folder: PathBuf,
}

impl<'w> Tools<'w> {
    /// Installs what is missing. Only one process does so at a time; the others wait for it.
    pub(crate) fn ensure(workspace: &'w Workspace) -> Result<Self> {
        let folder = workspace.tools();
        fs::create_dir_all(&folder)?;
        let lock = File::create(folder.join("lock"))?;
        lock.lock()?;

        let tools = Self { workspace, folder };
        ensure_npm(
            workspace,
            "xtask/npm",
            &tools.folder.join("npm"),
            "installing wrangler and Node 22 from npm",
        )?;
        Ok(tools)
    }

    pub(crate) fn wrangler(&self) -> Command {
        let mut command = self.npm_program("wrangler");
        command
            .env("WRANGLER_SEND_METRICS", "false")
            // Its megabytes of JavaScript are compiled once, not at each start.
            .env("NODE_COMPILE_CACHE", self.folder.join("node-cache"));
        command
    }

    /// A program from npm, run by the Node that was installed with it.
    pub(crate) fn npm_program(&self, name: &str) -> Command {
        let bin = self.npm_bin();
        let mut command = self.workspace.command(bin.join(name));
        if let Ok(path) = path_with(&[bin]) {
            command.env("PATH", path);
        }
        command
    }

    /// cargo-deny, installed if it is missing: only lint needs it.
    pub(crate) fn cargo_deny(&self) -> Result<Command> {
        let program = self.cargo_program("cargo-deny", CARGO_DENY)?;
        Ok(self.workspace.command(program))
    }

    /// cargo-mutants, installed if it is missing: only `cargo xtask mutants` needs it.
    pub(crate) fn cargo_mutants(&self) -> Result<PathBuf> {
        self.cargo_program("cargo-mutants", CARGO_MUTANTS)
    }

    /// A program that has its package's name. Compiled without optimisation: it runs for seconds,
    /// and optimised it would compile for minutes.
    fn cargo_program(&self, name: &str, version: &str) -> Result<PathBuf> {
        let program = self.folder.join("bin").join(name);
        if version_of(&program).as_deref() == Some(&format!("{name} {version}")) {
            return Ok(program);
        }
        let compiled = self.folder.join("compile");
        let mut install = Command::new("cargo");
        install
            .args(["install", name, "--version", version])
            .args(["--locked", "--debug", "--root"])
            .arg(&self.folder)
            .env("CARGO_TARGET_DIR", &compiled)
            .env("CARGO_PROFILE_DEV_DEBUG", "0")
            .env("CARGO_INCREMENTAL", "0");
        self.workspace.progress().run(
            &format!("installing {name} {version}"),
            &mut install,
            "Check that crates.io can be reached.",
        )?;
        // Hundreds of megabytes that only the compiler needed.
        let _ = fs::remove_dir_all(compiled);
        Ok(program)
    }

    /// Where npm's programs are; its `node` is the one that wrangler needs.
    pub(crate) fn npm_bin(&self) -> PathBuf {
        self.folder.join("npm/node_modules/.bin")
    }
}

/// Installs the npm package at `package`, a folder of the checkout, from its committed lock file
/// into a folder of its own. Not by `npm ci`: it refuses a lock file made on a machine that could
/// not get workerd for some platforms.
pub(crate) fn ensure_npm(
    workspace: &Workspace,
    package: &str,
    folder: &Path,
    what: &str,
) -> Result<()> {
    let package = workspace.join(package);
    let installed = folder.join("installed-package-lock.json");
    let wanted = fs::read(package.join("package-lock.json"))?;
    if fs::read(&installed).is_ok_and(|lock| lock == wanted) {
        return Ok(());
    }
    fs::create_dir_all(folder)?;
    for file in ["package.json", "package-lock.json", ".npmrc"] {
        fs::copy(package.join(file), folder.join(file))?;
    }
    workspace.progress().run(
        what,
        Command::new("npm")
            .current_dir(folder)
            .args(["install", "--no-audit", "--no-fund"]),
        "Check that npm is Node 20's or newer and that its registry can be reached.",
    )?;
    fs::write(installed, wanted)?;
    Ok(())
}

fn version_of(program: &Path) -> Option<String> {
    let output = Command::new(program)
        .arg("--version")
        .stderr(Stdio::null())
        .output()
        .ok()?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}
