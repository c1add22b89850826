//! Short runs of many seeds: none finds anything, and each can be repeated to the byte.

use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use clap::ValueEnum as _;
use simulation::{Pace, Plan};

/// How many seeds every test run tries; `cargo xtask simulate` tries more.
const SEEDS: u64 = 200;

/// How many seeds it tries over ten days in which less happens.
const SPARSE_SEEDS: u64 = 12;

fn plan(seed: u64) -> Plan {
    plan_of(seed, 2, 2, Pace::Dense)
}

fn sparse_plan(seed: u64) -> Plan {
    plan_of(seed, 240, 2, Pace::Sparse)
}

fn plan_of(seed: u64, hours: u64, issuers: usize, pace: Pace) -> Plan {
    Plan {
        seed,
        span: Duration::from_hours(hours),
        issuers,
        pace,
        mutation: None,
        trace_lines: 1,
    }
}

/// The runs that found something before.
fn corpus() -> Vec<Plan> {
    let lines = include_str!("../seeds.txt").lines();
    let runs = lines.filter(|line| !line.starts_with('#'));
    let plans = runs.map(|line| {
        let mut words = line.split(' ');
        let mut number = || -> u64 { words.next().unwrap().parse().expect(line) };
        let (seed, hours, issuers) = (number(), number(), number());
        let pace = Pace::from_str(words.next().unwrap(), false).expect(line);
        assert!(words.next().is_some(), "{line} does not say what it found");
        plan_of(seed, hours, usize::try_from(issuers).unwrap(), pace)
    });
    plans.collect()
}

#[test]
fn what_found_something_and_two_hundred_seeds_find_nothing() {
    let sparse = (0..SPARSE_SEEDS).map(sparse_plan);
    let plans = corpus().into_iter().chain((0..SEEDS).map(plan));
    let plans: Vec<_> = plans.chain(sparse).collect();
    let next = AtomicUsize::new(0);
    let work = || {
        let mut found = Vec::new();
        while let Some(plan) = plans.get(next.fetch_add(1, Ordering::Relaxed)) {
            let report = simulation::run(plan).unwrap();
            if let Some(violation) = report.violation {
                found.push(format!("{plan:?}: {violation}"));
            }
        }
        found
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
