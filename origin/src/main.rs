//! The `crl-origin` command.

use std::process::ExitCode;
use std::sync::Arc;

use crl_origin::clock::{Clock, SystemClock};
use crl_origin::random::SystemRandom;

fn main() -> ExitCode {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    crl_origin::cli::run(&clock, Arc::new(SystemRandom))
}
