//! The Worker's build: compiled to wasm32, bound to JavaScript, bundled into build/. Skipped if
//! nothing changed.

use std::any::Any;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::Instant;
use std::{env, fmt, thread};

use anyhow::{Context as _, Error, Result, anyhow, ensure};
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::fingerprint::Fingerprint;
use crate::toolchain::{self, TARGET, Toolchain};
use crate::tools::Tools;
use crate::workspace::Workspace;

/// Set for what xtask starts, wrangler with its `[build]` command and the end-to-end tests: the
/// Worker is built already, and does not change under them.
pub(crate) const BUILT: &str = "CRL_EDGE_BUILT";

/// The Worker's sources. A missing one counts as such.
const INPUTS: [&str; 13] = [
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
    "xtask/bindgen/src",
];

/// What workerd can run, and rustc's wasm32 target emits.
const WASM_FEATURES: [&str; 7] = [
    "--enable-bulk-memory",
    "--enable-exception-handling",
    "--enable-multivalue",
    "--enable-mutable-globals",
    "--enable-nontrapping-float-to-int",
    "--enable-reference-types",
    "--enable-sign-ext",
];

/// Makes the module small in its gzipped form, which is what is uploaded and what limits apply to.
/// `-Oz` takes 6% off the module and adds 9% to its gzipped form, since it makes equal code differ.
/// Without hints of their alignment, which engines ignore, equal loads and stores are equal bytes.
/// Sorted by name, the instances of one generic function stand side by side, which helps gzip. Then
/// the names go.
const SHRINK: [&str; 8] = [
    "-O1",
    "--shrink-level=1",
    "--rse",
    "--vacuum",
    "--dealign",
    "--reorder-functions-by-name",
    "--strip-debug",
    "--strip-producers",
];

/// A release build above this fails. ARCHITECTURE.md says what the Worker consists of. The platform
/// allows 3 MiB; what counts is the start of an isolate, and the `serve` benchmark says how long a
/// module takes to compile and to instantiate.
const LARGEST_GZIPPED: usize = 560 * 1024;

#[derive(Clone, Copy)]
pub(crate) enum Profile {
    /// Builds fast; for development and tests.
    Dev,
    /// As it is deployed: small.
    Release,
}

/// `cargo xtask build`, which is also wrangler.toml's `[build]`.
pub(crate) fn run(workspace: &Workspace, profile: Profile) -> Result<()> {
    ensure(workspace, profile).map(drop)
}

/// Builds the Worker into build/, unless it holds exactly that already.
pub(crate) fn ensure(workspace: &Workspace, profile: Profile) -> Result<Tools<'_>> {
    ensure_beside(workspace, profile, || {
        build_native(workspace, "building bindgen", &["--bin", "bindgen"])
    })
}

/// Everything but the benchmarks, which have their own dependencies and no tests. Every native
/// build selects these packages, also for one program of them: cargo unites the features that the
/// selected packages ask for, so another selection would compile the shared dependencies again.
pub(crate) const PACKAGES: [&str; 5] = [
    "--workspace",
    "--exclude",
    "bench-crl",
    "--exclude",
    "bench-crl-wasm",
];

/// Builds these targets, named as for `cargo build`, natively.
pub(crate) fn build_native(workspace: &Workspace, what: &str, targets: &[&str]) -> Result<()> {
    workspace.progress().run(
        what,
        workspace.cargo().arg("build").args(PACKAGES).args(targets),
        "The errors above are the compiler's. If a C compiler is missing, install gcc or clang.",
    )
}

/// Builds the Worker into build/ while `native` builds bindgen and what else the caller needs, and
/// while npm installs. Only one process builds the Worker at a time.
pub(crate) fn ensure_beside(
    workspace: &Workspace,
    profile: Profile,
    native: impl FnOnce() -> Result<()> + Send,
) -> Result<Tools<'_>> {
    if env::var_os(BUILT).is_some() {
        return Tools::ensure(workspace);
    }
    let target = workspace.join("target/wasm");
    fs::create_dir_all(&target)?;
    let lock = File::create(target.join("lock"))?;
    lock.lock()?;

    thread::scope(|scope| {
        let tools = scope.spawn(|| Tools::ensure(workspace));
        let native = scope.spawn(native);
        let toolchain = toolchain::ensure(workspace)?;
        let wanted = fingerprint(workspace, &toolchain, profile)?;
        let stamp = target.join("built");
        let output = workspace.join("build");
        let is_fresh = ["index.js", "worker.js", WASM]
            .iter()
            .all(|file| output.join(file).exists())
            && fs::read_to_string(&stamp).is_ok_and(|built| built == wanted);
        let started = Instant::now();
        if !is_fresh {
            let _ = fs::remove_file(&stamp);
            compile(workspace, &toolchain, &target, profile)?;
        }
        native.join().map_err(panicked)??;
        let tools = tools.join().map_err(panicked)??;
        if is_fresh {
            return Ok(tools);
        }
        let module = target.join(TARGET).join(profile.name()).join(MODULE);
        bind_and_bundle(workspace, &tools, &module, profile)?;
        let size = Size::of(&fs::read(output.join(WASM))?)?;
        eprintln!(
            "built the Worker in {:.0} s: {size}",
            started.elapsed().as_secs_f64(),
        );
        if let Profile::Release = profile {
            size.admit()?;
        }
        fs::write(&stamp, wanted)?;
        Ok(tools)
    })
}

