//! Follows the `index.txt` of directories of `openssl ca`: what is revoked there is recorded here.

use std::collections::HashMap;
use std::fs::{self, File, Metadata};
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use crl::CrlNumber;
use origin_api::{IssuerId, Timestamp};

use super::{ConnectorError, UpstreamFault};
use crate::connector_config::OpenSslConfig;
use crate::hex;
use crate::import::{self, Imported};
use crate::origin::{BatchFault, Origin};
use crate::revocation::RevocationError;
use crate::runtime::Runtime;

/// How many revocations are recorded in one transaction. The whole index is read when a line is
/// added, and other writers are not to wait for that.
const BATCH: usize = 5_000;

/// Within how long a file may change again without a change of its time: FAT counts in steps of
/// two seconds, others in one.
const TIME_STEP: Duration = Duration::from_secs(2);

/// What was last found in each index.
pub(super) type Indexes = Arc<Mutex<HashMap<IssuerId, Seen>>>;

/// An index that was read to its end.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    stamp: Stamp,
    /// When the file was found with this stamp, by the runtime's uptime: the file's own time may be
    /// by another clock.
    found_at: Duration,
    /// The file was read so long after that another change would have changed the stamp.
    is_settled: bool,
    /// Why there can be no CRL, if a line cannot be on it.
    fault: Option<String>,
}

