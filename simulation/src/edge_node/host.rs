//! What an object needs of its platform: clock, timers, chance, tasks, alarm and log.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use crl::{Algorithm, Digest, Hashed, RustCrypto, SignatureKey, Unverified};
use edge::events::Event;
use edge::refresh::{Runtime, StoreError};
use futures_util::future::LocalBoxFuture;
use origin_api::Timestamp;
use serde::Deserialize as _;

use crate::clock::Clock;
use crate::executor::{Executor, Scope};
use crate::faults::Faults;
use crate::ledger::Ledger;
use crate::object_storage::Life;
use crate::random::Random;
use crate::trace::Trace;

/// The alarm of one object, which outlives its instances.
#[derive(Clone, Default)]
pub(crate) struct Alarm(Rc<AlarmState>);

#[derive(Default)]
struct AlarmState {
    at: Cell<Option<Timestamp>>,
    /// The task that waits for it.
    watch: Cell<Option<Scope>>,
}

impl Alarm {
    pub(crate) fn set_for(&self) -> Option<Timestamp> {
        self.0.at.get()
    }

    pub(crate) fn set(&self, at: Option<Timestamp>) {
        self.0.at.set(at);
    }

    /// Another task waits for it from now on, or none. The one that did is returned.
    pub(super) fn watch(&self, watch: Option<Scope>) -> Option<Scope> {
        self.0.watch.replace(watch)
    }
}

/// The platform, as one instance of an object has it.
#[derive(Clone)]
pub(crate) struct Host {
    pub(super) executor: Executor,
    pub(super) scope: Scope,
    pub(super) timeline: crate::clock::Timeline,
    pub(super) clock: Clock,
    pub(super) random: Random,
    pub(super) trace: Trace,
    pub(super) ledger: Ledger,
    pub(super) faults: Faults,
    pub(super) who: Rc<str>,
    pub(super) alarm: Alarm,
    pub(super) life: Rc<Cell<Life>>,
    /// Has the platform wait for the alarm.
    pub(super) watch_alarm: Rc<dyn Fn(Timestamp)>,
}

thread_local! {
    /// Whether signatures are checked, as they always are but in one mutation.
    static CHECKS_SIGNATURES: Cell<bool> = const { Cell::new(true) };
}

/// Has the platform accept any signature, for a mutation.
pub(super) fn check_signatures(are_checked: bool) {
    CHECKS_SIGNATURES.set(are_checked);
}

/// The platform's signatures.
pub(crate) struct PlatformHashed(RustCrypto);

impl Hashed for PlatformHashed {
    fn new(digest: Digest) -> Self {
        Self(RustCrypto::new(digest))
    }

    fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn verify(
        &self,
        key: &SignatureKey,
        algorithm: Algorithm,
        signature: &[u8],
    ) -> Result<(), Unverified> {
        if CHECKS_SIGNATURES.get() {
            self.0.verify(key, algorithm, signature)
        } else {
            Ok(())
        }
    }
}

impl Runtime for Host {
    type Hashed = PlatformHashed;
    type ContentHash = sha2::Sha256;

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    async fn sleep(&self, span: Duration) {
        self.timeline.sleep(span).await;
    }

    fn random(&self) -> [u8; 10] {
        self.random.bytes()
    }

    fn spawn(&self, task: LocalBoxFuture<'static, ()>) {
        if self.life.get() != Life::Ended {
            self.executor.spawn(self.scope, task);
        }
    }

    async fn set_alarm(&self, at: Timestamp) -> Result<(), StoreError> {
        if self.life.get() != Life::Running {
            return Err(StoreError::Failed("another instance runs".to_owned()));
        }
        self.alarm.set(Some(at));
        (self.watch_alarm)(at);
        Ok(())
    }

    fn log(&self, line: &serde_json::Value) {
        self.trace.line(format!("{}: {line}", self.who));
        if line["what"] == "refresh"
            && let Ok(event) = Event::deserialize(&line["event"])
        {
            let works = self.faults.what_serving_needs_works();
            self.ledger.refreshed(&event, works);
        }
    }
}
