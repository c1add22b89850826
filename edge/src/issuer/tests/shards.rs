//! Entries that leave one shard, and stand on another or on none.

use super::*;
use crate::issuer::AcceptAnswer;
use crate::refresh::OriginError;
use crate::refresh::testing::Failure;

const SHARDS: [CrlName; 2] = [CrlName::Shard(0), CrlName::Shard(1)];

/// A stage with shards that hold number 7, with these serial numbers.
fn holding(set: &[(&str, &str)], serials: [std::ops::RangeInclusive<u32>; 2]) -> Stage {
    let stage = Stage::new(Ca::p256(), set);
    *stage.origin.0.names.borrow_mut() = SHARDS.to_vec();
    stage.lists(Some(&SHARDS));
    for (name, serials) in SHARDS.into_iter().zip(serials) {
        answer(&stage, name, 7, serials);
    }
    // Only the record says that there are shards.
    let events = stage.refreshed(Trigger::Operator);
    let outcomes: Vec<_> = events.iter().map(|event| event.outcome.as_str()).collect();
    assert_eq!(outcomes, ["published"; 2], "{events:?}");
    stage.machine.pass(5 * MINUTE);
    stage
}

fn crl(
    stage: &Stage,
    name: CrlName,
    number: u64,
    serials: impl IntoIterator<Item = u32>,
) -> Vec<u8> {
    let ca = stage.origin.0.ca.borrow();
    ca.sign_serials(&ca.template(name, number, stage.host.now()), serials)
}

/// The origin's next answer for a shard.
fn answer(stage: &Stage, name: CrlName, number: u64, serials: impl IntoIterator<Item = u32>) {
    let crl = crl(stage, name, number, serials);
    stage.origin.0.answer_next_for(name, crl);
}

/// [`answer`], which arrives after 20 seconds.
fn answer_late(stage: &Stage, name: CrlName, number: u64, serials: impl IntoIterator<Item = u32>) {
    let crl = Reply::from(crl(stage, name, number, serials));
    let late = Reply::Late(Duration::from_secs(20), Box::new(crl));
    stage.origin.0.answer_next_for(name, late);
}

fn refresh(stage: &Stage, name: CrlName, trigger: Trigger) -> Client<Vec<Event>> {
    let object = stage.object();
    let refresh = async move { object.refresh(Some(name), trigger).await };
    stage.machine.client(refresh)
}

fn refreshed(stage: &Stage, name: CrlName) -> Event {
    let client = refresh(stage, name, Trigger::Operator);
    stage.machine.run();
    let events = client.answer().expect("it waits for time to pass");
    events.into_iter().next().expect("an event")
}

/// How the last refresh of a shard ended, its number, and what was found.
fn state(stage: &Stage, name: CrlName) -> (String, String, Vec<(String, u64)>) {
    let crl = stage.disk.crl(name);
    let end = match crl.last_error {
        Some(error) => error.code,
        None => crl.last_outcome.unwrap().to_string(),
    };
    let number = crl.current.unwrap().head.number.to_string();
    let findings = crl.findings.into_iter();
    let findings = findings.map(|finding| (finding.code, finding.count));
    (end, number, findings.collect())
}

fn published(number: &str, findings: &[(&str, u64)]) -> (String, String, Vec<(String, u64)>) {
    let findings = findings
        .iter()
        .map(|(code, count)| ((*code).to_owned(), *count));
    let findings = findings.collect();
    ("published".to_owned(), number.to_owned(), findings)
}

fn in_kv(stage: &Stage, name: CrlName) -> String {
    let (metadata, _) = stage.replica.body(&key(name)).unwrap();
    metadata.head.number.to_string()
}

