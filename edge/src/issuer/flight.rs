//! Singleflight: one refresh of a CRL at a time, whoever asks, and everyone who wants it waits for the same one.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use futures_util::FutureExt as _;
use futures_util::future::{LocalBoxFuture, Shared, WeakShared};
use origin_api::CrlName;

use crate::refresh::Demand;

/// The flights of one issuer. `T` is what a flight lands with, for each who waits.
#[derive(Debug)]
pub struct Flights<T: Clone> {
    in_the_air: Rc<RefCell<HashMap<CrlName, Vec<Flight<T>>>>>,
    next_id: Cell<u64>,
}

/// Lands when the refresh does. It must be polled by somebody who stays: the runtime cancels what a request awaits when its
/// client leaves.
pub type Landing<T> = Shared<LocalBoxFuture<'static, T>>;

#[derive(Debug)]
struct Flight<T: Clone> {
    id: u64,
    demand: Rc<Demand>,
    /// Weak, so that a flight that everybody dropped is gone, and its place free.
    landing: WeakShared<LocalBoxFuture<'static, T>>,
}

/// What boarding came to.
#[derive(Debug)]
pub enum Boarding<T: Clone> {
    /// A flight that was under way or waiting.
    Joined(Landing<T>),
    /// A new one: whoever gets this must see to it that it is driven to its end.
    Launched(Landing<T>),
}

impl<T: Clone> Default for Flights<T> {
    fn default() -> Self {
        Self {
            in_the_air: Rc::default(),
            next_id: Cell::new(0),
        }
    }
}

impl<T: Clone + 'static> Flights<T> {
    /// Takes the flight of `name` that is under way, or launches one. Who wants a `new_crl` takes only one that has not asked the
    /// origin yet: what was recorded there before this call must be in the answer. Where there is none, the new flight waits
    /// for the one under way. Nothing here awaits: between the look and the entry nobody else can come.
    pub fn board<F>(
        &self,
        name: CrlName,
        new_crl: bool,
        launch: impl FnOnce(Rc<Demand>) -> F,
    ) -> Boarding<T>
    where
        F: Future<Output = T> + 'static,
    {
        let mut in_the_air = self.in_the_air.borrow_mut();
        let flights = in_the_air.entry(name).or_default();
        flights.retain(|flight| flight.landing.upgrade().is_some());
        let suitable = flights
            .iter()
            .find(|flight| !new_crl || flight.demand.raise())
            .and_then(|flight| flight.landing.upgrade());
        if let Some(landing) = suitable {
            return Boarding::Joined(landing);
        }
        let before = flights.last().and_then(|flight| flight.landing.upgrade());
        let id = self.next_id.get();
        self.next_id.set(id.wrapping_add(1));
        let place = Place {
            in_the_air: Rc::clone(&self.in_the_air),
            name,
            id,
        };
        let demand = Rc::new(Demand::new(new_crl));
        let refresh = launch(Rc::clone(&demand));
        let landing = async move {
            let _place = place;
            if let Some(before) = before {
                before.await;
            }
            refresh.await
        }
        .boxed_local()
        .shared();
        if let Some(weak) = landing.downgrade() {
            flights.push(Flight {
                id,
                demand,
                landing: weak,
            });
        }
        Boarding::Launched(landing)
    }

    /// Whether no flight is under way.
    #[must_use]
    pub fn all_landed(&self) -> bool {
        self.in_the_air.borrow().values().flatten().all(|flight| {
            flight
                .landing
                .upgrade()
                .is_none_or(|landing| landing.peek().is_some())
        })
    }
}

impl<T: Clone> Boarding<T> {
    /// The landing, whoever drives it.
    pub fn landing(&self) -> Landing<T> {
        match self {
            Self::Joined(landing) | Self::Launched(landing) => landing.clone(),
        }
    }
}

/// A flight's place among those in the air: free again when the flight has landed, failed, or was dropped.
struct Place<T: Clone> {
    in_the_air: Rc<RefCell<HashMap<CrlName, Vec<Flight<T>>>>>,
    name: CrlName,
    id: u64,
}

