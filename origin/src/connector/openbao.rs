//! OpenBao, and Vault, whose PKI engines have the same API: they issue, revoke, and make the CRL. It is fetched
//! from there, and rotated when a new one is asked for or due.

use std::path::Path;

use der::pem;
use futures_util::future::BoxFuture;
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{Answer, Connector, ConnectorError, CrlRequest, UpstreamFault, fetch};
use crate::connector_config::{Login, OpenBaoConfig};

/// An issuer of the engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BaoIssuer {
    /// Its id there.
    pub id: String,
    /// Its name there, if it has one.
    pub name: Option<String>,
}

/// A PKI engine.
pub struct Bao {
    settings: OpenBaoConfig,
    client: Client,
}

impl Connector for Bao {
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

impl Bao {
    /// The engine with these settings.
    #[must_use]
    pub fn new(settings: OpenBaoConfig, client: Client) -> Self {
        Self { settings, client }
    }

    async fn current(&self, ask: &CrlRequest) -> Result<Answer, UpstreamFault> {
        // The engine makes a new CRL at each revocation by itself; another one must be asked for.
        if ask.held.is_none() {
            self.rotate().await?;
        }
        let fetched = match self.fetch(ask).await {
            // A CRL that has run out is one that is due.
            Err(UpstreamFault::Refused(crl::Refusal::Expired { .. })) => None,
            fetched => Some(fetched?),
        };
        if let Some(fetched) = fetched
            && !(fetched.is_held(ask) && is_due(fetched.validity(), ask.now.as_unix_time()))
        {
            return Ok(fetched.answer(ask));
        }
        self.rotate().await?;
        Ok(self.fetch(ask).await?.answer(ask))
    }

    async fn fetch(&self, ask: &CrlRequest) -> Result<fetch::Fetched, UpstreamFault> {
        let path = format!("issuer/{}/crl/der", self.settings.issuer);
        fetch::crl(self.request(Method::GET, &path), ask).await
    }

    async fn rotate(&self) -> Result<(), UpstreamFault> {
        let token = self.log_in().await?;
        let request = self
            .request(Method::GET, "crl/rotate")
            .header("X-Vault-Token", token.as_str());
        self.json::<serde_json::Value>(request).await.map(drop)
    }

    /// The certificate of the issuer, in DER.
    ///
    /// # Errors
    /// [`UpstreamFault`].
    pub async fn certificate(&self) -> Result<Vec<u8>, UpstreamFault> {
        #[derive(Deserialize)]
        struct Issuer {
            certificate: String,
        }
        let path = format!("issuer/{}/json", self.settings.issuer);
        let issuer: Issuer = self.json(self.request(Method::GET, &path)).await?;
        let (_, der) = pem::decode_vec(issuer.certificate.as_bytes()).map_err(|error| {
            UpstreamFault::Answer(format!("its certificate is not in PEM: {error}"))
        })?;
        Ok(der)
    }

    /// The issuers of the engine.
    ///
    /// # Errors
    /// [`UpstreamFault`].
    pub async fn issuers(&self) -> Result<Vec<BaoIssuer>, UpstreamFault> {
        #[derive(Deserialize)]
        struct Issuers {
            keys: Vec<String>,
            key_info: std::collections::HashMap<String, Info>,
        }
        #[derive(Deserialize)]
        struct Info {
            issuer_name: String,
        }
        let token = self.log_in().await?;
        // LIST is a GET with a parameter, for those who know only the usual methods.
        let request = self
            .request(Method::GET, "issuers?list=true")
            .header("X-Vault-Token", token.as_str());
        let issuers: Issuers = self.json(request).await?;
        let name = |id: &String| {
            issuers
                .key_info
                .get(id)
                .map(|info| info.issuer_name.clone())
        };
        let issuer = |id: String| BaoIssuer {
            name: name(&id).filter(|name| !name.is_empty()),
            id,
        };
        Ok(issuers.keys.iter().cloned().map(issuer).collect())
    }

    /// A token that the engine takes.
    async fn log_in(&self) -> Result<Zeroizing<String>, UpstreamFault> {
        #[derive(Deserialize)]
        struct Answer {
            auth: Auth,
        }
        #[derive(Deserialize)]
        struct Auth {
            client_token: String,
        }
        let (role_id, secret_id_file) = match &self.settings.login {
            Login::TokenFile(path) => return read_secret(path),
            Login::AppRole {
                role_id,
                secret_id_file,
            } => (role_id, secret_id_file),
        };
        let secret_id = read_secret(secret_id_file)?;
        let url = format!("{}/v1/auth/approle/login", self.base());
        let body = serde_json::json!({ "role_id": role_id, "secret_id": secret_id.as_str() });
        let response = self.client.post(url).json(&body).send().await?;
        let status = response.status();
        if status != StatusCode::OK {
            return Err(UpstreamFault::Status(status, "the login".to_owned()));
        }
        let answer: Answer = response
            .json()
            .await
            .map_err(|error| UpstreamFault::Answer(error.to_string()))?;
        Ok(Zeroizing::new(answer.auth.client_token))
    }

    fn base(&self) -> &str {
        self.settings.address.trim_end_matches('/')
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let mount = self.settings.mount.trim_matches('/');
        self.client
            .request(method, format!("{}/v1/{mount}/{path}", self.base()))
    }

    /// What stands under `data` in the answer.
    async fn json<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, UpstreamFault> {
        #[derive(Deserialize)]
        struct Answer<T> {
            data: T,
        }
        let response = request.send().await?;
        let status = response.status();
        if status != StatusCode::OK {
            return Err(UpstreamFault::Status(
                status,
                response.url().path().to_owned(),
            ));
        }
        let answer: Answer<T> = response
            .json()
            .await
            .map_err(|error| UpstreamFault::Answer(error.to_string()))?;
        Ok(answer.data)
    }
}

/// Half of its time is over: the next CRL is due.
fn is_due((this_update, next_update): (crl::UnixTime, crl::UnixTime), now: crl::UnixTime) -> bool {
    let validity = next_update.since(this_update).unwrap_or_default();
    now >= this_update.saturating_add(validity / 2)
}

fn read_secret(path: &Path) -> Result<Zeroizing<String>, UpstreamFault> {
    let text = std::fs::read_to_string(path)
        .map(Zeroizing::new)
        .map_err(|source| UpstreamFault::Secret {
            path: path.to_owned(),
            source,
        })?;
    Ok(Zeroizing::new(text.trim().to_owned()))
}
