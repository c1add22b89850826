//! One origin call for any number of waiters, and a place that is always free again.

use super::*;
use crate::refresh::OriginError;

#[test]
fn any_number_of_waiters_over_all_triggers_cost_the_origin_one_call() {
    let stage = Stage::p256();
    stage.origin.0.close_records();
    let clients: Vec<_> = (0..500).map(|_| stage.serve()).collect();
    let refreshes: Vec<_> = Trigger::ALL
        .iter()
        .map(|trigger| stage.refresh(*trigger))
        .collect();
    stage.machine.run();
    stage.origin.0.open_records();
    stage.machine.run();
    assert_eq!(stage.origin.0.call_count(), 1);
    assert_eq!(stage.origin.0.record_calls.get(), 1);
    for client in clients {
        let leased = client.answer().unwrap().unwrap();
        assert_eq!(leased.current.head.number.to_string(), "1");
    }
    for refresh in refreshes {
        assert_eq!(refresh.answer().unwrap().len(), 1);
    }
    assert_eq!(stage.log.codes(), ["published"]);
}

#[test]
fn who_caused_the_flight_may_leave() {
    let stage = Stage::p256();
    stage.origin.0.close();
    let leader = stage.serve();
    stage.machine.run();
    let waiter = stage.serve();
    stage.machine.run();
    leader.leave();
    stage.machine.run();
    stage.origin.0.open();
    stage.machine.run();
    assert!(waiter.answer().unwrap().is_ok());
    assert_eq!(stage.origin.0.call_count(), 1);
}

#[test]
fn a_flight_that_everybody_left_still_lands() {
    let stage = Stage::p256();
    stage.origin.0.close();
    let leader = stage.serve();
    stage.machine.run();
    leader.leave();
    stage.origin.0.open();
    stage.machine.run();
    assert_eq!(stage.number().as_deref(), Some("1"));
    assert_eq!(stage.in_kv().as_deref(), Some("1"));
    assert_eq!(stage.log.codes(), ["published"]);
}

#[test]
fn an_error_reaches_every_waiter_and_is_one_event() {
    let stage = Stage::p256();
    stage.origin.0.close();
    let down = OriginError::Unreachable("down".to_owned());
    stage.origin.0.answer_next(Reply::Error(down));
    let clients: Vec<_> = (0..50).map(|_| stage.serve()).collect();
    let cron = stage.refresh(Trigger::Cron);
    stage.machine.run();
    stage.origin.0.open();
    stage.machine.run();
    for client in clients {
        let unserved = client.answer().unwrap().unwrap_err();
        assert!(matches!(
            unserved,
            Unavailable::RetryAfter { seconds: 1..=15 }
        ));
    }
    let events = cron.answer().unwrap();
    assert_eq!(events[0].error_code.as_deref(), Some("origin_unreachable"));
    assert_eq!(stage.log.codes(), ["origin_unreachable"]);
}

#[test]
fn the_place_is_free_after_an_error_and_after_a_success() {
    let stage = Stage::p256();
    let down = OriginError::Unreachable("down".to_owned());
    stage.origin.0.answer_next(Reply::Error(down));
    stage.refreshed(Trigger::Operator);
    stage.refreshed(Trigger::Operator);
    stage.refreshed(Trigger::Operator);
    assert_eq!(
        stage.log.codes(),
        ["origin_unreachable", "published", "published"]
    );
}

#[test]
fn a_refresh_that_hangs_is_ended_in_time_and_frees_the_place() {
    let stage = Stage::p256();
    stage.refreshed(Trigger::Cron);
    let crl = stage.origin.0.ca.borrow().crl(9, NOW);
    stage.origin.0.answer_next(Reply::Hang(crl[..100].to_vec()));
    let hanging = stage.refresh(Trigger::Operator);
    stage.pass(Duration::from_secs(29));
    assert!(hanging.answer().is_none());
    stage.pass(Duration::from_secs(1));
    let events = hanging.answer().unwrap();
    assert_eq!(events[0].error_code.as_deref(), Some("origin_timeout"));
    assert_eq!(stage.number().as_deref(), Some("1"));
    assert_eq!(stage.refreshed(Trigger::Operator)[0].succeeded, 1);
}

