//! The registry over the twins: the origin is read by one caller, at most once in a while, and
//! forgets nobody.

use std::rc::Rc;
use std::time::Duration;

use origin_api::CrlName;

use super::testing::{TwinIndex, TwinIssuers, TwinPages, TwinRegistry, Twins, id, service};
use super::{
    Index, JobState, Lease, RefreshJob, RegistryAnswer, RegistryError, RegistryRequest,
    RegistryService, RegistryStore as _, Standing, Summary,
};
use crate::config::Settings;
use crate::events::EventId;
use crate::refresh::testing::{Client, Failure, Faults, HOUR, MINUTE, Machine, NOW, settings};
use crate::refresh::{OriginError, Runtime as _};

/// The registry's object, and the world around it.
struct Stage {
    faults: Rc<Faults>,
    machine: Machine,
    pages: TwinPages,
    store: TwinRegistry,
    replica: TwinIndex,
    issuers: TwinIssuers,
    settings: Rc<Settings>,
    service: Rc<RegistryService<Twins>>,
}

type Read = Result<Rc<Index>, RegistryError>;

impl Stage {
    fn listing(count: usize) -> Self {
        let faults = Rc::new(Faults::default());
        let machine = Machine::new(&faults);
        let pages = TwinPages::default();
        pages.0.list(count);
        let store = TwinRegistry::new(&faults);
        let replica = TwinIndex {
            copy: Rc::default(),
            faults: Rc::clone(&faults),
            gate: Rc::default(),
        };
        let settings = Rc::new(settings(&[]));
        let issuers = TwinIssuers::new(&machine);
        let service = service(&machine, &pages, &store, &replica, &issuers, &settings);
        Self {
            faults,
            machine,
            pages,
            store,
            replica,
            issuers,
            settings,
            service,
        }
    }

    /// Ends the object and starts it again: what is in memory is lost.
    fn restart(&mut self) {
        self.machine.end();
        self.service = service(
            &self.machine,
            &self.pages,
            &self.store,
            &self.replica,
            &self.issuers,
            &self.settings,
        );
    }

    fn ask(&self) -> Client<Read> {
        let service = Rc::clone(&self.service);
        self.machine.client(async move { service.index().await })
    }

    fn index(&self) -> Read {
        let service = Rc::clone(&self.service);
        self.machine.done(async move { service.index().await })
    }

    fn calls(&self) -> u32 {
        self.pages.0.calls.get()
    }

    fn fail(&self) {
        let down = OriginError::Unreachable("down".to_owned());
        *self.pages.0.error.borrow_mut() = Some(down);
    }
}

#[test]
fn all_pages_are_read_and_copied_to_kv() {
    let stage = Stage::listing(2_500);
    let index = stage.index().unwrap();
    assert_eq!(index.issuers.len(), 2_500);
    assert_eq!(stage.calls(), 3);
    assert_eq!(stage.replica.copy.borrow().as_ref(), Some(&*index));
}

#[test]
fn any_number_of_callers_share_one_reading_and_its_first_may_leave() {
    let stage = Stage::listing(3);
    stage.pages.0.gate.close();
    let first = stage.ask();
    stage.machine.run();
    let others: Vec<_> = (0..500).map(|_| stage.ask()).collect();
    stage.machine.run();
    first.leave();
    stage.pages.0.gate.open();
    stage.machine.run();
    assert!(others.iter().all(|other| other.answer().unwrap().is_ok()));
    assert_eq!(stage.calls(), 1);
}

#[test]
fn a_reading_that_everybody_left_still_ends() {
    let stage = Stage::listing(3);
    stage.pages.0.gate.close();
    let only = stage.ask();
    stage.machine.run();
    only.leave();
    stage.pages.0.gate.open();
    stage.machine.run();
    assert!(stage.replica.copy.borrow().is_some());
}

#[test]
fn the_origin_is_read_at_most_once_in_its_time_also_across_restarts() {
    let mut stage = Stage::listing(3);
    for second in 0..600 {
        stage.index().unwrap();
        stage.machine.pass(Duration::from_secs(1));
        if second % 20 == 0 {
            stage.restart();
        }
    }
    assert_eq!(stage.calls(), 10);
}

#[test]
fn a_new_issuer_is_there_within_that_time() {
    let stage = Stage::listing(3);
    stage.index().unwrap();
    stage.pages.0.list(4);
    stage.machine.pass(MINUTE);
    assert!(stage.index().unwrap().issuers.contains_key(&id(3)));
}

