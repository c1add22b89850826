//! Follows the `index.txt` of directories of `openssl ca`: what is revoked there is recorded here.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File, Metadata};
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use crl::CrlNumber;
use futures_util::future::{BoxFuture, Either, select};
use futures_util::stream::FuturesUnordered;
use origin_api::{IssuerId, Timestamp};

use super::{ConnectorError, Connectors, UpstreamFault};
use crate::connector_config::OpenSslConfig;
use crate::hex;
use crate::import;
use crate::origin::Origin;
use crate::revocation::RevocationRequest;
use crate::runtime::{blocking, next_completed};

/// How often each directory is looked at.
const TICK: Duration = Duration::from_secs(1);

/// How many revocations are recorded in one transaction.
const BATCH: usize = 50_000;

/// How each index looked when it was last read to its end.
pub(super) type Indexes = Arc<Mutex<HashMap<IssuerId, Stamp>>>;

/// What changes when a file does. `openssl ca` writes a new file and renames it, which changes the inode even if the time's
/// resolution is coarse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    path: PathBuf,
    inode: u64,
    modified: SystemTime,
    length: u64,
}

impl Connectors {
    /// Looks at every directory each second, until it is dropped, so that a revocation made by `openssl ca` is pushed like any
    /// other. A directory that does not answer is looked at again only when it has; the others do not wait for it.
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
        let (id, now) = (issuer.clone(), self.runtime.now());
        let look = move || follow(&origin, &config, &indexes, &id, now);
        match blocking(&*self.runtime, look).await {
            Ok(Ok(())) => self.metrics.succeeded(&issuer),
            Ok(Err(error)) => {
                tracing::warn!(%issuer, %error, "cannot follow a CA's directory");
                self.metrics.failed(&issuer, error.code());
            }
            Err(error) => tracing::error!(%issuer, %error, "cannot follow a CA's directory"),
        }
        issuer
    }
}

/// Records what was revoked since the index was last read. Blocks on the file system and the database.
pub(super) fn follow(
    origin: &Origin,
    config: &OpenSslConfig,
    indexes: &Indexes,
    issuer: &IssuerId,
    now: Timestamp,
) -> Result<(), ConnectorError> {
    let upstream = |fault| ConnectorError::Upstream {
        issuer: issuer.clone(),
        fault,
    };
    // The stamp is taken before the file is read: what is written meanwhile is read again.
    let stamp = stamp(&config.index).map_err(upstream)?;
    let known = indexes
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .get(issuer)
        .cloned();
    if known.as_ref() == Some(&stamp) {
        return Ok(());
    }
    if let Some(path) = &config.crl_number {
        origin.continue_numbers(issuer, read_number(path).map_err(upstream)?)?;
    }
    let file =
        File::open(&config.index).map_err(|error| upstream(unreadable(&config.index, &error)))?;
    let mut batch = Vec::with_capacity(BATCH);
    for line in import::read_index(BufReader::new(file)) {
        // A CRL without a certificate that was revoked is worse than the last one.
        let mut revocation = line
            .map_err(|bad| upstream(unreadable(&config.index, &bad)))?
            .request;
        // The CA's clock may be ahead of ours: not a reason to leave a certificate out.
        revocation.revoked_at = revocation.revoked_at.map(|at| at.min(now.as_unix_time()));
        batch.push(revocation);
        if batch.len() >= BATCH {
            record(origin, issuer, &batch, now)?;
            batch.clear();
        }
    }
    record(origin, issuer, &batch, now)?;
    indexes
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .insert(issuer.clone(), stamp);
    Ok(())
}

fn record(
    origin: &Origin,
    issuer: &IssuerId,
    batch: &[RevocationRequest],
    now: Timestamp,
) -> Result<(), ConnectorError> {
    for (_, fault) in origin.follow_all(issuer, batch, now)?.refused {
        tracing::warn!(%issuer, %fault, "a line of the CA's index cannot be taken over");
    }
    Ok(())
}

fn stamp(path: &Path) -> Result<Stamp, UpstreamFault> {
    let metadata = fs::metadata(path).map_err(|error| unreadable(path, &error))?;
    let modified = metadata
        .modified()
        .map_err(|error| unreadable(path, &error))?;
    Ok(Stamp {
        path: path.to_owned(),
        inode: inode(&metadata),
        modified,
        length: metadata.len(),
    })
}

#[cfg(unix)]
fn inode(metadata: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

#[cfg(not(unix))]
fn inode(_: &Metadata) -> u64 {
    0
}

fn read_number(path: &Path) -> Result<CrlNumber, UpstreamFault> {
    let text = fs::read_to_string(path).map_err(|error| unreadable(path, &error))?;
    hex::number(text.trim())
        .ok_or_else(|| unreadable(path, &"it does not hold a CRL number in hexadecimal"))
}

fn unreadable(path: &Path, fault: &dyn std::fmt::Display) -> UpstreamFault {
    UpstreamFault::File {
        path: path.to_owned(),
        fault: fault.to_string(),
    }
}
