//! The calls of a PKI engine's API that the connector and the command line make.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use der::pem;
use http::{Method, Request, StatusCode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::connector::fetch::{self, Fetched};
use crate::connector::{CrlRequest, UpstreamFault};
use crate::connector_config::{Login, OpenBaoConfig};
use crate::http_client::{HttpClient, HttpError, Reach};

/// The largest JSON answer that is read: a list of tens of thousands of issuers.
const ANSWER_LIMIT: usize = 16 * 1024 * 1024;

/// A PKI engine of OpenBao or Vault.
pub(crate) struct Engine {
    config: OpenBaoConfig,
    client: Arc<dyn HttpClient>,
}

/// An issuer of the engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct EngineIssuer {
    /// Its id in the engine.
    pub(crate) id: String,
    /// Its name in the engine, if it has one.
    pub(crate) name: Option<String>,
}

/// What `config/crl` of an engine says of its CRLs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct CrlConfig {
    /// Its CRLs are empty, whatever was revoked.
    #[serde(default)]
    pub(crate) disable: bool,
    /// It makes a CRL by schedule, not at each revocation.
    #[serde(default)]
    pub(crate) auto_rebuild: bool,
}

impl CrlConfig {
    /// What that means for revocations, in words.
    pub(crate) fn meaning(self) -> &'static str {
        match (self.disable, self.auto_rebuild) {
            (true, _) => "disable=true: its CRL is empty whatever was revoked, and is refused",
            (false, true) => {
                "auto_rebuild=true: it lists a revocation when it rebuilds its CRL, so the CRL is rotated at each request"
            }
            (false, false) => "it lists a revocation at once",
        }
    }
}

/// A token of the engine, or a secret that gets one.
type Token = Zeroizing<String>;

impl Engine {
    pub(crate) fn new(config: OpenBaoConfig, client: Arc<dyn HttpClient>) -> Self {
        Self { config, client }
    }

    /// Where the engine is mounted.
    pub(crate) fn mount(&self) -> &str {
        self.config.mount.trim_matches('/')
    }

    /// Names the issuer among all engines.
    pub(super) fn source(&self) -> String {
        self.url(&format!("issuer/{}", self.config.issuer))
    }

    /// The issuer's current CRL, verified.
    pub(in crate::connector) async fn crl(
        &self,
        request: &CrlRequest,
    ) -> Result<Fetched, UpstreamFault> {
        let url = self.url(&format!("issuer/{}/crl/der", self.config.issuer));
        fetch::crl(&*self.client, fetch::get(&url)?, Reach::Anywhere, request).await
    }

    /// Has the engine make new CRLs of all its issuers.
    pub(super) async fn rotate(&self) -> Result<(), UpstreamFault> {
        let token = self.log_in().await?;
        self.read::<serde_json::Value>("crl/rotate", Some(&token))
            .await
            .map(drop)
    }

    /// What `config/crl` says; `None` if the token may not read it.
    ///
    /// # Errors
    /// [`UpstreamFault`].
    pub(crate) async fn crl_config(&self) -> Result<Option<CrlConfig>, UpstreamFault> {
        let token = self.log_in().await?;
        match self.read("config/crl", Some(&token)).await {
            Err(UpstreamFault::Status(StatusCode::FORBIDDEN, _)) => Ok(None),
            config => config.map(Some),
        }
    }

    /// The issuer's certificate, in DER.
    ///
    /// # Errors
    /// [`UpstreamFault`].
    pub(crate) async fn certificate(&self) -> Result<Vec<u8>, UpstreamFault> {
        #[derive(Deserialize)]
        struct Issuer {
            certificate: String,
        }
        let path = format!("issuer/{}/json", self.config.issuer);
        let issuer: Issuer = self.read(&path, None).await?;
        let (_, der) = pem::decode_vec(issuer.certificate.as_bytes()).map_err(|error| {
            UpstreamFault::Answer(format!("its certificate is not in PEM: {error}"))
        })?;
        Ok(der)
    }

