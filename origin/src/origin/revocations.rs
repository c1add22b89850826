//! Revocations: made, released, listed.

use origin_api::{IssuerId, Watermark};
use rusqlite::Connection;

use super::batch::{complete, shards};
use super::{Origin, OriginError, find_issuer};
use crate::ca::Serial;
use crate::clock::Moment;
use crate::connector_config::ConnectorConfig;
use crate::revocation::{self, Ask, Decision};
use crate::sequence;
use crate::store::StoreError;
use crate::store::issuers::{self as issuer_rows, IssuerRow};
use crate::store::revocations::{self as rows, RevocationRow};

/// What came of a revocation or a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// How the certificate stands now.
    pub row: RevocationRow,
    /// Whether that is new.
    pub changed: bool,
    /// How far the issuer's revocations have come.
    pub watermark: Watermark,
}

impl Origin {
    /// Revokes a certificate, or puts it on hold. Asking again changes nothing.
    ///
    /// What the origin knows of a certificate that it issued, it adds: its expiry and its shard.
    ///
    /// # Errors
    /// [`OriginError::IssuerNotFound`], [`OriginError::NoKey`], [`OriginError::ShardNotFound`],
    /// [`OriginError::Revocation`], [`OriginError::Store`].
    pub fn revoke(
        &self,
        issuer: &IssuerId,
        ask: &Ask,
        now: Moment,
    ) -> Result<Revoked, OriginError> {
        self.store.write(|t| {
            let issuer = find_local(t, issuer)?;
            issuer.profile.check_reason(ask.reason)?;
            let ask = complete(t, &issuer, ask)?;
            if let Some(shard) = ask.shard
                && !shards(t, &issuer)?.contains(&shard)
            {
                return Err(OriginError::ShardNotFound(issuer.id, shard));
            }
            let known = rows::find(t, issuer.number, &ask.serial)?;
            let decision =
                revocation::revoke(known.as_ref().map(|(_, row)| row), &ask, now.time())?;
            let position = match &known {
                Some((position, _)) => *position,
                None => rows::next_position(t, issuer.number)?,
            };
            carry_out(
                t,
                &issuer,
                position,
                known.map(|(_, row)| row),
                decision,
                now,
            )
        })
    }

    /// Ends a hold. Asking again changes nothing.
    ///
    /// # Errors
    /// [`OriginError::IssuerNotFound`], [`OriginError::RevocationNotFound`], [`OriginError::Revocation`],
    /// [`OriginError::Store`].
    pub fn release(
        &self,
        issuer: &IssuerId,
        serial: &Serial,
        now: Moment,
    ) -> Result<Revoked, OriginError> {
        self.store.write(|t| {
            let issuer = find_local(t, issuer)?;
            let (position, known) = rows::find(t, issuer.number, serial)?.ok_or_else(|| {
                OriginError::RevocationNotFound(issuer.id.clone(), serial.clone())
            })?;
            let decision = revocation::release(&known)?;
            carry_out(t, &issuer, position, Some(known), decision, now)
        })
    }

    /// How one certificate stands.
    ///
    /// # Errors
    /// [`OriginError::IssuerNotFound`], [`OriginError::RevocationNotFound`], [`OriginError::Store`].
    pub fn revocation(
        &self,
        issuer: &IssuerId,
        serial: &Serial,
    ) -> Result<RevocationRow, OriginError> {
        self.store.read(|c| {
            let issuer = find_issuer(c, issuer)?;
            let found = rows::find(c, issuer.number, serial)?;
            found
                .map(|(_, row)| row)
                .ok_or_else(|| OriginError::RevocationNotFound(issuer.id, serial.clone()))
        })
    }

    /// Revocations in the order of the CRL, from the first one after `cursor`, and the cursor of the page that follows.
    ///
    /// # Errors
    /// [`OriginError::IssuerNotFound`], [`OriginError::Store`].
    pub fn revocations(
        &self,
        issuer: &IssuerId,
        cursor: Option<i64>,
        limit: u32,
    ) -> Result<(Vec<RevocationRow>, Option<i64>), OriginError> {
        self.store.read(|c| {
            let issuer = find_issuer(c, issuer)?;
            let mut found = rows::page(
                c,
                issuer.number,
                cursor.unwrap_or(-1),
                limit.saturating_add(1),
            )?;
            let more = found.len() > limit as usize;
            found.truncate(limit as usize);
            let next = found.last().filter(|_| more).map(|(position, _)| *position);
            Ok((found.into_iter().map(|(_, row)| row).collect(), next))
        })
    }
}

/// Only an issuer whose key is here has CRLs made here.
pub(super) fn find_signing(c: &Connection, id: &IssuerId) -> Result<IssuerRow, OriginError> {
    let issuer = find_issuer(c, id)?;
    match issuer_rows::key(c, issuer.number)? {
        Some(_) => Ok(issuer),
        None => Err(OriginError::NoKey(issuer.id)),
    }
}

/// Only an issuer that has no CA elsewhere issues and revokes here.
pub(super) fn find_local(c: &Connection, id: &IssuerId) -> Result<IssuerRow, OriginError> {
    let issuer = find_issuer(c, id)?;
    match issuer.connector_config()? {
        ConnectorConfig::Local => Ok(issuer),
        _ => Err(OriginError::NoKey(issuer.id)),
    }
}

fn carry_out(
    c: &Connection,
    issuer: &IssuerRow,
    position: i64,
    known: Option<RevocationRow>,
    decision: Decision,
    now: Moment,
) -> Result<Revoked, OriginError> {
    match (decision, known) {
        (Decision::Write(row), _) => {
            let watermark = sequence::next_watermark(issuer.watermark, now);
            let entry = revocation::entry(&row)?;
            rows::put(
                c,
                issuer.number,
                position,
                &row,
                entry.as_deref(),
                watermark,
            )?;
            issuer_rows::set_watermark(c, issuer.number, watermark)?;
            Ok(Revoked {
                row,
                changed: true,
                watermark,
            })
        }
        (Decision::Unchanged, Some(row)) => Ok(Revoked {
            row,
            changed: false,
            watermark: issuer.watermark,
        }),
        (Decision::Unchanged, None) => Err(StoreError::Corrupt("revocation").into()),
    }
}
