//! Issuers that publish a CRL at a URL: it is fetched if it has changed, verified, and passed on as
//! it is.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crl::UnixTime;
use futures_util::future::BoxFuture;
use http::{HeaderMap, StatusCode};
use origin_api::IssuerId;

use super::fetch::{self, Fetched};
use super::{Answer, Connector, ConnectorError, CrlRequest, UpstreamFault};
use crate::connector_config::UrlConfig;
use crate::http_client::{HttpClient, Reach};

/// Each issuer's CRL that was last passed on. Lost with the process: then the CRL is fetched once
/// more.
pub(super) type PassedOn = Arc<Mutex<HashMap<IssuerId, Known>>>;

/// A CRL, and how to ask for a newer one.
#[derive(Clone)]
pub(super) struct Known {
    url: String,
    sha256: [u8; 32],
    next_update: UnixTime,
    conditions: HeaderMap,
}

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
        let conditions = self.conditions(request);
        let is_conditional = !conditions.is_empty();
        let mut get = fetch::get(&self.config.url)?;
        get.headers_mut().extend(conditions);
        match fetch::crl(&*self.client, get, self.reach(), request).await {
            Err(UpstreamFault::Status(StatusCode::NOT_MODIFIED, _)) if is_conditional => {
                Ok(Answer::Unchanged)
            }
            fetched => {
                let fetched = fetched?;
                self.remember(request, &fetched);
                Ok(fetched.answer(request))
            }
        }
    }

    fn reach(&self) -> Reach {
        if self.config.allow_local {
            Reach::Anywhere
        } else {
            Reach::NotLocal
        }
    }

    /// What lets the server answer 304: only if the caller holds what the server sent, and while
    /// that is valid.
    fn conditions(&self, request: &CrlRequest) -> HeaderMap {
        let passed_on = self
            .passed_on
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let known = passed_on.get(&request.issuer.id).filter(|known| {
            request.holds(&known.sha256)
                && request.now.as_unix_time() < known.next_update
                && self.config.url == known.url
        });
        known
            .map(|known| known.conditions.clone())
            .unwrap_or_default()
    }

    fn remember(&self, request: &CrlRequest, fetched: &Fetched) {
        let known = Known {
            url: self.config.url.clone(),
            sha256: fetched.sha256(),
            next_update: fetched.validity().next_update,
            conditions: fetched.conditions(),
        };
        self.passed_on
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(request.issuer.id.clone(), known);
    }
}
