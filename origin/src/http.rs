//! The origin over HTTP: the routes, and what every call has in common. What a call does is decided
//! in [`crate::origin`].

mod auth;
mod authority;
mod error;
mod log;
mod metrics;
mod openapi;
mod registry;
mod server;
mod service;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::header;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use axum::{Router, middleware};
use tower_http::catch_panic::CatchPanicLayer;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use error::ApiError;

pub(crate) use server::{Tls, serve};
pub(crate) use service::Service;

/// The largest body that a call takes, in bytes.
const BODY_LIMIT: usize = 4 * 1024 * 1024;

/// All routes.
pub(crate) fn router(service: Service) -> Router {
    let (api, document) = documented_routes().split_for_parts();
    let api = api.route_layer(middleware::from_fn_with_state(
        service.clone(),
        auth::require_token,
    ));
    let document = Json(openapi::complete(document));
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/metrics", get(metrics))
        .route("/v1/openapi.json", get(async || document))
        .merge(api)
        .fallback(error::no_such_path)
        .method_not_allowed_fallback(error::method_not_allowed)
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .layer(CatchPanicLayer::custom(error::panicked))
        .layer(middleware::from_fn_with_state(
            service.clone(),
            log::log_request,
        ))
        .with_state(service)
}

/// All metrics. They need no token: the CRLs say the same, except for what fails and waits, which
/// names no secret.
async fn metrics(State(service): State<Service>) -> Result<Response, ApiError> {
    let crls = service.call(|origin, _| origin.newest_crls()).await?;
    let body = service.metrics.encode(&crls);
    let body = body.map_err(|_| ApiError::internal())?;
    Ok(([(header::CONTENT_TYPE, metrics::MEDIA_TYPE)], body).into_response())
}

fn documented_routes() -> OpenApiRouter<Service> {
    OpenApiRouter::with_openapi(openapi::frame())
        .routes(routes!(registry::list_issuers, authority::create_issuer))
        .routes(routes!(registry::show_issuer, authority::change_issuer))
        .routes(routes!(authority::show_setup))
        .routes(routes!(registry::current_crl))
        .routes(routes!(registry::departed))
        .routes(routes!(
            authority::list_certificates,
            authority::issue_certificate
        ))
        .routes(routes!(authority::show_certificate))
        .routes(routes!(authority::list_revocations, authority::revoke))
        .routes(routes!(authority::revoke_batch))
        .routes(routes!(authority::show_revocation))
        .routes(routes!(authority::release))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Clients rely on the published description, so it changes only on purpose: `UPDATE=1 cargo
    /// test` writes it anew.
    #[test]
    fn the_published_description_is_up_to_date() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/openapi/origin.json");
        let document = openapi::complete(documented_routes().into_openapi());
        let document = document.to_pretty_json().unwrap() + "\n";
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(path, &document).unwrap();
        }
        assert_eq!(std::fs::read_to_string(path).unwrap(), document);
    }
}
