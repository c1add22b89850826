//! Ticks over the real registry and twins of the issuers' objects.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use origin_api::CrlName;

use super::*;
use crate::events::{EventId, Outcome};
use crate::issuer::{IssuerAnswer, IssuerRequest};
use crate::refresh::Runtime as _;
use crate::refresh::testing::{Client, Faults, Machine, NOW, TwinHost, settings};
use crate::registry::testing::{
    TwinIndex, TwinIssuers, TwinPages, TwinRegistry, Twins, id, service,
};
use crate::registry::{RegistryAnswer, RegistryRequest, RegistryService};

/// How an issuer's object does its refresh.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Conduct {
    Takes(Duration, Outcome),
    DoesNotAnswer,
    Hangs,
}

/// The objects, as a tick reaches them.
#[derive(Clone)]
struct TwinObjects(Rc<Inside>);

struct Inside {
    host: TwinHost,
    service: Rc<RegistryService<Twins>>,
    usually: Cell<Conduct>,
    /// How long the registry's object takes for each answer.
    registry_takes: Cell<Duration>,
    conduct: RefCell<HashMap<IssuerId, Conduct>>,
    asked: RefCell<Vec<IssuerId>>,
    at_once: Cell<usize>,
    most_at_once: Cell<usize>,
}

impl Objects for TwinObjects {
    fn now(&self) -> Timestamp {
        self.0.host.now()
    }

    async fn sleep(&self, span: Duration) {
        self.0.host.sleep(span).await;
    }
}

impl RegistryObject for TwinObjects {
    async fn registry_object(
        &self,
        request: RegistryRequest,
    ) -> Result<RegistryAnswer, PlatformError> {
        let answers = if request == RegistryRequest::BeginTick {
            12
        } else {
            1
        };
        let takes = self.0.registry_takes.get() * answers;
        self.0.host.sleep(takes).await;
        Ok(self.0.service.answer(request).await)
    }
}

impl IssuerObjects for TwinObjects {
    async fn issuer_object(
        &self,
        id: &IssuerId,
        request: IssuerRequest,
    ) -> Result<IssuerAnswer, PlatformError> {
        let IssuerRequest::Refresh { trigger, .. } = request else {
            panic!("a tick does not send {request:?}");
        };
        let inside = &self.0;
        inside.asked.borrow_mut().push(id.clone());
        inside.at_once.set(inside.at_once.get() + 1);
        let most = inside.most_at_once.get().max(inside.at_once.get());
        inside.most_at_once.set(most);
        let set = inside.conduct.borrow().get(id).copied();
        let done = match set.unwrap_or(inside.usually.get()) {
            Conduct::Takes(span, outcome) => {
                let began_at = self.now();
                inside.host.sleep(span).await;
                let (event_id, about) = (EventId::new(began_at, [0; 10]), (id, CrlName::Full));
                let event = Event::new(event_id, about, trigger, outcome, began_at, span);
                Ok(IssuerAnswer::Refreshed(vec![event]))
            }
            Conduct::DoesNotAnswer => Err(PlatformError("no answer".to_owned())),
            Conduct::Hangs => std::future::pending().await,
        };
        inside.at_once.set(inside.at_once.get() - 1);
        done
    }
}

const SECOND: Duration = Duration::from_secs(1);

struct Stage {
    machine: Machine,
    pages: TwinPages,
    objects: TwinObjects,
}

impl Stage {
    fn listing(count: usize) -> Self {
        let faults = Rc::new(Faults::default());
        let machine = Machine::new(&faults);
        let pages = TwinPages::default();
        pages.0.list(count);
        let replica = TwinIndex {
            copy: Rc::default(),
            faults: Rc::clone(&faults),
            gate: Rc::default(),
        };
        let store = TwinRegistry::new(&faults);
        let issuers = TwinIssuers::new(&machine);
        let settings = Rc::new(settings(&[]));
        let service = service(&machine, &pages, &store, &replica, &issuers, &settings);
        let objects = TwinObjects(Rc::new(Inside {
            host: machine.host.clone(),
            service,
            registry_takes: Cell::default(),
            usually: Cell::new(Conduct::Takes(SECOND, Outcome::Published)),
            conduct: RefCell::default(),
            asked: RefCell::default(),
            at_once: Cell::new(0),
            most_at_once: Cell::new(0),
        }));
        Self {
            machine,
            pages,
            objects,
        }
    }

    fn begin(&self) -> Client<Option<Summary>> {
        let objects = self.objects.clone();
        self.machine.client(async move {
            let summary = regenerate_all(&objects, Trigger::Cron, 6).await;
            summary.unwrap()
        })
    }

    /// A tick that has the platform's 15 minutes.
    fn tick(&self) -> Summary {
        let tick = self.begin();
        self.machine.pass(Duration::from_mins(15));
        let summary = tick.answer().expect("it must end within its time");
        summary.expect("no other tick is under way")
    }

    fn usually(&self, conduct: Conduct) {
        self.objects.0.usually.set(conduct);
    }

