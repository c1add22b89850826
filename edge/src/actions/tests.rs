use std::cell::{Cell, RefCell};
use std::future::{pending, ready};

use futures_executor::block_on;
use serde_json::Value;

use super::*;
use crate::tables::testing::{NOW, Tables, action};
use crate::tables::{Query, append_actions};

/// Real tables, storage in memory, and failures on demand.
struct Twin {
    table: Tables,
    kept: RefCell<Vec<Action>>,
    alarm: Cell<Option<Timestamp>>,
    storage_fails: Cell<bool>,
    d1: Cell<D1>,
    now: Cell<Timestamp>,
    log: RefCell<Vec<Value>>,
}

#[derive(Clone, Copy)]
enum D1 {
    Works,
    Refuses,
    /// The write fails, but was kept.
    FailsAfterWriting,
    Hangs,
}

impl Twin {
    fn log_of_actions() -> Rc<ActionLog<Self>> {
        Rc::new(ActionLog {
            ports: Self {
                table: Tables::new(),
                kept: RefCell::default(),
                alarm: Cell::new(None),
                storage_fails: Cell::new(false),
                d1: Cell::new(D1::Works),
                now: Cell::new(NOW),
                log: RefCell::default(),
            },
            refused: RefusedSignIns::default(),
        })
    }

    fn store<T>(&self, value: T) -> Result<T, StoreError> {
        if self.storage_fails.get() {
            return Err(StoreError::Failed("on demand".to_owned()));
        }
        Ok(value)
    }

    /// The actions in D1.
    fn recorded(&self) -> Vec<Action> {
        let all = Query::new("SELECT * FROM operator_actions ORDER BY id", []);
        self.table.typed(&all)
    }
}

impl ActionPorts for Twin {
    fn now(&self) -> Timestamp {
        self.now.get()
    }

    async fn sleep(&self, _: Duration) {
        match self.d1.get() {
            // Time passes only for those who wait in vain.
            D1::Hangs => ready(()).await,
            _ => pending().await,
        }
    }

    fn log(&self, line: &Value) {
        self.log.borrow_mut().push(line.clone());
    }

    async fn set_alarm(&self, at: Timestamp) -> Result<(), StoreError> {
        self.alarm.set(self.store(Some(at))?);
        Ok(())
    }

    fn keep(&self, action: &Action) -> Result<(), StoreError> {
        assert!(self.alarm.get().is_some(), "the alarm stands before");
        self.kept.borrow_mut().push(self.store(action.clone())?);
        Ok(())
    }

    fn kept(&self, limit: usize) -> Result<Vec<Action>, StoreError> {
        self.store(self.kept.borrow().iter().take(limit).cloned().collect())
    }

    fn forget(&self, ids: &[EventId]) -> Result<(), StoreError> {
        self.store(())?;
        self.kept
            .borrow_mut()
            .retain(|action| !ids.contains(&action.id));
        Ok(())
    }

    async fn append(&self, actions: &[Action]) -> Result<(), EventLogError> {
        let failed = || Err(EventLogError("on demand".to_owned()));
        match self.d1.get() {
            D1::Hangs => pending().await,
            D1::Refuses => failed(),
            D1::Works | D1::FailsAfterWriting => {
                let run = self.table.run(&append_actions(actions));
                run.map_err(EventLogError)?;
                match self.d1.get() {
                    D1::FailsAfterWriting => failed(),
                    _ => Ok(()),
                }
            }
        }
    }
}

#[test]
fn an_action_is_in_d1_at_once_if_d1_answers() {
    let log = Twin::log_of_actions();
    block_on(log.record(&action(1))).unwrap();
    assert_eq!(log.ports.recorded(), [action(1)]);
    assert!(log.ports.kept.borrow().is_empty());
}

#[test]
fn no_action_is_lost_or_doubled_while_d1_is_down() {
    for outage in [D1::Refuses, D1::FailsAfterWriting, D1::Hangs] {
        let log = Twin::log_of_actions();
        log.ports.d1.set(outage);
        for number in 0..120 {
            block_on(log.record(&action(number))).unwrap();
        }
        block_on(log.alarm()).unwrap();
        assert_eq!(log.ports.kept.borrow().len(), 120);
        assert_eq!(log.ports.alarm.get(), Some(NOW.after(PAUSE)));
        log.ports.d1.set(D1::Works);
        block_on(log.alarm()).unwrap();
        let recorded = log.ports.recorded().into_iter().map(|action| action.id);
        assert!(recorded.eq((0..120).map(|number| action(number).id)));
        assert!(log.ports.kept.borrow().is_empty());
    }
}

#[test]
fn d1_down_for_an_hour_delays_actions_and_loses_none() {
    let log = Twin::log_of_actions();
    log.ports.d1.set(D1::Refuses);
    let mut alarms = 0;
    for second in 0..3_700_u64 {
        let now = NOW.after(Duration::from_secs(second));
        log.ports.now.set(now);
        if second == 3_600 {
            log.ports.d1.set(D1::Works);
        }
        if log.ports.alarm.get().is_some_and(|at| at <= now) {
            log.ports.alarm.set(None);
            block_on(log.alarm()).unwrap();
            alarms += 1;
        }
        if second < 3_600 && second.is_multiple_of(60) {
            let minute = u8::try_from(second / 60).unwrap();
            block_on(log.record(&action(minute))).unwrap();
        }
        let all = log.ports.recorded().len() + log.ports.kept.borrow().len();
        assert_eq!(all as u64, second.min(3_599) / 60 + 1, "{second}");
    }
    let expected: Vec<_> = (0..60).map(action).collect();
    assert_eq!(log.ports.recorded(), expected);
    // It is tried every half a minute, and no more once D1 has everything.
    assert!((100..=121).contains(&alarms), "{alarms}");
    assert_eq!(log.ports.alarm.get(), None);
}

#[test]
fn an_action_that_cannot_be_kept_is_refused() {
    let log = Twin::log_of_actions();
    log.ports.storage_fails.set(true);
    let answer = block_on(log.answer(ActionRequest::Record(Box::new(action(1)))));
    assert!(matches!(answer, ActionAnswer::Failed(_)), "{answer:?}");
    assert!(log.ports.recorded().is_empty());
}

#[test]
fn an_address_is_recorded_as_its_network() {
    for (address, network) in [
        ("203.0.113.77", Some("203.0.113.0/24")),
        ("2001:db8:1:2:3:4:5:6", Some("2001:db8:1::/48")),
        ("::1", Some("0:0:0::/48")),
        ("", None),
        ("unknown", None),
    ] {
        assert_eq!(network_of(address).as_deref(), network, "{address}");
    }
}

#[test]
fn every_act_has_its_name_in_json() {
    for act in Act::ALL {
        assert_eq!(serde_json::to_value(act).unwrap(), act.as_str());
    }
}

#[test]
fn strangers_who_guess_tokens_write_a_hundred_rows_an_hour_and_hide_no_other_act() {
    let log = Twin::log_of_actions();
    let record = |action: &Action| block_on(log.record(action)).unwrap();
    for number in 0..150_u8 {
        record(&Action {
            action: Act::RefusedSignIn,
            ..action(number)
        });
    }
    record(&action(200));
    let recorded = log.ports.recorded();
    assert_eq!(recorded.len(), 101);
    assert_eq!(recorded.last(), Some(&action(200)));
    let warnings = log.ports.log.borrow();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
}
