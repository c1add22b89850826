//! Many revocations at once: all that can be are made in one transaction, and those that cannot are told.

use crl::CrlNumber;
use origin_api::{CrlName, IssuerId};
use rusqlite::Connection;

use super::revocations::{find_local, find_signing};
use super::{Origin, OriginError};
use crate::clock::Moment;
use crate::profile::ProfileError;
use crate::revocation::{self, Ask, Decision, RevocationError};
use crate::sequence;
use crate::store::issuers::{self as issuer_rows, IssuerRow};
use crate::store::revocations as rows;
use crate::store::{certificates, lists};

/// What came of a batch.
#[derive(Debug, Default)]
pub struct BatchResult {
    /// How many certificates stand otherwise now.
    pub changed: u64,
    /// How many stood so already.
    pub unchanged: u64,
    /// Those that could not be, by their place in the batch, and why.
    pub refused: Vec<(usize, BatchFault)>,
}

/// Why one revocation of a batch could not be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BatchFault {
    /// A revocation that cannot be.
    #[error(transparent)]
    Revocation(#[from] RevocationError),
    /// What the issuer's profile does not allow.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// The shard does not exist.
    #[error("the issuer has no shard {0}")]
    Shard(u32),
}

impl Origin {
    /// Revokes certificates in one transaction: a crash leaves all of the batch or nothing. Doing it again changes nothing.
    ///
    /// # Errors
    /// [`OriginError::IssuerNotFound`], [`OriginError::NoKey`], [`OriginError::Store`].
    pub fn revoke_all(
        &self,
        issuer: &IssuerId,
        asks: &[Ask],
        now: Moment,
    ) -> Result<BatchResult, OriginError> {
        self.store
            .write_in_bulk(|t| revoke_all(t, &find_local(t, issuer)?, asks, now))
    }

    /// The same, for an issuer whose CA elsewhere says what is revoked.
    ///
    /// # Errors
    /// [`OriginError::IssuerNotFound`], [`OriginError::NoKey`], [`OriginError::Store`].
    pub fn follow_all(
        &self,
        issuer: &IssuerId,
        asks: &[Ask],
        now: Moment,
    ) -> Result<BatchResult, OriginError> {
        self.store
            .write_in_bulk(|t| revoke_all(t, &find_signing(t, issuer)?, asks, now))
    }

    /// Makes sure that the issuer's next CRLs have greater numbers than this one, which was used elsewhere.
    ///
    /// # Errors
    /// [`OriginError::IssuerNotFound`], [`OriginError::NoKey`], [`OriginError::Store`].
    pub fn continue_numbers(&self, issuer: &IssuerId, used: CrlNumber) -> Result<(), OriginError> {
        self.store.write(|t| {
            let issuer = find_signing(t, issuer)?;
            Ok(lists::raise_numbers(t, issuer.number, used)?)
        })
    }
}

fn revoke_all(
    c: &Connection,
    issuer: &IssuerRow,
    asks: &[Ask],
    now: Moment,
) -> Result<BatchResult, OriginError> {
    let shards = shards(c, issuer)?;
    let watermark = sequence::next_watermark(issuer.watermark, now);
    let mut position = rows::next_position(c, issuer.number)?;
    let mut result = BatchResult::default();
    for (place, ask) in asks.iter().enumerate() {
        let ask = complete(c, issuer, ask)?;
        if let Some(shard) = ask.shard.filter(|shard| !shards.contains(shard)) {
            result.refused.push((place, BatchFault::Shard(shard)));
            continue;
        }
        if let Err(error) = issuer.profile.check_reason(ask.reason) {
            result.refused.push((place, error.into()));
            continue;
        }
        let known = rows::find(c, issuer.number, &ask.serial)?;
        let row = match revocation::revoke(known.as_ref().map(|(_, row)| row), &ask, now.time()) {
            Ok(Decision::Write(row)) => row,
            Ok(Decision::Unchanged) => {
                result.unchanged = result.unchanged.saturating_add(1);
                continue;
            }
            Err(error) => {
                result.refused.push((place, error.into()));
                continue;
            }
        };
        let entry = revocation::entry(&row)?;
        let at = known.map_or(position, |(position, _)| position);
        rows::put(c, issuer.number, at, &row, entry.as_deref(), watermark)?;
        position = position.max(at.saturating_add(1));
        result.changed = result.changed.saturating_add(1);
    }
    if result.changed > 0 {
        issuer_rows::set_watermark(c, issuer.number, watermark)?;
    }
    Ok(result)
}

/// Adds what is known of a certificate that was issued here: its expiry and its shard.
pub(super) fn complete(c: &Connection, issuer: &IssuerRow, ask: &Ask) -> Result<Ask, OriginError> {
    let mut ask = ask.clone();
    if (ask.not_after.is_none() || ask.shard.is_none())
        && let Some(known) = certificates::find(c, issuer.number, &ask.serial)?
    {
        ask.not_after = ask.not_after.or(Some(known.not_after));
        ask.shard = ask.shard.or(known.shard);
    }
    Ok(ask)
}

/// The issuer's shards.
pub(super) fn shards(c: &Connection, issuer: &IssuerRow) -> Result<Vec<u32>, OriginError> {
    let lists = lists::all(c, issuer.number)?;
    let number = |name| match name {
        CrlName::Shard(number) => Some(number),
        CrlName::Full | CrlName::Delta => None,
    };
    Ok(lists
        .into_iter()
        .filter_map(|list| number(list.name))
        .collect())
}
