//! Virtual time: it stands still while something can run, and then jumps to the next timer.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use origin_api::Timestamp;

/// The true time and all timers.
#[derive(Clone)]
pub(crate) struct Timeline(Arc<Mutex<Agenda>>);

struct Agenda {
    now: i64,
    next: u64,
    timers: BTreeMap<(i64, u64), Waker>,
}

/// A clock that may be wrong by an offset, which may change. Clones are the same clock.
#[derive(Clone)]
pub(crate) struct Clock {
    timeline: Timeline,
    offset: Arc<AtomicI64>,
}

/// Ends after a time. Dropping it removes its timer.
pub(crate) struct Sleep {
    timeline: Timeline,
    until: i64,
    timer: Option<(i64, u64)>,
}

impl Timeline {
    pub(crate) fn new(now: Timestamp) -> Self {
        Self(Arc::new(Mutex::new(Agenda {
            now: now.as_millis(),
            next: 0,
            timers: BTreeMap::new(),
        })))
    }

    fn agenda(&self) -> MutexGuard<'_, Agenda> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.agenda().now)
    }

    pub(crate) fn sleep(&self, span: Duration) -> Sleep {
        Sleep {
            until: self.now().after(span).as_millis(),
            timeline: self.clone(),
            timer: None,
        }
    }

    /// Jumps to the next timer and wakes it; false if there is none until `end`, which it is then.
    pub(crate) fn advance(&self, end: Timestamp) -> bool {
        let mut agenda = self.agenda();
        let next = agenda.timers.first_key_value().map(|(key, _)| *key);
        let Some((at, number)) = next.filter(|(at, _)| *at <= end.as_millis()) else {
            agenda.now = agenda.now.max(end.as_millis());
            return false;
        };
        agenda.now = agenda.now.max(at);
        let waker = agenda.timers.remove(&(at, number));
        drop(agenda);
        if let Some(waker) = waker {
            waker.wake();
        }
        true
    }

    /// How many timers wait.
    pub(crate) fn timers(&self) -> usize {
        self.agenda().timers.len()
    }
}

impl Clock {
    pub(crate) fn new(timeline: &Timeline) -> Self {
        Self {
            timeline: timeline.clone(),
            offset: Arc::default(),
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        let offset = self.offset.load(Ordering::Relaxed);
        Timestamp::from_millis(self.timeline.now().as_millis() + offset)
    }

    /// How far the clock is ahead of the true time, in milliseconds.
    pub(crate) fn set_offset(&self, millis: i64) {
        self.offset.store(millis, Ordering::Relaxed);
    }
}

/// A time as HTTP writes it.
pub(crate) fn http_date(at: crl::UnixTime) -> String {
    let seconds = u64::try_from(at.0).unwrap_or(0);
    httpdate::fmt_http_date(std::time::UNIX_EPOCH + Duration::from_secs(seconds))
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let mut agenda = this.timeline.agenda();
        if agenda.now >= this.until {
            return Poll::Ready(());
        }
        let key = this.timer.unwrap_or_else(|| {
            agenda.next += 1;
            (this.until, agenda.next)
        });
        agenda.timers.insert(key, context.waker().clone());
        drop(agenda);
        this.timer = Some(key);
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(key) = self.timer {
            self.timeline.agenda().timers.remove(&key);
        }
    }
}