#[test]
fn an_entry_that_moved_to_a_shard_that_is_refreshed_later_is_reported_as_moved() {
    let stage = holding(&[], [1..=40, 41..=80]);
    answer(&stage, SHARDS[0], 8, 1..=39);
    answer(&stage, SHARDS[1], 8, 40..=80);
    let event = refreshed(&stage, SHARDS[0]);
    let finding = &event.findings.as_ref().unwrap()[0];
    assert_eq!(finding.code, "moved");
    assert_eq!(finding.example.as_deref(), Some("28"));
    assert_eq!(
        (event.entries_removed, event.entries_added),
        (Some(1), Some(0))
    );
    assert_eq!(state(&stage, SHARDS[0]), published("8", &[("moved", 1)]));
    assert_eq!(state(&stage, SHARDS[1]), published("8", &[]));

    // Clients see the shard that has it first, everywhere.
    assert_eq!(in_kv(&stage, SHARDS[1]), "8");
    assert_eq!(in_kv(&stage, SHARDS[0]), "7");
    stage.pass(MINUTE);
    assert_eq!(in_kv(&stage, SHARDS[0]), "7");
    stage.pass(2 * MINUTE);
    assert_eq!(in_kv(&stage, SHARDS[0]), "8");
}

#[test]
fn an_entry_that_stands_on_another_shard_already_has_moved() {
    let stage = holding(&[], [1..=40, 40..=80]);
    let calls = stage.origin.0.call_count();
    answer(&stage, SHARDS[0], 8, 1..=39);
    refreshed(&stage, SHARDS[0]);
    assert_eq!(state(&stage, SHARDS[0]), published("8", &[("moved", 1)]));
    assert_eq!(
        stage.origin.0.call_count(),
        calls + 1,
        "the other is not asked"
    );

    // The index of the other's list is kept with it.
    let index = stage.disk.crl(SHARDS[1]).index.expect("it was needed");
    stage.kill();
    stage.pass(5 * MINUTE);
    answer(&stage, SHARDS[0], 9, 1..=38);
    refreshed(&stage, SHARDS[0]);
    assert_eq!(
        state(&stage, SHARDS[0]),
        published("9", &[("early_removal", 1)])
    );
    assert_eq!(stage.disk.crl(SHARDS[1]).index, Some(index));
}

#[test]
fn entries_that_change_places_are_committed_together() {
    let stage = holding(&[], [1..=40, 41..=80]);
    answer(&stage, SHARDS[0], 8, (1..=39).chain([80]));
    answer(&stage, SHARDS[1], 8, 40..=79);
    stage.refreshed(Trigger::Cron);
    for name in SHARDS {
        assert_eq!(state(&stage, name), published("8", &[("moved", 1)]));
        assert_eq!(in_kv(&stage, name), "8", "neither waits for the other");
    }
}

#[test]
fn most_entries_may_move() {
    let stage = holding(&[], [1..=2000, 2001..=2010]);
    answer(&stage, SHARDS[0], 8, 1..=3);
    answer(&stage, SHARDS[1], 8, 4..=2010);
    refreshed(&stage, SHARDS[0]);
    assert_eq!(state(&stage, SHARDS[0]), published("8", &[("moved", 1997)]));
}

#[test]
fn an_entry_that_stands_on_no_shard_is_an_early_removal() {
    let stage = holding(&[], [1..=40, 41..=80]);
    answer(&stage, SHARDS[0], 8, 1..=39);
    answer(&stage, SHARDS[1], 8, 42..=80);
    stage.refreshed(Trigger::Cron);
    for name in SHARDS {
        assert_eq!(state(&stage, name), published("8", &[("early_removal", 1)]));
    }
}

#[test]
fn an_entry_that_leaves_two_shards_at_once_is_an_early_removal() {
    let stage = holding(&[], [1..=40, 40..=80]);
    answer(&stage, SHARDS[0], 8, 1..=39);
    answer(&stage, SHARDS[1], 8, 41..=80);
    stage.refreshed(Trigger::Cron);
    let found: Vec<_> = SHARDS
        .iter()
        .flat_map(|name| state(&stage, *name).2)
        .collect();
    assert!(
        found.contains(&("early_removal".to_owned(), 1)),
        "{found:?}"
    );
}