#[test]
fn a_failing_origin_leaves_the_last_index_and_is_not_hammered() {
    let stage = Stage::listing(3);
    let before = stage.index().unwrap();
    stage.fail();
    for _ in 0..600 {
        assert_eq!(stage.index().unwrap(), before);
        stage.machine.pass(Duration::from_secs(1));
    }
    assert!(stage.calls() <= 11, "{}", stage.calls());
    stage.pages.0.error.take();
    stage.machine.pass(MINUTE);
    assert!(stage.index().unwrap().read_at > before.read_at);
}

#[test]
fn an_origin_that_never_answered_is_not_hammered_either() {
    let stage = Stage::listing(3);
    stage.fail();
    for _ in 0..600 {
        assert!(matches!(stage.index(), Err(RegistryError::Origin(_))));
        stage.machine.pass(Duration::from_secs(1));
    }
    assert!(stage.calls() <= 11, "{}", stage.calls());
}

#[test]
fn the_origins_retry_after_is_honoured() {
    let stage = Stage::listing(3);
    stage.index().unwrap();
    *stage.pages.0.error.borrow_mut() = Some(OriginError::Status {
        status: 503,
        retry_after: Some(10 * MINUTE),
    });
    for _ in 0..10 {
        stage.machine.pass(MINUTE);
        stage.index().unwrap();
    }
    assert_eq!(stage.calls(), 2);
}

#[test]
fn an_origin_that_hangs_is_given_up_in_time() {
    let stage = Stage::listing(3);
    stage.pages.0.gate.close();
    let asked = stage.ask();
    stage.machine.pass(Duration::from_secs(30));
    let error = asked.answer().unwrap().unwrap_err();
    assert!(matches!(
        error,
        RegistryError::Origin(OriginError::Timeout(_))
    ));
}

/// Who serves relying parties has as much time as the origin has: waiting for all of it would leave
/// none for the issuer's object, which may have a valid CRL.
#[test]
fn an_origin_that_hangs_does_not_hold_back_the_index_that_is_known() {
    let mut stage = Stage::listing(3);
    stage.index().unwrap();
    stage.restart();
    stage.machine.pass(HOUR);
    stage.pages.0.gate.close();
    let service = Rc::clone(&stage.service);
    let asked = async move { service.answer(RegistryRequest::Index).await };
    let asked = stage.machine.client(asked);
    stage.machine.pass(Duration::from_secs(5));
    let Some(RegistryAnswer::Index(index)) = asked.answer() else {
        panic!("no index");
    };
    assert_eq!(index.issuers.len(), 3);
    // What the origin says then is there for the next one.
    stage.pages.0.list(4);
    stage.pages.0.gate.open();
    stage.machine.run();
    assert_eq!(stage.index().unwrap().issuers.len(), 4);
    assert_eq!(stage.calls(), 2);
}

#[test]
fn pages_that_do_not_end_are_given_up() {
    let stage = Stage::listing(3);
    stage.pages.0.endless.set(true);
    assert!(stage.index().is_err());
    assert_eq!(stage.calls(), 200);
}

#[test]
fn an_issuer_that_is_gone_is_kept_and_marked_until_its_events_are_gone() {
    let mut stage = Stage::listing(3);
    stage.index().unwrap();
    stage.pages.0.list(2);
    stage.machine.pass(MINUTE);
    let index = stage.index().unwrap();
    let gone_since = index.issuers[&id(2)].gone_since;
    assert_eq!(gone_since, Some(index.read_at));
    stage.machine.pass(HOUR);
    stage.restart();
    let index = stage.index().unwrap();
    assert_eq!(index.issuers[&id(2)].gone_since, gone_since);
    stage.machine.pass(30 * 24 * HOUR);
    assert!(!stage.index().unwrap().issuers.contains_key(&id(2)));
}

#[test]
fn after_each_tick_those_that_are_gone_do_what_they_owe() {
    let stage = Stage::listing(3);
    stage.index().unwrap();
    stage.pages.0.list(2);
    stage.machine.pass(MINUTE);
    stage.index().unwrap();
    for _ in 0..2 {
        let lease = stage.begin_tick().unwrap();
        assert_eq!(stage.service.next_batch(&lease).unwrap().issuers.len(), 2);
        let service = Rc::clone(&stage.service);
        let unreached = Vec::new();
        let end = RegistryRequest::EndTick { lease, unreached };
        stage.machine.done(async move { service.answer(end).await });
        stage.machine.pass(MINUTE);
        assert_eq!(stage.issuers.flushed.take(), [id(2)]);
    }
}

