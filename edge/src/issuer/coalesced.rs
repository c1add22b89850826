//! A task that runs once at a time: callers that come meanwhile wait for the same run.

use std::cell::RefCell;
use std::fmt;

use futures_util::FutureExt as _;
use futures_util::future::{LocalBoxFuture, Shared, WeakShared};

/// A task that does everything there is to do, so that a caller that comes while it runs need only
/// wait for that run.
#[derive(Default)]
pub(super) struct Coalesced {
    running: RefCell<Option<WeakShared<LocalBoxFuture<'static, ()>>>>,
}

impl Coalesced {
    /// Joins the run that is under way, or starts one.
    pub(super) fn run(
        &self,
        start: impl FnOnce() -> LocalBoxFuture<'static, ()>,
    ) -> Shared<LocalBoxFuture<'static, ()>> {
        let mut running = self.running.borrow_mut();
        let under_way = running
            .as_ref()
            .and_then(WeakShared::upgrade)
            .filter(|run| run.peek().is_none());
        under_way.unwrap_or_else(|| {
            let run = start().shared();
            *running = run.downgrade();
            run
        })
    }
}

impl fmt::Debug for Coalesced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Coalesced").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use futures_executor::block_on;

    use super::*;

    #[test]
    fn who_comes_during_a_run_waits_for_it_and_who_comes_later_starts_another() {
        let task = Coalesced::default();
        let runs = Rc::new(Cell::new(0));
        let start = || {
            let runs = Rc::clone(&runs);
            task.run(move || {
                runs.set(runs.get() + 1);
                async {}.boxed_local()
            })
        };
        let (first, second) = (start(), start());
        block_on(async { futures_util::join!(first, second) });
        assert_eq!(runs.get(), 1);
        block_on(start());
        assert_eq!(runs.get(), 2);
    }
}
