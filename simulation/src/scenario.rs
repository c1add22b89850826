//! One run: builds the world of a seed, lets time pass, and reports.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::coverage::Coverage;
use crate::ledger::Counts;
use crate::world::{BEGIN, Plan, World};
use crate::{checks, openssl_staff, operators, people, platform, weather};

/// What a run led to.
#[derive(Clone, Debug)]
pub struct Report {
    /// The rule that was violated, and how.
    pub violation: Option<String>,
    /// The last lines of the trace.
    pub trace: Vec<String>,
    /// How many lines the trace has.
    pub lines: u64,
    /// The SHA-256 of all lines of the trace.
    pub fingerprint: String,
    /// How much happened.
    pub counts: Counts,
    /// How often each fault met each step.
    pub coverage: Coverage,
}

/// Runs a plan to its end, or to the first violation.
///
/// # Errors
/// This machine has no place for the origin's database.
pub fn run(plan: &Plan) -> anyhow::Result<Report> {
    let folder = tempfile::Builder::new()
        .prefix("crl-simulation-")
        .tempdir_in(fast_folder())
        .context("no folder for the origin's database")?;
    let (world, ends) = World::new(plan, folder.path())?;
    platform::start(&world, ends);
    people::start(&world);
    openssl_staff::start(&world);
    operators::start(&world);
    let end = BEGIN.after(plan.span);
    weather::start(&world, end);
    let ledger = world.ledger.clone();
    let end = end.after(world.intervals.last_calm());
    let ran = world.executor.run(end, || {
        checks::memory_is_bounded(&world);
        ledger.is_over()
    });
    if ran.is_err() {
        ledger.violated("time passes", "something runs for ever");
    }
    let (lines, fingerprint) = world.trace.fingerprint();
    let report = Report {
        violation: ledger.violation(),
        trace: world.trace.last(),
        lines,
        fingerprint,
        counts: ledger.counts(),
        coverage: world.faults.coverage(),
    };
    world.edge.shut_down();
    operators::stop_another(&world);
    world.origin.stop();
    world.executor.end_all();
    Ok(report)
}

/// A folder in memory if there is one: the database syncs each transaction.
fn fast_folder() -> PathBuf {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        memory.to_owned()
    } else {
        std::env::temp_dir()
    }
}
