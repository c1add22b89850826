//! Issuers that publish a CRL at a URL: it is fetched, verified, and passed on as it is.

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};

use super::{Answer, Ask, Connector, ConnectorError, fetch};

/// Where the CRL is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UrlSettings {
    /// Its URL, http or https.
    pub url: String,
}

pub(super) struct Url {
    pub(super) settings: UrlSettings,
    pub(super) client: reqwest::Client,
}

impl Connector for Url {
    fn crl<'a>(&'a self, ask: &'a Ask) -> BoxFuture<'a, Result<Answer, ConnectorError>> {
        Box::pin(async {
            let fetched = fetch::crl(self.client.get(&self.settings.url), ask).await;
            let fetched = fetched.map_err(|fault| ConnectorError::Upstream {
                issuer: ask.issuer.id.clone(),
                fault,
            })?;
            Ok(fetched.answer(ask))
        })
    }
}