/// When an index is read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reread {
    /// If it changed, or may have since it was read.
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
/// A file that has just changed is read again until the step of its time is over: a second change
/// within that step may leave the stamp as it is.
///
/// If a line cannot be listed, this fails and no CRL is made: one without a certificate that was
/// revoked is worse than the last one. The other lines are recorded all the same.
pub(super) fn follow(
    origin: &Origin,
    config: &OpenSslConfig,
    indexes: &Indexes,
    issuer: &IssuerId,
    reread: Reread,
    runtime: &dyn Runtime,
) -> Result<(), ConnectorError> {
    let upstream = |fault| ConnectorError::Upstream {
        issuer: issuer.clone(),
        fault,
    };
    // The stamp is taken before the file is read: what is written meanwhile is read again.
    let stamp = stamp(&config.index).map_err(upstream)?;
    let uptime = runtime.uptime();
    let known = lock(indexes).get(issuer).cloned();
    let known = known.filter(|seen| seen.stamp == stamp);
    let found_at = known.as_ref().map_or(uptime, |seen| seen.found_at);
    let is_enough = |seen: &Seen| match reread {
        Reread::IfChanged => seen.is_settled,
        Reread::IfFaulty => seen.is_settled && seen.fault.is_none(),
        Reread::Always => false,
    };
    let seen = if let Some(seen) = known.filter(is_enough) {
        seen
    } else {
        if let Some(path) = &config.crl_number {
            origin.continue_numbers(issuer, read_number(path).map_err(upstream)?)?;
        }
        let fault = read(origin, &config.index, issuer, runtime.now())?;
        let seen = Seen {
            stamp,
            found_at,
            is_settled: uptime.saturating_sub(found_at) >= TIME_STEP,
            fault,
        };
        lock(indexes).insert(issuer.clone(), seen.clone());
        seen
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use futures_util::future::BoxFuture;
    use origin_api::CrlName;

    use super::*;
    use crate::ca::{self, KeyKind, Serial};
    use crate::clock::Clock;
    use crate::connector_config::ConnectorConfig;
    use crate::list_config::{Lists, NewList};
    use crate::origin::{NewIssuer, NewKey, SignedBy};
    use crate::profile::Profile;
    use crate::random::SystemRandom;
    use crate::vault::Vault;

    const NOW: Timestamp = Timestamp::from_millis(1_795_435_200_000);

    /// Time that a test sets, in milliseconds since the start.
    #[derive(Default)]
    struct SetTime(AtomicU64);

    impl Clock for SetTime {
        fn now(&self) -> Timestamp {
            NOW.after(self.uptime())
        }
    }

    impl Runtime for SetTime {
        fn uptime(&self) -> Duration {
            Duration::from_millis(self.0.load(Ordering::Relaxed))
        }

        fn sleep(&self, _: Duration) -> BoxFuture<'static, ()> {
            unreachable!("an index is read without a wait")
        }

        fn run_blocking(&self, _: Box<dyn FnOnce() + Send>) -> BoxFuture<'static, ()> {
            unreachable!("the caller has a thread for it")
        }
    }

    /// An origin with an issuer whose index a test writes.
    struct Directory {
        origin: Origin,
        config: OpenSslConfig,
        issuer: IssuerId,
        indexes: Indexes,
        time: SetTime,
        _folder: tempfile::TempDir,
    }

    impl Directory {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let database = folder.path().join("ca.db");
            let origin = Origin::open(&database, Vault::default(), Arc::new(SystemRandom)).unwrap();
            let config = OpenSslConfig {
                index: folder.path().join("index.txt"),
                crl_number: None,
            };
            let full = NewList {
                name: CrlName::Full,
                distribution_point: None,
                validity: Duration::from_hours(240),
                overlap: None,
            };
            let new = NewIssuer {
                id: "ca".parse().unwrap(),
                subject: ca::parse_subject("CN=ca").unwrap(),
                key: NewKey::Generate(KeyKind::P256),
                validity: Duration::from_hours(24_000),
                signed_by: SignedBy::Itself,
                connector: ConnectorConfig::OpenSsl(config.clone()),
                profile: Profile::default(),
                lists: Lists::new(vec![full]).unwrap(),
            };
            let issuer = origin.create_issuer(new, NOW).unwrap().id;
            Self {
                origin,
                config,
                issuer,
                indexes: Indexes::default(),
                time: SetTime::default(),
                _folder: folder,
            }
        }

        /// Writes to the index itself; its file system counts whole seconds.
        fn write(&self, index: &str) {
            fs::write(&self.config.index, index).unwrap();
            let second = SystemTime::UNIX_EPOCH + Duration::from_hours(498_732);
            let file = File::options().write(true).open(&self.config.index);
            file.unwrap().set_modified(second).unwrap();
        }

        fn look(&self, at: u64) {
            self.time.0.store(at, Ordering::Relaxed);
            let reread = Reread::IfChanged;
            follow(
                &self.origin,
                &self.config,
                &self.indexes,
                &self.issuer,
                reread,
                &self.time,
            )
            .unwrap();
        }

        fn is_revoked(&self, serial: &str) -> bool {
            let serial: Serial = serial.parse().unwrap();
            self.origin.revocation(&self.issuer, &serial).is_ok()
        }
    }

    const FIRST: &str = "R\t361123120000Z\t261123120000Z\t01\tunknown\t/CN=a\n\
                         V\t361123120000Z\t\t02\tunknown\t/CN=b\n";
    const SECOND: &str = "V\t361123120000Z\t\t01\tunknown\t/CN=a\n\
                          R\t361123120000Z\t261123120000Z\t02\tunknown\t/CN=b\n";

    #[test]
    fn a_second_change_within_the_step_of_the_files_time_is_seen() {
        let directory = Directory::new();
        directory.write(FIRST);
        directory.look(100);
        assert!(directory.is_revoked("01"));
        assert!(!directory.is_revoked("02"));
        directory.write(SECOND);
        directory.look(1_100);
        assert!(directory.is_revoked("01"));
        assert!(directory.is_revoked("02"));
    }

    #[test]
    fn a_look_that_comes_late_is_the_last_one_only_if_it_read_the_file() {
        let directory = Directory::new();
        directory.write(FIRST);
        directory.look(100);
        directory.write(SECOND);
        directory.look(60_000);
        assert!(directory.is_revoked("02"));
    }

    #[test]
    fn an_index_that_has_settled_is_not_read_again() {
        let directory = Directory::new();
        directory.write(FIRST);
        directory.look(100);
        directory.look(2_100);
        // Only the stamp would say that this is another file.
        directory.write(SECOND);
        directory.look(3_000);
        assert!(!directory.is_revoked("02"));
    }
}
