//! What runs without a person: the cron, the ways of requests, and the supervisor of the origin.

use std::rc::Rc;

use futures_channel::oneshot;
use futures_util::stream::StreamExt as _;
use http::StatusCode;
use origin_api::IssuersPage;

use crate::faults::Fault;
use crate::origin_node::is_for_engine;
use crate::wire::{Exchange, Response};
use crate::world::{Ends, World};

/// Starts all of it.
pub(crate) fn start(world: &Rc<World>, ends: Ends) {
    let Ends {
        mut at_origin,
        mut at_edge,
        mut at_ca,
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
                let isolate = inner.hooks.pick(&inner.isolates);
                // An isolate that ends closes the connection.
                if let Some(response) = isolate.operate(&exchange.request).await {
                    let _ = exchange.respond.send(response);
                }
            });
        }
    });
    let this = Rc::clone(world);
    world.spawn(async move {
        while let Some(exchange) = at_ca.next().await {
            let response = if is_for_engine(&exchange.request) {
                this.engine.run_engine(&exchange.request)
            } else {
                this.foreign.publish(&exchange.request)
            };
            match response {
                Ok(response) => drop(exchange.respond.send(response)),
                Err(error) => this
                    .ledger
                    .violated("a CA can publish", &format!("{error:#}")),
            }
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
        if !liar.is_listed() {
            let unknown = Response::of(StatusCode::NOT_FOUND, "{}");
            return drop(exchange.respond.send(unknown));
        }
        match liar.serve(&exchange.request) {
            Ok(response) => drop(exchange.respond.send(response)),
            Err(error) => world
                .ledger
                .violated("a lying CA can lie", &format!("{error:#}")),
        }
        return;
    }
    // A balancer may send it to either of two origins.
    let another = world.another_origin.borrow().clone();
    let another = another.filter(|_| world.balancer.chance(500));
    let origin = another.as_ref().unwrap_or(&world.origin);
    if id.is_some() {
        return origin.serve(exchange);
    }
    let (respond, response) = oneshot::channel();
    origin.serve(Exchange {
        request: exchange.request,
        respond,
    });
    let Ok(mut response) = response.await else {
        return;
    };
    if let Ok(mut page) = serde_json::from_slice::<IssuersPage>(&response.body)
        && page.next_cursor.is_none()
    {
        let listed = world.liars.iter().filter(|liar| liar.is_listed());
        page.issuers.extend(listed.map(|liar| liar.record()));
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
        world.timeline.sleep(world.intervals.cron).await;
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
