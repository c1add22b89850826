//! Issuers that publish a CRL at a URL: it is fetched if it was changed, verified, and passed on as it is.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crl::UnixTime;
use futures_util::future::BoxFuture;
use origin_api::IssuerId;
use reqwest::StatusCode;
use reqwest::header::HeaderMap;

use super::fetch::{self, Fetched};
use super::{Answer, Connector, ConnectorError, CrlRequest, UpstreamFault};
use crate::connector_config::UrlConfig;

/// The CRL of each issuer that was last passed on. Forgotten with the process: then one more is fetched.
pub(super) type PassedOn = Arc<Mutex<HashMap<IssuerId, Known>>>;

/// A CRL, and how to ask for another one.
#[derive(Clone)]
pub(super) struct Known {
    url: String,
    sha256: [u8; 32],
    next_update: UnixTime,
    conditions: HeaderMap,
}

pub(super) struct Url {
    pub(super) settings: UrlConfig,
    pub(super) client: reqwest::Client,
    pub(super) passed_on: PassedOn,
}

impl Connector for Url {
    fn crl<'a>(&'a self, ask: &'a CrlRequest) -> BoxFuture<'a, Result<Answer, ConnectorError>> {
        Box::pin(async {
            self.current(ask)
                .await
                .map_err(|fault| ConnectorError::Upstream {
                    issuer: ask.issuer.id.clone(),
                    fault,
                })
        })
    }
}

impl Url {
    async fn current(&self, ask: &CrlRequest) -> Result<Answer, UpstreamFault> {
        let conditions = self.conditions(ask);
        let is_conditional = !conditions.is_empty();
        let request = self.client.get(&self.settings.url).headers(conditions);
        match fetch::crl(request, ask).await {
            Err(UpstreamFault::Status(StatusCode::NOT_MODIFIED, _)) if is_conditional => {
                Ok(Answer::Unchanged)
            }
            fetched => {
                let fetched = fetched?;
                self.remember(ask, &fetched);
                Ok(fetched.answer(ask))
            }
        }
    }

    /// What makes the server say that nothing changed: only for who holds what it had, and while that is valid.
    fn conditions(&self, ask: &CrlRequest) -> HeaderMap {
        let passed_on = self
            .passed_on
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let known = passed_on.get(&ask.issuer.id).filter(|known| {
            ask.held == Some(known.sha256)
                && ask.now.as_unix_time() < known.next_update
                && self.settings.url == known.url
        });
        known
            .map(|known| known.conditions.clone())
            .unwrap_or_default()
    }

    fn remember(&self, ask: &CrlRequest, fetched: &Fetched) {
        let (_, next_update) = fetched.validity();
        let known = Known {
            url: self.settings.url.clone(),
            sha256: fetched.sha256(),
            next_update,
            conditions: fetched.conditions(),
        };
        self.passed_on
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(ask.issuer.id.clone(), known);
    }
}