#[test]
fn a_shard_waits_for_one_that_cannot_be_asked_for_an_hour() {
    let stage = holding(&[], [1..=40, 41..=80]);
    for _ in 0..100 {
        let down = Reply::Error(OriginError::Unreachable("down".to_owned()));
        stage.origin.0.answer_next_for(SHARDS[1], down);
        answer(&stage, SHARDS[0], 8, 1..=39);
    }
    let event = refreshed(&stage, SHARDS[0]);
    assert_eq!(event.error_code.as_deref(), Some("move_unconfirmed"));
    assert_eq!(stage.disk.crl(SHARDS[0]).candidate, None);
    stage.pass(50 * MINUTE);
    assert_eq!(state(&stage, SHARDS[0]).1, "7");
    stage.pass(30 * MINUTE);
    assert_eq!(
        state(&stage, SHARDS[0]),
        published("8", &[("early_removal", 1)])
    );
}

#[test]
fn an_entry_that_moved_to_a_crl_that_is_withheld_stays_where_it_was() {
    let stage = holding(&[], [1..=40, 41..=80]);
    for _ in 0..2 {
        answer(&stage, SHARDS[0], 8, 1..=39);
        answer(&stage, SHARDS[1], 8, [40, 41]);
    }
    let event = refreshed(&stage, SHARDS[0]);
    assert_eq!(event.error_code.as_deref(), Some("entries_vanished"));
    for name in SHARDS {
        let (end, number, _) = state(&stage, name);
        assert_eq!((&*end, &*number), ("entries_vanished", "7"));
    }
    // An operator accepts the one that lost most of its entries.
    let object = stage.object();
    let sha256 = stage.disk.crl(SHARDS[1]).candidate.unwrap().sha256;
    let accept = async move { object.accept(SHARDS[1], sha256, "anna").await.unwrap() };
    let accepted = stage.machine.done(accept);
    assert!(matches!(accepted, AcceptAnswer::Checked(_)), "{accepted:?}");
    answer(&stage, SHARDS[0], 8, 1..=39);
    refreshed(&stage, SHARDS[0]);
    assert_eq!(state(&stage, SHARDS[0]), published("8", &[("moved", 1)]));
}

#[test]
fn an_end_of_the_object_while_shards_wait_loses_nothing() {
    let stage = holding(&[], [1..=40, 41..=80]);
    answer(&stage, SHARDS[0], 8, 1..=39);
    answer(&stage, SHARDS[0], 8, 1..=39);
    stage
        .origin
        .0
        .answer_next_for(SHARDS[1], Reply::Hang(Vec::new()));
    let waits = stage.refresh(Trigger::Cron);
    stage.machine.run();
    assert!(waits.answer().is_none());
    stage.kill();
    assert_eq!(state(&stage, SHARDS[0]).1, "7");
    answer(&stage, SHARDS[1], 8, 40..=80);
    stage.refreshed(Trigger::Cron);
    assert_eq!(state(&stage, SHARDS[0]), published("8", &[("moved", 1)]));
    stage.pass(5 * MINUTE);
    // Both CRLs, what each changed, and an index.
    let (bodies, _) = stage.disk.bodies_and_outbox();
    assert!(bodies <= 6, "{bodies}");
}

/// Other answers for a shard than one that says what is on it now.
fn no_answers(stage: &Stage) -> Vec<Reply> {
    let current = crl(stage, SHARDS[1], 8, 40..=80);
    let earlier = crl(stage, SHARDS[1], 6, 40..=80);
    let other = Ca::p256();
    let template = other.template(SHARDS[1], 8, stage.host.now());
    let foreign = other.sign_serials(&template, 40..=80);
    let status = |status, retry_after| {
        Reply::Error(OriginError::Status {
            status,
            retry_after,
        })
    };
    vec![
        Reply::Hang(Vec::new()),
        Reply::Hang(current[..300].to_vec()),
        Reply::CutOff(current[..300].to_vec()),
        Reply::Late(HOUR, Box::new(Reply::Current)),
        Reply::Error(OriginError::Unreachable("down".to_owned())),
        status(500, None),
        status(404, None),
        status(503, Some(10 * MINUTE)),
        Reply::from(b"<html>".to_vec()),
        Reply::from(earlier),
        Reply::from(foreign),
    ]
}

