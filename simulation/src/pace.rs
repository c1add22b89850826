//! How close together things happen in a run.

use std::ops::Range;
use std::time::Duration;

use clap::ValueEnum;

use crate::random::Random;

/// How close together things happen in a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Pace {
    /// A storm every few hours, a revocation an hour, and the cron as wrangler.toml has it.
    #[default]
    Dense,
    /// A storm every one or two days, and people who act as rarely. The cron runs a few times a
    /// day: alarms and requests have to do without it.
    Sparse,
}

/// The intervals of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Intervals {
    /// How often the cron trigger fires.
    pub(crate) cron: Duration,
    /// How many times as long pauses are as in a dense run.
    stretch: u32,
    /// For how many hours CRLs may be valid: as likely as they stand here.
    pub(crate) validities: &'static [u64],
}

impl Intervals {
    /// Those of a run at this pace.
    pub(crate) fn new(pace: Pace, random: &Random) -> Self {
        match pace {
            Pace::Dense => Self {
                cron: Duration::from_mins(15),
                stretch: 1,
                validities: &[4, 12, 24, 24, 72, 168],
            },
            Pace::Sparse => Self {
                cron: Duration::from_hours(*random.pick(&[6, 12, 24])),
                stretch: *random.pick(&[12, 24, 48]),
                validities: &[12, 24, 24, 72, 168, 336],
            },
        }
    }

    /// Whether CAs that lie tell the truth once the storm is over. What they say instead is asked
    /// for each quarter of an hour: most of a sparse run.
    pub(crate) const fn lies_end(&self) -> bool {
        self.stretch > 1
    }

    /// A pause of so many seconds, in a dense run.
    pub(crate) fn pause(&self, random: &Random, seconds: Range<u64>) -> Duration {
        random.seconds(seconds) * self.stretch
    }

    /// How long after the last fault everything is as before, without a person: the cron wakes an
    /// object whose alarm was lost. Then a write to KV lands late (10 minutes), and its comparison
    /// and KV's spread take their time. The longest back-off is 15 minutes.
    pub(crate) fn back_to_normal(&self) -> Duration {
        self.cron + Duration::from_mins(20)
    }

    /// How long the last calm lasts at most, and the check at its end.
    pub(crate) fn last_calm(&self) -> Duration {
        self.back_to_normal() + LONGEST_CALM * self.stretch + Duration::from_hours(1)
    }
}

/// How long a calm goes on at most once everything must be normal, in a dense run.
pub(crate) const LONGEST_CALM: Duration = Duration::from_mins(80);