#[test]
fn a_body_that_drips_for_too_long_is_ended_in_time() {
    let stage = Stage::p256();
    stage.origin.0.close();
    let waiting = stage.serve();
    stage.pass(Duration::from_secs(30));
    assert!(waiting.answer().unwrap().is_err());
    assert_eq!(stage.log.codes(), ["origin_timeout"]);
}

#[test]
fn a_record_that_does_not_come_is_ended_in_time() {
    let stage = Stage::p256();
    stage.origin.0.close_records();
    let waiting = stage.serve();
    stage.pass(Duration::from_secs(30));
    assert!(waiting.answer().unwrap().is_err());
    assert_eq!(stage.log.codes(), ["origin_timeout"]);
    assert_eq!(stage.origin.0.call_count(), 0);
}

#[test]
fn an_object_that_ends_in_the_middle_of_a_flight_begins_a_new_one() {
    let stage = Stage::p256();
    stage.refreshed(Trigger::Cron);
    stage.origin.0.close();
    let _lost = stage.refresh(Trigger::Operator);
    stage.machine.run();
    stage.kill();
    stage.origin.0.open();
    assert_eq!(stage.served().as_deref(), Ok("1"));
    assert_eq!(
        stage.refreshed(Trigger::Operator)[0].crl_number.as_deref(),
        Some("2")
    );
    assert_eq!(
        stage.disk.bodies_and_outbox(),
        (1, 0),
        "what was staged is swept"
    );
}

#[test]
fn bodies_are_swept_although_the_next_refresh_has_always_begun() {
    const LATE: Duration = Duration::from_secs(10);
    let stage = Stage::p256();
    stage.refreshed(Trigger::Cron);
    let refresh_late = |number| {
        let crl = stage.origin.0.ca.borrow().crl(number, NOW);
        let late = Reply::Late(LATE, Box::new(crl.into()));
        stage.origin.0.answer_next(late);
        stage.refresh(Trigger::Operator)
    };
    let mut refreshes = vec![refresh_late(2)];
    stage.pass(LATE / 2);
    for number in 3..12 {
        refreshes.push(refresh_late(number));
        stage.pass(LATE);
    }
    assert_eq!(stage.number().as_deref(), Some("10"));
    let (bodies, _) = stage.disk.bodies_and_outbox();
    assert!(bodies <= 2, "{bodies} bodies");
}

#[test]
fn an_operator_joins_a_flight_that_has_not_asked_the_origin_yet() {
    let stage = Stage::p256();
    stage.origin.0.close_records();
    let cron = stage.refresh(Trigger::Cron);
    stage.machine.run();
    stage.origin.0.revoke();
    let operator = stage.refresh(Trigger::Operator);
    stage.machine.run();
    stage.origin.0.open_records();
    stage.machine.run();
    assert_eq!(cron.answer(), operator.answer());
    assert_eq!(stage.origin.0.calls.borrow()[..], [(FULL, NOW, true)]);
}

#[test]
fn an_operator_gets_a_flight_of_his_own_after_one_that_has_asked_the_origin() {
    let stage = Stage::p256();
    stage.refreshed(Trigger::Cron);
    stage.origin.0.close();
    let cron = stage.refresh(Trigger::Cron);
    stage.machine.run();
    stage.origin.0.revoke();
    let operators: Vec<_> = (0..10).map(|_| stage.refresh(Trigger::Operator)).collect();
    let hook = stage.refresh(Trigger::Hook);
    stage.machine.run();
    assert_eq!(
        stage.origin.0.call_count(),
        2,
        "his flight waits for the other"
    );
    stage.origin.0.open();
    stage.machine.run();
    cron.answer().unwrap();
    for operator in operators.iter().chain([&hook]) {
        let events = operator.answer().unwrap();
        assert_eq!(events[0].trigger, Trigger::Operator);
        assert_eq!(events[0].outcome.as_str(), "published");
    }
    assert_eq!(
        stage.origin.0.call_count(),
        3,
        "they share the second flight"
    );
}

