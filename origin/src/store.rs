//! The origin's state, in one SQLite file: rows in and out, and no rules.
//!
//! It survives `kill -9`: the journal is a write-ahead log, and a transaction is on disk when it
//! returns. Several processes may use the file at once; writers wait for each other.

pub mod backup;
pub mod certificates;
pub mod expiry_clock;
pub mod imports;
pub mod issuers;
pub mod lists;
pub mod records;
pub mod revocations;
pub mod tokens;

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior};

use crate::pause;

/// Why the database failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The file cannot be opened or created.
    #[error("cannot open the database {path}: {source}")]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A later release has migrated the file.
    #[error(
        "the database is of version {found}, and this program knows those up to {known}: use the newer program"
    )]
    TooNew {
        /// The version found.
        found: u32,
        /// The newest version known.
        known: u32,
    },
    /// A copy of the database cannot be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not an intact database of this program.
    #[error("{0} is not an intact database of crl-origin")]
    NotOrigins(PathBuf),
    /// Another process uses the database.
    #[error("another process uses {0}: stop `crl-origin serve`, then restore")]
    InUse(PathBuf),
    /// The copy and the database are one file.
    #[error("{0} is the database itself")]
    SameFile(PathBuf),
    /// Another writer has not finished in time: a large import, perhaps of another process.
    #[error("the database is busy: another writer has not finished")]
    Busy,
    /// SQLite failed.
    #[error("the database failed: {0}")]
    Sqlite(#[source] rusqlite::Error),
    /// A row holds a value that no release wrote.
    #[error("the database holds a {0} that cannot be read")]
    Corrupt(&'static str),
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy,
            _ => Self::Sqlite(error),
        }
    }
}

/// How long a writer waits for another one of this process, and then for one of another process.
/// Twice that is less than an edge waits for an answer (`ORIGIN_TIMEOUT_MS`, 30 s by default).
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// The page cache of a connection, in KiB: SQLite's own default.
const CACHE_KIB: i32 = 2000;

/// The page cache of a transaction that touches pages all over the file.
const BULK_CACHE_KIB: i32 = 64 * 1024;

/// The steps from an empty file to the current schema. `user_version` counts the steps taken.
const MIGRATIONS: &[&str] = &[
    include_str!("../migrations/1.sql"),
    include_str!("../migrations/2.sql"),
    include_str!("../migrations/3.sql"),
    include_str!("../migrations/4.sql"),
    include_str!("../migrations/5.sql"),
    include_str!("../migrations/6.sql"),
    include_str!("../migrations/7.sql"),
];

/// The database.
pub struct Store {
    path: PathBuf,
    writer: parking_lot::Mutex<Connection>,
    /// Idle connections for reads.
    readers: Mutex<Vec<Connection>>,
}

impl Store {
    /// Opens the database, creates it if it is missing (mode 0600), and migrates its schema.
    ///
    /// # Errors
    /// [`StoreError::Open`], [`StoreError::TooNew`], [`StoreError::Sqlite`].
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        make_private_file(path).map_err(|source| StoreError::Open {
            path: path.to_owned(),
            source,
        })?;
        let mut writer = connect(path)?;
        migrate(&mut writer)?;
        Ok(Self {
            path: path.to_owned(),
            writer: parking_lot::Mutex::new(writer),
            readers: Mutex::default(),
        })
    }

    /// Runs `f` on a consistent snapshot.
    ///
    /// # Errors
    /// Those of `f`, and [`StoreError::Sqlite`].
    pub fn read<T, E: From<StoreError>>(
        &self,
        f: impl FnOnce(&Connection) -> Result<T, E>,
    ) -> Result<T, E> {
        let resting = lock(&self.readers).pop();
        let mut connection = resting.map_or_else(|| connect(&self.path), Ok)?;
        let result = {
            let snapshot = connection.transaction().map_err(StoreError::from)?;
            f(&snapshot)
        };
        lock(&self.readers).push(connection);
        result
    }

    /// Runs `f` in a write transaction; no other writer, in any process, runs meanwhile. What it
    /// wrote is durable when this returns `Ok`, and rolled back otherwise.
    ///
    /// # Errors
    /// Those of `f`, [`StoreError::Busy`] and [`StoreError::Sqlite`].
    pub fn write<T, E: From<StoreError>>(
        &self,
        f: impl FnOnce(&Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut connection = self.writer()?;
        let transaction = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(StoreError::from)?;
        let result = f(&transaction)?;
        pause::point("database: before a commit");
        transaction.commit().map_err(StoreError::from)?;
        pause::point("database: after a commit");
        Ok(result)
    }
}

