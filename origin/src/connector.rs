//! Where an issuer's CRLs come from: a key that is kept here, or a CA that runs elsewhere. One trait, one file for each.

mod external;
mod fetch;
mod local;
mod openbao;
mod openssl;
mod url;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use origin_api::{CrlName, Issuer, IssuerId, Timestamp, Watermark};

use crate::connector_config::ConnectorConfig;
use crate::origin::{CrlAnswer, Origin, OriginError};

pub use fetch::Fault as UpstreamFault;
pub use openbao::{Bao, BaoIssuer};

/// A request for the current CRL.
#[derive(Clone, Debug)]
pub struct CrlRequest {
    /// Whose CRL; its certificate verifies what comes from elsewhere.
    pub issuer: Issuer,
    /// Which.
    pub name: CrlName,
    /// The SHA-256 of the one that the asker holds. Without it a new CRL is made, if the connector can make one.
    pub held: Option<[u8; 32]>,
    /// The present moment.
    pub now: Timestamp,
}

/// What a connector answers.
#[derive(Clone, Debug)]
pub enum Answer {
    /// This CRL is current.
    Crl(Body),
    /// The one that the asker holds is current.
    Unchanged,
    /// There is none to publish.
    Nothing,
}

/// A CRL's bytes.
#[derive(Clone, Debug)]
pub struct Body {
    /// Its DER, in parts.
    pub parts: Vec<Bytes>,
    /// Its length in bytes.
    pub size: u64,
    /// Its SHA-256.
    pub sha256: [u8; 32],
    /// How far the revocations had come, where that is known.
    pub watermark: Option<Watermark>,
}

/// A source of CRLs.
pub trait Connector: Send + Sync {
    /// The current CRL. May be called again at any time, also while it runs: a call that is dropped half-way has done no harm.
    fn crl<'a>(&'a self, ask: &'a CrlRequest) -> BoxFuture<'a, Result<Answer, ConnectorError>>;
}

/// Why a connector has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectorError {
    /// The origin itself.
    #[error(transparent)]
    Origin(#[from] OriginError),
    /// The CA behind it.
    #[error("the CA behind issuer {issuer}: {fault}")]
    Upstream {
        /// Whose.
        issuer: IssuerId,
        /// What is wrong.
        fault: UpstreamFault,
    },
    /// The call was cut off.
    #[error("the call was cut off")]
    Cancelled,
}

/// How long a CA behind us may take for one answer.
const UPSTREAM_TIMEOUT: Duration = Duration::from_secs(25);

/// All issuers, each behind its connector.
#[derive(Clone)]
pub struct Connectors {
    origin: Arc<Origin>,
    client: reqwest::Client,
    followed: openssl::Followed,
    passed_on: url::PassedOn,
}

impl Connectors {
    /// Connectors for the origin's issuers.
    ///
    /// # Errors
    /// If there are no certificates on this machine that TLS could rely on.
    pub fn new(origin: Arc<Origin>) -> Result<Self, reqwest::Error> {
        Ok(Self {
            origin,
            client: client()?,
            followed: openssl::Followed::default(),
            passed_on: url::PassedOn::default(),
        })
    }

    /// The current CRL of an issuer.
    ///
    /// # Errors
    /// [`ConnectorError`].
    pub async fn crl(
        &self,
        issuer: IssuerId,
        name: CrlName,
        held: Option<[u8; 32]>,
        now: Timestamp,
    ) -> Result<Answer, ConnectorError> {
        let (issuer, settings) =
            blocking(&self.origin, move |origin| origin.connection(&issuer)).await?;
        // One without any list is asked all the same: whatever the name, it says that there is nothing.
        if !issuer.crls.is_empty() && issuer.crls.iter().all(|crl| crl.name != name) {
            return Err(OriginError::CrlNotFound(issuer.id, name).into());
        }
        let ask = CrlRequest {
            issuer,
            name,
            held,
            now,
        };
        self.connector(settings).crl(&ask).await
    }

    /// Takes over what was revoked behind the origin's back, where that can be seen at a glance.
    pub async fn follow_all(&self, now: Timestamp) {
        let (origin, followed) = (Arc::clone(&self.origin), self.followed.clone());
        let follow = move || {
            for (id, settings) in origin.connections()? {
                let ConnectorConfig::OpenSsl(settings) = settings else {
                    continue;
                };
                if let Err(error) = openssl::follow(&origin, &settings, &followed, &id, now) {
                    tracing::warn!(issuer = %id, %error, "cannot follow a CA's directory");
                }
            }
            Ok::<_, OriginError>(())
        };
        match tokio::task::spawn_blocking(follow).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "cannot list the issuers"),
            Err(error) => tracing::error!(%error, "listing the issuers was cut off"),
        }
    }

    fn connector(&self, settings: ConnectorConfig) -> Box<dyn Connector> {
        let local = || local::Local {
            origin: Arc::clone(&self.origin),
        };
        match settings {
            ConnectorConfig::Local => Box::new(local()),
            ConnectorConfig::OpenSsl(settings) => Box::new(openssl::OpenSsl {
                settings,
                local: local(),
                followed: self.followed.clone(),
            }),
            ConnectorConfig::OpenBao(settings) => {
                Box::new(openbao::Bao::new(settings, self.client.clone()))
            }
            ConnectorConfig::Url(settings) => Box::new(url::Url {
                settings,
                client: self.client.clone(),
                passed_on: Arc::clone(&self.passed_on),
            }),
            ConnectorConfig::External => Box::new(external::External),
        }
    }
}

/// An HTTP client with the time limits of this module.
///
/// # Errors
/// If there are no certificates on this machine that TLS could rely on.
pub fn client() -> Result<reqwest::Client, reqwest::Error> {
    // Says no if there is one already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .timeout(UPSTREAM_TIMEOUT)
        .connect_timeout(Duration::from_secs(5))
        .user_agent(concat!("crl-origin/", env!("CARGO_PKG_VERSION")))
        .build()
}

/// Runs a call of the origin where it may block.
async fn blocking<T: Send + 'static>(
    origin: &Arc<Origin>,
    f: impl FnOnce(&Origin) -> Result<T, OriginError> + Send + 'static,
) -> Result<T, ConnectorError> {
    let origin = Arc::clone(origin);
    let result = tokio::task::spawn_blocking(move || f(&origin)).await;
    Ok(result.map_err(|_| ConnectorError::Cancelled)??)
}

impl From<CrlAnswer> for Answer {
    fn from(answer: CrlAnswer) -> Self {
        match answer {
            CrlAnswer::Crl(made) => Self::Crl(Body {
                parts: made.parts,
                size: made.size,
                sha256: made.sha256,
                watermark: Some(made.watermark),
            }),
            CrlAnswer::Unchanged => Self::Unchanged,
            CrlAnswer::Nothing => Self::Nothing,
        }
    }
}
