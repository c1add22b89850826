//! Issuers that publish a CRL at a URL: it is fetched if it has changed, verified, and passed on as
//! it is.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use http::header::CACHE_CONTROL;
use http::{HeaderMap, HeaderValue, StatusCode};

use super::fetch::{self, Fetched};
use super::passed_on::PassedOn;
use super::{Answer, Connector, ConnectorError, CrlRequest, UpstreamFault};
use crate::connector_config::UrlConfig;
use crate::http_client::{HttpClient, Reach};

/// Passes on a published CRL.
pub(super) struct Url {
    pub(super) config: UrlConfig,
    pub(super) client: Arc<dyn HttpClient>,
    pub(super) passed_on: PassedOn,
}

impl Connector for Url {
    fn crl<'a>(&'a self, request: &'a CrlRequest) -> BoxFuture<'a, Result<Answer, ConnectorError>> {
        Box::pin(async {
            let current = self.current(request).await;
            current.map_err(|fault| ConnectorError::Upstream {
                issuer: request.issuer.id.clone(),
                fault,
            })
        })
    }
}

impl Url {
    async fn current(&self, request: &CrlRequest) -> Result<Answer, UpstreamFault> {
        let conditions = self.passed_on.conditions(request, &self.config.url);
        let is_conditional = !conditions.is_empty();
        let fetched = match self.fetch(request, conditions).await {
            Err(UpstreamFault::Status(StatusCode::NOT_MODIFIED, _)) if is_conditional => {
                return Ok(Answer::Unchanged);
            }
            fetched => fetched?,
        };
        let source = &self.config.url;
        let newest = self.passed_on.newest_number(request, source);
        let fetched = if is_conditional && newest > Some(fetched.number()) {
            // A cache that has yet to catch up is passed by.
            self.fetch(request, HeaderMap::new()).await?
        } else {
            fetched
        };
        self.passed_on.remember(request, source, &fetched);
        let number = fetched.number();
        // While the caches of a CDN catch up, the numbers seen go n+1, n, n+1. The caller has the
        // newer CRL, and it is still valid, or the caller would want a new one.
        if !request.caller.renew && self.passed_on.caller_holds_newer(request, source, number) {
            tracing::warn!(issuer = %request.issuer.id, %number, "an older CRL is published than was passed on before");
            return Ok(Answer::Unchanged);
        }
        Ok(fetched.answer(request))
    }

    async fn fetch(
        &self,
        request: &CrlRequest,
        conditions: HeaderMap,
    ) -> Result<Fetched, UpstreamFault> {
        fetch_if(&*self.client, &self.config, conditions, request).await
    }
}

/// Fetches the CRL, whatever is held.
pub(super) async fn fetch_once(
    client: &dyn HttpClient,
    config: &UrlConfig,
    request: &CrlRequest,
) -> Result<Fetched, UpstreamFault> {
    fetch_if(client, config, HeaderMap::new(), request).await
}

async fn fetch_if(
    client: &dyn HttpClient,
    config: &UrlConfig,
    conditions: HeaderMap,
    request: &CrlRequest,
) -> Result<Fetched, UpstreamFault> {
    let mut get = fetch::get(&config.url)?;
    if conditions.is_empty() {
        // What is due, or wanted anew, must not come from a cache that has yet to notice.
        let no_cache = HeaderValue::from_static("no-cache");
        get.headers_mut().insert(CACHE_CONTROL, no_cache);
    }
    get.headers_mut().extend(conditions);
    let reach = if config.allow_local {
        Reach::Anywhere
    } else {
        Reach::NotLocal
    };
    fetch::crl(client, get, reach, request).await
}
