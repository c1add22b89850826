//! Storms, in which things fail and accidents happen, and the calm between them: at its end
//! everything must be normal again.

use std::rc::Rc;
use std::time::Duration;

use edge::kv_layout;
use origin_api::{CrlName, Timestamp};

use crate::ledger::BACK_TO_NORMAL;
use crate::random::Random;
use crate::world::World;
use crate::{checks, operators};

/// How long a run goes on after its end at most, so that the last calm is checked.
pub(crate) const LAST_CALM: Duration = Duration::from_hours(3);

/// Lets storm and calm follow each other until it is `end`. The last calm is checked as well, and
/// ends within two hours of it.
pub(crate) fn start(world: &Rc<World>, end: Timestamp) {
    let this = Rc::clone(world);
    world.spawn(async move {
        weather(&this, end).await;
        this.ledger.run_ends();
    });
}

async fn weather(world: &World, end_of_run: Timestamp) {
    let random = world.chance("weather");
    world.timeline.sleep(random.seconds(60..1_800)).await;
    while world.timeline.now() < end_of_run {
        world.ledger.storm_begins();
        world.faults.begin_storm();
        let end = world.timeline.now().after(random.seconds(600..10_800));
        let end = end.min(end_of_run);
        while world.timeline.now() < end {
            world.timeline.sleep(random.seconds(1..900)).await;
            accident(world, random.below(14), &random);
        }
        world.faults.end_storm();
        world.origin.set_clock(0);
        world.ledger.calm_begins();
        let calm = BACK_TO_NORMAL + random.seconds(300..4_800);
        world.timeline.sleep(calm).await;
        checks::all_is_normal(world);
    }
}

fn accident(world: &World, kind: u64, random: &Random) {
    let issuers = world.all_issuers();
    let issuer = random.pick(&issuers);
    match kind {
        0 => {
            world.faults.note("an object is evicted", "storm");
            world.edge.evict(issuer);
        }
        1 => {
            world
                .faults
                .note("an object moves, and two instances run", "storm");
            world.edge.migrate(issuer, random.seconds(1..120));
        }
        2 => {
            world.faults.note("a deploy restarts everything", "storm");
            world.edge.restart();
            for isolate in &world.isolates {
                isolate.restart();
            }
            for client in &world.clients {
                client.isolate_restarted();
            }
        }
        3 => {
            let number = random.index(world.isolates.len());
            world.faults.note("an isolate ends", "storm");
            world.isolates[number].restart();
            world.clients[number].isolate_restarted();
        }
        4 => {
            world.faults.note("KV loses a key", "storm");
            world.kv.lose(&kv_layout::key(issuer, CrlName::Full));
        }
        5 => {
            world
                .faults
                .note("the registry's object is evicted", "storm");
            world.edge.evict_registry();
        }
        6 => {
            world.faults.note("KV loses the registry", "storm");
            world.kv.lose(kv_layout::REGISTRY);
        }
        7 => {
            world
                .faults
                .note("the origin is restored to an earlier copy", "storm");
            operators::restore(world, random);
        }
        8 => {
            world.faults.note("the origin's clock jumps", "storm");
            let longest = *random.pick(&[240_000, 7_200_000]);
            let millis = i64::try_from(random.below(longest * 2)).unwrap_or(0);
            let longest = i64::try_from(longest).unwrap_or(0);
            world.origin.set_clock(millis - longest);
        }
        _ => {
            for liar in &world.liars {
                if let Ok(lie) = liar.lie() {
                    world.faults.note("a CA lies", "storm");
                    world.trace.line(format!("{} lies: {lie}", liar.id));
                }
            }
        }
    }
}
