//! Operators: they restore backups and recover from it, trust keys, accept CRLs, rotate tokens,
//! withdraw and retire lists, and run two origins by mistake, soon or late.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{Request, StatusCode, header};
use origin_api::{CrlName, IssuerId};
use serde_json::Value;

use crate::object_storage::Release;
use crate::platform;
use crate::random::Random;
use crate::wire::Response;
use crate::world::World;

/// How long a person takes to notice what only a person can repair, and to repair it.
const PERSONS_TIME: Duration = Duration::from_mins(35);

/// How long an operator tries to recover an issuer at most: several storms, and calm between them.
const LONGEST_RECOVERY: Duration = Duration::from_hours(24);

/// Lets them act.
pub(crate) fn start(world: &Rc<World>) {
    world.spawn(back_up(Rc::clone(world)));
    world.spawn(recover(Rc::clone(world)));
    world.spawn(decide(Rc::clone(world)));
    world.spawn(retire(Rc::clone(world)));
}

async fn back_up(world: Rc<World>) {
    let random = world.chance("backups");
    loop {
        world.pause(&random, 1_800..14_400).await;
        if let Err(error) = world.origin.back_up() {
            let what = format!("{error:#}");
            world.ledger.violated("the database can be copied", &what);
        }
    }
}

/// Puts one of the last copies in the place of the origin's database.
pub(crate) fn restore(world: &World, random: &Random) {
    let backups = world.origin.backups();
    let copy = random.pick(&backups);
    stop_another(world);
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
    let until = world.timeline.now();
    let until = until.after(PERSONS_TIME + world.intervals.back_to_normal());
    world.ledger.disturb(issuer, until);
}

/// Recovers each issuer of which the edge holds a CRL that the origin does not know. Some of them
/// only hours later, when CRLs have expired.
async fn recover(world: Rc<World>) {
    let random = world.chance("recovery");
    let mut begins = BTreeMap::new();
    loop {
        world.timeline.sleep(random.seconds(60..420)).await;
        for issuer in &world.issuers {
            // As the edge shows it, with an alert.
            let disk = world.edge.disk(issuer);
            let is_lost = disk.is_some_and(|disk| disk.fails_with("state_lost"));
            if !is_lost || world.origin.unknown_crls(issuer).is_empty() {
                begins.remove(issuer);
                continue;
            }
            disturb(&world, issuer);
            let now = world.timeline.now();
            let begin = begins.entry(issuer.clone()).or_insert_with(|| {
                let is_late = random.chance(200);
                let late = random.seconds(3_600..36_000);
                now.after(if is_late { late } else { Duration::ZERO })
            });
            if now < *begin {
                continue;
            }
            if now.since(*begin) > LONGEST_RECOVERY {
                let rule = "an issuer can be recovered";
                let what = format!("{issuer}: {:?}", world.origin.unknown_crls(issuer));
                return world.ledger.violated(rule, &what);
            }
            recover_issuer(&world, &random, issuer).await;
        }
    }
}

/// Recovers an issuer from what the edge holds, and gives up what nobody has any more.
async fn recover_issuer(world: &World, random: &Random, issuer: &IssuerId) {
    let (mut crls, mut gone) = (Vec::new(), Vec::new());
    for name in world.names_of(issuer) {
        // What relying parties get may be older, or have expired.
        let path = format!("/v1/issuers/{issuer}/crls/{name}");
        match ask(world, random, "GET", &path, String::new()).await {
            Some(held) if held.status == StatusCode::OK => crls.push((*name, held.body)),
            Some(held) if held.status == StatusCode::NOT_FOUND => gone.push(*name),
            _ => {}
        }
    }
    let certificates = world.ledger.certificates(issuer);
    let recovered = world.origin.recover(issuer, &crls, certificates);
    let recovered = recovered.map_err(|error| format!("{error:#}"));
    world.trace.line(format!("recover {issuer}: {recovered:?}"));
    let missing = world.origin.unknown_crls(issuer);
    for crl in missing.iter().filter(|crl| gone.contains(&crl.name)) {
        let dismissed = world.origin.dismiss(issuer, crl).is_ok();
        let (name, number) = (crl.name, crl.number);
        world
            .trace
            .line(format!("dismiss {name} {number} of {issuer}: {dismissed}"));
    }
}

/// Deploys the edge again with the tokens of now.
pub(crate) fn deploy(world: &World) {
    restart_edge(world, Release::This);
    world.ledger.restarted();
}

/// Restarts everything of the edge, as a deploy does. What was stored is as `from` wrote it.
pub(crate) fn restart_edge(world: &World, from: Release) {
    if let Err(error) = world.edge.deploy(world.settings(), from) {
        let rule = "what was stored can be read";
        world.ledger.violated(rule, &error);
    }
    for isolate in &world.isolates {
        world.restart_isolate(isolate);
    }
}

