//! What fails, and when: a storm has some faults with their chances; between storms nothing fails.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use origin_api::IssuerId;

use crate::coverage::Coverage;
use crate::named::named;
use crate::random::Random;
use crate::trace::Trace;

macro_rules! faults {
    ($($name:ident = $text:literal, $chance:literal;)+) => {
        named! {
            /// Something that can fail.
            Fault: $($name = $text;)+
        }

        impl Fault {
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

impl Fault {
    /// Whether relying parties may notice nothing of it.
    const fn is_needless(self) -> bool {
        match self {
            Self::D1Down
            | Self::D1Slow
            | Self::D1Kept
            | Self::AlarmLost
            | Self::AlarmTwice
            | Self::AlarmLate
            | Self::NetworkDelay
            | Self::NetworkDown
            | Self::RequestLost
            | Self::ResponseLost
            | Self::ResponseCut
            | Self::RequestTwice
            | Self::CronMissing
            | Self::CronTwice
            | Self::CronLate
            | Self::OriginCrash
            | Self::OriginSlow => true,
            Self::KvDown
            | Self::KvHangs
            | Self::KvStale
            | Self::KvPutLate
            | Self::KvPutKept
            | Self::KvPutLost
            | Self::StoreFails
            | Self::StoreKept
            | Self::ObjectUnreachable
            | Self::AnswerLost => false,
        }
    }
}

named! {
    /// Something that a person or the platform does at a bad moment, once.
    Accident:
    ObjectEvicted = "an object is evicted";
    ObjectMoves = "an object moves, and two instances run";
    RegistryEvicted = "the registry's object is evicted";
    Deploy = "a deploy restarts everything";
    IsolateEnds = "an isolate ends";
    KvLosesCrl = "KV loses a CRL";
    KvLosesRegistry = "KV loses the registry";
    OriginRestored = "the origin is restored to an earlier copy";
    OriginTwice = "two origins run on copies of one database";
    OriginTwiceOnOne = "two origins run on one database";
    OriginClockJumps = "the origin's clock jumps";
    TokenRotated = "an operator rotates a token";
    DeltaWithdrawn = "a delta is withdrawn, or comes back";
    IssuerWithdrawn = "an issuer is withdrawn, or comes back";
    CaLies = "a CA lies";
    IndexCut = "an index of openssl ca is half written";
    IndexMissing = "an index of openssl ca is missing";
    IndexGarbled = "a line of an index of openssl ca cannot be read";
    IndexSameStamp = "an index of openssl ca changes, and its time and size do not";
    DirectoryRestored = "a directory of openssl ca is restored to an earlier copy";
}

/// Decides what fails. Clones share the storm.
#[derive(Clone)]
pub(crate) struct Faults(Arc<Mutex<Storm>>, Random, Trace);

#[derive(Default)]
struct Storm {
    chances: BTreeMap<Fault, u32>,
    coverage: Coverage,
    under_way: BTreeMap<(Owner, &'static str), u32>,
}

/// What a step belongs to: the step ends when this does.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Owner {
    /// The object of an issuer.
    Object(IssuerId),
    /// The object of the registry.
    Registry,
    /// An isolate, by its number.
    Isolate(usize),
    /// The origin.
    Origin,
}

/// A step is under way until this is dropped.
pub(crate) struct UnderWay {
    storm: Arc<Mutex<Storm>>,
    step: (Owner, &'static str),
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut storm = self.storm.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = storm.under_way.get_mut(&self.step) {
            *count -= 1;
            if *count == 0 {
                storm.under_way.remove(&self.step);
            }
        }
    }
}

impl Faults {
    pub(crate) fn new(random: Random, trace: &Trace) -> Self {
        let faults = Fault::ALL.iter().map(|fault| fault.name());
        let accidents = Accident::ALL.iter().map(|accident| accident.name());
        let storm = Storm {
            coverage: Coverage::new(faults.chain(accidents)),
            ..Storm::default()
        };
        Self(Arc::new(Mutex::new(storm)), random, trace.clone())
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

    /// Whether nothing fails that serving a CRL needs: KV, the objects and their storage. Without
    /// the origin, D1, alarms and the cron it goes on.
    pub(crate) fn what_serving_needs_works(&self) -> bool {
        let storm = self.storm();
        storm.chances.keys().all(|fault| fault.is_needless())
    }

    /// Whether `fault` meets `step` now.
    pub(crate) fn strikes(&self, fault: Fault, step: &'static str) -> bool {
        let mut storm = self.storm();
        let chance = storm.chances.get(&fault).copied().unwrap_or(0);
        let strikes = chance > 0 && self.1.chance(chance);
        let meeting = storm.coverage.of(fault.name(), step);
        meeting.could += u64::from(chance > 0);
        meeting.did += u64::from(strikes);
        drop(storm);
        if strikes {
            self.2.line(format!("fault: {} at {step}", fault.name()));
        }
        strikes
    }

    /// From now on, until the guard is dropped, an accident of `owner` meets this step.
    pub(crate) fn under_way(&self, owner: Owner, step: &'static str) -> UnderWay {
        let step = (owner, step);
        *self.storm().under_way.entry(step.clone()).or_insert(0) += 1;
        let storm = Arc::clone(&self.0);
        UnderWay { storm, step }
    }

    /// An accident happens to these. Counts the steps of theirs that it meets.
    pub(crate) fn accident(&self, accident: Accident, meets: impl Fn(&Owner) -> bool) {
        self.2.line(format!("accident: {}", accident.name()));
        let mut storm = self.storm();
        let steps = storm.under_way.keys().filter(|(owner, _)| meets(owner));
        let steps: BTreeSet<_> = steps.map(|(_, step)| *step).collect();
        if steps.is_empty() {
            storm.coverage.happened(accident.name(), "at rest");
        }
        for step in steps {
            storm.coverage.happened(accident.name(), step);
        }
    }

    /// An accident of a certain kind happens.
    pub(crate) fn accident_of_kind(&self, accident: Accident, kind: &'static str) {
        self.2
            .line(format!("accident: {}: {kind}", accident.name()));
        self.storm().coverage.happened(accident.name(), kind);
    }

    pub(crate) fn coverage(&self) -> Coverage {
        self.storm().coverage.clone()
    }
}
