//! Directories of `openssl ca`. OpenSSL issues and revokes; its `index.txt` is followed, and the
//! CRL is made here with the CA's key, which was imported: in a fraction of the time that `openssl
//! ca -gencrl` takes.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::follow::{Indexes, Reread, follow};
use super::lanes::Lanes;
use super::{Answer, Connector, ConnectorError, CrlRequest, local};
use crate::connector_config::OpenSslConfig;
use crate::origin::Origin;
use crate::runtime::Runtime;

/// Reads the index if it changed, then makes the CRL.
pub(super) struct OpenSsl {
    pub(super) config: OpenSslConfig,
    pub(super) origin: Arc<Origin>,
    pub(super) lanes: Lanes,
    pub(super) runtime: Arc<dyn Runtime>,
    pub(super) indexes: Indexes,
}

impl Connector for OpenSsl {
    fn crl<'a>(&'a self, request: &'a CrlRequest) -> BoxFuture<'a, Result<Answer, ConnectorError>> {
        Box::pin(async {
            let own = request.clone();
            let (config, indexes) = (self.config.clone(), self.indexes.clone());
            let runtime = Arc::clone(&self.runtime);
            let make = move |origin: &Origin| {
                let id = &own.issuer.id;
                // A database that does not know what an edge holds was restored: it may lack lines
                // that were followed before.
                let reread = if origin.knows(id, own.name, &own.caller)? {
                    Reread::IfFaulty
                } else {
                    Reread::Always
                };
                follow(origin, &config, &indexes, id, reread, &*runtime)?;
                Ok(local::make(origin, &own)?)
            };
            self.lanes.run(&request.issuer.id, &self.origin, make).await
        })
    }
}
