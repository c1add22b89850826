//! Looks at all directories of `openssl ca` by itself, so that a revocation made there is pushed
//! like any other.

use std::collections::HashSet;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, Either, select};
use futures_util::stream::FuturesUnordered;
use origin_api::IssuerId;

use super::connectors::Connectors;
use super::follow::{Reread, follow};
use crate::connector_config::OpenSslConfig;
use crate::runtime::{blocking, next_completed};

/// How often each directory is looked at.
const TICK: Duration = Duration::from_secs(1);

impl Connectors {
    /// Looks at every directory each second, until it is dropped, so that a revocation made by
    /// `openssl ca` is pushed like any other. A directory that does not answer is looked at again
    /// only when it has; the others do not wait for it.
    pub(crate) async fn follow_directories(&self) {
        let mut looking: FuturesUnordered<BoxFuture<'_, IssuerId>> = FuturesUnordered::new();
        let mut busy = HashSet::new();
        let mut next_list = self.list_directories(Duration::ZERO);
        loop {
            let next = {
                let looked = pin!(next_completed(&mut looking));
                match select(next_list, looked).await {
                    Either::Left((directories, _)) => Either::Left(directories),
                    Either::Right((issuer, list)) => Either::Right((issuer, list)),
                }
            };
            match next {
                Either::Left(directories) => {
                    for (issuer, config) in directories {
                        if busy.insert(issuer.clone()) {
                            looking.push(Box::pin(self.look(issuer, config)));
                        }
                    }
                    next_list = self.list_directories(TICK);
                }
                Either::Right((issuer, list)) => {
                    busy.remove(&issuer);
                    next_list = list;
                }
            }
        }
    }

    /// The directories that there are after `wait`.
    fn list_directories(&self, wait: Duration) -> BoxFuture<'_, Vec<(IssuerId, OpenSslConfig)>> {
        Box::pin(async move {
            self.runtime.sleep(wait).await;
            let origin = Arc::clone(&self.origin);
            match blocking(&*self.runtime, move || origin.openssl_directories()).await {
                Ok(Ok(directories)) => directories,
                Ok(Err(error)) => {
                    tracing::error!(%error, "cannot list the directories of openssl ca");
                    Vec::new()
                }
                Err(error) => {
                    tracing::error!(%error, "cannot list the directories of openssl ca");
                    Vec::new()
                }
            }
        })
    }

    async fn look(&self, issuer: IssuerId, config: OpenSslConfig) -> IssuerId {
        let (origin, indexes) = (Arc::clone(&self.origin), self.indexes.clone());
        let (id, runtime) = (issuer.clone(), Arc::clone(&self.runtime));
        let look = move || {
            let reread = Reread::IfChanged;
            follow(&origin, &config, &indexes, &id, reread, &*runtime)
        };
        match blocking(&*self.runtime, look).await {
            Ok(Ok(())) => self.metrics.recovered(&issuer, "upstream_file_unreadable"),
            Ok(Err(error)) => {
                tracing::warn!(%issuer, %error, "cannot follow a CA's directory");
                self.metrics.failed(&issuer, error.code());
            }
            Err(error) => tracing::error!(%issuer, %error, "cannot follow a CA's directory"),
        }
        issuer
    }
}