    fn set(&self, number: usize, conduct: Conduct) {
        self.objects
            .0
            .conduct
            .borrow_mut()
            .insert(id(number), conduct);
    }

    fn asked(&self) -> Vec<IssuerId> {
        self.objects.0.asked.take()
    }
}

#[test]
fn a_thousand_issuers_are_each_asked_once_six_at_a_time() {
    let stage = Stage::listing(1_000);
    let tick = stage.begin();
    // 1,000 at one second each, six at once, and no more than one round lost at the end of each
    // batch.
    stage.machine.pass(SECOND * 1_000 / 6 + SECOND * 10);
    let summary = tick.answer().expect("as fast as six at once can be");
    let summary = summary.unwrap();
    assert_eq!((summary.issuers, summary.published), (1_000, 1_000));
    assert_eq!(summary.not_reached, 0);
    let asked = stage.asked();
    assert_eq!(asked.len(), 1_000);
    assert_eq!(asked.iter().collect::<BTreeSet<_>>().len(), 1_000);
    assert_eq!(stage.objects.0.most_at_once.get(), 6);
}

#[test]
fn a_tick_ends_in_time_however_long_the_registry_takes() {
    for (takes, begins) in [(19, true), (21, true), (26, false), (10_000, false)] {
        let stage = Stage::listing(1_000);
        stage.usually(Conduct::Hangs);
        stage.objects.0.registry_takes.set(SECOND * takes);
        let tick = stage.begin();
        stage.machine.pass(Duration::from_secs(14 * 60 + 45));
        let summary = tick.answer().expect("it leaves time for pruning");
        assert_eq!(summary.is_some(), begins, "{takes} s");
    }
}

#[test]
fn a_run_ends_within_its_15_minutes_with_its_summary_and_its_pruning() {
    // The slowest of what is waited for: the registry, every issuer's object, and D1.
    for d1_takes in [0, 19, 3_600].map(Duration::from_secs) {
        let stage = Stage::listing(1_000);
        stage.usually(Conduct::Hangs);
        stage.objects.0.registry_takes.set(SECOND * 19);
        let objects = stage.objects.clone();
        let run = stage.machine.client(async move {
            let prune = async {
                objects.sleep(d1_takes).await;
                7
            };
            run(&objects, 6, prune).await
        });
        stage.machine.pass(Duration::from_secs(15 * 60 - 1));
        let (walked, pruned) = run.answer().expect("the platform would have ended it");
        let summary = walked.unwrap().expect("no other tick is under way");
        assert_eq!(summary.issuers + summary.not_reached, 1_000);
        let in_time = d1_takes < TIME_TO_PRUNE;
        assert_eq!(pruned, in_time.then_some(7), "{d1_takes:?}");
    }
}

#[test]
fn pruning_goes_on_beside_a_tick_that_is_under_way() {
    let stage = Stage::listing(500);
    let first = stage.begin();
    stage.machine.pass(SECOND * 10);
    let objects = stage.objects.clone();
    let second = stage
        .machine
        .client(async move { run(&objects, 6, async { 7 }).await });
    stage.machine.pass(SECOND);
    let (walked, pruned) = second.answer().expect("it has nothing to wait for");
    assert_eq!((walked.unwrap(), pruned), (None, Some(7)));
    stage.machine.pass(Duration::from_mins(5));
    assert_eq!(first.answer().unwrap().unwrap().issuers, 500);
}

#[test]
fn a_tick_stops_in_time_and_the_next_begins_where_it_stopped() {
    let stage = Stage::listing(1_000);
    stage.usually(Conduct::Takes(SECOND * 10, Outcome::Published));
    let first = stage.tick();
    let asked_first = stage.asked();
    assert_eq!(first.issuers, asked_first.len() as u64);
    assert!(first.issuers > 400 && first.issuers < 600, "{first:?}");
    assert_eq!(first.not_reached, 1_000 - first.issuers);
    let second = stage.tick();
    let asked_second = stage.asked();
    let left = usize::try_from(first.not_reached).unwrap();
    let both: BTreeSet<_> = asked_first
        .iter()
        .chain(&asked_second[..left.min(asked_second.len())])
        .collect();
    assert_eq!(
        both.len(),
        asked_first.len() + left.min(asked_second.len()),
        "nobody twice before everybody once"
    );
    assert!(second.issuers + first.issuers >= 800);
    let third = stage.tick();
    let all: BTreeSet<_> = asked_first
        .into_iter()
        .chain(asked_second)
        .chain(stage.asked())
        .collect();
    assert_eq!(all.len(), 1_000);
    assert!(third.issuers > 0);
}

#[test]
fn the_longest_unrefreshed_come_first() {
    let stage = Stage::listing(150);
    stage.tick();
    let first_time = stage.asked();
    stage.pages.0.list(151);
    stage.machine.pass(Duration::from_mins(45));
    stage.tick();
    let second_time = stage.asked();
    assert_eq!(second_time[0], id(150), "the new one was never refreshed");
    assert_eq!(second_time[1..19], first_time[..18]);
}