#[test]
fn nothing_is_removed_and_nobody_waits_whatever_the_other_shard_answers() {
    let count = no_answers(&holding(&[], [1..=40, 41..=80])).len();
    for case in 0..count {
        let stage = holding(&[], [1..=40, 41..=80]);
        let reply = no_answers(&stage).swap_remove(case);
        let calls = stage.origin.0.call_count();
        for _ in 0..20 {
            stage.origin.0.answer_next_for(SHARDS[1], reply.clone());
            answer(&stage, SHARDS[0], 8, 1..=39);
        }
        let client = refresh(&stage, SHARDS[0], Trigger::Operator);
        stage.machine.pass(5 * MINUTE);
        let event = client.answer().expect("an answer").remove(0);
        let code = event.error_code.as_deref();
        assert_eq!(code, Some("move_unconfirmed"), "case {case}");
        let calls = stage.origin.0.call_count() - calls;
        // An origin that wants to be left alone is asked once.
        assert_eq!(calls, if case == 7 { 2 } else { 3 }, "case {case}");
        stage.pass(40 * MINUTE);
        assert_eq!(state(&stage, SHARDS[0]).1, "7", "case {case}");

        stage.origin.0.scripts.borrow_mut().clear();
        for _ in 0..3 {
            answer(&stage, SHARDS[0], 8, 1..=39);
            answer(&stage, SHARDS[1], 8, 40..=80);
        }
        // Back-off is fifteen minutes at most.
        stage.pass(16 * MINUTE);
        assert_eq!(
            state(&stage, SHARDS[0]),
            published("8", &[("moved", 1)]),
            "case {case}"
        );
    }
}

#[test]
fn many_shards_that_hang_are_waited_for_no_longer_than_five_minutes() {
    let stage = holding(&[], [1..=40, 41..=80]);
    let names: Vec<_> = (0..60).map(CrlName::Shard).collect();
    stage.origin.0.names.borrow_mut().clone_from(&names);
    stage.lists(Some(&names));
    for name in &names[1..] {
        for _ in 0..10 {
            let hang = Reply::Hang(Vec::new());
            stage.origin.0.answer_next_for(*name, hang);
        }
    }
    answer(&stage, SHARDS[0], 8, 1..=39);
    let client = refresh(&stage, SHARDS[0], Trigger::Operator);
    stage.machine.pass(4 * MINUTE);
    assert!(client.answer().is_none());
    stage.machine.pass(MINUTE);
    let event = client.answer().expect("an answer").remove(0);
    assert_eq!(event.error_code.as_deref(), Some("move_unconfirmed"));
    assert_eq!(state(&stage, SHARDS[0]).1, "7");
}

#[test]
fn what_the_origin_was_asked_before_a_shard_came_does_not_count() {
    let stage = holding(&[], [1..=40, 41..=80]);
    let unchanged = Reply::Late(Duration::from_secs(20), Box::new(Reply::Current));
    stage.origin.0.answer_next_for(SHARDS[1], unchanged);
    answer(&stage, SHARDS[1], 8, 40..=80);
    answer(&stage, SHARDS[0], 8, 1..=39);
    let other = refresh(&stage, SHARDS[1], Trigger::Cron);
    stage.machine.run();
    let client = refresh(&stage, SHARDS[0], Trigger::Cron);
    stage.machine.pass(Duration::from_secs(19));
    assert!(client.answer().is_none(), "it waits for the other's answer");
    stage.machine.pass(Duration::from_secs(1));
    assert_eq!(other.answer().unwrap()[0].outcome.as_str(), "unchanged");
    assert!(client.answer().is_some());
    assert_eq!(state(&stage, SHARDS[0]), published("8", &[("moved", 1)]));
}

