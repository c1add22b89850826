//! The `crl-origin` command.

use std::process::ExitCode;
use std::sync::Arc;

use crl_origin::clock::SystemClock;
use crl_origin::random::SystemRandom;

fn main() -> ExitCode {
    crl_origin::cli::run(Arc::new(SystemClock), Arc::new(SystemRandom))
}
