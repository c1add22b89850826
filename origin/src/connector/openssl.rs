//! Directories of `openssl ca`. OpenSSL issues and revokes; its `index.txt` is followed, and the CRL made here with the CA's
//! key, which was imported: in a fraction of the time that `openssl ca -gencrl` takes.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::BufReader;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use crl::CrlNumber;
use futures_util::future::BoxFuture;
use origin_api::{IssuerId, Timestamp};

use super::local::Local;
use super::{Answer, Connector, ConnectorError, CrlRequest, UpstreamFault};
use crate::connector_config::OpenSslConfig;
use crate::import;
use crate::origin::Origin;
use crate::revocation::RevocationRequest;

/// How each index looked when it was last read.
pub(super) type Followed = Arc<Mutex<HashMap<IssuerId, Stamp>>>;

/// What tells that a file was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    modified: SystemTime,
    length: u64,
}

pub(super) struct OpenSsl {
    pub(super) settings: OpenSslConfig,
    pub(super) local: Local,
    pub(super) followed: Followed,
}

/// Revocations in one transaction.
const BATCH: usize = 50_000;

impl Connector for OpenSsl {
    fn crl<'a>(&'a self, ask: &'a CrlRequest) -> BoxFuture<'a, Result<Answer, ConnectorError>> {
        Box::pin(async {
            let (origin, settings, followed) = (
                Arc::clone(&self.local.origin),
                self.settings.clone(),
                Arc::clone(&self.followed),
            );
            let (id, now) = (ask.issuer.id.clone(), ask.now);
            let follow = move || follow(&origin, &settings, &followed, &id, now);
            tokio::task::spawn_blocking(follow)
                .await
                .map_err(|_| ConnectorError::Cancelled)??;
            self.local.crl(ask).await
        })
    }
}

/// Takes over what was revoked since the index was last read.
pub(super) fn follow(
    origin: &Origin,
    settings: &OpenSslConfig,
    followed: &Followed,
    id: &IssuerId,
    now: Timestamp,
) -> Result<(), ConnectorError> {
    let upstream = |fault| ConnectorError::Upstream {
        issuer: id.clone(),
        fault,
    };
    // Looked at before it is read: what is written meanwhile is read again.
    let stamp = stamp(&settings.index).map_err(upstream)?;
    if followed
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .get(id)
        == Some(&stamp)
    {
        return Ok(());
    }
    if let Some(path) = &settings.crl_number {
        origin.continue_numbers(id, read_number(path).map_err(upstream)?)?;
    }
    let file = File::open(&settings.index)
        .map_err(|error| upstream(unreadable(&settings.index, &error)))?;
    let mut batch = Vec::with_capacity(BATCH);
    for line in import::read_index(BufReader::new(file)) {
        // A CRL without a certificate that was revoked is worse than the last one.
        let mut revocation = line
            .map_err(|bad| upstream(unreadable(&settings.index, &bad)))?
            .request;
        // It may have been revoked after `now`, or by a clock that is ahead of ours: not a reason to leave it out.
        revocation.revoked_at = revocation.revoked_at.map(|at| at.min(now.as_unix_time()));
        batch.push(revocation);
        if batch.len() >= BATCH {
            take_over(origin, id, &batch, now)?;
            batch.clear();
        }
    }
    take_over(origin, id, &batch, now)?;
    followed
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .insert(id.clone(), stamp);
    Ok(())
}

fn take_over(
    origin: &Origin,
    id: &IssuerId,
    batch: &[RevocationRequest],
    now: Timestamp,
) -> Result<(), ConnectorError> {
    for (_, fault) in origin.follow_all(id, batch, now)?.refused {
        tracing::warn!(issuer = %id, %fault, "a line of the CA's index cannot be taken over");
    }
    Ok(())
}

fn stamp(path: &Path) -> Result<Stamp, UpstreamFault> {
    let metadata = fs::metadata(path).map_err(|error| unreadable(path, &error))?;
    let modified = metadata
        .modified()
        .map_err(|error| unreadable(path, &error))?;
    Ok(Stamp {
        modified,
        length: metadata.len(),
    })
}

fn read_number(path: &Path) -> Result<CrlNumber, UpstreamFault> {
    let text = fs::read_to_string(path).map_err(|error| unreadable(path, &error))?;
    crate::hex::number(text.trim())
        .ok_or_else(|| unreadable(path, &"it does not hold a CRL number in hexadecimal"))
}

fn unreadable(path: &Path, fault: &dyn std::fmt::Display) -> UpstreamFault {
    UpstreamFault::File {
        path: path.to_owned(),
        fault: fault.to_string(),
    }
}