impl Store {
    /// Like [`write`](Self::write), with a larger page cache for a transaction that touches pages
    /// all over the file.
    ///
    /// # Errors
    /// Those of `f`, [`StoreError::Busy`] and [`StoreError::Sqlite`].
    pub fn write_in_bulk<T, E: From<StoreError>>(
        &self,
        f: impl FnOnce(&Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        self.set_cache(BULK_CACHE_KIB)?;
        let result = self.write(f);
        self.set_cache(CACHE_KIB)?;
        result
    }

    /// Runs `f` in a write transaction and rolls it back: shows what it would do.
    ///
    /// # Errors
    /// Those of `f`, and [`StoreError::Sqlite`].
    pub fn try_out<T, E: From<StoreError>>(
        &self,
        f: impl FnOnce(&Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut connection = self.writer()?;
        let transaction = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(StoreError::from)?;
        let result = f(&transaction)?;
        transaction.rollback().map_err(StoreError::from)?;
        Ok(result)
    }

    /// The connection for writes, once no other thread uses it. A panic there has rolled its
    /// transaction back.
    fn writer(&self) -> Result<parking_lot::MutexGuard<'_, Connection>, StoreError> {
        let writer = self.writer.try_lock_for(BUSY_TIMEOUT);
        writer.ok_or(StoreError::Busy)
    }

    fn set_cache(&self, kib: i32) -> Result<(), StoreError> {
        let connection = self.writer()?;
        // Negative is KiB, positive would be pages.
        connection.pragma_update(None, "cache_size", kib.saturating_neg())?;
        Ok(connection.execute_batch("PRAGMA shrink_memory")?)
    }
}

/// A panic leaves the list of idle connections as it was.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn make_private_file(path: &Path) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path)?;
    // A copy that was put in its place may have any mode.
    #[cfg(unix)]
    if std::os::unix::fs::PermissionsExt::mode(&file.metadata()?.permissions()) & 0o077 != 0 {
        file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    }
    Ok(())
}

fn connect(path: &Path) -> Result<Connection, StoreError> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(64);
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // FULL: a CRL number stays used up even if the power fails.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // Otherwise a statement whose plan looked at a bound value is compiled again for each value.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(connection)
}

fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    let known = u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX);
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found: u32 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if found > known {
        return Err(StoreError::TooNew { found, known });
    }
    for step in MIGRATIONS.iter().skip(found as usize) {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "user_version", known)?;
    Ok(transaction.commit()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_transaction_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("origin.db")).unwrap();
        let failed: Result<(), StoreError> = store.write(|tx| {
            tx.execute(
                "INSERT INTO tokens VALUES ('a', x'00', 'edge', 0, NULL)",
                [],
            )?;
            Err(StoreError::Corrupt("test"))
        });
        assert!(failed.is_err());
        let rows: Result<i64, StoreError> = store
            .read(|conn| Ok(conn.query_row("SELECT count(*) FROM tokens", [], |row| row.get(0))?));
        assert_eq!(rows.unwrap(), 0);
    }

    #[test]
    fn a_newer_file_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("origin.db");
        drop(Store::open(&path).unwrap());
        Connection::open(&path)
            .unwrap()
            .pragma_update(None, "user_version", 99)
            .unwrap();
        assert!(matches!(
            Store::open(&path),
            Err(StoreError::TooNew { found: 99, .. })
        ));
    }

    #[cfg(unix)]
    #[test]
    fn only_its_owner_may_read_the_file() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("origin.db");
        let mode = || std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        drop(Store::open(&path).unwrap());
        assert_eq!(mode(), 0o600);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        drop(Store::open(&path).unwrap());
        assert_eq!(mode(), 0o600);
    }
}