#[test]
fn one_bad_issuer_does_not_stop_the_others() {
    let stage = Stage::listing(20);
    stage.set(0, Conduct::Hangs);
    stage.set(1, Conduct::DoesNotAnswer);
    stage.set(2, Conduct::Takes(SECOND, Outcome::Rejected));
    stage.set(3, Conduct::Takes(SECOND, Outcome::Failed));
    stage.set(4, Conduct::Takes(SECOND, Outcome::Skipped));
    stage.set(5, Conduct::Takes(SECOND, Outcome::Unchanged));
    let summary = stage.tick();
    let expected = Summary {
        issuers: 20,
        published: 14,
        unchanged: 1,
        skipped: 1,
        rejected: 1,
        failed: 1,
        unanswered: 2,
        ..Summary::default()
    };
    assert_eq!(summary, expected);
    assert!(!summary.everything_failed());
}

#[test]
fn a_tick_among_objects_that_all_hang_still_ends_in_time() {
    let stage = Stage::listing(200);
    stage.usually(Conduct::Hangs);
    let summary = stage.tick();
    assert!(summary.everything_failed());
    assert_eq!(summary.issuers + summary.not_reached, 200);
    let hung = stage.asked();
    stage.usually(Conduct::Takes(SECOND, Outcome::Published));
    stage.tick();
    let next = stage.asked();
    assert!(
        !hung.contains(&next[0]),
        "it begins with those that were not reached"
    );
    assert_eq!(next.len(), 200);
}

#[test]
fn a_tick_in_which_everything_failed_says_so() {
    for (conduct, failed) in [
        (Conduct::DoesNotAnswer, true),
        (Conduct::Takes(SECOND, Outcome::Rejected), true),
        (Conduct::Takes(SECOND, Outcome::Failed), true),
        (Conduct::Takes(SECOND, Outcome::Skipped), false),
        (Conduct::Takes(SECOND, Outcome::Unchanged), false),
    ] {
        let stage = Stage::listing(5);
        stage.usually(conduct);
        assert_eq!(stage.tick().everything_failed(), failed);
    }
    assert!(!Stage::listing(0).tick().everything_failed());
}

#[test]
fn overlapping_ticks_do_the_work_once() {
    let stage = Stage::listing(500);
    let first = stage.begin();
    stage.machine.pass(SECOND * 10);
    let second = stage.begin();
    stage.machine.pass(Duration::from_mins(5));
    assert_eq!(second.answer(), Some(None));
    assert_eq!(first.answer().unwrap().unwrap().issuers, 500);
    assert_eq!(stage.asked().len(), 500);
}

#[test]
fn a_tick_that_was_killed_is_carried_on_by_the_next() {
    let stage = Stage::listing(500);
    let killed = stage.begin();
    stage.machine.pass(SECOND * 30);
    killed.leave();
    stage.machine.run();
    assert!(stage.objects.0.host.now() > NOW);
    let done = stage.asked();
    stage.machine.pass(Duration::from_mins(7));
    let summary = stage.tick();
    assert_eq!(summary.issuers, 500);
    let next = stage.asked();
    assert!(
        next[..300].iter().all(|id| !done.contains(id)),
        "those that were not taken come first"
    );
}

#[test]
fn a_tick_that_lost_its_lease_stops() {
    let stage = Stage::listing(300);
    stage.usually(Conduct::Takes(SECOND * 60, Outcome::Published));
    let objects = stage.objects.clone();
    // One at a time: its first batch outlasts the lease.
    let slow = stage.machine.client(async move {
        let summary = regenerate_all(&objects, Trigger::Cron, 1).await;
        summary.unwrap()
    });
    stage.machine.pass(SECOND * 425);
    stage.usually(Conduct::Takes(SECOND, Outcome::Published));
    let other = stage.begin();
    stage.machine.pass(Duration::from_mins(20));
    let (slow, other) = (slow.answer().flatten(), other.answer().flatten());
    let (slow, other) = (slow.unwrap(), other.unwrap());
    assert_eq!(slow.issuers, 18, "its first batch");
    assert_eq!(other.issuers, 282 + 18);
    let asked = stage.asked();
    let distinct: BTreeSet<_> = asked.iter().collect();
    assert_eq!(distinct.len(), 300, "{slow:?} {other:?}");
}

#[test]
fn a_slow_issuer_holds_up_nobody() {
    let stage = Stage::listing(601);
    stage.set(0, Conduct::Hangs);
    let tick = stage.begin();
    // Five of six places go on.
    stage.machine.pass(SECOND * 125);
    assert_eq!(tick.answer().unwrap().unwrap().published, 600);
}

#[test]
fn a_gone_issuer_is_not_asked() {
    let stage = Stage::listing(3);
    stage.tick();
    stage.asked();
    stage.pages.0.list(2);
    assert_eq!(stage.tick().issuers, 2);
    assert_eq!(stage.asked(), [id(0), id(1)]);
}