#[test]
fn what_an_issuer_no_longer_has_is_known_until_it_comes_back() {
    let mut stage = Stage::listing(1);
    stage.pages.0.shards.set(3);
    assert!(stage.index().unwrap().issuers[&id(0)].withdrawn.is_empty());
    stage.pages.0.shards.set(1);
    stage.machine.pass(MINUTE);
    stage.index().unwrap();
    for _ in 0..3 {
        stage.machine.pass(HOUR);
        stage.restart();
        let listed = stage.index().unwrap().issuers[&id(0)].clone();
        assert_eq!(listed.crls, [CrlName::Full, CrlName::Shard(0)]);
        let withdrawn = [CrlName::Shard(1), CrlName::Shard(2)];
        assert_eq!(listed.withdrawn, withdrawn);
        let copy = stage.replica.copy.borrow().clone().unwrap();
        assert_eq!(copy.issuers[&id(0)], listed, "isolates know it, too");
    }
    stage.pages.0.shards.set(2);
    stage.machine.pass(MINUTE);
    let listed = stage.index().unwrap().issuers[&id(0)].clone();
    assert_eq!(listed.withdrawn, [CrlName::Shard(2)]);
}

#[test]
fn an_issuer_that_comes_back_is_as_before() {
    let stage = Stage::listing(3);
    let before = stage.index().unwrap();
    stage.pages.0.list(2);
    stage.machine.pass(MINUTE);
    stage.index().unwrap();
    stage.pages.0.list(3);
    stage.machine.pass(MINUTE);
    assert_eq!(stage.index().unwrap().issuers, before.issuers);
}

#[test]
fn an_origin_that_was_restored_empty_makes_nobody_gone() {
    let mut stage = Stage::listing(20);
    let before = stage.index().unwrap();
    stage.pages.0.list(9);
    for _ in 0..23 {
        stage.machine.pass(HOUR);
        stage.restart();
        let index = stage.index().unwrap();
        assert_eq!(index.issuers, before.issuers);
        assert_eq!(index.shrink.map(|shrink| shrink.vanished), Some(11));
        assert_eq!(stage.replica.copy.borrow().as_ref(), Some(&*index));
    }
    stage.pages.0.list(20);
    stage.machine.pass(HOUR);
    assert_eq!(stage.index().unwrap().shrink, None);
    // The next time counts from its own beginning.
    stage.pages.0.list(0);
    stage.machine.pass(HOUR);
    assert_eq!(stage.index().unwrap().issuers, before.issuers);
    stage.machine.pass(24 * HOUR);
    let gone = stage.index().unwrap();
    assert_eq!(gone.shrink, None);
    assert!(
        gone.issuers
            .values()
            .all(|listed| listed.gone_since.is_some())
    );
}

#[test]
fn an_operator_lets_go_what_vanished() {
    let stage = Stage::listing(20);
    stage.index().unwrap();
    let confirm = || {
        let service = Rc::clone(&stage.service);
        stage
            .machine
            .done(async move { service.confirm_shrink().await })
    };
    assert_eq!(confirm(), Ok(None));
    stage.pages.0.list(5);
    stage.machine.pass(MINUTE);
    stage.index().unwrap();
    // More are missing when it is confirmed than when it was seen.
    stage.pages.0.list(4);
    assert_eq!(confirm(), Ok(Some(0)));
    assert_eq!(confirm(), Ok(Some(16)));
    assert_eq!(confirm(), Ok(None));
    assert_eq!(stage.index().unwrap().shrink, None);
}

#[test]
fn an_issuers_object_learns_how_it_stands_and_has_it_forgotten() {
    let stage = Stage::listing(3);
    let standing = |number| {
        let service = Rc::clone(&stage.service);
        stage
            .machine
            .done(async move { service.standing(&id(number)).await })
    };
    assert_eq!(standing(2), Ok(Standing::Listed(vec![CrlName::Full])));
    assert_eq!(standing(7), Ok(Standing::Gone));
    stage.pages.0.list(2);
    stage.machine.pass(MINUTE);
    assert_eq!(standing(2), Ok(Standing::Gone));
    stage.service.removed(&id(2)).unwrap();
    stage.service.removed(&id(1)).unwrap();
    let index = stage.index().unwrap();
    assert_eq!(index.issuers.keys().collect::<Vec<_>>(), [&id(0), &id(1)]);
    stage.fail();
    stage.machine.pass(MINUTE);
    assert!(standing(1).is_err(), "old news");
}

