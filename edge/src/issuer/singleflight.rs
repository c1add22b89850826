//! Singleflight: one refresh of a CRL at a time, and everyone who wants it waits for the same one.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use futures_util::FutureExt as _;
use futures_util::future::{LocalBoxFuture, Shared, WeakShared};
use origin_api::CrlName;

use crate::refresh::Demand;

/// The refreshes of one issuer that are under way. `T` is their result, one for each who waits.
#[derive(Debug)]
pub(super) struct Singleflight<T: Clone> {
    in_flight: Rc<RefCell<InFlight<T>>>,
    next_id: Cell<u64>,
}

type InFlight<T> = HashMap<CrlName, Vec<Flight<T>>>;

/// The result of a refresh. Someone who stays must poll it: the runtime cancels what a request
/// awaits when its client leaves.
pub(super) type FlightFuture<T> = Shared<LocalBoxFuture<'static, T>>;

#[derive(Debug)]
struct Flight<T: Clone> {
    id: u64,
    demand: Rc<Demand>,
    /// Weak, so that a refresh that everybody dropped is gone, and its slot free.
    result: WeakShared<LocalBoxFuture<'static, T>>,
}

/// The refresh that a caller waits for.
#[derive(Debug)]
pub(super) enum Join<T: Clone> {
    /// One that was under way or waiting.
    Joined(FlightFuture<T>),
    /// A new one: the caller must see to it that it is polled to its end.
    Started(FlightFuture<T>),
}

impl<T: Clone> Default for Singleflight<T> {
    fn default() -> Self {
        Self {
            in_flight: Rc::default(),
            next_id: Cell::new(0),
        }
    }
}

impl<T: Clone + 'static> Singleflight<T> {
    /// Joins the refresh of `name` that is under way, or starts one. A caller that demands a
    /// `new_crl` joins only one that has not asked the origin yet: what was recorded there before
    /// this call must be in the answer. Its own refresh then waits for the one under way.
    ///
    /// Nothing here awaits, so nobody can come between the look and the entry.
    pub(super) fn join<F>(
        &self,
        name: CrlName,
        new_crl: bool,
        start: impl FnOnce(Rc<Demand>) -> F,
    ) -> Join<T>
    where
        F: Future<Output = T> + 'static,
    {
        let mut in_flight = self.in_flight.borrow_mut();
        let flights = in_flight.entry(name).or_default();
        flights.retain(|flight| flight.result.upgrade().is_some());
        let suitable = flights
            .iter()
            .find(|flight| !new_crl || flight.demand.raise())
            .and_then(|flight| flight.result.upgrade());
        if let Some(result) = suitable {
            return Join::Joined(result);
        }
        let before = flights.last().and_then(|flight| flight.result.upgrade());
        let id = self.next_id.get();
        self.next_id.set(id.wrapping_add(1));
        let slot = Slot {
            in_flight: Rc::clone(&self.in_flight),
            name,
            id,
        };
        let demand = Rc::new(Demand::new(new_crl));
        let refresh = start(Rc::clone(&demand));
        let result = async move {
            let _slot = slot;
            if let Some(before) = before {
                before.await;
            }
            refresh.await
        }
        .boxed_local()
        .shared();
        if let Some(weak) = result.downgrade() {
            flights.push(Flight {
                id,
                demand,
                result: weak,
            });
        }
        Join::Started(result)
    }
}

impl<T: Clone> Join<T> {
    /// The result, whoever polls it.
    pub(super) fn result(&self) -> FlightFuture<T> {
        match self {
            Self::Joined(result) | Self::Started(result) => result.clone(),
        }
    }
}

/// A refresh's slot: free again when it has ended, failed, or was dropped.
struct Slot<T: Clone> {
    in_flight: Rc<RefCell<InFlight<T>>>,
    name: CrlName,
    id: u64,
}

