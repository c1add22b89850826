//! Revokes, releases and lists certificates.
//!
//! Every change raises the issuer's watermark. The push task of `crl-origin serve` finds raised
//! watermarks in the database and has the edge refresh, whichever process made the change
//! ([`crate::push`]).

use std::collections::BTreeSet;

use crl::CrlNumber;
use origin_api::{CrlName, IssuerId, Timestamp, Watermark};
use rusqlite::Connection;

use super::lookup::{find_issuer, find_local, find_signing};
use super::{Origin, OriginError};
use crate::ca::Serial;
use crate::profile::ProfileError;
use crate::revocation::{
    self, Decision, NamedList, RevocationError, RevocationRequest, RevokedCertificate,
};
use crate::sequence;
use crate::store::imports::{self, ImportChange};
use crate::store::issuers::{self as issuer_rows, IssuerRow};
use crate::store::{StoreError, certificates, lists, revocations as rows};

/// The result of a revocation or a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// The certificate's state now.
    pub certificate: RevokedCertificate,
    /// Whether the request changed it.
    pub changed: bool,
    /// The issuer's watermark now.
    pub watermark: Watermark,
}

/// The result of a batch.
#[derive(Debug, Default)]
pub struct BatchResult {
    /// The number of certificates that the batch changed.
    pub changed: u64,
    /// The number of requests that asked for the present state.
    pub unchanged: u64,
    /// The refused requests, by index in the batch.
    pub refused: Vec<(usize, BatchFault)>,
}

/// Why one request of a batch was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BatchFault {
    /// The certificate cannot be revoked in this way.
    #[error(transparent)]
    Revocation(#[from] RevocationError),
    /// The issuer's profile forbids it.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// The issuer has no such shard.
    #[error("the issuer has no shard {0}")]
    Shard(u32),
    /// The issuer has shards, and nothing says which list the certificate names: relying parties
    /// that fetch a shard would not see an entry on the full CRL alone.
    #[error(
        "the issuer has shards, and which list the certificate names is unknown: give the certificate or its shard, or state by no_shard that it names the full CRL"
    )]
    ListUnknown,
    /// The revocation would be on no CRL.
    #[error("the certificate would be on none of the issuer's CRLs: name its shard")]
    NoList,
}

impl Origin {
    /// Revokes a certificate, or puts it on hold. Repeating a request changes nothing.
    ///
    /// The expiry and shard of a certificate that was issued here are added.
    ///
    /// # Errors
    /// [`OriginError::IssuerNotFound`], [`OriginError::ManagedElsewhere`],
    /// [`OriginError::ShardNotFound`], [`OriginError::ListUnknown`], [`OriginError::NoList`],
    /// [`OriginError::Profile`], [`OriginError::Revocation`], [`OriginError::Store`].
    pub fn revoke(
        &self,
        issuer: &IssuerId,
        request: &RevocationRequest,
        now: Timestamp,
    ) -> Result<Revoked, OriginError> {
        self.store.write(|tx| {
            let issuer = find_local(tx, issuer)?;
            let mut changes = Changes::begin(tx, issuer)?;
            let (certificate, is_new) = changes.revoke(request, now)?.map_err(|fault| {
                let id = changes.issuer.id.clone();
                match fault {
                    BatchFault::Revocation(error) => error.into(),
                    BatchFault::Profile(error) => error.into(),
                    BatchFault::Shard(shard) => OriginError::ShardNotFound(id, shard),
                    BatchFault::ListUnknown => OriginError::ListUnknown(id, request.serial.clone()),
                    BatchFault::NoList => OriginError::NoList(id),
                }
            })?;
            Ok(Revoked {
                certificate,
                changed: is_new,
                watermark: changes.commit()?,
            })
        })
    }

    /// Revokes certificates in one transaction: a crash leaves the whole batch or nothing of it.
    /// Requests that cannot be carried out are skipped and reported. Repeating a batch changes
    /// nothing.
    ///
    /// # Errors
    /// [`OriginError::IssuerNotFound`], [`OriginError::ManagedElsewhere`], [`OriginError::Store`].
    pub fn revoke_all(
        &self,
        issuer: &IssuerId,
        requests: &[RevocationRequest],
        now: Timestamp,
    ) -> Result<BatchResult, OriginError> {
        self.store.write_in_bulk(|tx| {
            let changes = Changes::begin(tx, find_local(tx, issuer)?)?;
            changes.revoke_all(requests, now)
        })
    }

