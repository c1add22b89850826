//! Issuers with a local key and local revocations.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::lanes::Lanes;
use super::{Answer, Connector, ConnectorError, CrlRequest};
use crate::origin::{Origin, OriginError};

/// Makes CRLs with the issuer's own key.
pub(super) struct Local {
    pub(super) origin: Arc<Origin>,
    pub(super) lanes: Lanes,
}

impl Connector for Local {
    fn crl<'a>(&'a self, request: &'a CrlRequest) -> BoxFuture<'a, Result<Answer, ConnectorError>> {
        Box::pin(async {
            let own = request.clone();
            let make = move |origin: &Origin| Ok(make(origin, &own)?);
            self.lanes.run(&request.issuer.id, &self.origin, make).await
        })
    }
}

/// Makes the CRL, or finds that the caller holds the current one.
pub(super) fn make(origin: &Origin, request: &CrlRequest) -> Result<Answer, OriginError> {
    let (issuer, caller) = (&request.issuer.id, &request.caller);
    let made = origin.make_crl(issuer, request.name, caller, request.now)?;
    Ok(made.into())
}
