//! Measures crl beside other readers and writers of CRLs, in one run, and prints tables.
//!
//! `cargo run --profile native -p bench-crl -- [--entries N,N,…] [--wasm MODULE.wasm]`. The module
//! is what bench-crl-wasm compiles to: with it, the same reader is also measured in wasm, under
//! node.

mod compare;
mod hostile;
mod inputs;
mod memory;
mod read;
mod table;
mod wasm;
mod write;

use std::path::PathBuf;

use table::Table;

fn main() {
    let mut entries = vec![1_000, 100_000, 1_000_000, 2_000_000];
    let mut module = None;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match (argument.as_str(), arguments.next()) {
            ("--entries", Some(list)) => match list.split(',').map(str::parse).collect() {
                Ok(list) => entries = list,
                Err(_) => return eprintln!("--entries takes numbers, with commas between them"),
            },
            ("--wasm", Some(path)) => module = Some(PathBuf::from(path)),
            _ => return eprintln!("usage: bench-crl [--entries N,N,…] [--wasm MODULE.wasm]"),
        }
    }
    let mut reading = Table::new("Reading", "times the hash alone");
    let mut in_wasm = Table::new("Reading in wasm, under node", "times the hash alone");
    let mut hostile = Table::new("Hostile lists", "times an honest list of the same size");
    let mut comparing = Table::new("Comparing", "times reading both lists");
    let mut writing = Table::new("Writing", "times `openssl ca -gencrl`, or rcgen without it");
    for count in entries {
        eprintln!("{count} entries …");
        let input = inputs::Input::new(count);
        read::measure(&input, &mut reading);
        if let Some(module) = &module {
            wasm::measure(&input, module, &mut in_wasm);
        }
        hostile::measure(&input, &mut hostile);
        compare::measure(&input, &mut comparing);
        write::measure(&input, &mut writing);
    }
    print!("{reading}{in_wasm}{hostile}{comparing}{writing}");
}
