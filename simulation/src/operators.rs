//! Operators: they restore backups and recover from it, trust keys and accept CRLs, soon or late.

use std::rc::Rc;

use edge::issuer::{IssuerAnswer, IssuerRequest};
use edge::method::Method;
use edge::refresh::fingerprint;
use origin_api::{CrlName, IssuerId};

use crate::ledger::BACK_TO_NORMAL;
use crate::platform;
use crate::random::Random;
use crate::world::World;

/// Lets them act.
pub(crate) fn start(world: &Rc<World>) {
    world.spawn(back_up(Rc::clone(world)));
    world.spawn(recover(Rc::clone(world)));
    world.spawn(decide(Rc::clone(world)));
}

async fn back_up(world: Rc<World>) {
    let random = world.chance("backups");
    loop {
        world.timeline.sleep(random.seconds(1_800..14_400)).await;
        if let Err(error) = world.origin.back_up() {
            let what = format!("{error:#}");
            world.ledger.violated("the database can be copied", &what);
        }
    }
}

/// Puts one of the last copies in the place of the origin's database.
pub(crate) fn restore(world: &World, random: &Random) {
    let backups = world.origin.backups();
    let age = random.below(3).min(backups.len() as u64 - 1);
    let Some(copy) = backups.iter().rev().nth(usize::try_from(age).unwrap_or(0)) else {
        return;
    };
    world.origin.stop();
    if let Err(error) = world.origin.restore(copy) {
        let what = format!("{error:#}");
        world.ledger.violated("a copy can be restored", &what);
    }
    world.ledger.restored(copy.at);
    for issuer in &world.issuers {
        disturb(world, issuer);
    }
    platform::start_origin(world);
}

/// Until when an issuer may be abnormal: recovering takes a person's time, and then the usual one.
fn disturb(world: &World, issuer: &IssuerId) {
    let until = world.timeline.now().after(BACK_TO_NORMAL * 2);
    world.ledger.disturb(issuer, until);
}

/// Recovers each issuer of which the edge holds a CRL that the origin does not know.
async fn recover(world: Rc<World>) {
    let random = world.chance("recovery");
    loop {
        world.timeline.sleep(random.seconds(60..420)).await;
        for issuer in &world.issuers {
            if !world.origin.is_lost(issuer) {
                continue;
            }
            disturb(&world, issuer);
            let isolate = random.pick(&world.isolates);
            let list = (issuer.clone(), CrlName::Full);
            let served = isolate.get(Method::Get, &list, &[]).await;
            let Some(served) = served.filter(|served| served.status == 200) else {
                continue;
            };
            let recovered = world.origin.recover(issuer, &served.body);
            world.trace.line(format!("recover {issuer}: {recovered:?}"));
        }
    }
}

/// Trusts new keys and accepts refused CRLs of the CAs that lie, sometimes.
async fn decide(world: Rc<World>) {
    let random = world.chance("decisions");
    loop {
        world.timeline.sleep(random.seconds(600..7_200)).await;
        for liar in &world.liars {
            let asked = world.edge.call(&liar.id, IssuerRequest::Overview).await;
            let Ok((IssuerAnswer::Overview(overview), _)) = asked else {
                continue;
            };
            if let Some(waiting) = &overview.issuer.pending_certificate
                && random.chance(500)
            {
                liar.is_trusted();
                let sha256 = fingerprint(waiting);
                let request = IssuerRequest::Trust { sha256 };
                let trusted = world.edge.call(&liar.id, request).await.is_ok();
                world.trace.line(format!("trust {}: {trusted}", liar.id));
            }
            for (name, crl) in &overview.crls {
                let Some(candidate) = &crl.candidate else {
                    continue;
                };
                if random.chance(300) {
                    let request = IssuerRequest::Accept {
                        name: *name,
                        sha256: candidate.sha256,
                        by: "anna".to_owned(),
                    };
                    let accepted = world.edge.call(&liar.id, request).await.is_ok();
                    world
                        .trace
                        .line(format!("accept for {}: {accepted}", liar.id));
                }
            }
        }
    }
}
