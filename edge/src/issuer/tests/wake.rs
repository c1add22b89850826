//! The alarm: ahead of expiry, slower after failures, and enough by itself.

use super::*;
use crate::events::Outcome;
use crate::refresh::testing::Failure;
use crate::refresh::{HeldCrl, OriginError};

#[test]
fn without_cron_and_requests_a_valid_crl_is_always_in_kv() {
    let stage = Stage::p256();
    stage.refreshed(Trigger::Request);
    for _ in 0..(7 * 24 * 4) {
        stage.pass(15 * MINUTE);
        let (metadata, _) = stage.replica.body(&key(FULL)).unwrap();
        let left = Timestamp::from(metadata.head.next_update).since(stage.host.now());
        assert!(left > 2 * HOUR, "{left:?}");
    }
    let events = stage.log.events();
    assert!(
        events[1..]
            .iter()
            .all(|event| event.trigger == Trigger::Alarm)
    );
    assert!(events.len() < 60, "{}", events.len());
}

#[test]
fn without_alarms_the_cron_alone_keeps_a_valid_crl_in_kv() {
    let stage = Stage::p256();
    for _ in 0..(2 * 24 * 4) {
        stage.refreshed(Trigger::Cron);
        stage.machine.pass(15 * MINUTE);
        let (metadata, _) = stage.replica.body(&key(FULL)).unwrap();
        let left = Timestamp::from(metadata.head.next_update).since(stage.host.now());
        assert!(left > 2 * HOUR, "{left:?}");
    }
    assert!(stage.alarms.borrow().is_empty());
}

#[test]
fn the_alarm_comes_at_its_part_of_the_validity() {
    for part in ["0.5", "0.67", "0.9"] {
        let stage = Stage::new(Ca::p256(), &[("REFRESH_AT", part)]);
        stage.refreshed(Trigger::Cron);
        let wait = stage.host.alarm().unwrap().since(NOW).as_secs_f64();
        let share = wait / (10.0 * HOUR.as_secs_f64());
        let planned: f64 = part.parse().unwrap();
        assert!(share <= planned && share >= planned - 0.1, "{share}");
    }
}

#[test]
fn the_alarm_works_with_a_list_that_was_due_for_long() {
    let stage = Stage::p256();
    stage.refreshed(Trigger::Cron);
    stage.machine.set_time(NOW.after(100 * HOUR));
    stage.pass(MINUTE);
    assert_eq!(stage.served().as_deref(), Ok("2"));
}

#[test]
fn a_failing_origin_is_asked_less_and_less_until_it_is_back() {
    let stage = Stage::p256();
    stage.refreshed(Trigger::Cron);
    let down = OriginError::Unreachable("down".to_owned());
    *stage.origin.0.always.borrow_mut() = Some(Reply::Error(down));
    stage.pass(9 * HOUR);
    let calls = stage.origin.0.call_count();
    assert!((8..40).contains(&calls), "{calls}");
    assert_eq!(stage.served().as_deref(), Ok("1"));
    stage.origin.0.always.take();
    stage.pass(15 * MINUTE);
    assert_eq!(
        stage.served().as_deref(),
        Ok("2"),
        "before the old one expired"
    );
    assert_eq!(stage.disk.crl(FULL).consecutive_failures, 0);
}

#[test]
fn an_origin_that_is_back_shortly_before_expiry_is_in_time() {
    let stage = Stage::p256();
    stage.refreshed(Trigger::Cron);
    let down = OriginError::Unreachable("down".to_owned());
    *stage.origin.0.always.borrow_mut() = Some(Reply::Error(down));
    stage.pass(9 * HOUR + 59 * MINUTE);
    stage.origin.0.always.take();
    stage.pass(Duration::from_secs(59));
    assert_eq!(stage.in_kv().as_deref(), Some("2"));
}

#[test]
fn requests_do_not_hammer_an_origin_that_fails() {
    let stage = Stage::p256();
    let down = OriginError::Unreachable("down".to_owned());
    *stage.origin.0.always.borrow_mut() = Some(Reply::Error(down));
    for _ in 0..600 {
        assert!(stage.served().is_err());
        stage.pass(Duration::from_secs(1));
    }
    let calls = stage.origin.0.call_count();
    assert!((5..12).contains(&calls), "{calls}");
}