/// Rotates a token: in the order that the docs say, or in another.
pub(crate) async fn rotate_token(world: Rc<World>) {
    let random = world.chance("rotation");
    let old = world.tokens.borrow().clone();
    let number = world.rotations.replace(world.rotations.get() + 1);
    let new = format!("token-{number}-of-the-simulation");
    let in_order = random.chance(600);
    world
        .trace
        .line(format!("rotate a token, in order: {in_order}"));
    if !in_order {
        disturb_all(&world);
    }
    let origin = |change: &dyn Fn(&mut crate::origin_node::OriginTokens)| {
        if let Err(error) = world.origin.set_tokens(change) {
            let what = format!("{error:#}");
            world.ledger.violated("the origin starts", &what);
        }
        world.ledger.restarted();
    };
    let pause = || world.timeline.sleep(random.seconds(1..900));
    if random.chance(500) {
        if in_order {
            world.tokens.borrow_mut().hook = format!("{} {new}", old.hook);
            deploy(&world);
            pause().await;
        }
        let is_edge_first = !in_order && random.chance(500);
        if is_edge_first {
            world.tokens.borrow_mut().hook.clone_from(&new);
            deploy(&world);
            pause().await;
        }
        origin(&|tokens| tokens.hook.clone_from(&new));
        pause().await;
        if !is_edge_first {
            world.tokens.borrow_mut().hook.clone_from(&new);
            deploy(&world);
        }
    } else {
        if in_order {
            origin(&|tokens| tokens.accepted.push(new.clone()));
            pause().await;
        }
        let is_origin_first = !in_order && random.chance(500);
        if is_origin_first {
            origin(&|tokens| tokens.accepted = vec![new.clone()]);
            pause().await;
        }
        world.tokens.borrow_mut().origin.clone_from(&new);
        deploy(&world);
        pause().await;
        if !is_origin_first {
            origin(&|tokens| tokens.accepted = vec![new.clone()]);
        }
    }
    if !in_order {
        disturb_all(&world);
    }
}

fn disturb_all(world: &World) {
    for issuer in &world.issuers {
        disturb(world, issuer);
    }
}

/// Runs a second origin for a time, by mistake.
pub(crate) async fn run_another_origin(world: Rc<World>, shares: bool, time: Duration) {
    if world.another_origin.borrow().is_some() || !world.origin.is_running() {
        return;
    }
    let (another, mut crashed) = match world.origin.another(shares) {
        Ok(started) => started,
        Err(error) => {
            let what = format!("{error:#}");
            return world.ledger.violated("the origin starts", &what);
        }
    };
    world.another_origin.replace(Some(another.clone()));
    let this = Rc::clone(&world);
    // It is not started again.
    world.spawn(async move {
        if crashed.next().await.is_some() {
            another.stop();
            this.trace.line("the other origin crashed");
        }
    });
    if !shares {
        disturb_all(&world);
        world.another_was_at.set(Some(world.timeline.now()));
    }
    world.timeline.sleep(time).await;
    stop_another(&world);
}

/// Ends the second origin.
pub(crate) fn stop_another(world: &World) {
    let another = world.another_origin.take();
    if let Some(another) = another {
        world.trace.line("the other origin is no more");
        another.stop();
    }
    if world.another_was_at.take().is_some() {
        disturb_all(world);
    }
}

/// Asks the edge as an operator does, and reads the answer as JSON.
async fn call(
    world: &World,
    random: &Random,
    method: &str,
    path: &str,
    body: String,
) -> Option<Value> {
    let response = ask(world, random, method, path, body).await?;
    serde_json::from_slice(&response.body).ok()
}

/// Asks the edge as an operator does.
async fn ask(
    world: &World,
    random: &Random,
    method: &str,
    path: &str,
    body: String,
) -> Option<Response> {
    let request = Request::builder()
        .method(method)
        .uri(format!("https://edge{path}"))
        .header(
            header::AUTHORIZATION,
            format!("Bearer {}", world.tokens.borrow().operator),
        );
    let request = request.body(Bytes::from(body)).ok()?;
    let isolate = random.pick(&world.isolates);
    let response = isolate.operate(&request).await?;
    let status = response.status.as_u16();
    world
        .trace
        .line(format!("operator: {method} {path}: {status}"));
    Some(response)
}

/// Withdraws an issuer's delta, or publishes one again.
pub(crate) fn turn_delta(world: &World, random: &Random) {
    let with_delta = world.issuers.iter();
    let with_delta = with_delta.filter(|id| world.names_of(id).contains(&CrlName::Delta));
    let with_delta: Vec<_> = with_delta.collect();
    if with_delta.is_empty() {
        return;
    }
    let issuer = *random.pick(&with_delta);
    let is_published = random.chance(500);
    let done = world.origin.set_delta(issuer, is_published).is_ok();
    world.trace.line(format!(
        "publish a delta of {issuer}, {is_published}: {done}"
    ));
}

/// Removes by hand what the origin no longer lists, sometimes.
async fn retire(world: Rc<World>) {
    let random = world.chance("retirement");
    loop {
        world.pause(&random, 600..10_800).await;
        let issuers = world.all_issuers();
        let issuer = random.pick(&issuers);
        let delta = format!("/v1/issuers/{issuer}/crls/delta");
        let whole = format!("/v1/issuers/{issuer}");
        let path = if random.chance(500) { delta } else { whole };
        call(&world, &random, "DELETE", &path, String::new()).await;
    }
}

/// Trusts new keys and accepts refused CRLs of the CAs that lie, sometimes.
async fn decide(world: Rc<World>) {
    let random = world.chance("decisions");
    loop {
        world.timeline.sleep(random.seconds(600..7_200)).await;
        for liar in world.cas() {
            let path = format!("/v1/issuers/{}", liar.id);
            let Some(status) = call(&world, &random, "GET", &path, String::new()).await else {
                continue;
            };
            if let Some(sha256) = status["waiting_certificate_sha256"].as_str()
                && random.chance(500)
            {
                liar.is_trusted();
                let body = serde_json::json!({ "sha256": sha256 }).to_string();
                call(&world, &random, "POST", &format!("{path}/trust"), body).await;
            }
            for crl in status["crls"].as_array().into_iter().flatten() {
                let (Some(name), Some(sha256)) =
                    (crl["name"].as_str(), crl["candidate"]["sha256"].as_str())
                else {
                    continue;
                };
                if random.chance(300) {
                    let path = format!("{path}/crls/{name}/accept");
                    let body = serde_json::json!({ "sha256": sha256 }).to_string();
                    call(&world, &random, "POST", &path, body).await;
                }
            }
        }
    }
}
