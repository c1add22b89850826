//! The operators' API, the dashboard and the metrics: routes, authorization, handlers, and what
//! they answer. The platform is reached through [`ports`].

mod api;
mod authorization;
mod call;
mod crl_status;
mod dashboard;
mod desk;
mod event_page;
mod event_query;
mod issuers;
mod media;
mod metrics;
mod openapi;
mod parameters;
mod ports;
mod query;
mod reply;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::rc::Rc;

use call::Endpoint;
use dashboard::place::Place;
use desk::Desk;
pub use ports::{Ports, Request};
pub use reply::Reply;

use crate::config::Settings;
use crate::problem::EdgeError;
use crate::url;

/// Answers a request to a path of the API or the dashboard, and to any other with 404.
pub async fn answer<P: Ports>(
    ports: Rc<P>,
    settings: Rc<Settings>,
    request: &impl Request,
) -> Reply {
    let desk = Desk { ports, settings };
    let (method, path) = (request.method(), url::path(request.url()));
    let reply = if let Some(place) = Place::parse(method, path) {
        desk.dashboard(request, place).await.into()
    } else {
        let answered = match Endpoint::parse(method, path) {
            None => Err(EdgeError::NotFound),
            Some(Err(error)) => Err(error),
            Some(Ok(endpoint)) => desk.api(request, endpoint).await,
        };
        answered.unwrap_or_else(|error| error.answer().into())
    };
    let rows_read = desk.ports.rows_read();
    let reply = if rows_read > 0 {
        reply.with_header("D1-Rows-Read", rows_read.to_string().into())
    } else {
        reply
    };
    if method == "HEAD" {
        reply.without_body()
    } else {
        reply
    }
}
