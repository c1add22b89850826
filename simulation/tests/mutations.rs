//! Deliberate mistakes in the wrappers around ports: the invariants notice each of them within a
//! bounded number of seeds. Code of the products has none of them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use simulation::{Mutation, Pace, Plan};

/// Within how many seeds each mutation must be found.
const SEEDS: u64 = 40;

/// What a seed notices.
fn violation(seed: u64, mutation: Option<Mutation>) -> Option<String> {
    let plan = Plan {
        seed,
        span: Duration::from_hours(8),
        issuers: 2,
        pace: Pace::Dense,
        mutation,
        trace_lines: 1,
    };
    simulation::run(&plan).unwrap().violation
}

/// The first seed that notices the mutation, and what it notices.
fn first_to_find(mutation: Mutation) -> Option<(u64, String)> {
    (0..SEEDS).find_map(|seed| Some((seed, violation(seed, Some(mutation))?)))
}

#[test]
fn without_a_mutation_the_first_of_these_seeds_find_nothing() {
    for seed in 0..10 {
        assert_eq!(violation(seed, None), None, "seed {seed}");
    }
}

#[test]
fn every_mutation_is_found() {
    assert!(Mutation::ALL.len() >= 12);
    let next = AtomicUsize::new(0);
    let work = || {
        let mut missed = Vec::new();
        while let Some(mutation) = Mutation::ALL.get(next.fetch_add(1, Ordering::Relaxed)) {
            match first_to_find(*mutation) {
                Some((seed, violation)) => {
                    let violation: String = violation.chars().take(120).collect();
                    println!("{}: seed {seed}: {violation}", mutation.name());
                }
                None => missed.push(mutation.name()),
            }
        }
        missed
    };
    let missed: Vec<_> = thread::scope(|scope| {
        let workers = [scope.spawn(work), scope.spawn(work)];
        let missed = workers.into_iter().map(|worker| worker.join().unwrap());
        missed.flatten().collect()
    });
    assert!(missed.is_empty(), "not found: {missed:?}");
}