#[test]
fn the_origins_retry_after_holds_for_all_but_the_operator() {
    let stage = Stage::p256();
    stage.refreshed(Trigger::Cron);
    stage.pass(2 * MINUTE);
    stage
        .origin
        .0
        .answer_next(Reply::Error(OriginError::Status {
            status: 503,
            retry_after: Some(30 * MINUTE),
        }));
    stage.refreshed(Trigger::Cron);
    let calls = stage.origin.0.call_count();
    for _ in 0..29 {
        assert!(stage.refreshed(Trigger::Cron).is_empty());
        stage.served().unwrap();
        stage.pass(MINUTE);
    }
    assert_eq!(stage.origin.0.call_count(), calls);
    stage.pass(2 * MINUTE);
    assert_eq!(
        stage.origin.0.call_count(),
        calls + 1,
        "the alarm asks then"
    );
    stage
        .origin
        .0
        .answer_next(Reply::Error(OriginError::Status {
            status: 429,
            retry_after: Some(30 * MINUTE),
        }));
    stage.refreshed(Trigger::Operator);
    assert_eq!(
        stage.refreshed(Trigger::Operator)[0].outcome.as_str(),
        "published"
    );
}

#[test]
fn retry_after_on_the_record_keeps_the_crl_from_being_asked_for() {
    let stage = Stage::p256();
    stage.refreshed(Trigger::Cron);
    stage.pass(2 * MINUTE);
    *stage.origin.0.record_error.borrow_mut() = Some(OriginError::Status {
        status: 429,
        retry_after: Some(30 * MINUTE),
    });
    let calls = stage.origin.0.call_count();
    stage.refreshed(Trigger::Cron);
    assert_eq!(stage.origin.0.call_count(), calls);
    assert!(stage.refreshed(Trigger::Cron).is_empty());
}

#[test]
fn an_issuer_that_publishes_elsewhere_is_one_event_and_never_by_alarm() {
    for nothing_listed in [false, true] {
        let stage = Stage::p256();
        if nothing_listed {
            stage.origin.0.names.borrow_mut().clear();
        } else {
            *stage.origin.0.always.borrow_mut() = Some(Reply::Nothing);
        }
        for _ in 0..3 {
            assert_eq!(
                stage.refreshed(Trigger::Cron)[0].outcome.as_str(),
                "skipped"
            );
            for _ in 0..60 {
                assert_eq!(stage.served(), Err(Unavailable::PublishedElsewhere));
                stage.pass(MINUTE);
            }
        }
        assert_eq!(stage.log.codes(), ["skipped"]);
        assert!(stage.origin.0.record_calls.get() <= 200);
        assert_eq!(stage.disk.crl(FULL).consecutive_failures, 0);
    }
}

#[test]
fn an_issuer_with_several_lists_that_publishes_elsewhere_is_one_event_for_each() {
    let stage = Stage::p256();
    let names = [FULL, CrlName::Delta, CrlName::Shard(0)];
    *stage.origin.0.names.borrow_mut() = names.to_vec();
    stage.refreshed(Trigger::Cron);
    stage.pass(MINUTE);
    let published = stage.log.events().len();
    *stage.origin.0.always.borrow_mut() = Some(Reply::Nothing);
    for _ in 0..3 {
        let events = stage.refreshed(Trigger::Cron);
        assert_eq!(events.len(), names.len(), "each list was asked for");
        stage.pass(HOUR);
        assert_eq!(stage.log.codes()[published..], ["skipped"; 3]);
        for name in names {
            assert_eq!(
                stage.log.statuses.borrow()[&name]
                    .last_outcome
                    .unwrap()
                    .as_str(),
                "skipped"
            );
        }
    }
    stage.refreshed(Trigger::Operator);
    assert_eq!(
        stage.log.codes()[published..].len(),
        3 + names.len(),
        "an operator is informed of each list"
    );
}

#[test]
fn an_issuer_whose_lists_were_not_known_is_one_event_for_each_from_the_first() {
    let stage = Stage::p256();
    *stage.origin.0.names.borrow_mut() = vec![FULL, CrlName::Delta, CrlName::Shard(0)];
    *stage.origin.0.always.borrow_mut() = Some(Reply::Nothing);
    stage.refreshed(Trigger::Cron);
    stage.pass(MINUTE);
    assert_eq!(stage.log.codes(), ["skipped"; 3]);
}

#[test]
fn d1_down_for_an_hour_delays_events_and_loses_none() {
    let stage = Stage::p256();
    stage.faults.all("log.", Failure::Before);
    let mut told = Vec::new();
    for minute in 0..60 {
        if minute % 7 == 0 {
            stage.origin.0.revoke();
        }
        let mut events = stage.refreshed(Trigger::Cron);
        // Nothing happened.
        events.retain(|event| event.outcome != Outcome::Unchanged);
        told.extend(events);
        stage.pass(MINUTE);
    }
    assert!(stage.log.events().is_empty());
    stage.faults.none();
    stage.pass(MINUTE);
    assert_eq!(stage.log.events(), told);
    assert_eq!(stage.disk.bodies_and_outbox().1, 0);
    let status = &stage.log.statuses.borrow()[&FULL];
    assert_eq!(*status, stage.disk.crl(FULL));
}

