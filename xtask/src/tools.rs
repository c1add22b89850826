//! The tools that build and run the Worker, at pinned versions, under target/tools.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
};

use anyhow::{Result, bail};

use crate::{apt, progress::Progress, toolchain::path_with, workspace::Workspace};

/// The release that fits the `worker` in Cargo.toml.
const WORKER_BUILD: &str = "0.8.7";

/// Reads deny.toml.
const CARGO_DENY: &str = "0.20.2";

/// Runs the fuzz targets.
const CARGO_FUZZ: &str = "0.13.2";

/// All tools, there and of the right version.
pub(crate) struct Tools {
    workspace_root: PathBuf,
    folder: PathBuf,
}

impl Tools {
    /// Brings what is missing. Only one process does so at a time; the others wait for it.
    pub(crate) fn ensure(workspace: &Workspace) -> Result<Self> {
        let folder = workspace.tools();
        fs::create_dir_all(&folder)?;
        let lock = File::create(folder.join("lock"))?;
        lock.lock()?;

        let wasm_bindgen = workspace.locked_version("wasm-bindgen")?;
        let tools = Self {
            workspace_root: workspace.root().to_owned(),
            folder,
        };
        let progress = Progress::default();
        thread::scope(|scope| {
            let npm = scope.spawn(|| tools.ensure_npm(&progress, workspace));
            tools.ensure_worker_build(&progress)?;
            tools.ensure_wasm_bindgen(&progress, &wasm_bindgen)?;
            npm.join()
                .map_err(|panic| anyhow::anyhow!("npm's thread panicked: {panic:?}"))?
        })?;
        // Only needed while compiling; several hundred megabytes.
        let _ = fs::remove_dir_all(tools.compile_folder());
        Ok(tools)
    }

    /// What distinguishes a Worker built with these tools from one built with others.
    pub(crate) fn versions(workspace: &Workspace) -> Result<String> {
        let npm = fs::read_to_string(workspace.join("xtask/npm/package-lock.json"))?;
        Ok(format!(
            "{WORKER_BUILD} {}\n{npm}",
            workspace.locked_version("wasm-bindgen")?
        ))
    }

    pub(crate) fn worker_build(&self) -> Command {
        let mut command = self.command(self.folder.join("bin/worker-build"));
        command
            .env("WASM_BINDGEN_BIN", self.folder.join("bin/wasm-bindgen"))
            .env("WASM_OPT_BIN", self.npm_bin().join("wasm-opt"))
            .env("ESBUILD_BIN", self.npm_bin().join("esbuild"));
        command
    }

    pub(crate) fn wrangler(&self) -> Command {
        let mut command = self.npm_program("wrangler");
        command.env("WRANGLER_SEND_METRICS", "false");
        command
    }

    pub(crate) fn wasm_opt(&self) -> Command {
        self.npm_program("wasm-opt")
    }

    /// A program from npm, run by the Node that was brought with it.
    fn npm_program(&self, name: &str) -> Command {
        let mut command = self.command(self.npm_bin().join(name));
        if let Ok(path) = path_with(&[self.npm_bin()]) {
            command.env("PATH", path);
        }
        command
    }

    /// cargo-deny, installed where it is missing: only lint needs it.
    pub(crate) fn cargo_deny(&self, progress: &Progress) -> Result<Command> {
        Ok(self.command(self.cargo_program(progress, "cargo-deny", CARGO_DENY)?))
    }

    /// cargo-fuzz, installed where it is missing: only the bounded fuzz runs need it.
    pub(crate) fn cargo_fuzz(&self, progress: &Progress) -> Result<PathBuf> {
        self.cargo_program(progress, "cargo-fuzz", CARGO_FUZZ)
    }

    /// A program whose name is its package's.
    fn cargo_program(&self, progress: &Progress, name: &str, version: &str) -> Result<PathBuf> {
        let program = self.folder.join("bin").join(name);
        if version_of(&program).as_deref() != Some(&format!("{name} {version}")) {
            self.cargo_install(progress, name, version, Lock::Published)?;
        }
        Ok(program)
    }

