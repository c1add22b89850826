//! Copies the database to a file, and puts a copy in its place.
//!
//! Both write a new file beside the target and rename it, so that a crash leaves the old file or
//! the new one, and never a part of one. Copies are readable by their owner alone (mode 0600).

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags, params};

use super::{MIGRATIONS, StoreError, make_private_file};
use crate::pause;

/// Copies the database to `target`, also while other processes use it. Replaces `target`.
///
/// # Errors
/// [`StoreError::Open`] if there is no database, [`StoreError::Write`], [`StoreError::Sqlite`].
pub fn back_up(database: &Path, target: &Path) -> Result<(), StoreError> {
    let source = open_existing(database)?;
    if is_same_file(database, target) {
        return Err(StoreError::SameFile(target.to_owned()));
    }
    let partial = beside(target, ".partial");
    copy(&source, &partial)?;
    pause::point("backup: copied");
    replace(&partial, target)?;
    pause::point("backup: renamed");
    Ok(())
}

/// Puts the copy `source` in the place of the database, which no process may be using. The file
/// that was there is kept as `<database>.before-restore`.
///
/// # Errors
/// [`StoreError::Open`] if there is no copy, [`StoreError::NotOrigins`] or [`StoreError::TooNew`]
/// if it is not a database of this program, [`StoreError::InUse`], [`StoreError::Write`],
/// [`StoreError::Sqlite`].
pub fn restore(source: &Path, database: &Path) -> Result<(), StoreError> {
    let copied = open_existing(source)?;
    check(&copied, source)?;
    if is_same_file(database, source) {
        return Err(StoreError::SameFile(source.to_owned()));
    }
    let partial = beside(database, ".partial");
    copy(&copied, &partial)?;
    pause::point("restore: copied");
    if database.exists() {
        empty_journal(database)?;
        pause::point("restore: journal emptied");
        let before = beside(database, ".before-restore");
        let _ = fs::remove_file(&before);
        pause::point("restore: older file removed");
        // A link, so that there is a database at each moment: a missing one would be created anew.
        fs::hard_link(database, &before).map_err(|error| failed(&before, error))?;
        pause::point("restore: old file kept");
    }
    replace(&partial, database)?;
    pause::point("restore: renamed");
    Ok(())
}

fn open_existing(path: &Path) -> Result<Connection, StoreError> {
    let metadata = fs::metadata(path).map_err(|source| StoreError::Open {
        path: path.to_owned(),
        source,
    })?;
    if !metadata.is_file() {
        return Err(StoreError::NotOrigins(path.to_owned()));
    }
    // Reading a file in WAL mode needs its -shm file, so it is opened for writing.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Ok(Connection::open_with_flags(path, flags)?)
}

/// Refuses what is not an intact database of this program.
fn check(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let not_origins = |_| StoreError::NotOrigins(path.to_owned());
    let verdict: String = connection
        .query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
        .map_err(not_origins)?;
    let found: u32 = connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(not_origins)?;
    let known = u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX);
    if found > known {
        return Err(StoreError::TooNew { found, known });
    }
    let has_issuers = connection.prepare("SELECT number FROM issuers").is_ok();
    if verdict != "ok" || found == 0 || !has_issuers {
        return Err(StoreError::NotOrigins(path.to_owned()));
    }
    Ok(())
}

/// A consistent copy, on disk when this returns.
fn copy(source: &Connection, target: &Path) -> Result<(), StoreError> {
    // What a crash left behind.
    let _ = fs::remove_file(target);
    make_private_file(target).map_err(|error| failed(target, error))?;
    pause::point("copy: begun");
    let name = target.to_string_lossy();
    source.execute("VACUUM INTO ?1", params![name])?;
    pause::point("copy: written");
    File::open(target)
        .and_then(|file| file.sync_all())
        .map_err(|error| failed(target, error))
}

/// Writes the journal into the database and deletes it: it must not be applied to another file.
/// Succeeds only if no other process has the database open.
fn empty_journal(database: &Path) -> Result<(), StoreError> {
    let in_use = |_| StoreError::InUse(database.to_owned());
    let connection = Connection::open(database)?;
    let mode: String = connection
        .query_row("PRAGMA journal_mode = DELETE", [], |row| row.get(0))
        .map_err(in_use)?;
    if mode.eq_ignore_ascii_case("delete") {
        Ok(())
    } else {
        Err(StoreError::InUse(database.to_owned()))
    }
}

fn replace(partial: &Path, target: &Path) -> Result<(), StoreError> {
    fs::rename(partial, target).map_err(|error| failed(target, error))?;
    let folder = target
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|error| failed(target, error))
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn is_same_file(one: &Path, other: &Path) -> bool {
    match (fs::canonicalize(one), fs::canonicalize(other)) {
        (Ok(one), Ok(other)) => one == other,
        _ => false,
    }
}

fn failed(path: &Path, source: std::io::Error) -> StoreError {
    StoreError::Write {
        path: path.to_owned(),
        source,
    }
}
