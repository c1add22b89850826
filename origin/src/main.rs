//! The `crl-origin` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    crl_origin::cli::run()
}
