//! OpenBao and Vault, whose PKI engines have the same API: they issue, revoke, and make the CRL. It
//! is fetched from there, and rotated when a new one is wanted or due.

mod engine;

use futures_util::future::BoxFuture;

use super::{Answer, Connector, ConnectorError, CrlRequest, UpstreamFault};

pub(crate) use engine::{Engine, EngineIssuer};

/// Passes on the CRL of an issuer of a PKI engine.
pub(super) struct OpenBao {
    pub(super) engine: Engine,
}

impl Connector for OpenBao {
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

impl OpenBao {
    async fn current(&self, request: &CrlRequest) -> Result<Answer, UpstreamFault> {
        // The engine makes a new CRL at each revocation by itself; any other must be asked for.
        if request.wants_new() {
            self.engine.rotate().await?;
        }
        let fetched = match self.engine.crl(request).await {
            // A CRL that has expired is one that is due.
            Err(UpstreamFault::Refused(crl::Refusal::Expired { .. })) => None,
            fetched => Some(fetched?),
        };
        if let Some(fetched) = fetched
            && !(fetched.is_held(request)
                && fetched.validity().is_half_over(request.now.as_unix_time()))
        {
            return Ok(fetched.answer(request));
        }
        self.engine.rotate().await?;
        Ok(self.engine.crl(request).await?.answer(request))
    }
}
