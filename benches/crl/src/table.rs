//! Figures and the tables that they are printed in.

use std::fmt;
use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use nix::time::{ClockId, clock_gettime};

/// One measurement.
#[derive(Clone, Copy)]
pub(crate) struct Figure {
    /// CPU time.
    pub(crate) time: Duration,
    /// The most bytes of memory in use, without the input.
    pub(crate) peak: Option<usize>,
}

/// The best time of several runs, as many as fit in about a second, and the peak of the first.
pub(crate) fn best<T>(mut run: impl FnMut() -> T) -> Figure {
    let (time, peak) = crate::memory::peak(|| once(&mut run));
    let runs = (Duration::from_secs(1).as_nanos() / time.as_nanos().max(1)).clamp(2, 200);
    let time = (0..runs).map(|_| once(&mut run)).fold(time, Duration::min);
    Figure {
        time,
        peak: Some(peak),
    }
}

fn once<T>(run: &mut impl FnMut() -> T) -> Duration {
    let start = processor_time();
    let result = run();
    let time = processor_time().saturating_sub(start);
    drop(std::hint::black_box(result));
    time
}

/// The CPU time of this thread.
fn processor_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)
        .expect("a thread's clock")
        .into()
}

/// The CPU time of all child processes that have ended.
pub(crate) fn children_time() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).expect("usage");
    let times = [usage.user_time(), usage.system_time()];
    times
        .iter()
        .map(|time| {
            let seconds = u64::try_from(time.tv_sec()).unwrap_or_default();
            let microseconds = u64::try_from(time.tv_usec()).unwrap_or_default();
            Duration::from_secs(seconds) + Duration::from_micros(microseconds)
        })
        .sum()
}

/// Rows for each number of entries, with ratios.
pub(crate) struct Table {
    title: &'static str,
    ratio: &'static str,
    rows: Vec<(usize, &'static str, Option<Figure>, Option<Duration>)>,
}

impl Table {
    pub(crate) fn new(title: &'static str, ratio: &'static str) -> Self {
        Self {
            title,
            ratio,
            rows: Vec::new(),
        }
    }

    /// Adds a row, whose ratio is to `unit`. Without a figure, it could not be measured.
    pub(crate) fn row(
        &mut self,
        entries: usize,
        name: &'static str,
        figure: Option<Figure>,
        unit: Option<Duration>,
    ) {
        self.rows.push((entries, name, figure, unit));
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.rows.is_empty() {
            return Ok(());
        }
        writeln!(f, "\n## {}; ratio: {}\n", self.title, self.ratio)?;
        writeln!(f, "| entries | what | CPU ms | ratio | peak KiB |")?;
        writeln!(f, "| ---: | --- | ---: | ---: | ---: |")?;
        for (entries, name, figure, unit) in &self.rows {
            write!(f, "| {entries} | {name} |")?;
            let Some(figure) = figure else {
                writeln!(f, " – | – | – |")?;
                continue;
            };
            write!(f, " {:.3} |", figure.time.as_secs_f64() * 1e3)?;
            match unit {
                Some(unit) => write!(f, " {:.3} |", figure.time.div_duration_f64(*unit))?,
                None => write!(f, " – |")?,
            }
            match figure.peak {
                Some(peak) => writeln!(f, " {} |", peak.div_ceil(1024))?,
                None => writeln!(f, " – |")?,
            }
        }
        Ok(())
    }
}
