//! The machine: a clock that the test drives, tasks, the alarm, and the log.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use crl::RustCrypto;
use futures_channel::oneshot;
use futures_executor::{LocalPool, LocalSpawner};
use futures_util::FutureExt as _;
use futures_util::future::{AbortHandle, LocalBoxFuture, abortable};
use futures_util::task::LocalSpawnExt as _;
use serde_json::Value;

use super::{Faults, NOW};
use crate::refresh::{Runtime, StoreError};
use crate::time::Timestamp;

/// Where tasks run and time passes.
pub(crate) struct Machine {
    pool: RefCell<LocalPool>,
    pub(crate) host: TwinHost,
}

/// What code under test sees of the machine.
#[derive(Clone)]
pub(crate) struct TwinHost(Rc<Inside>);

struct Inside {
    now: Cell<Timestamp>,
    sleepers: RefCell<Vec<(Timestamp, oneshot::Sender<()>)>>,
    spawner: RefCell<LocalSpawner>,
    alarm: Cell<Option<Timestamp>>,
    log: RefCell<Vec<Value>>,
    drawn: Cell<u8>,
    faults: Rc<Faults>,
}

impl fmt::Debug for TwinHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TwinHost")
    }
}

impl Machine {
    pub(crate) fn new(faults: &Rc<Faults>) -> Self {
        let pool = LocalPool::new();
        let host = TwinHost(Rc::new(Inside {
            now: Cell::new(NOW),
            sleepers: RefCell::default(),
            spawner: RefCell::new(pool.spawner()),
            alarm: Cell::new(None),
            log: RefCell::default(),
            drawn: Cell::new(0),
            faults: Rc::clone(faults),
        }));
        Self {
            pool: RefCell::new(pool),
            host,
        }
    }

    /// Somebody who wants something, and may leave.
    pub(crate) fn client<T: 'static>(&self, wish: impl Future<Output = T> + 'static) -> Client<T> {
        let answer = Rc::new(RefCell::new(None));
        let slot = Rc::clone(&answer);
        let (wish, leave) = abortable(async move {
            let got = wish.await;
            *slot.borrow_mut() = Some(got);
        });
        self.host.spawn(wish.map(drop).boxed_local());
        Client { answer, leave }
    }

    /// Runs what can run now. Time stands still.
    pub(crate) fn run(&self) {
        self.pool.borrow_mut().run_until_stalled();
    }

    /// What `wish` gives without time passing.
    pub(crate) fn done<T: 'static>(&self, wish: impl Future<Output = T> + 'static) -> T {
        let client = self.client(wish);
        self.run();
        client.answer().expect("it waits for time to pass")
    }

    /// The next moment at which a sleeper wakes.
    pub(crate) fn next_waking(&self) -> Option<Timestamp> {
        let mut sleepers = self.host.0.sleepers.borrow_mut();
        sleepers.retain(|(_, sleeper)| !sleeper.is_canceled());
        sleepers.iter().map(|(at, _)| *at).min()
    }

    /// Makes it `at`, wakes who slept until then, and runs what can run.
    pub(crate) fn set_time(&self, at: Timestamp) {
        let host = &self.host.0;
        assert!(at >= host.now.get(), "time does not go back");
        host.now.set(at);
        let all = host.sleepers.take();
        let (awake, asleep): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|(until, _)| *until <= at);
        host.sleepers.borrow_mut().extend(asleep);
        for (_, sleeper) in awake {
            let _ = sleeper.send(());
        }
        self.run();
    }

    /// Lets `span` pass, from sleeper to sleeper.
    pub(crate) fn pass(&self, span: Duration) {
        let end = self.host.now().after(span);
        self.run();
        while let Some(at) = self.next_waking().filter(|at| *at <= end) {
            self.set_time(at.max(self.host.now()));
        }
        self.set_time(end);
    }

    /// Ends every task where it stands.
    pub(crate) fn end(&self) {
        let pool = LocalPool::new();
        *self.host.0.spawner.borrow_mut() = pool.spawner();
        drop(self.pool.replace(pool));
    }
}

impl TwinHost {
    /// The alarm, which has gone off when this returns.
    pub(crate) fn take_alarm(&self) -> Option<Timestamp> {
        self.0.alarm.take()
    }

    pub(crate) fn alarm(&self) -> Option<Timestamp> {
        self.0.alarm.get()
    }

    /// Sets the alarm as the platform does where the alarm's handler failed.
    pub(crate) fn alarm_again(&self, at: Timestamp) {
        self.0.alarm.set(Some(at));
    }
}

impl Runtime for TwinHost {
    type Hashed = RustCrypto;
    type ContentHash = sha2::Sha256;

    fn now(&self) -> Timestamp {
        self.0.now.get()
    }

    async fn sleep(&self, span: Duration) {
        let (wake, woken) = oneshot::channel();
        let until = self.now().after(span);
        self.0.sleepers.borrow_mut().push((until, wake));
        let _ = woken.await;
    }

    fn random(&self) -> [u8; 10] {
        let drawn = self.0.drawn.get();
        self.0.drawn.set(drawn.wrapping_add(37));
        [drawn; 10]
    }

    fn spawn(&self, task: LocalBoxFuture<'static, ()>) {
        self.0.spawner.borrow().spawn_local(task).unwrap();
    }

    async fn set_alarm(&self, at: Timestamp) -> Result<(), StoreError> {
        assert!(at > self.now(), "an alarm for now stalls");
        let keep = || {
            self.0.alarm.set(Some(at));
            Ok(())
        };
        self.0.faults.run("set_alarm", keep, StoreError::Failed)
    }

    fn log(&self, line: &Value) {
        self.0.log.borrow_mut().push(line.clone());
    }
}

/// Somebody who waits for an answer.
pub(crate) struct Client<T> {
    answer: Rc<RefCell<Option<T>>>,
    leave: AbortHandle,
}

impl<T> Client<T> {
    /// The answer, if it is there.
    pub(crate) fn answer(&self) -> Option<T> {
        self.answer.borrow_mut().take()
    }

    /// Goes away without an answer.
    pub(crate) fn leave(self) {
        self.leave.abort();
    }
}
