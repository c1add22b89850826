//! What the origin no longer lists: served while it is valid, then removed; what comes back is not
//! older.

use super::*;
use crate::issuer::{IssuerAnswer, IssuerRequest, RetireAnswer};
use crate::refresh::OriginError;

const DAY: Duration = Duration::from_hours(24);

/// An issuer with a full CRL and a shard, of which the origin lists only the shard from now on.
fn withdrawn() -> Stage {
    let stage = Stage::p256();
    let both = [FULL, CrlName::Shard(0)];
    *stage.origin.0.names.borrow_mut() = both.to_vec();
    stage.lists(Some(&both));
    stage.refreshed(Trigger::Cron);
    *stage.origin.0.names.borrow_mut() = vec![CrlName::Shard(0)];
    stage.lists(Some(&[CrlName::Shard(0)]));
    stage
}

/// An issuer that the origin no longer lists from now on.
fn gone() -> Stage {
    let stage = Stage::p256();
    stage.refreshed(Trigger::Cron);
    stage.origin.0.unknown.set(true);
    stage.lists(None);
    stage
}

/// What a request gets for which the registry says that the origin lists no such CRL.
fn held(stage: &Stage, name: CrlName) -> Result<String, Unavailable> {
    let object = stage.object();
    let request = IssuerRequest::Serve {
        name,
        seen: None,
        held_only: true,
    };
    let served = async move { object.answer(request).await.0 };
    match stage.machine.done(served) {
        IssuerAnswer::Crl(head) => Ok(head.number.to_string()),
        IssuerAnswer::Unavailable(unavailable) => Err(unavailable),
        other => panic!("it answered {other:?}"),
    }
}

fn retire(stage: &Stage, name: Option<CrlName>) -> IssuerAnswer {
    let object = stage.object();
    let request = IssuerRequest::Retire { name };
    stage
        .machine
        .done(async move { object.answer(request).await.0 })
}

#[test]
fn a_withdrawn_name_is_served_while_it_is_valid_and_then_removed_from_everywhere() {
    let stage = withdrawn();
    // The CRL is valid for ten hours; ticks go on.
    for _ in 0..9 {
        stage.pass(HOUR);
        stage.refreshed(Trigger::Cron);
        assert_eq!(stage.served().as_deref(), Ok("1"));
        assert_eq!(stage.in_kv().as_deref(), Some("1"));
    }
    stage.pass(2 * HOUR);
    assert!(stage.disk.crl(FULL).current.is_none());
    assert_eq!(stage.replica.keys(), [key(CrlName::Shard(0))]);
    assert!(!stage.log.statuses.borrow().contains_key(&FULL));
    assert_eq!(stage.disk.bodies_and_outbox(), (1, 0));
    assert_eq!(stage.disk.pending_deletes(), 0);
    let calls = stage.origin.0.record_calls.get();
    assert_eq!(held(&stage, FULL), Err(Unavailable::NotHeld));
    assert_eq!(stage.origin.0.record_calls.get(), calls);
    // One failure, by which the object saw that it is withdrawn.
    let codes = stage.log.codes();
    let codes = codes.iter().filter(|code| *code != "published");
    assert_eq!(codes.collect::<Vec<_>>(), ["crl_not_listed"]);
}

#[test]
fn what_was_withdrawn_and_is_not_held_causes_no_call_and_no_event() {
    for stage in [withdrawn(), gone()] {
        let calls = stage.origin.0.record_calls.get();
        let events = stage.log.codes().len();
        for _ in 0..3 {
            // The registry saw a name that this object has never fetched.
            let answer = held(&stage, CrlName::Shard(7));
            assert_eq!(answer, Err(Unavailable::NotHeld));
            stage.pass(HOUR / 4);
        }
        assert_eq!(held(&stage, FULL).as_deref(), Ok("1"));
        assert_eq!(stage.disk.crl(CrlName::Shard(7)).revision, 0);
        assert_eq!(stage.origin.0.record_calls.get(), calls);
        assert_eq!(stage.log.codes().len(), events);
    }
}

#[test]
fn an_operator_reads_what_is_held_until_it_is_removed() {
    let stage = withdrawn();
    let read = || {
        let object = stage.object();
        let request = IssuerRequest::Held { name: FULL };
        let answered = stage
            .machine
            .done(async move { object.answer(request).await });
        let leased = answered.1?;
        assert!(matches!(answered.0, IssuerAnswer::Crl(head) if head == leased.current.head));
        Some(stage.disk.body(leased.current.body).concat())
    };
    let committed = stage.disk.committed(FULL);
    assert_eq!(read(), committed);
    // It has expired, and nothing has run since.
    stage.machine.pass(11 * HOUR);
    assert!(stage.served().is_err());
    let calls = stage.origin.0.record_calls.get();
    assert_eq!(read(), committed);
    assert_eq!(stage.origin.0.record_calls.get(), calls);
    stage.pass(2 * HOUR);
    assert_eq!(read(), None);
}