#[test]
fn each_crl_of_an_issuer_has_its_own_flight_and_its_own_list() {
    let stage = Stage::p256();
    let names = [FULL, CrlName::Delta, CrlName::Shard(0), CrlName::Shard(1)];
    *stage.origin.0.names.borrow_mut() = names.to_vec();
    stage.origin.0.close();
    let cron = stage.refresh(Trigger::Cron);
    stage.machine.run();
    stage.origin.0.open();
    stage.machine.run();
    let events = cron.answer().unwrap();
    assert_eq!(events.len(), 4);
    stage.origin.0.close();
    let again = stage.refresh(Trigger::Operator);
    stage.machine.run();
    assert_eq!(stage.origin.0.call_count(), 8, "all four at once");
    stage.origin.0.open();
    stage.machine.run();
    assert!(
        again
            .answer()
            .unwrap()
            .iter()
            .all(|event| event.succeeded == 1)
    );
    for name in names {
        let (metadata, body) = stage.replica.body(&key(name)).unwrap();
        assert_eq!(metadata.head.number.to_string(), "2");
        assert_eq!(Some(body), stage.disk.committed(name));
    }
}

#[test]
fn a_failing_delta_leaves_the_full_list_alone() {
    let stage = Stage::p256();
    *stage.origin.0.names.borrow_mut() = vec![FULL, CrlName::Delta];
    stage.refreshed(Trigger::Cron);
    let no_delta = stage.origin.0.ca.borrow().crl(5, NOW);
    stage.origin.0.answer_next(Reply::Current);
    stage.origin.0.answer_next(no_delta);
    stage.refreshed(Trigger::Cron);
    assert_eq!(stage.log.codes()[2..], ["wrong_scope"]);
    assert_eq!(stage.disk.crl(FULL).consecutive_failures, 0);
    assert_eq!(stage.disk.crl(CrlName::Delta).consecutive_failures, 1);
}

#[test]
fn an_issuer_with_shards_alone_has_no_failing_full_list() {
    let stage = Stage::p256();
    *stage.origin.0.names.borrow_mut() = vec![CrlName::Shard(0), CrlName::Shard(1)];
    let events = stage.refreshed(Trigger::Operator);
    let outcomes: Vec<_> = events.iter().map(|event| event.outcome.as_str()).collect();
    assert_eq!(outcomes, ["published", "published"]);
    assert_eq!(stage.log.codes(), ["published", "published"]);
    let overview = stage.object().overview().unwrap();
    assert_eq!(overview.crls.len(), 2);
}

#[test]
fn a_flight_that_reads_the_record_does_not_undo_what_the_operator_trusts_meanwhile() {
    let stage = Stage::p256();
    stage.refreshed(Trigger::Cron);
    let pinned = stage.disk.issuer().pinned;
    assert!(pinned.is_some());
    // Without alarms, which would read the record before.
    stage.machine.pass(2 * MINUTE);
    // While the record is read again, the certificate changes and is trusted.
    *stage.origin.0.ca.borrow_mut() = Rc::new(Ca::p256());
    stage.refreshed(Trigger::Cron);
    assert!(stage.disk.issuer().pending_certificate.is_some());
    stage.machine.pass(2 * MINUTE);
    stage.origin.0.close_records();
    let reading = stage.refresh(Trigger::Cron);
    stage.machine.run();
    let trust = stage.trust_waiting();
    stage.machine.run();
    stage.origin.0.open_records();
    stage.machine.pass(MINUTE);
    assert!(reading.answer().is_some());
    let TrustAnswer::Pinned(events) = trust.answer().unwrap() else {
        panic!("it waited");
    };
    assert!(
        stage
            .disk
            .issuer()
            .pinned
            .is_some_and(|now| Some(now) != pinned)
    );
    assert_eq!(
        events[0].outcome.as_str(),
        "published",
        "by the key that is trusted now"
    );
}
