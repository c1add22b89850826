//! Rows of revoked certificates. Each stores the DER of its entry, so that making a CRL is reading.

use crl::{Reason, UnixTime};
use origin_api::Watermark;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::StoreError;
use super::issuers::IssuerNumber;
use crate::ca::Serial;
use crate::revocation::{RevokedCertificate, State};

/// Which of an issuer's revocations a CRL covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// All of them.
    All,
    /// Those of one shard.
    Shard(u32),
}

impl Scope {
    /// The SQL parameter: NULL covers all.
    fn shard(self) -> Option<u32> {
        match self {
            Self::All => None,
            Self::Shard(number) => Some(number),
        }
    }
}

const COLUMNS: &str = "serial, revoked_at, reason, invalidity_date, not_after, shard, state";

/// Finds a revocation and its position.
///
/// # Errors
/// [`StoreError`].
pub fn find(
    conn: &Connection,
    issuer: IssuerNumber,
    serial: &Serial,
) -> Result<Option<(i64, RevokedCertificate)>, StoreError> {
    let sql =
        format!("SELECT {COLUMNS}, position FROM revocations WHERE issuer = ?1 AND serial = ?2");
    conn.prepare_cached(&sql)?
        .query_row(params![issuer.0, serial.as_bytes()], |row| {
            Ok((row.get(7)?, from_row(row)?))
        })
        .optional()?
        .map(|(position, row)| Ok((position, row?)))
        .transpose()
}

/// Finds a revocation, its position, and the watermark of its last change.
///
/// # Errors
/// [`StoreError`].
pub fn find_changed(
    conn: &Connection,
    issuer: IssuerNumber,
    serial: &Serial,
) -> Result<Option<(i64, RevokedCertificate, Watermark)>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS}, position, changed FROM revocations WHERE issuer = ?1 AND serial = ?2"
    );
    conn.prepare_cached(&sql)?
        .query_row(params![issuer.0, serial.as_bytes()], |row| {
            let changed = Watermark(row.get::<_, i64>(8)?.cast_unsigned());
            Ok((row.get(7)?, from_row(row)?, changed))
        })
        .optional()?
        .map(|(position, certificate, changed)| Ok((position, certificate?, changed)))
        .transpose()
}

/// Which revocations to list; `None` selects all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Those in this state.
    pub state: Option<State>,
    /// Those with this reason.
    pub reason: Option<Reason>,
    /// Those of this shard.
    pub shard: Option<u32>,
}

/// Up to `limit` revocations and their positions, in order of position, after position `after`.
///
/// # Errors
/// [`StoreError`].
pub fn page(
    conn: &Connection,
    issuer: IssuerNumber,
    filter: Filter,
    after: i64,
    limit: u32,
) -> Result<Vec<(i64, RevokedCertificate)>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS}, position FROM revocations WHERE issuer = ?1 AND position > ?2
         AND (?4 IS NULL OR state = ?4) AND (?5 IS NULL OR reason = ?5) AND (?6 IS NULL OR shard = ?6)
         ORDER BY position LIMIT ?3"
    );
    let parameters = params![
        issuer.0,
        after,
        limit,
        filter.state.map(State::as_str),
        filter.reason.map(Reason::code),
        filter.shard,
    ];
    conn.prepare_cached(&sql)?
        .query_map(parameters, |row| Ok((row.get(7)?, from_row(row)?)))?
        .map(|found| {
            found
                .map_err(StoreError::from)
                .and_then(|(position, certificate)| Ok((position, certificate?)))
        })
        .collect()
}

/// The position of the next new revocation.
///
/// # Errors
/// [`StoreError`].
pub fn next_position(conn: &Connection, issuer: IssuerNumber) -> Result<i64, StoreError> {
    let mut statement =
        conn.prepare_cached("SELECT max(position) FROM revocations WHERE issuer = ?1")?;
    let last: Option<i64> = statement.query_row([issuer.0], |row| row.get(0))?;
    Ok(last.map_or(0, |last| last.saturating_add(1)))
}

