//! What the Worker weighs, and what starting it takes.

use std::{fs, io::Write, path::Path, process::Command};

use flate2::{Compression, write::GzEncoder};

/// Says how large the built module is, and how long V8 takes to compile and to instantiate it.
pub(crate) fn show() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let module = root.join("build/index_bg.wasm");
    let wasm = fs::read(&module).expect("`cargo xtask build` makes it");
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(&wasm).expect("memory");
    let gzipped = gzip.finish().expect("memory").len();

    let script = root.join("tests/benches/serve/startup.mjs");
    let output = Command::new(root.join("target/tools/npm/node_modules/.bin/node"))
        .args([&script, &module])
        .output()
        .expect("node; `cargo xtask setup` brings it");
    let output = String::from_utf8(output.stdout).expect("text");
    let mut took: Vec<f64> = output
        .lines()
        .map(|line| line.parse().expect("milliseconds"))
        .collect();
    took.sort_by(f64::total_cmp);
    println!(
        "the Worker: {} bytes of wasm, {gzipped} gzipped; compiled and instantiated in {:.1} ms (median of {})\n",
        wasm.len(),
        took[took.len() / 2],
        took.len(),
    );
}