    /// Programs from npm; its `node` is the one that wrangler needs.
    pub(crate) fn npm_bin(&self) -> PathBuf {
        self.folder.join("npm/node_modules/.bin")
    }

    fn command(&self, program: PathBuf) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.workspace_root);
        command
    }

    fn ensure_worker_build(&self, progress: &Progress) -> Result<()> {
        if version_of(&self.folder.join("bin/worker-build")).as_deref() == Some(WORKER_BUILD) {
            return Ok(());
        }
        ensure_openssl_headers(progress)?;
        self.cargo_install(progress, "worker-build", WORKER_BUILD, Lock::Published)
    }

    fn ensure_wasm_bindgen(&self, progress: &Progress, version: &str) -> Result<()> {
        let found = version_of(&self.folder.join("bin/wasm-bindgen"));
        if found.as_deref() == Some(&format!("wasm-bindgen {version}")) {
            return Ok(());
        }
        // Its lock file names a release that was withdrawn.
        self.cargo_install(progress, "wasm-bindgen-cli", version, Lock::Fresh)
    }

    /// Compiles without optimisation: the tools run for seconds, and optimised they compile for minutes more.
    fn cargo_install(
        &self,
        progress: &Progress,
        package: &str,
        version: &str,
        lock: Lock,
    ) -> Result<()> {
        let mut install = Command::new("cargo");
        install
            .args([
                "install",
                package,
                "--version",
                version,
                "--debug",
                "--root",
            ])
            .arg(&self.folder)
            .args(matches!(lock, Lock::Published).then_some("--locked"))
            .env("CARGO_TARGET_DIR", self.compile_folder())
            .env("CARGO_PROFILE_DEV_DEBUG", "0")
            .env("CARGO_INCREMENTAL", "0");
        progress.run(
            &format!("installing {package} {version} (once, about 2 min)"),
            &mut install,
        )
    }

    fn compile_folder(&self) -> PathBuf {
        self.folder.join("compile")
    }

    /// npm's packages from the committed lock file, in a folder of their own. Not by `npm ci`: it
    /// refuses a lock file made where some platforms' workerd was not to be had.
    fn ensure_npm(&self, progress: &Progress, workspace: &Workspace) -> Result<()> {
        let folder = self.folder.join("npm");
        let installed = folder.join("installed-package-lock.json");
        let wanted = workspace.join("xtask/npm/package-lock.json");
        if fs::read(&installed)
            .is_ok_and(|lock| fs::read(&wanted).is_ok_and(|wanted| wanted == lock))
        {
            return Ok(());
        }
        fs::create_dir_all(&folder)?;
        for file in ["package.json", "package-lock.json", ".npmrc"] {
            fs::copy(workspace.join("xtask/npm").join(file), folder.join(file))?;
        }
        progress.run(
            "installing wrangler, Node 22 and wasm-opt from npm (once)",
            Command::new("npm")
                .current_dir(&folder)
                .args(["install", "--no-audit", "--no-fund"]),
        )?;
        fs::copy(wanted, installed)?;
        Ok(())
    }
}

/// Whose choice of dependencies `cargo install` takes.
#[derive(Clone, Copy)]
enum Lock {
    Published,
    Fresh,
}

/// worker-build's TLS binds to OpenSSL on Linux, though we never let it download.
fn ensure_openssl_headers(progress: &Progress) -> Result<()> {
    let found = Command::new("pkg-config")
        .args(["--exists", "openssl"])
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if found || !cfg!(target_os = "linux") {
        return Ok(());
    }
    if !apt::is_usable() {
        bail!(
            "worker-build needs OpenSSL's headers and pkg-config: install libssl-dev and pkg-config"
        );
    }
    apt::install(
        progress,
        "installing libssl-dev, for worker-build",
        &["libssl-dev", "pkg-config"],
    )
}

fn version_of(program: &Path) -> Option<String> {
    let output = Command::new(program)
        .arg("--version")
        .stderr(Stdio::null())
        .output()
        .ok()?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}
