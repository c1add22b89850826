//! What KV holds: the committed CRL, whole, sooner or later; and nothing that no reader needs.

use std::collections::BTreeMap;

use super::*;
use crate::kv_layout::LARGEST_VALUE;
use crate::refresh::Publication;
use crate::refresh::testing::Failure;

/// Answers with a CRL too large for one value.
fn answer_large(stage: &Stage, number: u64) -> Vec<u8> {
    let ca = Rc::clone(&stage.origin.0.ca.borrow());
    let crl = ca.sign(&ca.template(FULL, number, stage.host.now()), 1_300_000);
    assert!(crl.len() as u64 > LARGEST_VALUE);
    stage.origin.0.answer_next(crl.clone());
    crl
}

/// A stage on which a small CRL may take the place of a large one.
fn lenient() -> Stage {
    Stage::new(Ca::p256(), &[("REMOVALS", "warn")])
}

/// Has a small CRL take the place of the one that is held.
fn replace(stage: &Stage, number: u64) {
    let crl = stage.origin.0.ca.borrow().crl(number, stage.host.now());
    stage.origin.0.answer_next(crl);
    let events = stage.refreshed(Trigger::Operator);
    assert_eq!(events[0].outcome.as_str(), "published");
}

#[test]
fn a_committed_crl_is_in_kv_with_its_head() {
    let stage = Stage::p256();
    stage.refreshed(Trigger::Cron);
    let (metadata, body) = stage.replica.body(&key(FULL)).unwrap();
    assert_eq!(Some(&metadata.head), stage.disk.crl(FULL).head());
    assert_eq!(Some(body), stage.disk.committed(FULL));
    assert_eq!(stage.replica.keys(), ["crl/ca/full"]);
}

#[test]
fn a_publish_that_failed_is_owed_and_paid_by_the_alarm() {
    let stage = Stage::p256();
    stage.faults.all("replica.put", Failure::Before);
    assert_eq!(
        stage.refreshed(Trigger::Cron)[0].outcome.as_str(),
        "published"
    );
    assert_eq!(stage.served().as_deref(), Ok("1"));
    stage.pass(10 * MINUTE);
    assert_eq!(stage.in_kv(), None);
    assert!(stage.alarms.borrow().len() < 12, "it backs off");
    let told = || stage.log.statuses.borrow()[&FULL].publication.clone();
    assert!(matches!(told(), Publication::Owed { attempts: 1.., .. }));
    stage.faults.none();
    stage.pass(6 * MINUTE);
    assert_eq!(stage.in_kv().as_deref(), Some("1"));
    assert!(matches!(told(), Publication::Done { .. }));
    assert_eq!(stage.log.codes(), ["published"], "it fails no refresh");
}

#[test]
fn a_crl_that_is_committed_while_another_is_copied_follows_at_once() {
    let stage = Stage::p256();
    stage.replica.gate.close();
    drop(stage.refresh(Trigger::Cron));
    stage.machine.run();
    drop(stage.refresh(Trigger::Operator));
    stage.machine.run();
    assert_eq!(stage.number().as_deref(), Some("2"));
    assert_eq!(stage.in_kv(), None);
    stage.replica.gate.open();
    stage.machine.run();
    assert_eq!(stage.in_kv().as_deref(), Some("2"));
    assert!(stage.alarms.borrow().is_empty());
}

#[test]
fn a_copy_that_hangs_is_given_up_and_made_again() {
    let stage = Stage::p256();
    stage.replica.gate.close();
    drop(stage.refresh(Trigger::Cron));
    stage.machine.pass(2 * MINUTE);
    assert_eq!(stage.in_kv(), None);
    stage.replica.gate.open();
    stage.pass(MINUTE);
    assert_eq!(stage.in_kv().as_deref(), Some("1"));
}

#[test]
fn a_large_crl_goes_in_parts_with_the_manifest_last() {
    let stage = Stage::p256();
    let crl = answer_large(&stage, 1);
    stage.refreshed(Trigger::Cron);
    let (metadata, body) = stage.replica.body(&key(FULL)).unwrap();
    assert_eq!(metadata.parts, 2);
    assert!(body == crl, "the parts together are the CRL");
    let writes = stage.replica.writes.borrow();
    assert_eq!(writes.len(), 3);
    assert_eq!(writes[2], key(FULL));
}

