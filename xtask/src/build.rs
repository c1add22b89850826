//! The Worker's build: worker-build with this machine's toolchain, skipped where nothing changed.

use std::{
    env, fmt,
    fs::{self, File},
    io::Write,
    time::Instant,
};

use anyhow::{Result, ensure};
use flate2::{Compression, write::GzEncoder};

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
const INPUTS: [&str; 12] = [
    ".cargo/config.toml",
    "Cargo.lock",
    "Cargo.toml",
    "crl/Cargo.toml",
    "crl/src",
    "docs/openapi",
    "edge/Cargo.toml",
    "edge/src",
    "edge/templates",
    "origin/api/Cargo.toml",
    "origin/api/src",
    "src",
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

/// What makes the module small where it counts, in the gzipped form that is uploaded and that limits are set for. More of wasm-opt's
/// work, as `-Oz`, takes 6% off the module and adds 9% to its gzipped form: what was alike is so no longer. Sorted by name, what is
/// made from one generic function stands side by side, which gzip sees. Then the names go.
const SHRINK: [&str; 4] = [
    "-O1",
    "--reorder-functions-by-name",
    "--strip-debug",
    "--strip-producers",
];

/// Above this a release build fails: 400 KiB, which leaves some room for what another compiler makes of it.
const LARGEST_GZIPPED: usize = 400 * 1024;

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
    let there = ["index.js", "worker.js", "index_bg.wasm"]
        .iter()
        .all(|file| output.join(file).exists());
    if there && fs::read_to_string(&stamp).is_ok_and(|built| built == wanted) {
        return Ok(());
    }

    let _ = fs::remove_file(&stamp);
    let mut build = tools.worker_build();
    // Its own wasm-opt is the one that makes the Worker larger; see below.
    build.args([profile.flag(), "--no-opt"]);
    build.env("CARGO_TARGET_DIR", &target);
    toolchain.apply(&mut build, &tools.npm_bin())?;
    let started = Instant::now();
    Progress::default().run(
        "building the Worker (the first time about 2 min)",
        &mut build,
    )?;
    fs::rename(output.join("index.js"), output.join("worker.js"))?;
    fs::copy(workspace.join("src/entry.js"), output.join("index.js"))?;
    let wasm = output.join("index_bg.wasm");
    if let Profile::Release = profile {
        let mut shrink = tools.wasm_opt();
        shrink.args(WASM_FEATURES).args(SHRINK);
        shrink.arg(&wasm).arg("-o").arg(&wasm);
        Progress::default().run("shrinking the Worker", &mut shrink)?;
    }
    let size = Size::of(&fs::read(&wasm)?)?;
    eprintln!(
        "built the Worker in {:.0} s: {size}",
        started.elapsed().as_secs_f64(),
    );
    if let Profile::Release = profile {
        size.admit()?;
    }
    fs::write(&stamp, wanted)?;
    Ok(())
}

/// The size of a wasm module, in bytes.
struct Size {
    plain: usize,
    gzipped: usize,
}

impl Size {
    fn of(wasm: &[u8]) -> Result<Self> {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
        gzip.write_all(wasm)?;
        Ok(Self {
            plain: wasm.len(),
            gzipped: gzip.finish()?.len(),
        })
    }

    /// Refuses a module that has grown too large.
    fn admit(&self) -> Result<()> {
        ensure!(
            self.gzipped <= LARGEST_GZIPPED,
            "the Worker is larger than {LARGEST_GZIPPED} bytes gzipped: docs/development.md tells how to see what grew"
        );
        Ok(())
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes of wasm, {} gzipped", self.plain, self.gzipped)
    }
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