#[test]
fn any_call_may_fail_in_any_way_and_the_next_reading_mends_it() {
    for failure in [Failure::Before, Failure::Kept] {
        for at in 0..12 {
            let mut stage = Stage::listing(3);
            stage.faults.at(at, failure);
            let _ = stage.index();
            stage.machine.pass(MINUTE);
            stage.pages.0.list(5);
            let _ = stage.index();
            stage.restart();
            stage.faults.none();
            stage.machine.pass(MINUTE);
            let index = stage.index().unwrap();
            assert_eq!(index.issuers.len(), 5, "call {at}, {failure:?}");
            assert_eq!(stage.replica.copy.borrow().as_ref(), Some(&*index));
        }
    }
}

#[test]
fn failing_storage_does_not_hide_the_index_that_is_known() {
    let stage = Stage::listing(3);
    let before = stage.index().unwrap();
    stage.machine.pass(MINUTE);
    stage.faults.all("registry.", Failure::Before);
    assert_eq!(stage.index().unwrap(), before);
}

impl Stage {
    /// An operator asks for a refresh of everything; the action has this number.
    fn request(&self, number: u8) -> RefreshJob {
        let service = Rc::clone(&self.service);
        let id = EventId::new(NOW, [number; 10]);
        let asked = async move { service.request_job(id).await.unwrap() };
        self.machine.done(asked)
    }

    fn job(&self) -> RefreshJob {
        self.service.last_job().unwrap().unwrap()
    }

    /// Has the alarm go off whenever it is due, as the platform does; a failed one goes off again.
    fn run_alarms(&self) {
        let (host, service) = (self.machine.host.clone(), Rc::clone(&self.service));
        let _ = self.machine.client(async move {
            loop {
                let now = host.now();
                match host.alarm() {
                    Some(at) if at <= now => {
                        host.take_alarm();
                        if service.alarm().await.is_err() {
                            host.alarm_again(host.now().after(2 * SECOND));
                        }
                    }
                    _ => host.sleep(Duration::from_millis(20)).await,
                }
            }
        });
    }

