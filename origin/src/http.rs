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

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use axum::response::Json;
use axum::routing::get;
use origin_api::{IssuerId, Timestamp};
use tower_http::catch_panic::CatchPanicLayer;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::connector::Connectors;
use crate::origin::{Origin, OriginError};
use crate::push::PushMetrics;
use crate::runtime::{Runtime, blocking};

pub(crate) use auth::StaticToken;
use error::ApiError;
pub(crate) use server::{Tls, serve};

/// The largest body that a call takes, in bytes.
const BODY_LIMIT: usize = 4 * 1024 * 1024;

/// State shared by the handlers.
#[derive(Clone)]
pub(crate) struct Service {
    origin: Arc<Origin>,
    runtime: Arc<dyn Runtime>,
    connectors: Connectors,
    tokens: Arc<[StaticToken]>,
    metrics: Arc<metrics::Metrics>,
}

impl Service {
    /// A service over the origin, for callers with one of these tokens or one that the origin
    /// keeps.
    pub(crate) fn new(
        origin: Arc<Origin>,
        runtime: Arc<dyn Runtime>,
        connectors: Connectors,
        pushes: &PushMetrics,
        tokens: Vec<StaticToken>,
    ) -> Self {
        Self {
            metrics: Arc::new(metrics::Metrics::new(connectors.metrics(), pushes)),
            origin,
            runtime,
            connectors,
            tokens: tokens.into(),
        }
    }

    /// All routes.
    pub(crate) fn router(self) -> Router {
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

    /// Runs a call of the origin, which blocks on the database, at the present moment.
    async fn call<T: Send + 'static>(
        &self,
        f: impl FnOnce(&Origin, Timestamp) -> Result<T, OriginError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let (origin, now) = (Arc::clone(&self.origin), self.runtime.now());
        let result = blocking(&*self.runtime, move || f(&origin, now)).await;
        Ok(result.map_err(|_| ApiError::internal())??)
    }

    /// As [`call`](Self::call), for a call that signs with the issuer's key: if its HSM hangs,
    /// other issuers' calls do not wait.
    async fn call_and_sign<T: Send + 'static>(
        &self,
        issuer: &IssuerId,
        f: impl FnOnce(&Origin, Timestamp) -> Result<T, OriginError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let now = self.runtime.now();
        let call = move |origin: &Origin| f(origin, now);
        Ok(self.connectors.in_lane(issuer, call).await?)
    }
}

fn documented_routes() -> OpenApiRouter<Service> {
    OpenApiRouter::with_openapi(openapi::frame())
        .routes(routes!(registry::list_issuers, authority::create_issuer))
        .routes(routes!(registry::show_issuer, authority::change_issuer))
        .routes(routes!(authority::show_setup))
        .routes(routes!(registry::current_crl))
        .routes(routes!(registry::departed))
        .routes(routes!(authority::issue_certificate))
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
