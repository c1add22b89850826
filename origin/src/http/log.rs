//! One line in the log for each request, and one count.

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;

use super::service::Service;

pub(super) async fn log_request(
    State(service): State<Service>,
    request: Request,
    next: Next,
) -> Response {
    let started = service.runtime.uptime();
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map(|route| route.as_str().to_owned());
    let response = next.run(request).await;
    let duration = service.runtime.uptime().saturating_sub(started);
    let status = response.status().as_u16();
    service.metrics.count(
        &method,
        route.as_deref().unwrap_or("none"),
        status,
        duration,
    );
    let duration_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    tracing::info!(%method, path, route, status, duration_ms, "request");
    response
}
