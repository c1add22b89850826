//! The operators' API, the dashboard and the metrics: routes, authorization, handlers, and what
//! they answer. The platform is reached through `ports`.

mod access;
mod access_keys;
mod api;
mod authorization;
pub(crate) mod call;
mod changes;
mod crl_status;
pub(crate) mod dashboard;
mod desk;
mod event_page;
mod event_query;
mod guesses;
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

use self::call::Endpoint;
use self::dashboard::address::Address;
use self::desk::Desk;
use crate::config::Settings;
use crate::problem::EdgeError;
use crate::url;

pub use self::access_keys::RsaKey;
pub use self::ports::{OperatorMemory, Ports, Request};
pub use self::reply::Reply;

/// The handler of an operator's request, as the table of routes names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatorRoute(pub(crate) Target);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// A call of the API.
    Api(Endpoint),
    /// A page, form or file of the dashboard.
    Dashboard(Address),
}

/// Answers a request to the API or the dashboard, and any request that has no route.
pub async fn answer<P: Ports>(
    ports: Rc<P>,
    settings: Rc<Settings>,
    request: &impl Request,
    route: Result<OperatorRoute, EdgeError>,
) -> Reply {
    let desk = Desk { ports, settings };
    let (method, path) = (request.method(), url::path(request.url()));
    let reply = match route.map(|OperatorRoute(target)| target) {
        Ok(Target::Dashboard(address)) => desk.dashboard(request, Ok(address)).await.into(),
        Ok(Target::Api(endpoint)) => desk
            .api(request, endpoint)
            .await
            .unwrap_or_else(|error| error.answer().into()),
        // A browser gets a page.
        Err(error @ EdgeError::MethodNotAllowed { .. }) if path.starts_with("/dashboard") => {
            desk.dashboard(request, Err(error)).await.into()
        }
        Err(error) => error.answer().into(),
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