    fn begin_tick(&self) -> Option<Lease> {
        let service = Rc::clone(&self.service);
        let begun = async move { service.begin_tick().await.unwrap() };
        self.machine.done(begun)
    }
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_job_asks_every_issuer_once_and_counts_what_they_did() {
    let stage = Stage::listing(100);
    stage.run_alarms();
    stage.issuers.silent.borrow_mut().push(id(7));
    let job = stage.request(1);
    assert_eq!((job.state, job.summary.issuers), (JobState::Waiting, 0));
    stage.machine.pass(5 * SECOND);
    let job = stage.job();
    assert_eq!(job.state, JobState::Running);
    assert!(
        job.summary.issuers > 0 && job.summary.not_reached > 0,
        "{job:?}"
    );
    assert_eq!(job.summary.issuers + job.summary.not_reached, 100);
    stage.machine.pass(5 * MINUTE);
    let job = stage.job();
    assert_eq!(job.state, JobState::Finished);
    assert!(job.started_at < job.finished_at, "{job:?}");
    let summary = Summary {
        issuers: 100,
        published: 99,
        unanswered: 1,
        ..Summary::default()
    };
    assert_eq!(job.summary, summary);
    assert_eq!(stage.issuers.asked.borrow().len(), 100);
    assert!(stage.begin_tick().is_some(), "the lease has ended");
}

#[test]
fn a_second_request_joins_the_job_that_is_under_way_and_not_one_that_has_ended() {
    let stage = Stage::listing(50);
    stage.run_alarms();
    let first = stage.request(1).id;
    stage.machine.pass(2 * SECOND);
    assert_eq!(stage.request(2).id, first);
    stage.machine.pass(MINUTE);
    assert_eq!(stage.issuers.asked.borrow().len(), 50);
    let third = stage.request(3);
    assert_ne!(third.id, first);
    assert_eq!(third.summary, Summary::default());
    stage.machine.pass(MINUTE);
    assert_eq!(stage.issuers.asked.borrow().len(), 100);
}

#[test]
fn a_job_goes_on_after_a_restart_and_asks_again_only_those_that_had_not_answered() {
    let mut stage = Stage::listing(100);
    stage.run_alarms();
    let before = stage.request(1);
    stage.machine.pass(5 * SECOND);
    let answered = stage.issuers.answered.take();
    stage.issuers.asked.take();
    // The platform runs again the alarm that the end of the object interrupted.
    stage.restart();
    stage.run_alarms();
    stage.machine.host.alarm_again(stage.machine.host.now());
    stage.machine.pass(MINUTE);
    let job = stage.job();
    assert_eq!((job.id, job.state), (before.id, JobState::Finished));
    assert_eq!((job.summary.issuers, job.summary.published), (100, 100));
    let asked = stage.issuers.asked.borrow();
    assert_eq!(asked.len() + answered.len(), 100, "{asked:?} {answered:?}");
    assert!(asked.iter().all(|id| !answered.contains(id)));
}

#[test]
fn a_job_and_a_tick_never_run_at_once() {
    let stage = Stage::listing(500);
    stage.run_alarms();
    let tick = stage.begin_tick().unwrap();
    stage.request(1);
    stage.machine.pass(MINUTE);
    assert_eq!(stage.job().state, JobState::Waiting);
    assert!(stage.issuers.asked.borrow().is_empty());
    stage.service.end_tick(&tick, &[]).unwrap();
    stage.machine.pass(11 * SECOND);
    assert_eq!(stage.job().state, JobState::Running);
    assert_eq!(stage.begin_tick(), None);
    stage.machine.pass(2 * MINUTE);
    assert_eq!(stage.job().summary.issuers, 500);
}

#[test]
fn a_tick_sets_the_alarm_of_a_job_that_lost_it() {
    let stage = Stage::listing(50);
    stage.run_alarms();
    stage.request(1);
    assert!(stage.machine.host.take_alarm().is_some());
    stage.machine.pass(MINUTE);
    assert_eq!(stage.job().state, JobState::Waiting);
    let tick = stage.begin_tick().unwrap();
    stage.service.end_tick(&tick, &[]).unwrap();
    stage.machine.pass(MINUTE);
    assert_eq!(stage.job().state, JobState::Finished);
}

#[test]
fn a_job_that_slept_through_its_lease_begins_again_after_the_tick() {
    let mut stage = Stage::listing(50);
    stage.run_alarms();
    stage.request(1);
    stage.machine.pass(3 * SECOND);
    stage.restart();
    stage.machine.pass(10 * MINUTE);
    let tick = stage.begin_tick().unwrap();
    stage.run_alarms();
    stage.machine.pass(MINUTE);
    stage.service.end_tick(&tick, &[]).unwrap();
    stage.issuers.asked.take();
    stage.machine.pass(MINUTE);
    let job = stage.job();
    assert_eq!((job.state, job.summary.issuers), (JobState::Finished, 50));
    assert_eq!(stage.issuers.asked.borrow().len(), 50);
}

#[test]
fn one_failure_of_any_call_in_any_way_leaves_the_job_to_finish() {
    for failure in [Failure::Before, Failure::Kept] {
        for at in 0..40 {
            let stage = Stage::listing(20);
            stage.run_alarms();
            stage.run_alarms();
            stage.index().unwrap();
            stage.request(1);
            stage.faults.at(at, failure);
            stage.machine.pass(5 * MINUTE);
            assert!(stage.faults.calls() > at, "call {at} is of no job");
            stage.faults.none();
            let job = stage.job();
            assert_eq!(job.state, JobState::Finished, "call {at}, {failure:?}");
            assert_eq!(job.summary.not_reached, 0, "call {at}, {failure:?}");
            let asked = stage.issuers.asked.borrow();
            assert!((0..20).all(|n| asked.contains(&id(n))), "{at} {failure:?}");
        }
    }
}

#[test]
fn the_stored_job_is_pinned() {
    let stage = Stage::listing(1);
    stage.run_alarms();
    stage.request(1);
    stage.machine.pass(Duration::from_millis(30));
    let stored = serde_json::to_value(stage.store.job().unwrap()).unwrap();
    let expected = serde_json::json!({
        "job": {
            "id": EventId::new(NOW, [1; 10]),
            "state": "running",
            "requested_at": NOW.to_string(),
            "started_at": stage.job().started_at,
            "finished_at": null,
            "summary": {
                "issuers": 0, "published": 0, "unchanged": 0, "skipped": 0, "rejected": 0,
                "failed": 0, "unanswered": 0, "not_reached": 1,
            },
        },
        "lease": stored["lease"],
        "batch": ["ca-0000"],
    });
    assert_eq!(stored, expected);
}

#[test]
fn a_copy_in_kv_that_never_ends_keeps_nobody_waiting_for_ever() {
    let stage = Stage::listing(2);
    stage.replica.gate.close();
    let first = stage.ask();
    stage.machine.pass(MINUTE);
    assert!(first.answer().is_some_and(|read| read.is_ok()));
    // Nor whoever asks when the index is old.
    let second = stage.ask();
    stage.machine.pass(MINUTE);
    assert!(second.answer().is_some_and(|read| read.is_ok()));
    assert_eq!(stage.calls(), 2);
}
