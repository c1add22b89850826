//! Issuers whose key and revocations are kept here.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::{Answer, Connector, ConnectorError, CrlRequest, blocking};
use crate::origin::Origin;

/// Makes CRLs with the issuer's own key.
pub(super) struct Local {
    pub(super) origin: Arc<Origin>,
}

impl Connector for Local {
    fn crl<'a>(&'a self, ask: &'a CrlRequest) -> BoxFuture<'a, Result<Answer, ConnectorError>> {
        Box::pin(async {
            let (id, name, held, now) = (ask.issuer.id.clone(), ask.name, ask.held, ask.now);
            Ok(blocking(&self.origin, move |origin| {
                origin.make_crl(&id, name, held, now)
            })
            .await?
            .into())
        })
    }
}
