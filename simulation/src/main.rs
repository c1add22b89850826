//! `cargo xtask simulate`: runs many seeds, and says what they found.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use simulation::{Counts, Coverage, Pace, Plan, Report};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs the origin and the edge together on virtual time, with everything failing.
#[derive(Parser)]
#[command(name = "simulate", bin_name = "cargo xtask simulate")]
struct Options {
    /// How many seeds to run
    #[arg(long, default_value_t = 200)]
    seeds: u64,
    /// The first of them
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Run only this seed, and print its trace
    #[arg(long)]
    seed: Option<u64>,
    /// How many simulated days each run lasts
    #[arg(long, default_value_t = 2)]
    days: u64,
    /// How many issuers each run has
    #[arg(long, default_value_t = 3)]
    issuers: usize,
    /// How close together things happen
    #[arg(long, value_enum, default_value_t)]
    pace: Pace,
    /// After how many minutes no other seed is begun
    #[arg(long)]
    minutes: Option<u64>,
    /// How many runs at once; by default as many as the machine has cores
    #[arg(long)]
    jobs: Option<usize>,
}

impl Options {
    fn plan(&self, seed: u64) -> Plan {
        Plan {
            seed,
            span: Duration::from_hours(24 * self.days),
            issuers: self.issuers,
            pace: self.pace,
            mutation: None,
            trace_lines: if self.seed.is_some() { usize::MAX } else { 1 },
        }
    }

    fn years(&self, runs: u64) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "for people")]
        let issuer_days = (runs * self.days * self.issuers as u64) as f64;
        issuer_days / 365.0
    }
}

/// What all runs found together.
#[derive(Default)]
struct Findings {
    seeds: u64,
    failed: BTreeMap<u64, String>,
    coverage: Coverage,
    counts: Counts,
}

impl Findings {
    fn add(&mut self, seed: u64, report: Report) {
        self.seeds += 1;
        self.coverage.add(&report.coverage);
        self.counts.add(report.counts);
        if let Some(violation) = report.violation {
            self.failed.insert(seed, violation);
        }
    }
}

fn main() -> anyhow::Result<ExitCode> {
    let options = Options::parse();
    if let Some(seed) = options.seed {
        let report = simulation::run(&options.plan(seed))?;
        for line in &report.trace {
            println!("{line}");
        }
        println!("{} lines, SHA-256 {}", report.lines, report.fingerprint);
        return Ok(match report.violation {
            Some(violation) => {
                eprintln!("seed {seed} found: {violation}");
                ExitCode::FAILURE
            }
            None => ExitCode::SUCCESS,
        });
    }
    run_all(&options)
}

fn run_all(options: &Options) -> anyhow::Result<ExitCode> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let jobs = options.jobs.unwrap_or(cores).max(1);
    let (next, findings) = (AtomicU64::new(0), Mutex::new(Findings::default()));
    let began = Instant::now();
    let limit = options.minutes.map(Duration::from_mins);
    let bar = progress(options.seeds);
    let work = || -> anyhow::Result<()> {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let time_is_up = limit.is_some_and(|limit| began.elapsed() >= limit);
            if number >= options.seeds || time_is_up {
                return Ok(());
            }
            let seed = options.from + number;
            let report = simulation::run(&options.plan(seed))?;
            if let Some(violation) = &report.violation {
                bar.suspend(|| println!("seed {seed} found: {violation}"));
            }
            let mut findings = findings
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            findings.add(seed, report);
            bar.inc(1);
        }
    };
    thread::scope(|scope| -> anyhow::Result<()> {
        let workers: Vec<_> = (0..jobs).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            worker
                .join()
                .map_err(|_| anyhow::anyhow!("a run panicked"))??;
        }
        Ok(())
    })?;
    bar.finish_and_clear();
    let findings = findings
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    summarize(options, &findings, began.elapsed());
    Ok(if findings.failed.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn progress(seeds: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(seeds);
    let template = "{bar:40} {pos} of {len} seeds, {elapsed} gone, {eta} to go";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}

fn summarize(options: &Options, findings: &Findings, elapsed: Duration) {
    print!("{}", findings.coverage);
    let (years, counts) = (options.years(findings.seeds), findings.counts);
    let rate = years / elapsed.as_secs_f64() * 3_600.0;
    println!(
        "{} seeds of {} days with {} issuers: {years:.1} issuer-years in {:.0} s, {rate:.0} an hour",
        findings.seeds,
        options.days,
        options.issuers,
        elapsed.as_secs_f64()
    );
    println!(
        "{} storms, {} revocations, {} CRLs, {} answers checked",
        counts.storms, counts.revocations, counts.commits, counts.answers
    );
    println!(
        "at the ends of calms, issuers were normal {} times, and still being repaired {} times",
        counts.normal, counts.disturbed
    );
    let seeds: Duration = elapsed.max(Duration::from_millis(1));
    #[expect(clippy::cast_precision_loss, reason = "for people")]
    let hourly = findings.seeds as f64 / seeds.as_secs_f64() * 3_600.0;
    println!("{hourly:.0} seeds an hour");
    for (seed, violation) in &findings.failed {
        println!("seed {seed} found: {violation}; replay it with --seed {seed}");
    }
}
