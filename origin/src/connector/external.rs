//! Issuers that publish their CRLs elsewhere.

use futures_util::future::BoxFuture;

use super::{Answer, Connector, ConnectorError, CrlRequest};

/// Never has a CRL.
pub(super) struct External;

impl Connector for External {
    fn crl<'a>(&'a self, _: &'a CrlRequest) -> BoxFuture<'a, Result<Answer, ConnectorError>> {
        Box::pin(async { Ok(Answer::Nothing) })
    }
}