    /// Like [`revoke_all`](Self::revoke_all), for an issuer with another CA that decides what is
    /// revoked.
    ///
    /// # Errors
    /// [`OriginError::IssuerNotFound`], [`OriginError::ManagedElsewhere`], [`OriginError::Store`].
    pub fn follow_all(
        &self,
        issuer: &IssuerId,
        requests: &[RevocationRequest],
        now: Timestamp,
    ) -> Result<BatchResult, OriginError> {
        self.store.write_in_bulk(|tx| {
            let changes = Changes::begin(tx, find_signing(tx, issuer)?)?;
            changes.revoke_all(requests, now)
        })
    }

    /// Ensures that the numbers of the issuer's next CRLs are greater than `used`, which was used
    /// by other software.
    ///
    /// # Errors
    /// [`OriginError::IssuerNotFound`], [`OriginError::ManagedElsewhere`], [`OriginError::Store`].
    pub fn continue_numbers(&self, issuer: &IssuerId, used: CrlNumber) -> Result<(), OriginError> {
        self.store.write(|tx| {
            let issuer = find_signing(tx, issuer)?;
            Ok(lists::raise_numbers(tx, issuer.number, used)?)
        })
    }

    /// Ends a hold. Repeating a request changes nothing.
    ///
    /// # Errors
    /// [`OriginError::IssuerNotFound`], [`OriginError::RevocationNotFound`],
    /// [`OriginError::Revocation`], [`OriginError::Store`].
    pub fn release(&self, issuer: &IssuerId, serial: &Serial) -> Result<Revoked, OriginError> {
        self.store.write(|tx| {
            let issuer = find_local(tx, issuer)?;
            let (position, known) = rows::find(tx, issuer.number, serial)?.ok_or_else(|| {
                OriginError::RevocationNotFound(issuer.id.clone(), serial.clone())
            })?;
            let mut changes = Changes::begin(tx, issuer)?;
            let (certificate, is_new) = match revocation::release(&known)? {
                Decision::Write(next) => {
                    changes.put(position, &next)?;
                    (next, true)
                }
                Decision::Unchanged => (known, false),
            };
            Ok(Revoked {
                certificate,
                changed: is_new,
                watermark: changes.commit()?,
            })
        })
    }

    /// A certificate that is or was revoked.
    ///
    /// # Errors
    /// [`OriginError::IssuerNotFound`], [`OriginError::RevocationNotFound`],
    /// [`OriginError::Store`].
    pub fn revocation(
        &self,
        issuer: &IssuerId,
        serial: &Serial,
    ) -> Result<RevokedCertificate, OriginError> {
        self.store.read(|conn| {
            let issuer = find_issuer(conn, issuer)?;
            let found = rows::find(conn, issuer.number, serial)?;
            found
                .map(|(_, certificate)| certificate)
                .ok_or_else(|| OriginError::RevocationNotFound(issuer.id, serial.clone()))
        })
    }

    /// Up to `limit` selected revocations in the order of the CRL, after `cursor`; and the cursor
    /// of the next page.
    ///
    /// # Errors
    /// [`OriginError::IssuerNotFound`], [`OriginError::Store`].
    pub fn revocations(
        &self,
        issuer: &IssuerId,
        filter: rows::Filter,
        cursor: Option<i64>,
        limit: u32,
    ) -> Result<(Vec<RevokedCertificate>, Option<i64>), OriginError> {
        self.store.read(|conn| {
            let issuer = find_issuer(conn, issuer)?;
            let mut found = rows::page(
                conn,
                issuer.number,
                filter,
                cursor.unwrap_or(-1),
                limit.saturating_add(1),
            )?;
            let more = found.len() > limit as usize;
            found.truncate(limit as usize);
            let next = found.last().filter(|_| more).map(|(position, _)| *position);
            let page = found.into_iter().map(|(_, certificate)| certificate);
            Ok((page.collect(), next))
        })
    }
}

/// The changes of one transaction to an issuer's revocations. They share one watermark.
pub(super) struct Changes<'a> {
    conn: &'a Connection,
    issuer: IssuerRow,
    shards: BTreeSet<u32>,
    has_full: bool,
    watermark: Watermark,
    next_position: i64,
    any: bool,
    /// The import that the changes are recorded for.
    pub(super) import: Option<i64>,
}

