//! What must be so once nothing has failed for a while.

use edge::kv_layout;
use edge::refresh::{Metadata, Publication};
use origin_api::{CrlName, IssuerId};

use crate::world::World;

/// Bodies of one list: the CRL, one that was refused, one that is arriving or is being read, and
/// the changes of the last ones.
const MOST_BODIES: usize = 4 + 64;
/// Tasks and timers for each issuer, and for all else.
const MOST_TASKS: usize = 40;

/// Everything is as if nothing had ever failed.
pub(crate) fn all_is_normal(world: &World) {
    let missing = world.ledger.events_missing();
    if missing > 0 {
        let what = format!("D1 has not got {missing} of them");
        world.ledger.violated("no event is lost", &what);
    }
    for issuer in &world.issuers {
        if !world.ledger.is_disturbed(issuer) {
            is_normal(world, issuer);
        }
    }
    let most = MOST_TASKS * (world.issuers.len() + 2);
    let (tasks, timers) = (world.executor.tasks(), world.timeline.timers());
    if tasks > most || timers > most {
        let what = format!("{tasks} tasks and {timers} timers");
        world.ledger.violated("memory is bounded", &what);
    }
}

fn is_normal(world: &World, issuer: &IssuerId) {
    let violated =
        |rule: &str, what: &str| world.ledger.violated(rule, &format!("{issuer}: {what}"));
    let Some(disk) = world.edge.disk(issuer) else {
        return violated("every issuer has its object", "it was never asked");
    };
    let (bodies, outbox) = disk.sizes();
    let lists = disk.crls();
    if bodies > MOST_BODIES * lists.len().max(1) {
        violated("storage is bounded", &format!("{bodies} bodies"));
    }
    if outbox > 0 {
        violated("the outbox empties", &format!("{outbox} events"));
    }
    if !world.edge.has_alarm(issuer) {
        violated("the alarm is set", "it is not");
    }
    let held = world.ledger.held(&(issuer.clone(), CrlName::Full));
    let value = world.kv.newest(&kv_layout::key(issuer, CrlName::Full));
    let metadata = value.and_then(|value| value.metadata.clone());
    let metadata: Option<Metadata> = metadata.and_then(|text| serde_json::from_str(&text).ok());
    let in_kv = metadata.map(|metadata| metadata.head.sha256);
    if held != in_kv || held.is_none() {
        violated(
            "KV has what is committed",
            &format!("{in_kv:?} in place of {held:?}"),
        );
    }
    if let Some(list) = lists.get(&CrlName::Full)
        && matches!(list.publication, Publication::Owed { .. })
    {
        violated("KV has what is committed", "it is still owed");
    }
}
