//! Storms, in which things fail and accidents happen, and the calm between them: at its end
//! everything must be normal again.

use std::rc::Rc;
use std::time::Duration;

use edge::kv_layout;
use origin_api::Timestamp;

use crate::faults::{Accident, Owner};
use crate::object_storage::Release;
use crate::pace::LONGEST_CALM;
use crate::random::Random;
use crate::world::World;
use crate::{checks, openssl_staff, operators};

/// Lets storm and calm follow each other until it is `end`. The last calm is checked as well.
pub(crate) fn start(world: &Rc<World>, end: Timestamp) {
    let this = Rc::clone(world);
    world.spawn(async move {
        weather(&this, end).await;
        this.ledger.run_ends();
    });
}

async fn weather(world: &Rc<World>, end_of_run: Timestamp) {
    let random = world.chance("weather");
    world.timeline.sleep(random.seconds(60..1_800)).await;
    // Some edges were deployed before, by the last release.
    if random.chance(300) {
        world.was_upgraded.set(true);
        operators::restart_edge(world, Release::Last);
    }
    while world.timeline.now() < end_of_run {
        world.ledger.storm_begins();
        world.faults.begin_storm();
        let end = world.timeline.now().after(random.seconds(600..10_800));
        let end = end.min(end_of_run);
        while world.timeline.now() < end {
            world.timeline.sleep(random.seconds(1..900)).await;
            accident(world, &random);
        }
        world.faults.end_storm();
        world.origin.set_clock(0);
        if world.intervals.lies_end() {
            world.cas().for_each(|ca| ca.tell_the_truth());
        }
        openssl_staff::mend(world);
        world.ledger.calm_begins();
        while !world.ledger.is_settled() {
            world.timeline.sleep(Duration::from_secs(10)).await;
        }
        checks::all_is_normal(world).await;
        world.pause(&random, 1..LONGEST_CALM.as_secs()).await;
        if world.ledger.is_settled() {
            checks::all_is_normal(world).await;
        }
    }
}

fn accident(world: &Rc<World>, random: &Random) {
    let issuers = world.all_issuers();
    let issuer = random.pick(&issuers);
    // CAs lie as often as all else happens: there are many ways to.
    let accident = if random.chance(350) {
        Accident::CaLies
    } else {
        *random.pick(Accident::ALL)
    };
    let of_issuer = |owner: &Owner| *owner == Owner::Object(issuer.clone());
    let happens = |meets: &dyn Fn(&Owner) -> bool| world.faults.accident(accident, meets);
    match accident {
        Accident::ObjectEvicted => {
            happens(&of_issuer);
            world.edge.evict(issuer);
        }
        Accident::ObjectMoves => {
            happens(&of_issuer);
            world.edge.migrate(issuer, random.seconds(1..120));
        }
        Accident::RegistryEvicted => {
            happens(&|owner| *owner == Owner::Registry);
            world.edge.evict_registry();
        }
        Accident::Deploy => {
            happens(&|owner| *owner != Owner::Origin);
            operators::restart_edge(world, Release::This);
        }
        Accident::IsolateEnds => {
            let number = random.index(world.isolates.len());
            happens(&|owner| *owner == Owner::Isolate(number));
            world.restart_isolate(&world.isolates[number]);
        }
        Accident::KvLosesCrl => {
            happens(&of_issuer);
            let name = *random.pick(world.names_of(issuer));
            world.kv.lose(&kv_layout::key(issuer, name));
        }
        Accident::KvLosesRegistry => {
            happens(&|owner| *owner == Owner::Registry);
            world.kv.lose(kv_layout::REGISTRY);
        }
        Accident::OriginRestored => {
            happens(&|owner| *owner == Owner::Origin);
            operators::restore(world, random);
        }
        Accident::OriginClockJumps => {
            happens(&|owner| *owner == Owner::Origin);
            let longest = *random.pick(&[240_000, 7_200_000]);
            let millis = i64::try_from(random.below(longest * 2)).unwrap_or(0);
            let longest = i64::try_from(longest).unwrap_or(0);
            world.origin.set_clock(millis - longest);
        }
        Accident::OriginTwice | Accident::OriginTwiceOnOne => {
            happens(&|owner| *owner == Owner::Origin);
            let shares = accident == Accident::OriginTwiceOnOne;
            let time = random.seconds(60..3_600);
            let this = Rc::clone(world);
            world.spawn(operators::run_another_origin(this, shares, time));
        }
        Accident::TokenRotated => {
            happens(&|_| true);
            world.spawn(operators::rotate_token(Rc::clone(world)));
        }
        Accident::DeltaWithdrawn => {
            happens(&|_| true);
            operators::turn_delta(world, random);
        }
        Accident::IssuerWithdrawn => {
            happens(&|_| true);
            let liar = random.pick(&world.liars);
            liar.list(random.chance(600));
        }
        Accident::IndexCut
        | Accident::IndexMissing
        | Accident::IndexGarbled
        | Accident::IndexSameStamp
        | Accident::DirectoryRestored => {
            if world.directory.can_be_harmed(accident) {
                happens(&|owner| *owner == Owner::Origin);
                openssl_staff::harm(world, accident);
            }
        }
        Accident::CaLies => {
            for liar in world.cas() {
                if let Ok(lie) = liar.lie() {
                    world.faults.accident_of_kind(accident, lie.name());
                }
            }
        }
    }
}