#[test]
fn however_many_events_d1_has_missed_they_come_in_order_and_each_once() {
    let stage = Stage::p256();
    stage.faults.all("log.", Failure::Before);
    let told: Vec<_> = (0..1_234)
        .flat_map(|_| {
            stage.machine.pass(Duration::from_millis(1));
            stage.refreshed(Trigger::Operator)
        })
        .collect();
    assert_eq!(stage.object().overview().unwrap().events_owed, 1_234);
    stage.faults.none();
    stage.pass(MINUTE);
    assert_eq!(stage.log.events(), told);
    assert_eq!(stage.object().overview().unwrap().events_owed, 0);
}

#[test]
fn operators_see_a_new_object_where_one_was_lost() {
    let stage = Stage::p256();
    for _ in 0..5 {
        stage.refreshed(Trigger::Operator);
    }
    stage.pass(MINUTE);
    stage.kill();
    stage.disk.lose();
    stage.refreshed(Trigger::Cron);
    let shown = stage.log.statuses.borrow()[&FULL].clone();
    assert_eq!(shown.head(), stage.disk.crl(FULL).head());
    assert!(shown.head().is_some());
}

#[test]
fn d1_that_took_events_and_did_not_say_so_has_them_once() {
    let stage = Stage::p256();
    stage.faults.all("log.", Failure::Kept);
    stage.refreshed(Trigger::Cron);
    stage.pass(5 * MINUTE);
    stage.faults.none();
    stage.pass(MINUTE);
    assert_eq!(stage.log.codes(), ["published"]);
}

#[test]
fn an_event_tells_all_of_its_columns() {
    let stage = Stage::p256();
    stage.refreshed(Trigger::Hook);
    let event = stage.log.events().remove(0);
    let head = stage.disk.crl(FULL).current.unwrap().head;
    let told = format!(
        "{} {} {} {} {} {:?} {:?} {:?} {:?}",
        event.issuer_id,
        event.crl_name,
        event.trigger,
        event.outcome,
        event.succeeded,
        event.crl_number,
        event.revoked_count,
        event.this_update,
        event.next_update,
    );
    assert_eq!(
        told,
        "ca full hook published 1 Some(\"1\") Some(3) Some(\"2027-01-15T08:00:00.000Z\") Some(\"2027-01-15T18:00:00.000Z\")"
    );
    assert_eq!(event.size_bytes, Some(head.size));
    assert_eq!(event.sha256, Some(head.sha256.to_string()));
    assert_eq!(event.started_at, NOW.to_string());
}

#[test]
fn serve_expired_serves_what_there_is_while_the_origin_is_down() {
    for (serve_expired, expected) in [("true", Ok("1")), ("false", Err(()))] {
        let stage = Stage::new(Ca::p256(), &[("SERVE_EXPIRED", serve_expired)]);
        stage.refreshed(Trigger::Cron);
        let down = OriginError::Unreachable("down".to_owned());
        *stage.origin.0.always.borrow_mut() = Some(Reply::Error(down));
        stage.pass(11 * HOUR);
        let served = stage.served();
        assert_eq!(served.as_deref().map_err(|_| ()), expected);
    }
}

#[test]
fn a_request_for_an_expired_crl_gets_the_new_one() {
    let stage = Stage::p256();
    stage.refreshed(Trigger::Cron);
    // Nothing ran in between: the alarm never went off.
    stage.host.take_alarm();
    stage.machine.set_time(NOW.after(11 * HOUR));
    assert_eq!(stage.served().as_deref(), Ok("2"));
}

#[test]
fn a_request_for_a_crl_that_is_due_is_answered_at_once_and_causes_one_refresh() {
    let stage = Stage::p256();
    stage.refreshed(Trigger::Cron);
    stage.host.take_alarm();
    stage.machine.set_time(NOW.after(8 * HOUR));
    stage.origin.0.close();
    for _ in 0..50 {
        assert_eq!(stage.served().as_deref(), Ok("1"));
    }
    stage.origin.0.open();
    stage.machine.run();
    assert_eq!(stage.served().as_deref(), Ok("2"));
    assert_eq!(stage.origin.0.call_count(), 2);
}

#[test]
fn what_was_found_unchanged_does_not_look_due_in_kv() {
    let stage = Stage::p256();
    stage.refreshed(Trigger::Cron);
    stage.host.take_alarm();
    stage.machine.set_time(NOW.after(7 * HOUR));
    *stage.origin.0.always.borrow_mut() = Some(Reply::Current);
    stage.refreshed(Trigger::Cron);
    let (metadata, _) = stage.replica.body(&key(FULL)).unwrap();
    assert!(metadata.head.refresh_after > stage.host.now());
    assert_eq!(Some(&metadata.head), stage.disk.crl(FULL).head());
    let (calls, writes) = (
        stage.origin.0.call_count(),
        stage.replica.writes.borrow().len(),
    );
    for _ in 0..10 {
        stage.served().unwrap();
        stage.refreshed(Trigger::Cron);
    }
    assert_eq!(
        stage.origin.0.call_count(),
        calls + 10,
        "the ticks alone ask"
    );
    let written = stage.replica.writes.borrow().len();
    assert_eq!(
        written, writes,
        "what does not look due is not written again"
    );
}

