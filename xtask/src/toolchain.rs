//! How this machine compiles to wasm32: found or installed, and applied to one command by its
//! environment. Native builds never see any of it.

use std::ffi::OsString;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

use anyhow::{Context, Result, bail};

use crate::apt;
use crate::workspace::Workspace;

/// What Workers run.
pub(crate) const TARGET: &str = "wasm32-unknown-unknown";

/// Debian's Rust that has a wasm target: compiler, cargo, and the standard library's source.
const DEBIAN_PACKAGES: [&str; 3] = ["rustc-web", "cargo-web", "rust-web-src"];

/// What compiles to wasm32 here.
#[derive(Debug)]
pub(crate) enum Toolchain {
    /// The default toolchain has the target's standard library.
    Default,
    /// Debian's compiler, and a standard library built from its source.
    Debian {
        /// A folder with `cargo` and `rustc` alone, to stand first in PATH without hiding other
        /// programs.
        bin: PathBuf,
        linker: PathBuf,
    },
}

impl Toolchain {
    /// Identifies the compiler, so that a build by another one counts as stale.
    pub(crate) fn version(&self) -> Result<String> {
        let rustc = match self {
            Self::Default => PathBuf::from("rustc"),
            Self::Debian { bin, .. } => bin.join("rustc"),
        };
        output(Command::new(rustc).arg("--version"))
    }

    /// Lets `command`, which runs plain `cargo`, compile to wasm32.
    pub(crate) fn apply(&self, command: &mut Command) -> Result<()> {
        if let Self::Debian { bin, linker } = self {
            command
                .env("PATH", path_with(std::slice::from_ref(bin))?)
                .env("RUSTC_BOOTSTRAP", "1")
                .env("CARGO_UNSTABLE_BUILD_STD", "std,panic_abort")
                .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker)
                // `cargo run` sets these for the rustup toolchain that runs xtask.
                .env_remove("LD_LIBRARY_PATH")
                .env_remove("RUSTUP_TOOLCHAIN");
        }
        Ok(())
    }
}

/// Finds or installs the toolchain: the installed target, then rustup, then, on Debian as root, its
/// packages. Says which it took if it had to look.
pub(crate) fn ensure(workspace: &Workspace) -> Result<Toolchain> {
    if default_has_target()? {
        return Ok(Toolchain::Default);
    }
    if let Some(debian) = debian_toolchain(workspace)? {
        return Ok(debian);
    }
    let progress = workspace.progress();
    let rustup = progress.run(
        &format!("wasm32 target: rustup target add {TARGET}"),
        Command::new("rustup").args(["target", "add", TARGET]),
        "",
    );
    let refusal = match rustup {
        Ok(()) => return Ok(Toolchain::Default),
        Err(error) => error,
    };
    if !apt::is_usable() {
        bail!(
            "no compiler for {TARGET}: rustup could not bring it, and this is not Debian as root.\n\
             Run `rustup target add {TARGET}` where the network allows it, or let root run\n    \
             apt-get install --no-install-recommends {}\n\n{refusal}",
            DEBIAN_PACKAGES.join(" ")
        );
    }
    eprintln!(
        "wasm32 target: rustup cannot download it here; using Debian's compiler, with the standard library built from source"
    );
    apt::install(
        &progress,
        "wasm32 target: apt-get install rustc-web",
        &DEBIAN_PACKAGES,
    )?;
    debian_toolchain(workspace)?.context(
        "Debian's packages are installed, but /usr/bin/rustc still has no standard library source",
    )
}

fn default_has_target() -> Result<bool> {
    let library =
        output(Command::new("rustc").args(["--target", TARGET, "--print", "target-libdir"]))?;
    Ok(Path::new(&library).exists())
}

/// Debian's compiler, if all that it needs is there.
fn debian_toolchain(workspace: &Workspace) -> Result<Option<Toolchain>> {
    let source = Path::new("/usr/lib/rustlib/src/rust/library/std");
    let there = [
        Path::new("/usr/bin/cargo"),
        Path::new("/usr/bin/rustc"),
        source,
    ];
    if !there.iter().all(|path| path.exists()) {
        return Ok(None);
    }
    let bin = workspace.tools().join("debian-rust");
    fs::create_dir_all(&bin)?;
    for program in ["cargo", "rustc"] {
        let link = bin.join(program);
        if !link.exists() {
            symlink(Path::new("/usr/bin").join(program), link)?;
        }
    }
    Ok(Some(Toolchain::Debian {
        bin,
        linker: wasm_linker()?,
    }))
}

/// LLVM's linker: rustup's toolchains bring one, Debian has it in package lld.
fn wasm_linker() -> Result<PathBuf> {
    let sysroot = output(Command::new("rustc").args(["--print", "sysroot"]))?;
    let version = output(Command::new("rustc").arg("-vV"))?;
    let host = version
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .context("rustc -vV names no host")?;
    let rustup = Path::new(&sysroot)
        .join("lib/rustlib")
        .join(host)
        .join("bin/rust-lld");
    let debian = PathBuf::from("/usr/bin/wasm-ld");
    [rustup, debian]
        .into_iter()
        .find(|linker| linker.exists())
        .context("no linker for wasm: neither rust-lld in the rustup toolchain nor Debian's lld")
}

pub(crate) fn path_with(first: &[PathBuf]) -> Result<OsString> {
    let rest = env::var_os("PATH").unwrap_or_default();
    Ok(env::join_paths(
        first.iter().cloned().chain(env::split_paths(&rest)),
    )?)
}

fn output(command: &mut Command) -> Result<String> {
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot run {}", command.get_program().display()))?;
    if !output.status.success() {
        bail!("{command:?} ended with {}", output.status);
    }
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
