//! The Worker's build: worker-build with this machine's toolchain, skipped where nothing changed.

use std::{
    env,
    fs::{self, File},
    time::Instant,
};

use anyhow::Result;

use crate::{
    fingerprint::Fingerprint,
    progress::Progress,
    toolchain::{self, Toolchain},
    tools::Tools,
    workspace::Workspace,
};

/// Set for what xtask starts, wrangler with its `[build]` command and the end-to-end tests: it has been built already,
/// and does not change under them.
pub(crate) const BUILT: &str = "CRL_EDGE_BUILT";

/// What the Worker is made from; missing ones count as such.
const INPUTS: [&str; 10] = [
    ".cargo/config.toml",
    "Cargo.lock",
    "Cargo.toml",
    "crl/Cargo.toml",
    "crl/src",
    "docs/openapi",
    "origin/api/Cargo.toml",
    "origin/api/src",
    "src",
    "templates",
];

/// What workerd can run, and worker-build lets wasm-opt use.
const WASM_FEATURES: [&str; 7] = [
    "--enable-bulk-memory",
    "--enable-exception-handling",
    "--enable-multivalue",
    "--enable-mutable-globals",
    "--enable-nontrapping-float-to-int",
    "--enable-reference-types",
    "--enable-sign-ext",
];

#[derive(Clone, Copy)]
pub(crate) enum Profile {
    Dev,
    Release,
}

/// `cargo xtask build`, which is also wrangler.toml's `[build]`.
pub(crate) fn run(workspace: &Workspace, profile: Profile) -> Result<()> {
    ensure(workspace, &Tools::ensure(workspace)?, profile)
}

/// Builds into build/, unless it holds just that already. Only one process does so at a time.
pub(crate) fn ensure(workspace: &Workspace, tools: &Tools, profile: Profile) -> Result<()> {
    if env::var_os(BUILT).is_some() {
        return Ok(());
    }
    let target = workspace.join("target/wasm");
    fs::create_dir_all(&target)?;
    let lock = File::create(target.join("lock"))?;
    lock.lock()?;

    let toolchain = toolchain::ensure(workspace)?;
    let wanted = fingerprint(workspace, &toolchain, profile)?;
    let stamp = target.join("built");
    let output = workspace.join("build");
    let there = ["index.js", "index_bg.wasm"]
        .iter()
        .all(|file| output.join(file).exists());
    if there && fs::read_to_string(&stamp).is_ok_and(|built| built == wanted) {
        return Ok(());
    }

    let _ = fs::remove_file(&stamp);
    let mut build = tools.worker_build();
    build.arg(profile.flag()).env("CARGO_TARGET_DIR", &target);
    toolchain.apply(&mut build, &tools.npm_bin())?;
    let started = Instant::now();
    Progress::default().run(
        "building the Worker (the first time about 2 min)",
        &mut build,
    )?;
    if let Profile::Release = profile {
        // worker-build keeps the names of functions, a sixth of what is uploaded and nothing that runs.
        let wasm = output.join("index_bg.wasm");
        let mut strip = tools.wasm_opt();
        strip.args(WASM_FEATURES);
        strip.args(["-Oz", "--strip-debug", "--strip-producers"]);
        strip.arg(&wasm).arg("-o").arg(&wasm);
        Progress::default().run("shrinking the Worker", &mut strip)?;
    }
    fs::write(&stamp, wanted)?;
    let size = fs::metadata(output.join("index_bg.wasm"))?.len();
    eprintln!(
        "built the Worker in {:.0} s: {} KiB of wasm",
        started.elapsed().as_secs_f64(),
        size / 1024
    );
    Ok(())
}

impl Profile {
    fn flag(self) -> &'static str {
        match self {
            Self::Dev => "--dev",
            Self::Release => "--release",
        }
    }
}

fn fingerprint(workspace: &Workspace, toolchain: &Toolchain, profile: Profile) -> Result<String> {
    let mut fingerprint = Fingerprint::default();
    fingerprint
        .word(profile.flag())
        .word(&toolchain.version()?)
        .word(&Tools::versions(workspace)?);
    for input in INPUTS {
        fingerprint.path(&workspace.join(input))?;
    }
    Ok(fingerprint.finish())
}
