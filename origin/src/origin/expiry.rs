//! When entries of expired certificates leave the CRLs, and when they return.
//!
//! A call changes a few thousand entries at most, so that other writers do not wait for long.

use origin_api::{CrlName, Timestamp, Watermark};
use rusqlite::Connection;

use super::OriginError;
use crate::revocation::{RevokedCertificate, State};
use crate::store::issuers::{self as issuer_rows, IssuerRow};
use crate::store::lists::ListRow;
use crate::store::{expiry_clock, records, revocations as rows};
use crate::{sequence, trusted_time};

/// How many entries one call changes at most.
const STEP: usize = 2_000;

/// Removes the entries of expired certificates, and returns those that left too early. Returns the
/// issuer's watermark after that, and the number of entries that changed. Call it until there are
/// none: only then does a CRL show them all.
///
/// An entry leaves a list if, by the trusted time, its certificate expired longer ago than the
/// list's slack, and if each edge that asked for the list within one validity holds a CRL with the
/// entry that was made after the certificate expired (RFC 5280, section 3.3). What was made, but is
/// not held by an edge, does not count.
pub(super) fn follow_clock(
    conn: &Connection,
    issuer: &IssuerRow,
    lists: &[ListRow],
    now: Timestamp,
) -> Result<(Watermark, usize), OriginError> {
    let Some(trusted) = expiry_clock::observe(conn, now)?.trusted else {
        return Ok((issuer.watermark, 0));
    };
    let watermark = sequence::next_watermark(issuer.watermark);
    let mut changed = 0_usize;
    for (position, certificate) in
        rows::expired_too_early(conn, issuer.number, trusted.as_unix_time(), STEP)?
    {
        let certificate = RevokedCertificate {
            state: State::Listed,
            ..certificate
        };
        let entry = certificate.entry()?;
        let entry = entry.as_deref();
        rows::put(
            conn,
            issuer.number,
            position,
            &certificate,
            entry,
            watermark,
        )?;
        changed = changed.saturating_add(1);
    }
    if issuer.keeps_expired_since.is_none() {
        let room = STEP.saturating_sub(changed);
        let expired = expire(conn, issuer, lists, (trusted, now), watermark, room)?;
        changed = changed.saturating_add(expired);
    }
    if changed == 0 {
        return Ok((issuer.watermark, 0));
    }
    issuer_rows::set_watermark(conn, issuer.number, watermark)?;
    Ok((watermark, changed))
}

fn expire(
    conn: &Connection,
    issuer: &IssuerRow,
    lists: &[ListRow],
    (trusted, now): (Timestamp, Timestamp),
    watermark: Watermark,
    limit: usize,
) -> Result<usize, OriginError> {
    // For each list, the expiries that it has shown everyone, and the watermark up to which.
    let shown = |list: &ListRow| {
        let config = &list.config;
        let since = now.before(config.validity);
        let held = records::published(conn, issuer.number, config.name, since)?;
        let slack = trusted_time::slack(config.validity, config.overlap);
        let latest = trusted.before(slack).as_unix_time();
        Ok::<_, OriginError>(held.map(|(time, seen)| (time.min(latest), seen)))
    };
    let full = lists.iter().find(|list| list.config.name == CrlName::Full);
    let by_full = full.map(shown).transpose()?;
    let mut changed = 0_usize;
    if let Some(Some(shown)) = by_full {
        let rows = rows::expire(conn, issuer.number, None, shown, watermark, limit)?;
        changed = changed.saturating_add(rows);
    }
    for list in lists {
        let CrlName::Shard(shard) = list.config.name else {
            continue;
        };
        let (before, seen) = match (by_full, shown(list)?) {
            (Some(None), _) | (_, None) => continue,
            (Some(Some(full)), Some(own)) => (full.0.min(own.0), full.1.min(own.1)),
            (None, Some(own)) => own,
        };
        let (shown, room) = ((before, seen), limit.saturating_sub(changed));
        let rows = rows::expire(conn, issuer.number, Some(shard), shown, watermark, room)?;
        changed = changed.saturating_add(rows);
    }
    Ok(changed)
}