/// The other shard still has the entry when this one is published, and loses it with the CRL that
/// is already on its way.
#[test]
fn an_entry_that_leaves_the_other_shard_while_that_is_fetched_is_an_early_removal() {
    let stage = holding(&[], [1..=40, 40..=80]);
    answer_late(&stage, SHARDS[1], 8, 41..=80);
    answer(&stage, SHARDS[0], 8, 1..=39);
    let other = refresh(&stage, SHARDS[1], Trigger::Cron);
    stage.machine.run();
    refreshed(&stage, SHARDS[0]);
    assert_eq!(state(&stage, SHARDS[0]), published("8", &[("moved", 1)]));
    stage.machine.pass(MINUTE);
    assert!(other.answer().is_some());
    assert_eq!(
        state(&stage, SHARDS[1]),
        published("8", &[("early_removal", 1)])
    );
}

#[test]
fn shards_are_concluded_although_the_client_that_asked_has_left() {
    let stage = holding(&[], [1..=40, 41..=80]);
    answer_late(&stage, SHARDS[1], 8, 40..=80);
    answer(&stage, SHARDS[0], 8, 1..=39);
    let client = refresh(&stage, SHARDS[0], Trigger::Request);
    stage.machine.run();
    client.leave();
    stage.machine.pass(MINUTE);
    assert_eq!(state(&stage, SHARDS[0]), published("8", &[("moved", 1)]));
}

/// Whether one of the shards that are committed has this serial number.
fn is_committed(stage: &Stage, serial: u32) -> bool {
    let lists = SHARDS.map(|name| stage.disk.committed(name).unwrap());
    has(&lists, serial)
}

/// Whether one of the shards in KV has this serial number.
fn is_in_kv(stage: &Stage, serial: u32) -> bool {
    let lists = SHARDS.map(|name| stage.replica.body(&key(name)).unwrap().1);
    has(&lists, serial)
}

fn has(lists: &[Vec<u8>], serial: u32) -> bool {
    let octets = serial.to_be_bytes();
    let find = |list: &Vec<u8>| crl::find(list, crl::Serial::from_be_bytes(&octets)).unwrap();
    lists
        .iter()
        .any(|list| matches!(find(list), crl::Status::Revoked(_)))
}

/// Entry 40 moves, and with `exchange` entry 80 the other way: each is on one of the shards that
/// are committed at every moment. Returns how many calls there were.
fn move_entries(exchange: bool, fault: Option<(u64, Failure)>) -> u64 {
    let stage = holding(&[], [1..=40, 41..=80]);
    for _ in 0..10 {
        answer(&stage, SHARDS[0], 8, (1..=39).chain(exchange.then_some(80)));
        answer(
            &stage,
            SHARDS[1],
            8,
            (40..=79).chain((!exchange).then_some(80)),
        );
    }
    let before = stage.faults.calls();
    if let Some((at, failure)) = fault {
        stage.faults.at(before + at, failure);
    }
    let steps: [&dyn Fn(); 4] = [
        &|| drop(stage.refresh(Trigger::Cron)),
        &|| stage.pass(2 * MINUTE),
        &|| drop(stage.refresh(Trigger::Cron)),
        &|| stage.pass(18 * MINUTE),
    ];
    for step in steps {
        step();
        stage.machine.run();
        for serial in [40, 80] {
            assert!(is_committed(&stage, serial), "{serial}: {fault:?}");
            // In KV, shards that change places cannot wait for each other.
            assert!(exchange || is_in_kv(&stage, serial), "{serial}: {fault:?}");
        }
        if stage.faults.ended() {
            stage.kill();
            stage.faults.none();
            drop(stage.object());
        }
    }
    let calls = stage.faults.calls() - before;
    let moved = published("8", &[("moved", 1)]);
    let gained = if exchange {
        moved.clone()
    } else {
        published("8", &[])
    };
    for (name, expected) in SHARDS.into_iter().zip([moved, gained]) {
        let (_, number, findings) = state(&stage, name);
        assert_eq!((number, findings), (expected.1, expected.2), "{fault:?}");
        assert_eq!(in_kv(&stage, name), "8", "{fault:?}");
    }
    calls
}

#[test]
fn one_failure_of_any_call_while_entries_move_loses_none() {
    for exchange in [false, true] {
        let calls = move_entries(exchange, None);
        assert!(calls > 30, "{calls}");
        for failure in Failure::ALL {
            for at in 0..calls {
                move_entries(exchange, Some((at, failure)));
            }
        }
    }
}
