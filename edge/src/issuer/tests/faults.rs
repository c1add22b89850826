//! Every call to storage, KV, D1 and the alarm fails once, in every way, and then at random. The
//! twins check at every write that heads never go back and match their bodies; here it is checked
//! that all is well once faults are over.

use std::collections::HashSet;

use super::*;
use crate::refresh::testing::Failure;

/// Two CRLs, a refusal, a skip of time with its alarms, and what relying parties get meanwhile.
fn scenario(stage: &Stage) {
    let steps: [&dyn Fn(); 8] = [
        &|| drop(stage.refresh(Trigger::Cron)),
        &|| drop(stage.serve()),
        &|| stage.pass(2 * MINUTE),
        &|| {
            stage.origin.0.revoke();
            drop(stage.refresh(Trigger::Operator));
        },
        &|| {
            let bad = b"<html>".to_vec();
            stage.origin.0.answer_next(bad);
            drop(stage.refresh(Trigger::Hook));
        },
        &|| stage.pass(7 * HOUR),
        &|| drop(stage.serve()),
        &|| drop(stage.refresh(Trigger::Cron)),
    ];
    for step in steps {
        step();
        stage.machine.run();
        if stage.faults.ended() {
            // Only what is on disk is left; the alarm that was set goes off.
            stage.kill();
            stage.faults.none();
        }
    }
}

/// What must hold when faults are over and alarms had their time.
fn all_is_well(stage: &Stage, what: &str) {
    stage.faults.none();
    stage.pass(20 * MINUTE);
    let served = stage.served();
    assert!(served.is_ok(), "{what}: a good CRL was lost: {served:?}");
    assert_eq!(served.ok(), stage.number(), "{what}");
    assert_eq!(stage.in_kv(), stage.number(), "{what}: KV was not paid");
    assert_eq!(
        stage.disk.bodies_and_outbox(),
        (1, 0),
        "{what}: bodies and events are left behind"
    );
    let events = stage.log.events();
    let published = events
        .iter()
        .filter(|event| event.outcome.as_str() == "published");
    let numbers: Vec<_> = published.map(|event| event.crl_number.clone()).collect();
    let distinct: HashSet<_> = numbers.iter().collect();
    assert_eq!(
        distinct.len(),
        numbers.len(),
        "{what}: an event is there twice"
    );
    assert!(
        numbers.contains(&stage.number()),
        "{what}: the event of the committed CRL was lost: {numbers:?}"
    );
    assert_eq!(
        stage.log.statuses.borrow()[&FULL].head(),
        stage.disk.crl(FULL).head(),
        "{what}: operators see another CRL"
    );
    assert!(stage.host.alarm().is_some(), "{what}: no alarm is set");
}

#[test]
fn one_failure_of_any_call_in_any_way_loses_nothing() {
    let calls = {
        let stage = Stage::p256();
        scenario(&stage);
        let calls = stage.faults.calls();
        all_is_well(&stage, "no failure");
        assert_eq!(
            stage.log.codes(),
            ["published", "published", "malformed", "published"]
        );
        calls
    };
    assert!(calls > 50, "{calls}");
    for failure in Failure::ALL {
        for at in 0..calls {
            let stage = Stage::p256();
            stage.faults.at(at, failure);
            scenario(&stage);
            all_is_well(&stage, &format!("call {at}, {failure:?}"));
        }
    }
}

#[test]
fn many_failures_lose_nothing() {
    for seed in 0..300 {
        let stage = Stage::p256();
        stage.faults.by_chance(10 + seed % 30, seed);
        scenario(&stage);
        // What failed last may have been the alarm itself.
        stage.kill();
        stage.faults.none();
        drop(stage.serve());
        all_is_well(&stage, &format!("seed {seed}"));
    }
}

#[test]
fn every_event_that_was_told_is_recorded() {
    for failure in [Failure::Before, Failure::Kept] {
        for at in 0..80 {
            let stage = Stage::p256();
            stage.faults.at(at, failure);
            let mut told: Vec<_> = (0..3)
                .map(|_| stage.refresh(Trigger::Operator))
                .map(|refresh| {
                    stage.machine.run();
                    refresh.answer().unwrap().remove(0)
                })
                .collect();
            stage.faults.none();
            stage.pass(MINUTE);
            told.sort_by_key(|event| event.id);
            let mut recorded = stage.log.events();
            // The alarm tries again after a failure.
            recorded.retain(|event| event.trigger == Trigger::Operator);
            assert_eq!(recorded, told, "call {at}, {failure:?}");
        }
    }
}