#[test]
fn made_up_names_leave_nothing_behind() {
    let stage = Stage::p256();
    stage.origin.0.names.borrow_mut().clear();
    for shard in 0..20 {
        let object = stage.object();
        let name = CrlName::Shard(shard);
        let served = stage.machine.done(async move { object.serve(name).await });
        assert_eq!(served.unwrap_err(), Unavailable::PublishedElsewhere);
    }
    stage.pass(HOUR);
    assert!(stage.log.events().is_empty());
    assert!(stage.log.statuses.borrow().is_empty());
    assert!(stage.object().overview().unwrap().crls.is_empty());
    assert_eq!(stage.origin.0.record_calls.get(), 1);
}

#[test]
fn a_failure_that_repeats_is_one_event_an_hour_and_counted_each_time() {
    let stage = Stage::p256();
    let down = OriginError::Unreachable("down".to_owned());
    *stage.origin.0.always.borrow_mut() = Some(Reply::Error(down));
    stage.refreshed(Trigger::Cron);
    stage.pass(5 * HOUR);
    let events = stage.log.events().len();
    assert!((5..=6).contains(&events), "{events}");
    let counts = stage.disk.crl(FULL).counts;
    let failures: u64 = counts.iter().map(|count| count.refreshes).sum();
    assert_eq!(failures, stage.origin.0.call_count() as u64);
    assert!(failures > 20, "{failures}");
}

#[test]
fn each_call_names_what_is_held_and_demands_a_new_crl_only_on_purpose() {
    let stage = Stage::p256();
    let crl = stage.origin.0.ca.borrow().crl(7, NOW);
    stage.origin.0.answer_next(Reply::Crl(crl, Some(10), 1000));
    stage.refreshed(Trigger::Cron);
    let current = stage.disk.crl(FULL).current.unwrap().head;
    let held = Some(HeldCrl {
        sha256: current.sha256,
        number: current.number,
        watermark: Some(10),
    });
    stage.origin.0.answer_next(Reply::Current);
    stage.refreshed(Trigger::Cron);
    stage.origin.0.answer_next(Reply::Current);
    stage
        .origin
        .0
        .answer_next(Reply::Error(OriginError::StateLost { retry_after: None }));
    let events = stage.refreshed(Trigger::Operator);
    assert_eq!(events[0].error_code.as_deref(), Some("state_lost"));
    assert_eq!(stage.served().as_deref(), Ok("7"));
    let requests = stage.origin.0.requests.borrow();
    let calls: Vec<_> = requests
        .iter()
        .map(|it| (it.held.clone(), it.new_crl))
        .collect();
    assert_eq!(
        calls,
        [
            (None, true),
            (held.clone(), false),
            (held, true),
            (None, true)
        ],
        "304 to a demand for a new CRL is asked again as if nothing were held"
    );
}

#[test]
fn an_event_that_d1_refuses_stays_in_the_outbox_and_delays_no_other() {
    let stage = Stage::p256();
    stage.faults.all("log.", Failure::Before);
    let refused = stage.refreshed(Trigger::Cron).remove(0).id;
    stage.refreshed(Trigger::Operator);
    stage.faults.none();
    *stage.log.refused.borrow_mut() = Some(refused);
    stage.pass(2 * MINUTE);
    assert_eq!(stage.log.events().len(), 1, "the other event");
    assert_eq!(stage.disk.bodies_and_outbox().1, 1);
    assert_eq!(
        stage.log.events_owed.get(),
        1,
        "D1 says that one is missing"
    );
    stage.log.refused.take();
    stage.pass(2 * MINUTE);
    assert_eq!(stage.log.events().len(), 2);
}

#[test]
fn the_alarm_is_never_set_for_a_date_that_the_platform_refuses() {
    let stage = Stage::p256();
    let ca = Rc::clone(&stage.origin.0.ca.borrow());
    let mut template = ca.template(FULL, 1, NOW);
    template.next_update = crl::UnixTime(253_402_300_799);
    let forever = ca.sign(&template, 3);
    stage.origin.0.answer_next(forever);
    assert_eq!(
        stage.refreshed(Trigger::Cron)[0].outcome.as_str(),
        "published"
    );
    let alarm = stage.host.alarm().unwrap();
    assert!(alarm < NOW.after(366 * 24 * HOUR));
    stage.pass(100 * 24 * HOUR);
    assert_eq!(stage.origin.0.call_count(), 1, "the alarm sleeps on");
    assert!(stage.alarms.borrow().len() < 5);
}