impl<'a> Changes<'a> {
    pub(super) fn begin(conn: &'a Connection, issuer: IssuerRow) -> Result<Self, OriginError> {
        let lists = lists::all(conn, issuer.number)?;
        let has_full = lists.iter().any(|list| list.config.name == CrlName::Full);
        let shards = lists.into_iter().filter_map(|list| match list.config.name {
            CrlName::Shard(number) => Some(number),
            CrlName::Full | CrlName::Delta => None,
        });
        Ok(Self {
            conn,
            shards: shards.collect(),
            has_full,
            watermark: sequence::next_watermark(issuer.watermark),
            next_position: rows::next_position(conn, issuer.number)?,
            issuer,
            any: false,
            import: None,
        })
    }

    pub(super) fn revoke_all(
        mut self,
        requests: &[RevocationRequest],
        now: Timestamp,
    ) -> Result<BatchResult, OriginError> {
        let mut result = BatchResult::default();
        for (index, request) in requests.iter().enumerate() {
            match self.revoke(request, now)? {
                Ok((_, true)) => result.changed = result.changed.saturating_add(1),
                Ok((_, false)) => result.unchanged = result.unchanged.saturating_add(1),
                Err(fault) => result.refused.push((index, fault)),
            }
        }
        self.commit()?;
        Ok(result)
    }

    /// The certificate's state after the request, and whether the request changed it; or why it was
    /// refused.
    fn revoke(
        &mut self,
        request: &RevocationRequest,
        now: Timestamp,
    ) -> Result<Result<(RevokedCertificate, bool), BatchFault>, OriginError> {
        let request = self.complete(request)?;
        if let Err(error) = self.issuer.profile.check_reason(request.reason) {
            return Ok(Err(error.into()));
        }
        let known = rows::find(self.conn, self.issuer.number, &request.serial)?;
        let (position, known) = match known {
            Some((position, certificate)) => (position, Some(certificate)),
            None => (self.next_position, None),
        };
        let next = match revocation::revoke(known.as_ref(), &request, now.as_unix_time()) {
            Ok(Decision::Write(next)) => next,
            Ok(Decision::Unchanged) => {
                let known = known.ok_or(StoreError::Corrupt("revocation"))?;
                return Ok(Ok((known, false)));
            }
            Err(error) => return Ok(Err(error.into())),
        };
        if let Err(fault) = self.check_list(&next, &request, known.is_some()) {
            return Ok(Err(fault));
        }
        if let Some(import) = self.import {
            let change = ImportChange {
                serial: next.serial.clone(),
                changed: self.watermark,
                before: known,
            };
            imports::record(self.conn, import, &change)?;
        }
        self.put(position, &next)?;
        Ok(Ok((next, true)))
    }

    /// Adds what is known of a certificate that was issued here.
    fn complete(&self, request: &RevocationRequest) -> Result<RevocationRequest, OriginError> {
        let issued = certificates::find(self.conn, self.issuer.number, &request.serial)?;
        let facts = issued.map(|certificate| certificate.facts());
        Ok(RevocationRequest {
            certificate: facts.or(request.certificate),
            ..request.clone()
        })
    }

    /// Checks that the certificate will be on the CRL that its relying parties fetch.
    fn check_list(
        &self,
        next: &RevokedCertificate,
        request: &RevocationRequest,
        is_known: bool,
    ) -> Result<(), BatchFault> {
        match next.shard {
            Some(shard) if self.shards.contains(&shard) => Ok(()),
            Some(shard) => Err(BatchFault::Shard(shard)),
            None if !self.has_full => Err(BatchFault::NoList),
            None => {
                let certificate = request.certificate.map(|certificate| certificate.list);
                let is_stated = [certificate, Some(request.list)].contains(&Some(NamedList::Full));
                if is_stated || is_known || self.shards.is_empty() {
                    Ok(())
                } else {
                    Err(BatchFault::ListUnknown)
                }
            }
        }
    }

    pub(super) fn put(
        &mut self,
        position: i64,
        next: &RevokedCertificate,
    ) -> Result<(), OriginError> {
        let entry = next.entry()?;
        let (issuer, watermark) = (self.issuer.number, self.watermark);
        rows::put(
            self.conn,
            issuer,
            position,
            next,
            entry.as_deref(),
            watermark,
        )?;
        self.next_position = self.next_position.max(position.saturating_add(1));
        self.any = true;
        Ok(())
    }

    /// Stores the watermark if anything changed. Returns the issuer's watermark.
    pub(super) fn commit(self) -> Result<Watermark, OriginError> {
        if !self.any {
            return Ok(self.issuer.watermark);
        }
        issuer_rows::set_watermark(self.conn, self.issuer.number, self.watermark)?;
        Ok(self.watermark)
    }
}
