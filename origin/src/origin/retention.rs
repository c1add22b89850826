//! For how long the origin recognizes a CRL that an edge holds.
//!
//! Records of CRLs are evidence: an edge that holds a CRL that is not on record, and whose number
//! is not below the oldest on record, shows that the database was restored ([`super::caller`]). So
//! the oldest records go first and one after the other, and none goes that an edge may still hold.
//! To an edge that comes back with a forgotten CRL the origin answers as to one that holds none.

use std::time::Duration;

use origin_api::{CrlName, Timestamp};
use rusqlite::Connection;

use super::OriginError;
use crate::store::issuers::IssuerNumber;
use crate::store::{expiry_clock, records};

/// How long a CRL that has expired, and what an edge held, stay on record: longer than a TLS
/// certificate may live (398 days). If an edge that was away for longer returns to a restored
/// database, what only its CRL listed has expired.
const RETENTION: Duration = Duration::from_hours(400 * 24);

/// How far ahead of the trusted time a thisUpdate may be for an edge to take the CRL, generously.
const SKEW: Duration = Duration::from_hours(24);

/// How many CRLs are forgotten at a time: more than are made, and few enough that other writers do
/// not wait.
const AT_A_TIME: u32 = 100;

/// Forgets the oldest CRLs of a list, a few at a time. Call it whenever one is made.
pub(super) fn forget_crls(
    conn: &Connection,
    issuer: IssuerNumber,
    name: CrlName,
) -> Result<(), OriginError> {
    if let Some(trusted) = trusted_now(conn)? {
        let expired_before = trusted.before(RETENTION).as_unix_time();
        let made_ahead = trusted.after(SKEW).as_unix_time();
        records::forget_oldest(conn, issuer, name, expired_before, made_ahead, AT_A_TIME)?;
    }
    Ok(())
}

/// Forgets edges that have not asked for a list for long: they are gone, or have another token.
pub(super) fn forget_edges(
    conn: &Connection,
    issuer: IssuerNumber,
    name: CrlName,
    validity: Duration,
) -> Result<(), OriginError> {
    if let Some(trusted) = trusted_now(conn)? {
        let since = trusted.before(RETENTION.saturating_add(validity));
        records::forget_holdings(conn, issuer, name, since)?;
    }
    Ok(())
}

/// `None` while the clock has jumped: what it dates ahead may be right after all.
fn trusted_now(conn: &Connection) -> Result<Option<Timestamp>, OriginError> {
    let time = expiry_clock::read(conn)?;
    Ok(time.trusted.filter(|_| time.jumped_to.is_none()))
}
