//! The origin over HTTP: routes, and what holds for all of them. What a call does is decided in [`crate::origin`].

mod auth;
mod authority;
mod error;
mod log;
mod metrics;
mod openapi;
mod registry;
mod server;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use axum::response::Json;
use axum::routing::get;
use origin_api::Timestamp;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::clock::Clock;
use crate::connector::Connectors;
use crate::origin::{Origin, OriginError};

pub use auth::StaticToken;
pub use error::ApiError;
pub use server::{Tls, TlsError, serve};

/// The largest body that a call takes, in bytes.
const BODY_LIMIT: usize = 4 * 1024 * 1024;

/// What the handlers share.
#[derive(Clone)]
pub struct Service {
    origin: Arc<Origin>,
    connectors: Connectors,
    clock: Arc<dyn Clock>,
    tokens: Arc<[StaticToken]>,
    metrics: Arc<metrics::Metrics>,
}

impl Service {
    /// A service over the origin, for those who present one of these tokens or one that the origin keeps.
    #[must_use]
    pub fn new(
        origin: Arc<Origin>,
        connectors: Connectors,
        clock: Arc<dyn Clock>,
        tokens: Vec<StaticToken>,
    ) -> Self {
        Self {
            origin,
            connectors,
            clock,
            tokens: tokens.into(),
            metrics: Arc::new(metrics::Metrics::new()),
        }
    }

    /// All routes.
    pub fn router(self) -> Router {
        let (api, document) = documented_routes().split_for_parts();
        let api = api.route_layer(middleware::from_fn_with_state(
            self.clone(),
            auth::require_token,
        ));
        let document = Json(openapi::complete(document));
        Router::new()
            .route("/healthz", get(async || "ok\n"))
            .route("/metrics", get(metrics::metrics))
            .route("/v1/openapi.json", get(async || document))
            .merge(api)
            .fallback(error::no_such_path)
            .method_not_allowed_fallback(error::method_not_allowed)
            .layer(DefaultBodyLimit::max(BODY_LIMIT))
            .layer(CatchPanicLayer::custom(error::panicked))
            .layer(middleware::from_fn_with_state(
                self.clone(),
                log::log_request,
            ))
            .with_state(self)
    }

    /// Runs a call of the origin where it may block, at the present moment.
    async fn call<T: Send + 'static>(
        &self,
        f: impl FnOnce(&Origin, Timestamp) -> Result<T, OriginError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let (origin, now) = (Arc::clone(&self.origin), self.clock.now());
        let result = tokio::task::spawn_blocking(move || f(&origin, now)).await;
        Ok(result.map_err(|_| ApiError::internal())??)
    }
}

/// The API's description, as served at `/v1/openapi.json`.
#[must_use]
pub fn openapi() -> OpenApi {
    openapi::complete(documented_routes().into_openapi())
}

fn documented_routes() -> OpenApiRouter<Service> {
    OpenApiRouter::with_openapi(openapi::frame())
        .routes(routes!(registry::list_issuers, authority::create_issuer))
        .routes(routes!(registry::show_issuer, authority::change_issuer))
        .routes(routes!(authority::show_setup))
        .routes(routes!(registry::current_crl))
        .routes(routes!(authority::issue_certificate))
        .routes(routes!(authority::list_revocations, authority::revoke))
        .routes(routes!(authority::revoke_batch))
        .routes(routes!(authority::show_revocation))
        .routes(routes!(authority::release))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What others build upon is changed knowingly: `UPDATE=1 cargo test` writes it anew.
    #[test]
    fn the_published_description_is_the_codes() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/openapi/origin.json");
        let document = openapi().to_pretty_json().unwrap() + "\n";
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(path, &document).unwrap();
        }
        assert_eq!(std::fs::read_to_string(path).unwrap(), document);
    }
}
