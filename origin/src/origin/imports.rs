//! Imports revocations from other software, and undoes an import.

use origin_api::{IssuerId, Timestamp};

use super::lookup::{find_issuer, find_local};
use super::revocations::{BatchResult, Changes};
use super::{Origin, OriginError};
use crate::revocation::{RevocationRequest, RevokedCertificate, State};
use crate::store::imports::{self as rows, ImportRow};
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
    /// [`OriginError::IssuerNotFound`], [`OriginError::NoKey`], [`OriginError::Store`].
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
    /// [`OriginError::IssuerNotFound`], [`OriginError::NoKey`], [`OriginError::Store`].
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
    /// [`OriginError::IssuerNotFound`], [`OriginError::NoKey`], [`OriginError::Store`].
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
    /// # Errors
    /// [`OriginError::IssuerNotFound`], [`OriginError::NoKey`], [`OriginError::ImportNotFound`],
    /// [`OriginError::Store`].
    pub fn undo_import(
        &self,
        issuer: &IssuerId,
        import: i64,
        dry_run: bool,
        now: Timestamp,
    ) -> Result<Undone, OriginError> {
        let undo = |tx: &rusqlite::Transaction<'_>| {
            let issuer = find_local(tx, issuer)?;
            if !rows::exists(tx, issuer.number, import)? {
                return Err(OriginError::ImportNotFound(issuer.id, import));
            }
            let number = issuer.number;
            let mut changes = Changes::begin(tx, issuer)?;
            let mut result = Undone::default();
            for change in rows::changes(tx, import)? {
                let current = revocations::find_changed(tx, number, &change.serial)?;
                let Some((position, certificate, last_change)) = current else {
                    continue;
                };
                if last_change != change.changed {
                    result.changed_since = result.changed_since.saturating_add(1);
                    continue;
                }
                // Relying parties saw it on a CRL: it must leave as a released hold does.
                let released = || RevokedCertificate {
                    state: State::Released,
                    ..certificate
                };
                let before = change.before.unwrap_or_else(released);
                changes.put(position, &before)?;
                result.undone = result.undone.saturating_add(1);
            }
            rows::set_undone(tx, import, now.as_unix_time())?;
            changes.commit()?;
            Ok(result)
        };
        if dry_run {
            self.store.try_out(undo)
        } else {
            self.store.write_in_bulk(undo)
        }
    }
}
