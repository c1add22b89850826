//! What fails, and when: a storm has some faults with their chances; between storms nothing fails.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::random::Random;
use crate::trace::Trace;

macro_rules! faults {
    ($($name:ident = $text:literal, $chance:literal;)+) => {
        /// Something that can fail.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[expect(missing_docs, reason = "each has its words in `name`")]
        pub enum Fault { $($name,)+ }

        impl Fault {
            /// Every fault.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The same in words.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }

            /// In how many of 1,000 cases it happens at most, in a storm that has it.
            const fn chance(self) -> u32 {
                match self { $(Self::$name => $chance,)+ }
            }
        }
    };
}

faults! {
    KvDown = "KV fails", 1_000;
    KvHangs = "KV hangs", 300;
    KvStale = "KV spreads a write only after minutes", 700;
    KvPutLate = "a write to KV times out and lands minutes later", 400;
    KvPutKept = "a write to KV fails, but was kept", 400;
    KvPutLost = "a write to KV fails", 500;
    D1Down = "D1 fails", 1_000;
    D1Slow = "D1 takes up to two minutes", 500;
    D1Kept = "D1 commits, then fails", 400;
    StoreFails = "an object's storage fails", 80;
    StoreKept = "an object's storage fails, but the write was kept", 80;
    ObjectUnreachable = "an object cannot be reached", 200;
    AnswerLost = "the answer of an object is lost", 150;
    AlarmLost = "an alarm is lost", 200;
    AlarmTwice = "an alarm runs twice", 300;
    AlarmLate = "an alarm is late", 500;
    NetworkDelay = "the network is slow", 300;
    NetworkDown = "no connection", 500;
    RequestLost = "a request is lost", 300;
    ResponseLost = "a response is lost", 300;
    ResponseCut = "a response is cut off", 200;
    RequestTwice = "a request arrives twice", 300;
    CronMissing = "the cron does not run", 800;
    CronTwice = "the cron runs twice at once", 500;
    CronLate = "the cron is late", 500;
    OriginCrash = "the origin crashes", 20;
    OriginSlow = "the origin takes up to a minute", 200;
}

/// Decides what fails. Clones share the storm.
#[derive(Clone)]
pub(crate) struct Faults(Arc<Mutex<Storm>>, Random, Trace);

/// How often each fault could have met each step, and how often it did.
/// How often each fault met each step; 0 if it could have.
pub type Met = BTreeMap<(&'static str, &'static str), u64>;

#[derive(Default)]
struct Storm {
    chances: BTreeMap<Fault, u32>,
    met: Met,
}

impl Faults {
    pub(crate) fn new(random: Random, trace: &Trace) -> Self {
        Self(Arc::default(), random, trace.clone())
    }

    fn storm(&self) -> MutexGuard<'_, Storm> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a storm of a few faults.
    pub(crate) fn begin_storm(&self) {
        let mut chances = BTreeMap::new();
        for _ in 0..self.1.between(1..6) {
            let fault = *self.1.pick(Fault::ALL);
            let most = u64::from(fault.chance());
            let chance = self.1.between(most / 5..most + 1);
            chances.insert(fault, u32::try_from(chance).unwrap_or(0));
        }
        self.2.line(format!("storm begins: {chances:?}"));
        self.storm().chances = chances;
    }

    /// Ends the storm.
    pub(crate) fn end_storm(&self) {
        self.2.line("storm ends");
        self.storm().chances.clear();
    }

    /// Whether `fault` meets `step` now.
    pub(crate) fn strikes(&self, fault: Fault, step: &'static str) -> bool {
        let mut storm = self.storm();
        let chance = storm.chances.get(&fault).copied().unwrap_or(0);
        let strikes = chance > 0 && self.1.chance(chance);
        *storm.met.entry((fault.name(), step)).or_insert(0) += u64::from(strikes);
        drop(storm);
        if strikes {
            self.2.line(format!("fault: {} at {step}", fault.name()));
        }
        strikes
    }

    /// Notes a fault that needs no chance of its own.
    pub(crate) fn note(&self, fault: &'static str, step: &'static str) {
        self.2.line(format!("fault: {fault} at {step}"));
        *self.storm().met.entry((fault, step)).or_insert(0) += 1;
    }

    pub(crate) fn met(&self) -> Met {
        self.storm().met.clone()
    }
}
