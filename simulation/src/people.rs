//! People: CAs' staff who revoke, and relying parties who need CRLs.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use crl::Reason;
use crl_origin::revocation::NamedList;
use origin_api::{CrlName, IssuerId, Timestamp};

use crate::clients::Client;
use crate::ledger::Revoked;
use crate::random::Random;
use crate::world::World;

/// How many certificates of an issuer are revoked and in force at most.
const MOST_REVOKED: usize = 200;

/// Lets them act.
pub(crate) fn start(world: &Rc<World>) {
    world.spawn(staff(Rc::clone(world)));
    for client in &world.clients {
        world.spawn(relying_party(Rc::clone(world), Rc::clone(client)));
    }
}

/// A certificate that was revoked.
struct Certificate {
    serial: Vec<u8>,
    not_after: Option<Timestamp>,
    is_held: bool,
}

async fn staff(world: Rc<World>) {
    let random = world.chance("staff");
    let mut revoked: BTreeMap<IssuerId, Vec<Certificate>> = BTreeMap::new();
    loop {
        world.pause(&random, 30..5_400).await;
        let issuer = random.pick(&world.issuers);
        if *issuer == world.directory.id {
            continue;
        }
        let certificates = revoked.entry(issuer.clone()).or_default();
        let now = world.timeline.now();
        certificates.retain(|certificate| certificate.not_after.is_none_or(|end| end > now));
        let held = certificates
            .iter()
            .position(|certificate| certificate.is_held);
        if let Some(held) = held.filter(|_| random.chance(300)) {
            let certificate = certificates.remove(held);
            // Before the call: the CRL without it may be seen before the call has ended.
            world.ledger.released(issuer, &certificate.serial);
            let released = world.origin.release(issuer, &certificate.serial);
            world
                .trace
                .line(format!("release from {issuer}: {:?}", released.is_ok()));
            continue;
        }
        if certificates.len() >= MOST_REVOKED {
            continue;
        }
        for _ in 0..random.between(1..4) {
            let certificate = revoke(&world, issuer, &random);
            certificates.extend(certificate);
        }
    }
}

/// Revokes a certificate. `None` if the origin does not say that it is done.
fn revoke(world: &World, issuer: &IssuerId, random: &Random) -> Option<Certificate> {
    let now = world.timeline.now();
    let serial = [&[0x40], &random.bytes::<11>()[..]].concat();
    let expires = random.chance(600);
    let days = random.between(1..20);
    let not_after = expires.then(|| now.after(Duration::from_hours(24 * days)));
    let is_held = random.chance(200);
    let reason = if is_held {
        Reason::CertificateHold
    } else {
        Reason::KeyCompromise
    };
    let shards = world.names_of(issuer).iter().filter_map(|name| match name {
        CrlName::Shard(number) => Some(*number),
        CrlName::Full | CrlName::Delta => None,
    });
    let shards: Vec<u32> = shards.collect();
    let shard = (!shards.is_empty()).then(|| *random.pick(&shards));
    let list = shard.map_or(NamedList::Full, NamedList::Shard);
    let done = world
        .origin
        .revoke(issuer, &serial, reason, not_after, list);
    let is_acknowledged = done.is_ok();
    let what = done.map_err(|error| format!("{error:#}"));
    world.trace.line(format!("revoke from {issuer}: {what:?}"));
    let revoked = Revoked {
        serial: serial.clone(),
        not_after,
        shard,
        is_acknowledged,
    };
    world.ledger.revoked(issuer, revoked);
    is_acknowledged.then_some(Certificate {
        serial,
        not_after,
        is_held,
    })
}

async fn relying_party(world: Rc<World>, client: Rc<Client>) {
    let random = world.chance(&client.name);
    let lists = world.all_lists();
    loop {
        world.pause(&random, 1..1_200).await;
        client.need(random.pick(&lists)).await;
    }
}
