//! The reports of refreshes that waited for each other.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::task::{Poll, Waker};

use origin_api::CrlName;

use crate::refresh::Report;

/// Reports that are ready, and those who wait: for a report, or for a refresh to begin to wait.
#[derive(Debug, Default)]
pub(super) struct Reports {
    ready: RefCell<BTreeMap<CrlName, Report>>,
    wakers: RefCell<Vec<Waker>>,
    /// Whether somebody sees to it that there will be reports.
    pub(super) is_under_way: Cell<bool>,
}

impl Reports {
    /// Waits for the report of a refresh.
    pub(super) async fn take(&self, name: CrlName) -> Report {
        self.until(|| self.ready.borrow_mut().remove(&name)).await
    }

    pub(super) fn add(&self, reports: Vec<(CrlName, Report)>) {
        self.ready.borrow_mut().extend(reports);
        self.wake();
    }

    /// Waits until `look` sees something. It looks again whenever a refresh begins to wait, or has
    /// its report.
    pub(super) async fn until<T>(&self, look: impl Fn() -> Option<T>) -> T {
        poll_fn(|context| {
            if let Some(seen) = look() {
                return Poll::Ready(seen);
            }
            self.wakers.borrow_mut().push(context.waker().clone());
            Poll::Pending
        })
        .await
    }

    pub(super) fn wake(&self) {
        for waker in self.wakers.take() {
            waker.wake();
        }
    }
}
