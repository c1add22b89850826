//! The stored state of the clock that expiry follows.

use origin_api::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use super::StoreError;
use crate::trusted_time::TrustedTime;

/// The stored state.
///
/// # Errors
/// [`StoreError`].
pub fn read(conn: &Connection) -> Result<TrustedTime, StoreError> {
    let row = conn
        .prepare_cached("SELECT trusted, jumped_to FROM expiry_clock")?
        .query_row([], |row| {
            let time = |millis: Option<i64>| millis.map(Timestamp::from_millis);
            Ok(TrustedTime {
                trusted: time(row.get(0)?),
                jumped_to: time(row.get(1)?),
            })
        });
    Ok(row.optional()?.unwrap_or_default())
}

/// Observes the system's clock, and stores the new state.
///
/// # Errors
/// [`StoreError`].
pub fn observe(conn: &Connection, now: Timestamp) -> Result<TrustedTime, StoreError> {
    let time = read(conn)?.observe(now);
    conn.prepare_cached("INSERT OR REPLACE INTO expiry_clock VALUES (1, ?1, ?2)")?
        .execute(params![
            time.trusted.map(Timestamp::as_millis),
            time.jumped_to.map(Timestamp::as_millis),
        ])?;
    Ok(time)
}
