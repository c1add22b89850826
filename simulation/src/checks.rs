//! What must be so once nothing has failed for a while, and what must be so always.

use std::time::Duration;

use edge::kv_layout;
use edge::refresh::{Metadata, Publication};
use edge::tables::Query;
use origin_api::{CrlName, IssuerId};
use serde::Deserialize;

use crate::ledger::List;
use crate::world::World;

/// Tasks and timers for each issuer, and for all else.
const MOST_TASKS: usize = 60;

/// How long it is looked at again: a refresh may be under way, which will end.
const UNDER_WAY: Duration = Duration::from_mins(3);

/// Something that is not as it must be: the rule, and what is wrong.
type Fault = (&'static str, String);

/// Everything is as if nothing had ever failed, or is once what is under way has ended.
pub(crate) async fn all_is_normal(world: &World) {
    let end = world.timeline.now().after(UNDER_WAY);
    loop {
        let faults = faults(world);
        let Some((rule, what)) = faults.first() else {
            for issuer in &world.issuers {
                world.ledger.count_calm(world.ledger.is_disturbed(issuer));
            }
            return;
        };
        if world.timeline.now() >= end {
            return world.ledger.violated(rule, what);
        }
        world.timeline.sleep(Duration::from_secs(2)).await;
    }
}

/// Tasks and timers are bounded at every step.
pub(crate) fn memory_is_bounded(world: &World) {
    let most = MOST_TASKS * (world.issuers.len() + 4);
    let (tasks, timers) = (world.executor.tasks(), world.timeline.timers());
    if tasks > most || timers > most {
        let what = format!("{tasks} tasks and {timers} timers");
        world.ledger.violated("memory is bounded", &what);
    }
}

fn faults(world: &World) -> Vec<Fault> {
    let mut faults = Vec::new();
    let missing = world.ledger.events_missing();
    if let Some(first) = missing.first() {
        let what = format!("D1 has not got {} of them, as {first:?}", missing.len());
        faults.push(("no event is lost", what));
    }
    let issuers = world.issuers.iter();
    for issuer in issuers.filter(|issuer| !world.ledger.is_disturbed(issuer)) {
        faults.extend(faults_of(world, issuer));
    }
    faults
}

fn faults_of(world: &World, issuer: &IssuerId) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut wrong = |rule, what: String| faults.push((rule, format!("{issuer}: {what}")));
    let Some(disk) = world.edge.disk(issuer) else {
        wrong(
            "every issuer has its object",
            "it was never asked".to_owned(),
        );
        return faults;
    };
    let (_, outbox) = disk.sizes();
    if outbox > 0 {
        wrong("the outbox empties", format!("{outbox} events"));
    }
    if !world.edge.has_alarm(issuer) {
        wrong("the alarm is set", "it is not".to_owned());
    }
    for (name, state) in disk.crls() {
        let list = (issuer.clone(), name);
        let held = world.ledger.held(&list);
        let in_kv = in_kv(world, &list);
        // A delta is not made without a base. One that is withdrawn is copied again if somebody
        // asks for it.
        if (held != in_kv || held.is_none()) && name != CrlName::Delta {
            let what = format!("{name}: {in_kv:?} in place of {held:?}");
            wrong("KV has what is committed", what);
        }
        if matches!(state.publication, Publication::Owed { .. }) {
            wrong("KV has what is committed", format!("{name} is still owed"));
        }
        let counted: u64 = state.counts.iter().map(|count| count.refreshes).sum();
        let in_d1 = counted_in_d1(world, &list);
        // D1 has also those that the last release counted.
        let is_right = in_d1
            .is_some_and(|in_d1| in_d1 == counted || (in_d1 > counted && world.was_upgraded.get()));
        if state.current.is_some() && !is_right {
            let what = format!("{name}: {in_d1:?} of {counted}");
            wrong("D1 counts each refresh", what);
        }
    }
    faults
}

fn in_kv(world: &World, (issuer, name): &List) -> Option<edge::refresh::Sha256> {
    let value = world.kv.newest(&kv_layout::key(issuer, *name))?;
    let metadata: Metadata = serde_json::from_str(value.metadata.as_ref()?).ok()?;
    Some(metadata.head.sha256)
}

fn counted_in_d1(world: &World, (issuer, name): &List) -> Option<u64> {
    #[derive(Deserialize)]
    struct Sum {
        refreshes: Option<u64>,
    }
    let query = Query {
        sql: "SELECT sum(refreshes) AS refreshes FROM crl_refresh_counts
              WHERE issuer_id = ? AND crl_name = ?"
            .to_owned(),
        values: vec![issuer.to_string(), name.to_string()],
    };
    let sums: Vec<Sum> = world.d1.select(&query).ok()?;
    sums.first()?.refreshes
}
