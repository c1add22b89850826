//! Imports revocations from other software, and undoes an import.

use origin_api::{IssuerId, Timestamp};
use rusqlite::Connection;

use super::lookup::{find_issuer, find_local};
use super::revocations::{BatchResult, Changes};
use super::{Origin, OriginError};
use crate::ca::Serial;
use crate::revocation::{RevocationRequest, RevokedCertificate, State};
use crate::store::imports::{self as rows, ImportChange, ImportRow};
use crate::store::issuers::{IssuerNumber, IssuerRow};
use crate::store::records::{self, AdoptedCrl};
use crate::store::{lists, revocations};

/// The result of undoing an import.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Undone {
    /// The number of certificates with the state that they had before.
    pub undone: u64,
    /// The number of certificates that have changed since the import, and were left alone.
    pub changed_since: u64,
}

impl Origin {
    /// Starts an import from this source. Returns the id by which it can be undone.
    ///
    /// # Errors
    /// [`OriginError::IssuerNotFound`], [`OriginError::ManagedElsewhere`], [`OriginError::Store`].
    pub fn begin_import(
        &self,
        issuer: &IssuerId,
        source: &str,
        now: Timestamp,
    ) -> Result<i64, OriginError> {
        self.store.write(|tx| {
            let issuer = find_local(tx, issuer)?;
            Ok(rows::insert(tx, issuer.number, source, now.as_unix_time())?)
        })
    }

    /// Revokes certificates as part of an import; without an import it only shows what would
    /// change. One transaction.
    ///
    /// # Errors
    /// [`OriginError::IssuerNotFound`], [`OriginError::ManagedElsewhere`], [`OriginError::Store`].
    pub fn import(
        &self,
        issuer: &IssuerId,
        requests: &[RevocationRequest],
        import: Option<i64>,
        now: Timestamp,
    ) -> Result<BatchResult, OriginError> {
        let revoke = |tx: &rusqlite::Transaction<'_>| {
            let mut changes = Changes::begin(tx, find_local(tx, issuer)?)?;
            changes.import = import;
            changes.revoke_all(requests, now)
        };
        match import {
            Some(_) => self.store.write_in_bulk(revoke),
            None => self.store.try_out(revoke),
        }
    }

    /// Records an imported CRL, and ensures that the issuer's next CRLs have greater numbers.
    ///
    /// # Errors
    /// [`OriginError::IssuerNotFound`], [`OriginError::ManagedElsewhere`], [`OriginError::Store`].
    pub fn adopt_crl(&self, issuer: &IssuerId, crl: &AdoptedCrl) -> Result<(), OriginError> {
        self.store.write(|tx| {
            let issuer = find_local(tx, issuer)?;
            records::adopt(tx, issuer.number, crl)?;
            Ok(lists::raise_numbers(tx, issuer.number, crl.number)?)
        })
    }

    /// The imports of an issuer, oldest first.
    ///
    /// # Errors
    /// [`OriginError::IssuerNotFound`], [`OriginError::Store`].
    pub fn imports(&self, issuer: &IssuerId) -> Result<Vec<ImportRow>, OriginError> {
        self.store.read(|conn| {
            let issuer = find_issuer(conn, issuer)?;
            Ok(rows::all(conn, issuer.number)?)
        })
    }

    /// Gives the certificates that an import changed the state that they had before. Those that
    /// have changed since stay as they are. With `dry_run` it only counts.
    ///
    /// Each 5,000 changes are one transaction, and the last one marks the import as undone. Repeat
    /// it after a crash.
    ///
    /// # Errors
    /// [`OriginError::IssuerNotFound`], [`OriginError::ManagedElsewhere`],
    /// [`OriginError::ImportNotFound`], [`OriginError::Store`].
    pub fn undo_import(
        &self,
        issuer: &IssuerId,
        import: i64,
        dry_run: bool,
        now: Timestamp,
    ) -> Result<Undone, OriginError> {
        let (mut result, mut after) = (Undone::default(), None);
        loop {
            let step = if dry_run {
                self.store
                    .read(|conn| count_undone(conn, issuer, import, after.as_ref()))?
            } else {
                self.store
                    .write_in_bulk(|tx| undo_step(tx, issuer, import, after.as_ref(), now))?
            };
            result.undone = result.undone.saturating_add(step.result.undone);
            let changed_since = step.result.changed_since;
            result.changed_since = result.changed_since.saturating_add(changed_since);
            after = step.last;
            if after.is_none() {
                return Ok(result);
            }
        }
    }
}

/// How many changes one transaction undoes.
const STEP: u32 = 5_000;

/// The result of a step, and the last serial number if others follow.
struct UndoStep {
    result: Undone,
    last: Option<Serial>,
}

fn undo_step(
    conn: &Connection,
    issuer: &IssuerId,
    import: i64,
    after: Option<&Serial>,
    now: Timestamp,
) -> Result<UndoStep, OriginError> {
    let issuer = find_local(conn, issuer)?;
    let number = issuer.number;
    let (page, last) = changes_to_undo(conn, &issuer, import, after)?;
    let mut changes = Changes::begin(conn, issuer)?;
    let mut result = Undone::default();
    for change in page {
        let Some((position, certificate)) = undoable(conn, number, &change, &mut result)? else {
            continue;
        };
        // Relying parties saw it on a CRL: it must leave as a released hold does.
        let released = || RevokedCertificate {
            state: State::Released,
            ..certificate
        };
        let before = change.before.unwrap_or_else(released);
        changes.put(position, &before)?;
    }
    if last.is_none() {
        rows::set_undone(conn, import, now.as_unix_time())?;
    }
    changes.commit()?;
    Ok(UndoStep { result, last })
}

fn count_undone(
    conn: &Connection,
    issuer: &IssuerId,
    import: i64,
    after: Option<&Serial>,
) -> Result<UndoStep, OriginError> {
    let issuer = find_local(conn, issuer)?;
    let (page, last) = changes_to_undo(conn, &issuer, import, after)?;
    let mut result = Undone::default();
    for change in page {
        undoable(conn, issuer.number, &change, &mut result)?;
    }
    Ok(UndoStep { result, last })
}

/// The next changes of an import, and the last one's serial number if others follow.
fn changes_to_undo(
    conn: &Connection,
    issuer: &IssuerRow,
    import: i64,
    after: Option<&Serial>,
) -> Result<(Vec<ImportChange>, Option<Serial>), OriginError> {
    if !rows::exists(conn, issuer.number, import)? {
        return Err(OriginError::ImportNotFound(issuer.id.clone(), import));
    }
    let page = rows::changes(conn, import, after, STEP)?;
    let is_full = page.len() >= STEP as usize;
    let last = page.last().filter(|_| is_full);
    let last = last.map(|change| change.serial.clone());
    Ok((page, last))
}

/// The certificate of a change, and its position, if it has not changed since. Counts it.
fn undoable(
    conn: &Connection,
    issuer: IssuerNumber,
    change: &ImportChange,
    result: &mut Undone,
) -> Result<Option<(i64, RevokedCertificate)>, OriginError> {
    let current = revocations::find_changed(conn, issuer, &change.serial)?;
    let Some((position, certificate, last_change)) = current else {
        return Ok(None);
    };
    if last_change != change.changed {
        result.changed_since = result.changed_since.saturating_add(1);
        return Ok(None);
    }
    result.undone = result.undone.saturating_add(1);
    Ok(Some((position, certificate)))
}