#[expect(clippy::needless_pass_by_value, reason = "as `map_err` gives it")]
fn panicked(panic: Box<dyn Any + Send>) -> Error {
    anyhow!("a thread panicked: {panic:?}")
}

/// What cargo makes of the root package.
const MODULE: &str = "crl_edge.wasm";

/// What the Worker loads.
const WASM: &str = "wasm_bg.wasm";

fn compile(
    workspace: &Workspace,
    toolchain: &Toolchain,
    target: &Path,
    profile: Profile,
) -> Result<()> {
    let mut cargo = workspace.command("cargo");
    cargo
        .args(["build", "--package", "crl-edge", "--lib"])
        .args(["--target", TARGET, "--profile", profile.name()])
        .env("CARGO_TARGET_DIR", target);
    toolchain.apply(&mut cargo)?;
    workspace.progress().run(
        &format!("compiling the Worker ({})", profile.name()),
        &mut cargo,
        "The errors above are the compiler's; `cargo check --package crl-edge` finds most of them sooner.",
    )
}

/// Makes build/ of the compiled module: worker.js, bundled from src/instance.js and the bindings,
/// and the module itself.
fn bind_and_bundle(
    workspace: &Workspace,
    tools: &Tools<'_>,
    module: &Path,
    profile: Profile,
) -> Result<()> {
    let progress = workspace.progress();
    let bound = workspace.join("target/wasm/bound");
    let _ = fs::remove_dir_all(&bound);
    let mut bindgen = workspace.command(workspace.native_target().join("debug/bindgen"));
    bindgen.args([module, &bound]);
    progress.run(
        "making the Worker's JavaScript",
        &mut bindgen,
        "wasm-bindgen in Cargo.toml and wasm-bindgen-cli-support in xtask/bindgen/Cargo.toml must have one version.",
    )?;
    fs::copy(workspace.join("src/instance.js"), bound.join("instance.js"))?;

    let output = workspace.join("build");
    fs::create_dir_all(&output)?;
    let mut esbuild = tools.npm_program("esbuild");
    esbuild
        .arg(bound.join("instance.js"))
        .args(["--bundle", "--format=esm", "--log-level=warning"])
        .args(["--external:*.wasm", "--external:cloudflare:*"])
        .args(matches!(profile, Profile::Release).then_some("--minify"))
        .arg(format!("--outfile={}", output.join("worker.js").display()));
    progress.run(
        "bundling the Worker's JavaScript",
        &mut esbuild,
        "esbuild names the file and line above.",
    )?;
    fs::copy(workspace.join("src/entry.js"), output.join("index.js"))?;
    let wasm = output.join(WASM);
    fs::copy(bound.join(WASM), &wasm).context("bindgen wrote no module")?;
    if let Profile::Release = profile {
        let mut shrink = tools.npm_program("wasm-opt");
        shrink.args(WASM_FEATURES).args(SHRINK);
        shrink.arg(&wasm).arg("-o").arg(&wasm);
        progress.run(
            "shrinking the Worker",
            &mut shrink,
            "If wasm-opt names a feature of WebAssembly, WASM_FEATURES in xtask/src/build.rs lacks it.",
        )?;
    }
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
            "the Worker is larger than {LARGEST_GZIPPED} bytes gzipped: CONTRIBUTING.md says how to see what grew"
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
    pub(crate) fn chosen(release: bool) -> Self {
        if release { Self::Release } else { Self::Dev }
    }

    /// The cargo profile.
    fn name(self) -> &'static str {
        match self {
            Self::Dev => "worker-dev",
            Self::Release => "release",
        }
    }
}

fn fingerprint(workspace: &Workspace, toolchain: &Toolchain, profile: Profile) -> Result<String> {
    let mut fingerprint = sources(workspace)?;
    fingerprint
        .word(profile.name())
        .word(&toolchain.version()?)
        .path(&workspace.join("xtask/npm/package-lock.json"))?;
    Ok(fingerprint.finish())
}

/// A hash over all that the Worker is made from.
pub(crate) fn sources(workspace: &Workspace) -> Result<Fingerprint> {
    let mut fingerprint = Fingerprint::default();
    for input in INPUTS {
        fingerprint.path(&workspace.join(input))?;
    }
    Ok(fingerprint)
}
