//! Generates the JavaScript around the compiled Worker: `bindgen WASM FOLDER` writes `wasm.js`,
//! `wasm_bg.wasm` and the snippets of the bindings to FOLDER.

use std::path::PathBuf;
use std::{env, fs};

use anyhow::{Context as _, Result};
use wasm_bindgen_cli_support::Bindgen;

fn main() -> Result<()> {
    let mut arguments = env::args_os().skip(1).map(PathBuf::from);
    let (wasm, folder) = arguments
        .next()
        .zip(arguments.next())
        .context("usage: bindgen WASM FOLDER")?;
    Bindgen::new()
        .input_path(&wasm)
        .out_name("wasm")
        .typescript(false)
        .module(true)?
        // After a panic, src/instance.js replaces the instance by the function that this adds.
        .reset_state_function(true)
        .force_enable_abort_handler(true)
        .generate(&folder)?;

    // Workers load a wasm module by a plain import; the `source` phase is not part of ECMAScript
    // yet.
    let script = folder.join("wasm.js");
    let text = fs::read_to_string(&script)?;
    fs::write(&script, text.replace("import source ", "import "))?;
    Ok(())
}