    /// The engine's issuers.
    ///
    /// # Errors
    /// [`UpstreamFault`].
    pub(crate) async fn issuers(&self) -> Result<Vec<EngineIssuer>, UpstreamFault> {
        #[derive(Deserialize)]
        struct Issuers {
            keys: Vec<String>,
            key_info: HashMap<String, Info>,
        }
        #[derive(Deserialize)]
        struct Info {
            issuer_name: String,
        }
        let token = self.log_in().await?;
        // LIST is a GET with a parameter, for clients that know only the usual methods.
        let issuers: Issuers = self.read("issuers?list=true", Some(&token)).await?;
        let name = |id: &String| {
            issuers
                .key_info
                .get(id)
                .map(|info| info.issuer_name.clone())
        };
        let issuer = |id: String| EngineIssuer {
            name: name(&id).filter(|name| !name.is_empty()),
            id,
        };
        Ok(issuers.keys.iter().cloned().map(issuer).collect())
    }

    /// A token that the engine accepts.
    async fn log_in(&self) -> Result<Token, UpstreamFault> {
        #[derive(Deserialize)]
        struct Answer {
            auth: Auth,
        }
        #[derive(Deserialize)]
        struct Auth {
            client_token: String,
        }
        let (role_id, secret_id_file) = match &self.config.login {
            Login::TokenFile(path) => return read_secret(path),
            Login::AppRole {
                role_id,
                secret_id_file,
            } => (role_id, secret_id_file),
        };
        let secret_id = read_secret(secret_id_file)?;
        let body = serde_json::json!({ "role_id": role_id, "secret_id": secret_id.as_str() });
        let url = format!("{}/v1/auth/approle/login", self.base());
        let request = Request::post(url).body(body.to_string().into());
        let answer: Answer = self.json(request).await?;
        Ok(Zeroizing::new(answer.auth.client_token))
    }

    /// Reads a path of the engine: the value under `data` in its answer.
    async fn read<T: DeserializeOwned>(
        &self,
        path: &str,
        token: Option<&Token>,
    ) -> Result<T, UpstreamFault> {
        #[derive(Deserialize)]
        struct Answer<T> {
            data: T,
        }
        let mut request = Request::builder().method(Method::GET).uri(self.url(path));
        if let Some(token) = token {
            request = request.header("X-Vault-Token", token.as_str());
        }
        let answer: Answer<T> = self.json(request.body(Bytes::new())).await?;
        Ok(answer.data)
    }

    /// Sends a request that answers 200 and JSON.
    async fn json<T: DeserializeOwned>(
        &self,
        request: Result<Request<Bytes>, http::Error>,
    ) -> Result<T, UpstreamFault> {
        let request = request.map_err(|error| HttpError::Url(error.to_string()))?;
        let path = request.uri().path().to_owned();
        let limits = fetch::limits(Reach::Anywhere);
        let response = self.client.send(request, limits).await?;
        if response.status != StatusCode::OK {
            return Err(fetch::unexpected(&response, path));
        }
        let body = response.read(ANSWER_LIMIT).await?;
        serde_json::from_slice(&body)
            .map_err(|error| UpstreamFault::Answer(format!("its answer to {path}: {error}")))
    }

    fn url(&self, path: &str) -> String {
        format!("{}/v1/{}/{path}", self.base(), self.mount())
    }

    fn base(&self) -> &str {
        self.config.address.trim_end_matches('/')
    }
}

fn read_secret(path: &Path) -> Result<Token, UpstreamFault> {
    let text = std::fs::read_to_string(path)
        .map(Zeroizing::new)
        .map_err(|source| UpstreamFault::Secret {
            path: path.to_owned(),
            source,
        })?;
    Ok(Zeroizing::new(text.trim().to_owned()))
}
