//! Turns: a few of an issuer's CRLs are fetched at once, whoever asked for them.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

/// How many CRLs of one issuer are fetched at once: each holds a connection, of which the platform
/// allows six, and a piece of its body in memory.
pub(super) const AT_ONCE: usize = 4;

/// The fetches of one issuer that are under way, and those that wait.
#[derive(Clone, Debug, Default)]
pub(super) struct Turns(Rc<Inside>);

#[derive(Debug, Default)]
struct Inside {
    taken: Cell<usize>,
    waiting: RefCell<Vec<Waker>>,
}

/// The turn of one fetch. Dropping it gives it to another.
#[derive(Debug)]
pub(super) struct Turn(Rc<Inside>);

impl Turns {
    /// Waits for a turn.
    pub(super) async fn take(&self) -> Turn {
        poll_fn(|context| {
            let taken = self.0.taken.get();
            if taken < AT_ONCE {
                self.0.taken.set(taken.saturating_add(1));
                return Poll::Ready(Turn(Rc::clone(&self.0)));
            }
            self.0.waiting.borrow_mut().push(context.waker().clone());
            Poll::Pending
        })
        .await
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.taken.set(self.0.taken.get().saturating_sub(1));
        // All: whoever is first may have left.
        for waker in self.0.waiting.take() {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_executor::block_on;
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn a_turn_that_is_given_back_goes_to_one_that_waits_even_if_another_left() {
        let turns = Turns::default();
        let mut taken: Vec<_> = (0..AT_ONCE).map(|_| block_on(turns.take())).collect();
        let mut left = Box::pin(turns.take());
        assert!(left.as_mut().now_or_never().is_none());
        let mut next = Box::pin(turns.take());
        assert!(next.as_mut().now_or_never().is_none());
        drop(left);
        taken.pop();
        let turn = next.now_or_never().expect("it has its turn");
        assert!(turns.take().now_or_never().is_none());
        drop((taken, turn));
        assert!(turns.take().now_or_never().is_some());
    }
}
