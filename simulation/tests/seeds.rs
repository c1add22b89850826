//! Short runs of many seeds: none finds anything, and each can be repeated to the byte.

use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use simulation::Plan;

/// How many seeds every test run tries; `cargo xtask simulate` tries more.
const SEEDS: u64 = 200;

fn plan(seed: u64) -> Plan {
    Plan {
        seed,
        span: Duration::from_hours(2),
        issuers: 2,
        mutation: None,
        trace_lines: 1,
    }
}

#[test]
fn two_hundred_seeds_find_nothing() {
    let next = AtomicU64::new(0);
    let work = || {
        let mut found = Vec::new();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= SEEDS {
                return found;
            }
            let report = simulation::run(&plan(seed)).unwrap();
            if let Some(violation) = report.violation {
                found.push(format!("seed {seed}: {violation}"));
            }
        }
    };
    let found: Vec<String> = thread::scope(|scope| {
        let workers = [scope.spawn(work), scope.spawn(work)];
        let found = workers.into_iter().map(|worker| worker.join().unwrap());
        found.flatten().collect()
    });
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn a_seed_has_the_same_trace_in_another_process() {
    let trace = || {
        let mut simulate = Command::new(env!("CARGO_BIN_EXE_simulation"));
        simulate.args(["--seed", "7", "--days", "1"]);
        let output = simulate.output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let first = trace();
    assert!(first.lines().count() > 100, "{first}");
    assert_eq!(first, trace());
}

#[test]
fn another_seed_has_another_trace() {
    let fingerprint = |seed| simulation::run(&plan(seed)).unwrap().fingerprint;
    assert_eq!(fingerprint(1), fingerprint(1));
    assert_ne!(fingerprint(1), fingerprint(2));
}