impl<T: Clone> Drop for Place<T> {
    fn drop(&mut self) {
        // A flight may be dropped while `board` looks through the map; it removes what is gone by itself.
        if let Ok(mut in_the_air) = self.in_the_air.try_borrow_mut()
            && let Some(flights) = in_the_air.get_mut(&self.name)
        {
            flights.retain(|flight| flight.id != self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_channel::oneshot;
    use futures_executor::LocalPool;
    use futures_util::task::LocalSpawnExt as _;

    /// Flights whose landings the test decides.
    #[derive(Default)]
    struct Tower {
        flights: Flights<u32>,
        launched: Cell<u32>,
        open: RefCell<Vec<(Rc<Demand>, oneshot::Sender<u32>)>>,
    }

    impl Tower {
        fn board(&self, new_crl: bool) -> Boarding<u32> {
            self.flights.board(CrlName::Full, new_crl, |demand| {
                let (sender, receiver) = oneshot::channel();
                self.launched.set(self.launched.get() + 1);
                self.open.borrow_mut().push((demand, sender));
                async move { receiver.await.unwrap_or(0) }
            })
        }

        fn land(&self, index: usize, result: u32) {
            self.open.borrow_mut().remove(index).1.send(result).unwrap();
        }

        fn asks_the_origin(&self, index: usize) {
            self.open.borrow()[index].0.settle();
        }
    }

    #[test]
    fn any_number_of_waiters_share_one_flight() {
        let (tower, mut pool) = (Tower::default(), LocalPool::new());
        let landings: Vec<_> = (0..500).map(|_| tower.board(false).landing()).collect();
        assert_eq!(tower.launched.get(), 1);
        tower.land(0, 7);
        let all = futures_util::future::join_all(landings);
        assert!(pool.run_until(all).iter().all(|result| *result == 7));
    }

    #[test]
    fn the_place_is_free_after_a_landing() {
        let (tower, mut pool) = (Tower::default(), LocalPool::new());
        let landing = tower.board(false).landing();
        tower.land(0, 1);
        pool.run_until(landing);
        assert!(tower.flights.all_landed());
        assert!(matches!(tower.board(false), Boarding::Launched(_)));
    }

    #[test]
    fn the_place_is_free_after_everybody_dropped_the_flight() {
        let tower = Tower::default();
        drop(tower.board(false));
        assert!(matches!(tower.board(false), Boarding::Launched(_)));
    }

    #[test]
    fn the_leader_may_leave_while_others_wait() {
        let (tower, mut pool) = (Tower::default(), LocalPool::new());
        let leader = tower.board(false);
        let waiter = tower.board(false).landing();
        pool.spawner()
            .spawn_local(leader.landing().map(|_| ()))
            .unwrap();
        drop(leader);
        tower.land(0, 3);
        assert_eq!(pool.run_until(waiter), 3);
    }

    #[test]
    fn who_wants_a_new_crl_joins_a_flight_that_has_not_asked_the_origin() {
        let tower = Tower::default();
        let first = tower.board(false);
        assert!(matches!(tower.board(true), Boarding::Joined(_)));
        tower.asks_the_origin(0);
        let second = tower.board(true);
        assert!(matches!(second, Boarding::Launched(_)));
        assert!(
            matches!(tower.board(true), Boarding::Joined(_)),
            "the second has not asked yet"
        );
        assert_eq!(tower.launched.get(), 2);
        drop((first, second));
    }

    #[test]
    fn the_next_flight_begins_when_the_one_under_way_has_landed() {
        let (tower, mut pool) = (Tower::default(), LocalPool::new());
        let first = tower.board(false).landing();
        tower.asks_the_origin(0);
        let second = tower.board(true).landing();
        tower.land(1, 2);
        pool.spawner()
            .spawn_local(second.clone().map(|_| ()))
            .unwrap();
        pool.run_until_stalled();
        assert!(second.peek().is_none(), "it must wait for the first");
        tower.land(0, 1);
        assert_eq!(pool.run_until(second), 2);
        assert_eq!(pool.run_until(first), 1);
    }

    #[test]
    fn each_crl_has_its_own_flight() {
        let tower = Tower::default();
        let _full = tower.board(false);
        let delta = tower.flights.board(CrlName::Delta, false, |_| async { 9 });
        assert!(matches!(delta, Boarding::Launched(_)));
    }
}