#[test]
fn a_copy_in_parts_goes_on_where_it_stopped_and_has_time_for_each_part() {
    let stage = Stage::p256();
    let crl = answer_large(&stage, 1);
    stage.replica.gate.close();
    drop(stage.refresh(Trigger::Cron));
    stage.machine.run();
    // Each part takes almost as long as a write may.
    let nearly = MINUTE.mul_f64(0.9);
    stage.machine.pass(nearly);
    stage.replica.gate.open();
    stage.replica.gate.close();
    stage.machine.run();
    assert_eq!(stage.replica.writes.borrow().len(), 1, "the first part");
    // The second one hangs, and the copy is given up.
    stage.machine.pass(2 * MINUTE);
    assert_eq!(stage.replica.writes.borrow().len(), 1);
    // The object ends meanwhile.
    stage.kill();
    stage.replica.gate.open();
    stage.replica.gate.close();
    stage.object();
    stage.machine.run();
    stage.machine.pass(nearly);
    stage.replica.gate.open();
    stage.machine.run();
    let (metadata, body) = stage.replica.body(&key(FULL)).unwrap();
    assert!(metadata.parts == 2 && body == crl);
    let writes = stage.replica.writes.borrow();
    let first_part = format!("{}/0", metadata.head.sha256);
    let first = writes.iter().filter(|key| key.ends_with(&first_part));
    assert_eq!((first.count(), writes.len()), (1, 3), "{writes:?}");
}

#[test]
fn a_manifest_never_shows_before_its_parts_whatever_fails() {
    let stage = Stage::p256();
    let large = answer_large(&stage, 2);
    let ca = Rc::clone(&stage.origin.0.ca.borrow());
    for failure in [Failure::Before, Failure::Kept, Failure::End] {
        // Two parts, and the manifest. The twin itself checks that each manifest finds its parts.
        for nth in 0..3 {
            let stage = Stage::p256();
            *stage.origin.0.ca.borrow_mut() = Rc::clone(&ca);
            stage.refreshed(Trigger::Cron);
            stage.origin.0.answer_next(large.clone());
            stage.faults.nth("replica.put", nth, failure);
            drop(stage.refresh(Trigger::Operator));
            stage.machine.run();
            let in_kv = if nth == 2 && failure != Failure::Before {
                "2"
            } else {
                "1"
            };
            assert_eq!(stage.in_kv().as_deref(), Some(in_kv));
            if stage.faults.ended() {
                stage.kill();
            }
            stage.faults.none();
            stage.pass(MINUTE);
            assert_eq!(stage.in_kv().as_deref(), Some("2"), "{nth} {failure:?}");
        }
    }
}

#[test]
fn the_parts_of_a_replaced_crl_go_once_nobody_can_need_them() {
    let stage = lenient();
    answer_large(&stage, 1);
    stage.refreshed(Trigger::Cron);
    let old = stage.replica.keys();
    replace(&stage, 2);
    stage.pass(10 * MINUTE);
    let keys = stage.replica.keys();
    assert!(old.iter().all(|key| keys.contains(key)), "too soon");
    stage.pass(5 * MINUTE);
    assert_eq!(stage.replica.keys(), [key(FULL)]);
    assert_eq!(stage.disk.pending_deletes(), 0);
}

#[test]
fn parts_stay_for_as_long_as_kv_has_their_manifest() {
    let stage = lenient();
    answer_large(&stage, 1);
    stage.refreshed(Trigger::Cron);
    // The next CRL is committed, but KV takes no writes for an hour.
    stage.faults.all("replica.put", Failure::Before);
    replace(&stage, 2);
    stage.pass(HOUR);
    assert_eq!(stage.in_kv().as_deref(), Some("1"), "the old one, whole");
    stage.faults.none();
    stage.pass(6 * MINUTE);
    assert_eq!(stage.number(), stage.in_kv());
    assert_eq!(
        stage.replica.keys().len(),
        3,
        "readers may still hold the manifest"
    );
    stage.pass(15 * MINUTE);
    assert_eq!(stage.replica.keys(), [key(FULL)]);
}

#[test]
fn removals_that_fail_are_tried_again_without_haste() {
    let stage = lenient();
    answer_large(&stage, 1);
    stage.refreshed(Trigger::Cron);
    replace(&stage, 2);
    stage.faults.all("replica.delete", Failure::Before);
    stage.pass(HOUR);
    assert!(stage.alarms.borrow().len() < 200);
    stage.faults.none();
    stage.pass(HOUR);
    assert_eq!(stage.replica.keys(), [key(FULL)]);
}

#[test]
fn a_body_that_is_being_read_stays_until_it_was_read() {
    let stage = Stage::p256();
    stage.refreshed(Trigger::Cron);
    let object = stage.object();
    let reading = stage
        .machine
        .done(async move { object.serve(FULL).await })
        .unwrap();
    stage.refreshed(Trigger::Operator);
    stage.pass(MINUTE);
    assert!(!stage.disk.body(reading.current.body).is_empty());
    assert_eq!(stage.disk.bodies_and_outbox().0, 2);
    drop(reading);
    stage.refreshed(Trigger::Operator);
    assert_eq!(stage.disk.bodies_and_outbox().0, 1);
}

#[test]
fn kv_that_lost_the_crl_is_found_by_a_reader_and_repaired() {
    let stage = Stage::p256();
    stage.refreshed(Trigger::Cron);
    stage.replica.values.borrow_mut().clear();
    stage.object().replica_disagrees(FULL);
    stage.machine.run();
    assert_eq!(stage.in_kv(), None, "KV has yet to spread the write");
    stage.pass(3 * MINUTE);
    stage.object().replica_disagrees(FULL);
    stage.machine.run();
    assert_eq!(stage.in_kv().as_deref(), Some("1"));
}

