//! What runs without a person: the cron, the ways of requests, and the supervisor of the origin.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use edge::events::{Outcome, Trigger};
use edge::issuer::{IssuerAnswer, IssuerRequest};
use futures_channel::oneshot;
use futures_util::stream::StreamExt as _;
use http::{Request, StatusCode, header};
use origin_api::{IssuerId, IssuersPage};

use crate::faults::Fault;
use crate::wire::{Exchange, Response};
use crate::world::{Ends, HOOK_TOKEN, World};

/// How often the cron trigger fires, as wrangler.toml has it.
const CRON: Duration = Duration::from_mins(15);

/// Starts all of it.
pub(crate) fn start(world: &Rc<World>, ends: Ends) {
    let Ends {
        mut at_origin,
        mut at_edge,
        mut crashed,
    } = ends;
    let this = Rc::clone(world);
    world.spawn(async move {
        while let Some(exchange) = at_origin.next().await {
            let inner = Rc::clone(&this);
            this.spawn(async move { ask_origin(&inner, exchange).await });
        }
    });
    let this = Rc::clone(world);
    world.spawn(async move {
        while let Some(exchange) = at_edge.next().await {
            let inner = Rc::clone(&this);
            this.spawn(async move {
                let response = hook(&inner, &exchange.request).await;
                let _ = exchange.respond.send(response);
            });
        }
    });
    let this = Rc::clone(world);
    world.spawn(async move {
        let random = this.chance("supervisor");
        while crashed.next().await.is_some() {
            this.origin.stop();
            this.timeline.sleep(random.seconds(1..120)).await;
            start_origin(&this);
        }
    });
    world.spawn(cron(Rc::clone(world)));
}

/// Hands a request to the origin, or to a CA that lies. Those are on the last page of the list.
async fn ask_origin(world: &World, exchange: Exchange) {
    let path = exchange.request.uri().path();
    let id = path.strip_prefix("/v1/issuers/");
    let id = id.and_then(|rest| rest.split('/').next());
    let liar = world.liars.iter().find(|liar| id == Some(liar.id.as_str()));
    if let Some(liar) = liar {
        match liar.serve(&exchange.request) {
            Ok(response) => drop(exchange.respond.send(response)),
            Err(error) => world
                .ledger
                .violated("a lying CA can lie", &format!("{error:#}")),
        }
        return;
    }
    if id.is_some() {
        return world.origin.serve(exchange);
    }
    let (respond, response) = oneshot::channel();
    world.origin.serve(Exchange {
        request: exchange.request,
        respond,
    });
    let Ok(mut response) = response.await else {
        return;
    };
    if let Ok(mut page) = serde_json::from_slice::<IssuersPage>(&response.body)
        && page.next_cursor.is_none()
    {
        page.issuers
            .extend(world.liars.iter().map(|liar| liar.record()));
        response.body = serde_json::json!(page).to_string().into();
    }
    let _ = exchange.respond.send(response);
}

/// Starts the origin unless it runs.
pub(crate) fn start_origin(world: &World) {
    if !world.origin.is_running()
        && let Err(error) = world.origin.start()
    {
        world
            .ledger
            .violated("the origin starts", &format!("{error:#}"));
    }
}

async fn cron(world: Rc<World>) {
    let random = world.chance("cron");
    loop {
        world.timeline.sleep(CRON).await;
        let strikes = |fault| world.faults.strikes(fault, "cron");
        if strikes(Fault::CronMissing) {
            continue;
        }
        if strikes(Fault::CronLate) {
            world.timeline.sleep(random.seconds(1..800)).await;
        }
        let twice = strikes(Fault::CronTwice);
        for _ in 0..=u32::from(twice) {
            let edge = world.edge.clone();
            world.spawn(async move { edge.tick().await });
        }
    }
}

/// The refresh of one issuer, as the origin asks for it after a change.
async fn hook(world: &World, request: &Request<Bytes>) -> Response {
    let is_authorized = request
        .headers()
        .get(header::AUTHORIZATION)
        .is_some_and(|value| value.as_bytes() == format!("Bearer {HOOK_TOKEN}").as_bytes());
    if !is_authorized {
        return Response::of(StatusCode::UNAUTHORIZED, "{}");
    }
    let id = request.uri().path().strip_prefix("/v1/issuers/");
    let id = id.and_then(|rest| rest.strip_suffix("/refresh"));
    let id: Option<IssuerId> = id.and_then(|id| id.parse().ok());
    let Some(id) = id.filter(|id| world.issuers.contains(id)) else {
        return Response::of(StatusCode::NOT_FOUND, "{}");
    };
    let request = IssuerRequest::Refresh {
        name: None,
        trigger: Trigger::Hook,
    };
    match world.edge.call(&id, request).await {
        Ok((IssuerAnswer::Refreshed(events), _)) => {
            let is_done = |outcome: Outcome| outcome.succeeded();
            let status = if events.iter().all(|event| is_done(event.outcome)) {
                StatusCode::OK
            } else {
                StatusCode::BAD_GATEWAY
            };
            let body = serde_json::json!({ "events": events }).to_string();
            Response::of(status, body)
        }
        _ => Response::of(StatusCode::INTERNAL_SERVER_ERROR, "{}"),
    }
}