/// Writes a revocation at a position, replacing the one there.
///
/// `entry` is the DER of its CRL entry; `None` if it is on no CRL. `changed` is the issuer's
/// watermark after this change.
///
/// # Errors
/// [`StoreError`].
pub fn put(
    conn: &Connection,
    issuer: IssuerNumber,
    position: i64,
    row: &RevokedCertificate,
    entry: Option<&[u8]>,
    changed: Watermark,
) -> Result<(), StoreError> {
    conn.prepare_cached(
        "INSERT INTO revocations (issuer, position, serial, revoked_at, reason, invalidity_date, not_after, shard,
             state, changed, entry)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
         ON CONFLICT (issuer, position) DO UPDATE SET revoked_at = ?4, reason = ?5, invalidity_date = ?6,
             not_after = ?7, shard = ?8, state = ?9, changed = ?10, entry = ?11",
    )?
    .execute(params![
        issuer.0,
        position,
        row.serial.as_bytes(),
        row.revoked_at.0,
        row.reason.code(),
        row.invalidity_date.map(|time| time.0),
        row.not_after.map(|time| time.0),
        row.shard,
        row.state.as_str(),
        changed.0.cast_signed(),
        entry,
    ])?;
    Ok(())
}

/// Marks as expired the listed certificates of a shard, or of none, that expired before `before`
/// and were last changed at watermark `seen` or before; `limit` of them at most. Returns their
/// number.
///
/// # Errors
/// [`StoreError`].
pub fn expire(
    conn: &Connection,
    issuer: IssuerNumber,
    shard: Option<u32>,
    (before, seen): (UnixTime, Watermark),
    changed: Watermark,
    limit: usize,
) -> Result<usize, StoreError> {
    Ok(conn
        .prepare_cached(
            "UPDATE revocations SET state = 'expired', entry = NULL, changed = ?5
             WHERE issuer = ?1 AND position IN (SELECT position FROM revocations
                 WHERE issuer = ?1 AND entry IS NOT NULL AND not_after IS NOT NULL AND not_after < ?3
                 AND changed <= ?4 AND shard IS ?2 LIMIT ?6)",
        )?
        .execute(params![
            issuer.0,
            shard,
            before.0,
            seen.0.cast_signed(),
            changed.0.cast_signed(),
            i64::try_from(limit).unwrap_or(i64::MAX),
        ])?)
}

/// The certificates that left as expired and expire at `now` or later after all, with their
/// positions; `limit` of them at most.
///
/// # Errors
/// [`StoreError`].
pub fn expired_too_early(
    conn: &Connection,
    issuer: IssuerNumber,
    now: UnixTime,
    limit: usize,
) -> Result<Vec<(i64, RevokedCertificate)>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS}, position FROM revocations WHERE issuer = ?1 AND state = 'expired' AND not_after >= ?2 LIMIT ?3"
    );
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    conn.prepare_cached(&sql)?
        .query_map(params![issuer.0, now.0, limit], |row| {
            Ok((row.get(7)?, from_row(row)?))
        })?
        .map(|found| {
            found
                .map_err(StoreError::from)
                .and_then(|(position, certificate)| Ok((position, certificate?)))
        })
        .collect()
}

/// Whether anything in the scope changed after watermark `since`.
///
/// # Errors
/// [`StoreError`].
pub fn changed_since(
    conn: &Connection,
    issuer: IssuerNumber,
    scope: Scope,
    since: Watermark,
) -> Result<bool, StoreError> {
    let mut statement = conn.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM revocations WHERE issuer = ?1 AND changed > ?2 AND (?3 IS NULL OR shard = ?3))",
    )?;
    Ok(statement.query_row(
        params![issuer.0, since.0.cast_signed(), scope.shard()],
        |row| row.get(0),
    )?)
}

/// Whether the shard has any revocation.
///
/// # Errors
/// [`StoreError`].
pub fn any_of_shard(
    conn: &Connection,
    issuer: IssuerNumber,
    shard: u32,
) -> Result<bool, StoreError> {
    let mut statement = conn.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM revocations WHERE issuer = ?1 AND shard = ?2)",
    )?;
    Ok(statement.query_row(params![issuer.0, shard], |row| row.get(0))?)
}