#[test]
fn kv_that_went_back_is_found_by_the_next_refresh_and_repaired() {
    let stage = Stage::p256();
    stage.refreshed(Trigger::Cron);
    let old = stage.replica.values.borrow().clone();
    stage.refreshed(Trigger::Operator);
    *stage.replica.values.borrow_mut() = old;
    assert_eq!(stage.in_kv().as_deref(), Some("1"));
    stage.pass(3 * MINUTE);
    assert_eq!(
        stage.refreshed(Trigger::Cron)[0].outcome.as_str(),
        "unchanged"
    );
    stage.machine.run();
    assert_eq!(stage.in_kv().as_deref(), Some("2"));
}

#[test]
fn many_readers_that_find_kv_wrong_cost_one_copy() {
    let stage = Stage::p256();
    stage.refreshed(Trigger::Cron);
    stage.pass(3 * MINUTE);
    let before = stage.replica.writes.borrow().len();
    for _ in 0..100 {
        stage.object().replica_disagrees(FULL);
    }
    stage.machine.run();
    assert_eq!(stage.replica.writes.borrow().len(), before + 1);
}

#[test]
fn a_write_that_timed_out_and_lands_after_a_newer_one_is_found_and_repaired() {
    // Once the object stays, and once it moves to another machine while it writes.
    for moves in [false, true] {
        let stage = Stage::p256();
        *stage.replica.late.borrow_mut() = Some(BTreeMap::default());
        drop(stage.refresh(Trigger::Cron));
        stage.machine.run();
        if moves {
            stage.kill();
        } else {
            stage.machine.pass(MINUTE);
        }
        let late = stage.replica.late.take().unwrap();
        assert_eq!(late.len(), 1);
        drop(stage.refresh(Trigger::Operator));
        stage.pass(MINUTE);
        assert_eq!(stage.in_kv().as_deref(), Some("2"), "{moves}");
        stage.pass(3 * MINUTE);
        stage.replica.land(late);
        assert_eq!(stage.in_kv().as_deref(), Some("1"), "{moves}");
        stage.pass(2 * MINUTE);
        assert_eq!(stage.in_kv().as_deref(), Some("2"), "{moves}");
        stage.pass(HOUR);
        assert_eq!(stage.disk.crl(FULL).unsettled, None);
    }
}

#[test]
fn an_object_that_is_left_behind_and_runs_on_after_it_moved_does_no_harm() {
    let stage = Stage::p256();
    *stage.replica.late.borrow_mut() = Some(BTreeMap::default());
    drop(stage.refresh(Trigger::Cron));
    stage.machine.run();
    let late = stage.replica.late.take().unwrap();
    // Its tasks run on, while the object starts elsewhere.
    let left_behind = stage.service.take().unwrap();
    left_behind.store().move_object();
    drop(stage.refresh(Trigger::Operator));
    stage.machine.run();
    assert_eq!(stage.in_kv().as_deref(), Some("2"));
    let writes = stage.replica.writes.borrow().len();
    let refresh = stage
        .machine
        .client(async move { left_behind.refresh(None, Trigger::Operator).await });
    // The platform takes no alarm from an object that has moved.
    let alarm = stage.host.alarm().unwrap();
    stage.machine.pass(2 * MINUTE);
    stage.host.alarm_again(alarm);
    let refused = refresh.answer().unwrap();
    assert_eq!(refused[0].succeeded, 0, "{refused:?}");
    assert_eq!(stage.replica.writes.borrow().len(), writes);
    assert_eq!(stage.number().as_deref(), Some("2"));

    stage.replica.land(late);
    assert_eq!(stage.in_kv().as_deref(), Some("1"));
    stage.pass(2 * MINUTE);
    assert_eq!(stage.in_kv().as_deref(), Some("2"));
    assert_eq!(stage.served().as_deref(), Ok("2"));
}

#[test]
fn a_late_write_is_repaired_even_if_kv_answers_no_comparison_until_much_later() {
    let stage = Stage::p256();
    *stage.replica.late.borrow_mut() = Some(BTreeMap::default());
    drop(stage.refresh(Trigger::Cron));
    stage.machine.run();
    stage.machine.pass(MINUTE);
    let late = stage.replica.late.take().unwrap();
    drop(stage.refresh(Trigger::Operator));
    stage.pass(MINUTE);
    stage.faults.all("replica.metadata", Failure::Before);
    stage.replica.land(late);
    stage.pass(HOUR);
    assert_eq!(stage.in_kv().as_deref(), Some("1"));
    stage.faults.none();
    stage.pass(2 * MINUTE);
    assert_eq!(stage.in_kv().as_deref(), Some("2"));
    assert_eq!(stage.disk.crl(FULL).unsettled, None);
}