#[test]
fn an_issuer_that_is_gone_is_removed_once_its_last_crl_has_expired() {
    let stage = gone();
    stage.pass(9 * HOUR);
    assert_eq!(stage.served().as_deref(), Ok("1"));
    let calls = stage.origin.0.record_calls.get();
    stage.pass(30 * DAY);
    assert!(stage.replica.keys().is_empty());
    assert!(stage.log.statuses.borrow().is_empty());
    assert_eq!(stage.disk.bodies_and_outbox(), (0, 0));
    assert!(stage.registry.0.is_removed.get());
    assert!(stage.host.alarm().is_none(), "it costs nothing any more");
    assert_eq!(stage.origin.0.record_calls.get(), calls);
    // One failure, by which the object saw that the issuer is gone.
    assert_eq!(stage.log.codes(), ["published", "origin_status"]);
    assert!(matches!(
        stage.served(),
        Err(Unavailable::RetryAfter { .. })
    ));
    assert_eq!(stage.origin.0.record_calls.get(), calls);
}

#[test]
fn what_comes_back_is_not_older_than_what_was_removed() {
    let stage = gone();
    let old = stage.disk.committed(FULL).unwrap();
    let pinned = stage.disk.issuer().pinned;
    stage.pass(20 * HOUR);
    stage.kill();
    stage.origin.0.unknown.set(false);
    stage.lists(Some(&[FULL]));
    let ca = Rc::clone(&stage.origin.0.ca.borrow());
    let other = ca.sign(&ca.template(FULL, 1, stage.host.now()), 5);
    for (crl, code) in [(old, "expired"), (other, "number_reused")] {
        stage.origin.0.answer_next(crl);
        let events = stage.refreshed(Trigger::Operator);
        assert_eq!(events[0].error_code.as_deref(), Some(code));
    }
    let named = stage
        .origin
        .0
        .requests
        .borrow()
        .last()
        .unwrap()
        .held
        .clone();
    assert_eq!(named.unwrap().number.to_string(), "1");
    assert_eq!(stage.disk.issuer().pinned, pinned);
    stage.refreshed(Trigger::Cron);
    stage.pass(MINUTE);
    assert_eq!(stage.in_kv().as_deref(), Some("2"));
    assert_eq!(stage.served().as_deref(), Ok("2"));
    assert!(stage.log.statuses.borrow().contains_key(&FULL));
    stage.pass(DAY);
    assert!(stage.in_kv().is_some(), "no delete is left over");
}

#[test]
fn nothing_is_removed_while_the_registry_cannot_say_or_its_gate_holds() {
    let stage = gone();
    *stage.registry.0.standing.borrow_mut() = Err("the origin is down".to_owned());
    stage.pass(3 * DAY);
    assert!(stage.disk.crl(FULL).current.is_some());
    stage.lists(Some(&[FULL]));
    stage.pass(DAY);
    assert!(stage.disk.crl(FULL).current.is_some());
    let asked = stage.registry.0.asked.get();
    assert!(asked < 1000, "{asked}");
    stage.origin.0.unknown.set(false);
    stage.refreshed(Trigger::Cron);
    assert_eq!(stage.served().as_deref(), Ok("2"));
}

#[test]
fn nothing_is_removed_while_the_origin_does_not_give_what_it_still_lists() {
    let lost = || Reply::Error(OriginError::StateLost { retry_after: None });
    let down = || Reply::Error(OriginError::Timeout(Duration::from_secs(1)));
    for (reply, is_retired) in [(lost as fn() -> Reply, false), (down, true)] {
        let stage = withdrawn();
        // By this the object sees that the full CRL is withdrawn.
        stage.refreshed(Trigger::Cron);
        for _ in 0..12 {
            stage.origin.0.answer_next(reply());
            stage.refreshed(Trigger::Cron);
            stage.machine.pass(HOUR);
        }
        // It has expired, but the origin may have been restored from a backup without it.
        stage.origin.0.answer_next(reply());
        let object = stage.object();
        let alarm = async move { object.alarm().await };
        stage.machine.done(alarm).unwrap();
        assert!(stage.disk.crl(FULL).current.is_some());
        if is_retired {
            // A person knows more.
            let retired = IssuerAnswer::Retire(RetireAnswer::Retired(vec![FULL]));
            assert_eq!(retire(&stage, Some(FULL)), retired);
            continue;
        }
        let needed = IssuerAnswer::Retire(RetireAnswer::NeededToRecover);
        assert_eq!(retire(&stage, Some(FULL)), needed);
        assert!(stage.disk.crl(FULL).current.is_some());
        // The origin has recovered.
        stage.refreshed(Trigger::Operator);
        stage.pass(2 * HOUR);
        assert!(stage.disk.crl(FULL).current.is_none());
    }
}