impl<T: Clone> Drop for Slot<T> {
    fn drop(&mut self) {
        // A refresh may be dropped while `join` looks through the map, which removes it by itself.
        if let Ok(mut in_flight) = self.in_flight.try_borrow_mut()
            && let Some(flights) = in_flight.get_mut(&self.name)
        {
            flights.retain(|flight| flight.id != self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_channel::oneshot;
    use futures_executor::LocalPool;
    use futures_util::task::LocalSpawnExt as _;

    use super::*;

    /// Singleflight whose results the test decides.
    #[derive(Default)]
    struct Controlled {
        singleflight: Singleflight<u32>,
        started: Cell<u32>,
        open: RefCell<Vec<(Rc<Demand>, oneshot::Sender<u32>)>>,
    }

    impl Controlled {
        fn join(&self, new_crl: bool) -> Join<u32> {
            self.singleflight.join(CrlName::Full, new_crl, |demand| {
                let (sender, receiver) = oneshot::channel();
                self.started.set(self.started.get() + 1);
                self.open.borrow_mut().push((demand, sender));
                async move { receiver.await.unwrap_or(0) }
            })
        }

        fn end(&self, index: usize, result: u32) {
            self.open.borrow_mut().remove(index).1.send(result).unwrap();
        }

        fn asks_the_origin(&self, index: usize) {
            self.open.borrow()[index].0.freeze();
        }
    }

    #[test]
    fn any_number_of_waiters_share_one_flight() {
        let (controlled, mut pool) = (Controlled::default(), LocalPool::new());
        let results: Vec<_> = (0..500).map(|_| controlled.join(false).result()).collect();
        assert_eq!(controlled.started.get(), 1);
        controlled.end(0, 7);
        let all = futures_util::future::join_all(results);
        assert!(pool.run_until(all).iter().all(|result| *result == 7));
    }

    #[test]
    fn the_slot_is_free_after_a_result() {
        let (controlled, mut pool) = (Controlled::default(), LocalPool::new());
        let result = controlled.join(false).result();
        assert!(matches!(controlled.join(false), Join::Joined(_)));
        controlled.end(0, 1);
        pool.run_until(result.clone());
        // Not even a waiter that keeps the result keeps the slot.
        assert!(matches!(controlled.join(false), Join::Started(_)));
        assert_eq!(result.peek(), Some(&1));
    }

    #[test]
    fn a_flight_that_ends_leaves_the_one_that_waits_for_it() {
        let (controlled, mut pool) = (Controlled::default(), LocalPool::new());
        let first = controlled.join(false).result();
        controlled.asks_the_origin(0);
        let second = controlled.join(true).result();
        controlled.end(0, 1);
        pool.run_until(first);
        assert!(matches!(controlled.join(true), Join::Joined(_)));
        assert_eq!(controlled.started.get(), 2);
        drop(second);
    }

    #[test]
    fn the_slot_is_free_after_everybody_dropped_the_refresh() {
        let controlled = Controlled::default();
        drop(controlled.join(false));
        assert!(matches!(controlled.join(false), Join::Started(_)));
    }

    #[test]
    fn the_leader_may_leave_while_others_wait() {
        let (controlled, mut pool) = (Controlled::default(), LocalPool::new());
        let leader = controlled.join(false);
        let waiter = controlled.join(false).result();
        pool.spawner()
            .spawn_local(leader.result().map(|_| ()))
            .unwrap();
        drop(leader);
        controlled.end(0, 3);
        assert_eq!(pool.run_until(waiter), 3);
    }

    #[test]
    fn who_wants_a_new_crl_joins_a_flight_that_has_not_asked_the_origin() {
        let controlled = Controlled::default();
        let first = controlled.join(false);
        assert!(matches!(controlled.join(true), Join::Joined(_)));
        controlled.asks_the_origin(0);
        assert!(
            matches!(controlled.join(false), Join::Joined(_)),
            "who wants any CRL takes the one that is under way"
        );
        let second = controlled.join(true);
        assert!(matches!(second, Join::Started(_)));
        assert!(
            matches!(controlled.join(true), Join::Joined(_)),
            "the second has not asked yet"
        );
        assert_eq!(controlled.started.get(), 2);
        drop((first, second));
    }

    #[test]
    fn the_next_flight_begins_when_the_one_under_way_has_ended() {
        let (controlled, mut pool) = (Controlled::default(), LocalPool::new());
        let first = controlled.join(false).result();
        controlled.asks_the_origin(0);
        let second = controlled.join(true).result();
        controlled.end(1, 2);
        pool.spawner()
            .spawn_local(second.clone().map(|_| ()))
            .unwrap();
        pool.run_until_stalled();
        assert!(second.peek().is_none(), "it must wait for the first");
        controlled.end(0, 1);
        assert_eq!(pool.run_until(second), 2);
        assert_eq!(pool.run_until(first), 1);
    }

    #[test]
    fn each_crl_has_its_own_flight() {
        let controlled = Controlled::default();
        let _full = controlled.join(false);
        let delta = controlled
            .singleflight
            .join(CrlName::Delta, false, |_| async { 9 });
        assert!(matches!(delta, Join::Started(_)));
    }
}
