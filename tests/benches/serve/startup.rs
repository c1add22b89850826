//! The size of the Worker and the time that it takes to start.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use flate2::Compression;
use flate2::write::GzEncoder;

const STARTS: usize = 11;

/// Prints the size of the built module and the time that V8 takes to compile and instantiate it.
pub(crate) fn show() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let module = root.join("build/wasm_bg.wasm");
    let wasm = fs::read(&module).expect("`cargo xtask build` makes it");
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(&wasm).expect("memory");
    let gzipped = gzip.finish().expect("memory").len();

    let script = root.join("tests/benches/serve/startup.mjs");
    let node = root.join("target/tools/npm/node_modules/.bin/node");
    let start = || {
        let output = Command::new(&node).args([&script, &module]).output();
        let output = output.expect("node; `cargo xtask setup` brings it").stdout;
        let text = String::from_utf8(output).expect("text");
        text.trim().parse::<f64>().expect("milliseconds")
    };
    let mut took: Vec<f64> = (0..STARTS).map(|_| start()).collect();
    took.sort_by(f64::total_cmp);
    println!(
        "the Worker: {} bytes of wasm, {gzipped} gzipped; compiled and instantiated in {:.1} ms (median of {STARTS})\n",
        wasm.len(),
        took[STARTS / 2],
    );
}