#[test]
fn an_issuer_that_is_gone_is_removed_whatever_failed_last() {
    let stage = gone();
    stage.origin.0.unknown.set(false);
    stage
        .origin
        .0
        .answer_next(Reply::Error(OriginError::StateLost { retry_after: None }));
    stage.refreshed(Trigger::Cron);
    let retired = IssuerAnswer::Retire(RetireAnswer::Retired(vec![FULL]));
    assert_eq!(retire(&stage, None), retired);
}

#[test]
fn an_operator_retires_what_is_not_listed_and_nothing_else() {
    let stage = withdrawn();
    let still_listed = IssuerAnswer::Retire(RetireAnswer::StillListed);
    assert_eq!(retire(&stage, None), still_listed);
    assert_eq!(retire(&stage, Some(CrlName::Shard(0))), still_listed);
    let retired = |names: &[CrlName]| IssuerAnswer::Retire(RetireAnswer::Retired(names.to_vec()));
    assert_eq!(retire(&stage, Some(FULL)), retired(&[FULL]));
    assert_eq!(retire(&stage, Some(FULL)), retired(&[]));
    assert_eq!(stage.replica.keys(), [key(CrlName::Shard(0))]);
    assert!(!stage.log.statuses.borrow().contains_key(&FULL));
    stage.lists(None);
    assert_eq!(retire(&stage, None), retired(&[CrlName::Shard(0)]));
    assert!(stage.replica.keys().is_empty());
    assert!(stage.registry.0.is_removed.get());
    assert_eq!(stage.disk.bodies_and_outbox(), (0, 0));
}

#[test]
fn the_same_bytes_come_back_if_they_are_still_valid() {
    let stage = gone();
    let crl = stage.disk.committed(FULL).unwrap();
    retire(&stage, None);
    assert!(stage.disk.crl(FULL).current.is_none());
    stage.origin.0.unknown.set(false);
    stage.lists(Some(&[FULL]));
    stage.origin.0.answer_next(crl.clone());
    stage.refreshed(Trigger::Cron);
    assert_eq!(stage.disk.committed(FULL), Some(crl));
    assert_eq!(stage.in_kv().as_deref(), Some("1"));
}

#[test]
fn a_removal_that_d1_or_kv_does_not_take_is_tried_again() {
    for part in ["log.append", "replica.delete"] {
        let stage = gone();
        let is_left = || {
            let (rows, keys) = (
                stage.log.statuses.borrow().len(),
                stage.replica.keys().len(),
            );
            rows + keys > 0
        };
        stage
            .faults
            .all(part, crate::refresh::testing::Failure::Before);
        retire(&stage, None);
        stage.kill();
        stage.pass(HOUR);
        assert!(is_left(), "{part}");
        stage.faults.none();
        stage.pass(10 * MINUTE);
        assert!(!is_left(), "{part}");
    }
}

#[test]
fn an_issuer_that_is_gone_is_forgotten_once_all_is_done_although_its_alarm_was_lost() {
    for part in ["log.append", "replica.delete"] {
        let stage = gone();
        stage
            .faults
            .all(part, crate::refresh::testing::Failure::Before);
        retire(&stage, None);
        stage.kill();
        assert!(stage.host.take_alarm().is_some());
        stage.faults.none();
        stage.pass(HOUR);
        assert!(!stage.registry.0.is_removed.get(), "{part} is still owed");
        let object = stage.object();
        let flush = async move { object.answer(IssuerRequest::FlushPending).await.0 };
        assert_eq!(stage.machine.done(flush), IssuerAnswer::Done);
        stage.pass(10 * MINUTE);
        assert!(stage.registry.0.is_removed.get(), "{part}");
        assert_eq!(stage.disk.bodies_and_outbox(), (0, 0));
        assert_eq!(stage.disk.pending_deletes(), 0);
    }
}