/// The distinct reasons on the issuer's CRL.
///
/// # Errors
/// [`StoreError`].
pub fn listed_reasons(conn: &Connection, issuer: IssuerNumber) -> Result<Vec<Reason>, StoreError> {
    conn.prepare_cached(
        "SELECT DISTINCT reason FROM revocations WHERE issuer = ?1 AND entry IS NOT NULL",
    )?
    .query_map([issuer.0], |row| row.get(0))?
    .map(|code| Reason::from_code(code?).ok_or(StoreError::Corrupt("revocation")))
    .collect()
}

/// Calls `f` with each position that changed after watermark `since`.
///
/// # Errors
/// [`StoreError`].
pub fn changed_positions(
    conn: &Connection,
    issuer: IssuerNumber,
    since: Watermark,
    mut f: impl FnMut(i64),
) -> Result<(), StoreError> {
    let mut statement =
        conn.prepare_cached("SELECT position FROM revocations WHERE issuer = ?1 AND changed > ?2")?;
    let mut rows = statement.query(params![issuer.0, since.0.cast_signed()])?;
    while let Some(row) = rows.next()? {
        f(row.get(0)?);
    }
    Ok(())
}

/// Calls `f` with each position and entry (DER) of a scope in a range of positions, in order.
///
/// # Errors
/// [`StoreError`].
pub fn entries(
    conn: &Connection,
    issuer: IssuerNumber,
    scope: Scope,
    positions: std::ops::Range<i64>,
    mut f: impl FnMut(i64, &[u8]),
) -> Result<(), StoreError> {
    let mut statement = conn.prepare_cached(
        "SELECT position, entry FROM revocations WHERE issuer = ?1 AND position >= ?2 AND position < ?3
         AND entry IS NOT NULL AND (?4 IS NULL OR shard = ?4) ORDER BY position",
    )?;
    let mut rows = statement.query(params![
        issuer.0,
        positions.start,
        positions.end,
        scope.shard()
    ])?;
    while let Some(row) = rows.next()? {
        f(row.get(0)?, row.get_ref(1)?.as_blob().unwrap_or_default());
    }
    Ok(())
}

/// Calls `f` with the position of each revocation that changed after watermark `since`, with the
/// revocation, and with its entry (DER) if it is listed.
///
/// # Errors
/// [`StoreError`].
pub fn changes(
    conn: &Connection,
    issuer: IssuerNumber,
    since: Watermark,
    mut f: impl FnMut(i64, RevokedCertificate, Option<&[u8]>),
) -> Result<(), StoreError> {
    let sql = format!(
        "SELECT {COLUMNS}, entry, position FROM revocations WHERE issuer = ?1 AND changed > ?2"
    );
    let mut statement = conn.prepare_cached(&sql)?;
    let mut rows = statement.query(params![issuer.0, since.0.cast_signed()])?;
    while let Some(row) = rows.next()? {
        let entry = row.get_ref(7)?.as_blob_or_null().unwrap_or_default();
        f(row.get(8)?, from_row(row)??, entry);
    }
    Ok(())
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<Result<RevokedCertificate, StoreError>> {
    let serial = Serial::from_stored(row.get_ref(0)?.as_blob().unwrap_or_default());
    let reason = Reason::from_code(row.get(2)?);
    let state = State::from_name(row.get_ref(6)?.as_str().unwrap_or_default());
    let (Some(serial), Some(reason), Some(state)) = (serial, reason, state) else {
        return Ok(Err(StoreError::Corrupt("revocation")));
    };
    Ok(Ok(RevokedCertificate {
        serial,
        revoked_at: UnixTime(row.get(1)?),
        reason,
        invalidity_date: row.get::<_, Option<i64>>(3)?.map(UnixTime),
        not_after: row.get::<_, Option<i64>>(4)?.map(UnixTime),
        shard: row.get(5)?,
        state,
    }))
}
