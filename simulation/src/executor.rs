//! Runs tasks one at a time, in an order that the seed decides.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Wake, Waker};

use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use origin_api::Timestamp;

use crate::clock::Timeline;
use crate::random::Random;

/// More polls than this without time passing are a loop that does not end.
const MOST_POLLS: u64 = 500_000;

/// Where tasks run. Clones are the same executor.
#[derive(Clone)]
pub(crate) struct Executor(Rc<Inside>);

struct Inside {
    timeline: Timeline,
    random: Random,
    tasks: RefCell<BTreeMap<u64, Task>>,
    next: Cell<u64>,
    ready: Arc<Ready>,
}

struct Task {
    scope: Scope,
    /// Absent while the task is polled.
    future: Option<LocalBoxFuture<'static, ()>>,
    waker: Waker,
}

/// Tasks that end together: those of one process, or of one instance of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scope(u64);

/// The tasks that can run.
#[derive(Default)]
struct Ready(Mutex<Vec<u64>>);

struct TaskWaker {
    task: u64,
    ready: Arc<Ready>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        let mut ready = self.ready.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !ready.contains(&self.task) {
            ready.push(self.task);
        }
    }
}

/// Something ran for ever without time passing.
#[derive(Debug)]
pub(crate) struct Endless;

impl Executor {
    pub(crate) fn new(timeline: &Timeline, random: Random) -> Self {
        Self(Rc::new(Inside {
            timeline: timeline.clone(),
            random,
            tasks: RefCell::default(),
            next: Cell::new(1),
            ready: Arc::default(),
        }))
    }

    fn number(&self) -> u64 {
        self.0.next.replace(self.0.next.get() + 1)
    }

    pub(crate) fn scope(&self) -> Scope {
        Scope(self.number())
    }

    pub(crate) fn spawn(&self, scope: Scope, task: impl Future<Output = ()> + 'static) {
        let id = self.number();
        let waker = Waker::from(Arc::new(TaskWaker {
            task: id,
            ready: Arc::clone(&self.0.ready),
        }));
        let task = Task {
            scope,
            future: Some(task.boxed_local()),
            waker: waker.clone(),
        };
        self.0.tasks.borrow_mut().insert(id, task);
        waker.wake();
    }

    /// Ends every task of the scope where it stands.
    pub(crate) fn end(&self, scope: Scope) {
        let ended: Vec<Task> = {
            let mut tasks = self.0.tasks.borrow_mut();
            let ids: Vec<_> = tasks
                .iter()
                .filter(|(_, task)| task.scope == scope)
                .map(|(id, _)| *id)
                .collect();
            ids.iter().filter_map(|id| tasks.remove(id)).collect()
        };
        // Outside of the borrow: what is dropped may wake or spawn others.
        drop(ended);
    }

    /// Ends every task.
    pub(crate) fn end_all(&self) {
        let tasks = self.0.tasks.take();
        drop(tasks);
    }

    pub(crate) fn tasks(&self) -> usize {
        self.0.tasks.borrow().len()
    }

    /// Runs until it is `end`, or `is_stopped`.
    pub(crate) fn run(&self, end: Timestamp, is_stopped: impl Fn() -> bool) -> Result<(), Endless> {
        loop {
            let mut polls = 0;
            while let Some(id) = self.next_ready() {
                self.poll(id);
                polls += 1;
                if is_stopped() {
                    return Ok(());
                }
                if polls > MOST_POLLS {
                    return Err(Endless);
                }
            }
            if !self.0.timeline.advance(end) {
                return Ok(());
            }
        }
    }

    fn next_ready(&self) -> Option<u64> {
        let mut ready = self
            .0
            .ready
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match ready.len() {
            0 => None,
            1 => ready.pop(),
            count => Some(ready.swap_remove(self.0.random.index(count))),
        }
    }

    fn poll(&self, id: u64) {
        let taken = {
            let mut tasks = self.0.tasks.borrow_mut();
            let task = tasks.get_mut(&id);
            task.and_then(|task| Some((task.future.take()?, task.waker.clone())))
        };
        let Some((mut future, waker)) = taken else {
            return;
        };
        let is_done = future
            .poll_unpin(&mut Context::from_waker(&waker))
            .is_ready();
        let ended = {
            let mut tasks = self.0.tasks.borrow_mut();
            match tasks.get_mut(&id) {
                Some(task) if !is_done => {
                    task.future = Some(future);
                    None
                }
                Some(_) => {
                    tasks.remove(&id);
                    Some(future)
                }
                // The scope was ended by the task itself.
                None => Some(future),
            }
        };
        drop(ended);
    }
}
