//! The same reader in wasm, under node.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::inputs::Input;
use crate::table::{Figure, Table};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/wasm.mjs");

pub(crate) fn measure(input: &Input, module: &Path, table: &mut Table) {
    let folder = tempfile::tempdir().expect("a folder");
    let (crl, certificate) = (folder.path().join("crl"), folder.path().join("certificate"));
    std::fs::write(&crl, &input.crl).expect("a file");
    std::fs::write(&certificate, &input.certificate).expect("a file");
    let output = Command::new("node")
        .arg(SCRIPT)
        .args([module, &crl, &certificate])
        .output()
        .expect("node");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "node: {error}");
    let figures: Value = serde_json::from_slice(&output.stdout).expect("JSON from wasm.mjs");
    let figure = |name: &str| {
        let milliseconds = figures[name]["ms"].as_f64()?;
        let bytes = figures[name]["bytes"].as_u64()?;
        Some(Figure {
            time: Duration::from_secs_f64(milliseconds / 1e3),
            peak: usize::try_from(bytes).ok(),
        })
    };
    let unit = figure("hash").map(|hash| hash.time);
    let mut row = |name, key| table.row(input.count, name, figure(key), unit);
    row("SHA-256 alone", "hash");
    row("crl: read, hash, check all rules and the signature", "ours");
    row("x509-cert: read alone", "x509_cert");
}
