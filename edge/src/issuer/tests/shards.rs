//! Entries that leave one shard, and stand on another or on none.

use super::*;
use crate::issuer::AcceptAnswer;
use crate::refresh::OriginError;

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

/// The origin's next answer for a shard.
fn answer(stage: &Stage, name: CrlName, number: u64, serials: impl IntoIterator<Item = u32>) {
    let ca = Rc::clone(&stage.origin.0.ca.borrow());
    let template = ca.template(name, number, stage.host.now());
    let crl = ca.sign_serials(&template, serials);
    stage.origin.0.answer_next_for(name, crl);
}

fn refreshed(stage: &Stage, name: CrlName) -> Event {
    let object = stage.object();
    let refresh = async move { object.refresh(Some(name), Trigger::Operator).await };
    stage.machine.done(refresh).remove(0)
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
