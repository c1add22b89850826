//! Follows the `index.txt` of directories of `openssl ca`: what is revoked there is recorded here.

use std::collections::HashMap;
use std::fs::{self, File, Metadata};
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use crl::CrlNumber;
use origin_api::{IssuerId, Timestamp};

use super::{ConnectorError, UpstreamFault};
use crate::connector_config::OpenSslConfig;
use crate::hex;
use crate::import::{self, Imported};
use crate::origin::{BatchFault, Origin};
use crate::revocation::RevocationError;

/// How many revocations are recorded in one transaction. The whole index is read when a line is
/// added, and other writers are not to wait for that.
const BATCH: usize = 5_000;

/// What was last found in each index.
pub(super) type Indexes = Arc<Mutex<HashMap<IssuerId, Seen>>>;

/// An index that was read to its end.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    stamp: Stamp,
    /// Why there can be no CRL, if a line cannot be on it.
    fault: Option<String>,
}

/// When an index is read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reread {
    /// If it changed.
    IfChanged,
    /// If it changed or had a fault: what was wrong may have been the issuer's configuration.
    IfFaulty,
    /// Now: the database may lack what was read before.
    Always,
}

/// What changes when a file does. `openssl ca` writes a new file and renames it, which changes the
/// inode even if the time's resolution is coarse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    path: PathBuf,
    inode: u64,
    modified: SystemTime,
    length: u64,
}

/// Records what was revoked since the index was last read. Blocks on the file system and the
/// database.
///
/// If a line cannot be listed, this fails and no CRL is made: one without a certificate that was
/// revoked is worse than the last one. The other lines are recorded all the same.
pub(super) fn follow(
    origin: &Origin,
    config: &OpenSslConfig,
    indexes: &Indexes,
    issuer: &IssuerId,
    reread: Reread,
    now: Timestamp,
) -> Result<(), ConnectorError> {
    let upstream = |fault| ConnectorError::Upstream {
        issuer: issuer.clone(),
        fault,
    };
    // The stamp is taken before the file is read: what is written meanwhile is read again.
    let stamp = stamp(&config.index).map_err(upstream)?;
    let known = lock(indexes).get(issuer).cloned();
    let seen = match known.filter(|seen| seen.stamp == stamp) {
        Some(seen)
            if reread == Reread::IfChanged
                || reread == Reread::IfFaulty && seen.fault.is_none() =>
        {
            seen
        }
        _ => {
            if let Some(path) = &config.crl_number {
                origin.continue_numbers(issuer, read_number(path).map_err(upstream)?)?;
            }
            let fault = read(origin, &config.index, issuer, now)?;
            let seen = Seen { stamp, fault };
            lock(indexes).insert(issuer.clone(), seen.clone());
            seen
        }
    };
    match seen.fault {
        Some(fault) => Err(upstream(unreadable(&config.index, &fault))),
        None => Ok(()),
    }
}

/// The first line of an index that cannot be read, if any.
pub(super) fn first_bad_line(config: &OpenSslConfig) -> Result<Option<String>, UpstreamFault> {
    if let Some(path) = &config.crl_number {
        read_number(path)?;
    }
    let file = File::open(&config.index).map_err(|error| unreadable(&config.index, &error))?;
    let bad = import::read_index(BufReader::new(file)).find_map(Result::err);
    Ok(bad.map(|bad| bad.to_string()))
}

/// Records every revocation in an index, in batches; returns the first line that cannot be listed.
fn read(
    origin: &Origin,
    index: &Path,
    issuer: &IssuerId,
    now: Timestamp,
) -> Result<Option<String>, ConnectorError> {
    let file = File::open(index).map_err(|error| ConnectorError::Upstream {
        issuer: issuer.clone(),
        fault: unreadable(index, &error),
    })?;
    let mut fault = None;
    let mut batch = Vec::with_capacity(BATCH);
    for line in import::read_index(BufReader::new(file)) {
        match line {
            Ok(mut imported) => {
                // The CA's clock may be ahead of ours: not a reason to leave a certificate out.
                let revoked_at = &mut imported.request.revoked_at;
                *revoked_at = revoked_at.map(|at| at.min(now.as_unix_time()));
                batch.push(imported);
            }
            Err(bad) => fault = fault.or(Some(bad.to_string())),
        }
        if batch.len() >= BATCH {
            let refused = record(origin, issuer, &batch, now)?;
            fault = fault.or(refused);
            batch.clear();
        }
    }
    let refused = record(origin, issuer, &batch, now)?;
    Ok(fault.or(refused))
}

/// Records a batch; returns the first line that cannot be listed.
fn record(
    origin: &Origin,
    issuer: &IssuerId,
    batch: &[Imported],
    now: Timestamp,
) -> Result<Option<String>, ConnectorError> {
    let requests: Vec<_> = batch.iter().map(|line| line.request.clone()).collect();
    let mut fault = None;
    for (index, refused) in origin.follow_all(issuer, &requests, now)?.refused {
        let line = batch.get(index).map_or(0, |imported| imported.line);
        // The certificate is on the list already, and stays there, for another reason.
        if let BatchFault::Revocation(error @ RevocationError::AlreadyRevoked(_)) = &refused {
            tracing::warn!(%issuer, line, %error, "the CA's index gives another reason than before");
        } else {
            fault = fault.or(Some(format!("line {line}: {refused}")));
        }
    }
    Ok(fault)
}

fn lock(indexes: &Indexes) -> MutexGuard<'_, HashMap<IssuerId, Seen>> {
    indexes.lock().unwrap_or_else(PoisonError::into_inner)
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
