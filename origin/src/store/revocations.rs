//! Rows of revocations. Each keeps its entry's DER, so that a CRL is made by reading.

use crl::{Reason, UnixTime};
use origin_api::Watermark;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::StoreError;
use super::issuers::IssuerNumber;
use crate::ca::Serial;

/// Where a certificate's revocation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It is on the CRL.
    Listed,
    /// It was on hold, and is valid again.
    Released,
    /// It expired, and a CRL made after that has told of it.
    Expired,
}

impl State {
    /// As written in the database and in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Listed => "listed",
            Self::Released => "released",
            Self::Expired => "expired",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [Self::Listed, Self::Released, Self::Expired]
            .into_iter()
            .find(|state| state.as_str() == name)
    }
}

/// A certificate that is or was revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevocationRow {
    /// The certificate's serial number.
    pub serial: Serial,
    /// When it was revoked.
    pub revoked_at: UnixTime,
    /// Why.
    pub reason: Reason,
    /// Since when it is, or may be, invalid.
    pub invalidity_date: Option<UnixTime>,
    /// When the certificate expires, if that is known.
    pub not_after: Option<UnixTime>,
    /// The shard that its distribution point names, if any.
    pub shard: Option<u32>,
    /// Where it stands.
    pub state: State,
}

/// What part of an issuer's revocations a CRL covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// All of them.
    All,
    /// Those of one shard.
    Shard(u32),
}

impl Scope {
    /// As SQL has it: no number for all of them.
    fn shard(self) -> Option<u32> {
        match self {
            Self::All => None,
            Self::Shard(number) => Some(number),
        }
    }
}

const COLUMNS: &str = "serial, revoked_at, reason, invalidity_date, not_after, shard, state";

/// Finds a revocation, and its position.
///
/// # Errors
/// SQLite's.
pub fn find(
    c: &Connection,
    issuer: IssuerNumber,
    serial: &Serial,
) -> Result<Option<(i64, RevocationRow)>, StoreError> {
    let sql =
        format!("SELECT {COLUMNS}, position FROM revocations WHERE issuer = ?1 AND serial = ?2");
    c.prepare_cached(&sql)?
        .query_row(params![issuer.0, serial.as_bytes()], |row| {
            Ok((row.get(7)?, from_row(row)?))
        })
        .optional()?
        .map(|(position, row)| Ok((position, row?)))
        .transpose()
}

/// Revocations in the order of their positions, from the first one after `after`; each with its position.
///
/// # Errors
/// SQLite's.
pub fn page(
    c: &Connection,
    issuer: IssuerNumber,
    after: i64,
    limit: u32,
) -> Result<Vec<(i64, RevocationRow)>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS}, position FROM revocations WHERE issuer = ?1 AND position > ?2 ORDER BY position LIMIT ?3"
    );
    c.prepare_cached(&sql)?
        .query_map(params![issuer.0, after, limit], |row| {
            Ok((row.get(7)?, from_row(row)?))
        })?
        .map(|found| {
            found
                .map_err(StoreError::from)
                .and_then(|(position, row)| Ok((position, row?)))
        })
        .collect()
}

/// The position that the next revocation takes.
///
/// # Errors
/// SQLite's.
pub fn next_position(c: &Connection, issuer: IssuerNumber) -> Result<i64, StoreError> {
    let mut statement =
        c.prepare_cached("SELECT max(position) FROM revocations WHERE issuer = ?1")?;
    let last: Option<i64> = statement.query_row([issuer.0], |row| row.get(0))?;
    Ok(last.map_or(0, |last| last.saturating_add(1)))
}

/// Writes a revocation at a position, new or in place of what was there.
///
/// `entry` is its DER in a CRL, `None` if it is on none.
///
/// # Errors
/// SQLite's.
pub fn put(
    c: &Connection,
    issuer: IssuerNumber,
    position: i64,
    row: &RevocationRow,
    entry: Option<&[u8]>,
    changed: Watermark,
) -> Result<(), StoreError> {
    c.prepare_cached(
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

/// Takes the certificates that expired before `before`, and were last changed up to `seen`, off the list; says how many.
///
/// # Errors
/// SQLite's.
pub fn expire(
    c: &Connection,
    issuer: IssuerNumber,
    before: UnixTime,
    seen: Watermark,
    changed: Watermark,
) -> Result<usize, StoreError> {
    Ok(c.prepare_cached(
        "UPDATE revocations SET state = 'expired', entry = NULL, changed = ?4
         WHERE issuer = ?1 AND entry IS NOT NULL AND not_after IS NOT NULL AND not_after < ?2 AND changed <= ?3",
    )?
    .execute(params![issuer.0, before.0, seen.0.cast_signed(), changed.0.cast_signed()])?)
}

/// Whether anything within the scope was changed after `since`.
///
/// # Errors
/// SQLite's.
pub fn changed_since(
    c: &Connection,
    issuer: IssuerNumber,
    scope: Scope,
    since: Watermark,
) -> Result<bool, StoreError> {
    let mut statement = c.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM revocations WHERE issuer = ?1 AND changed > ?2 AND (?3 IS NULL OR shard = ?3))",
    )?;
    Ok(statement.query_row(
        params![issuer.0, since.0.cast_signed(), scope.shard()],
        |row| row.get(0),
    )?)
}

/// Whether any revocation is of this shard.
///
/// # Errors
/// SQLite's.
pub fn any_of_shard(c: &Connection, issuer: IssuerNumber, shard: u32) -> Result<bool, StoreError> {
    let mut statement = c.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM revocations WHERE issuer = ?1 AND shard = ?2)",
    )?;
    Ok(statement.query_row(params![issuer.0, shard], |row| row.get(0))?)
}

/// The reasons on the issuer's CRL, each once.
///
/// # Errors
/// SQLite's.
pub fn listed_reasons(c: &Connection, issuer: IssuerNumber) -> Result<Vec<Reason>, StoreError> {
    c.prepare_cached(
        "SELECT DISTINCT reason FROM revocations WHERE issuer = ?1 AND entry IS NOT NULL",
    )?
    .query_map([issuer.0], |row| row.get(0))?
    .map(|code| Reason::from_code(code?).ok_or(StoreError::Corrupt("revocation")))
    .collect()
}

/// Hands the positions that were changed after `since` to `f`.
///
/// # Errors
/// SQLite's.
pub fn changed_positions(
    c: &Connection,
    issuer: IssuerNumber,
    since: Watermark,
    mut f: impl FnMut(i64),
) -> Result<(), StoreError> {
    let mut statement =
        c.prepare_cached("SELECT position FROM revocations WHERE issuer = ?1 AND changed > ?2")?;
    let mut rows = statement.query(params![issuer.0, since.0.cast_signed()])?;
    while let Some(row) = rows.next()? {
        f(row.get(0)?);
    }
    Ok(())
}

/// Hands the entries of a scope at some positions to `f`, in order, each with its position.
///
/// # Errors
/// SQLite's.
pub fn entries(
    c: &Connection,
    issuer: IssuerNumber,
    scope: Scope,
    positions: std::ops::Range<i64>,
    mut f: impl FnMut(i64, &[u8]),
) -> Result<(), StoreError> {
    let mut statement = c.prepare_cached(
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

/// Hands what was changed after `since` to `f`, in order: the revocation and, where it is listed, its entry.
///
/// # Errors
/// SQLite's.
pub fn changes(
    c: &Connection,
    issuer: IssuerNumber,
    since: Watermark,
    mut f: impl FnMut(RevocationRow, Option<&[u8]>),
) -> Result<(), StoreError> {
    let sql = format!(
        "SELECT {COLUMNS}, entry FROM revocations WHERE issuer = ?1 AND changed > ?2 ORDER BY position"
    );
    let mut statement = c.prepare_cached(&sql)?;
    let mut rows = statement.query(params![issuer.0, since.0.cast_signed()])?;
    while let Some(row) = rows.next()? {
        let entry = row.get_ref(7)?.as_blob_or_null().unwrap_or_default();
        f(from_row(row)??, entry);
    }
    Ok(())
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<Result<RevocationRow, StoreError>> {
    let serial = Serial::from_be_bytes(row.get_ref(0)?.as_blob().unwrap_or_default());
    let reason = Reason::from_code(row.get(2)?);
    let state = State::from_name(row.get_ref(6)?.as_str().unwrap_or_default());
    let (Ok(serial), Some(reason), Some(state)) = (serial, reason, state) else {
        return Ok(Err(StoreError::Corrupt("revocation")));
    };
    Ok(Ok(RevocationRow {
        serial,
        revoked_at: UnixTime(row.get(1)?),
        reason,
        invalidity_date: row.get::<_, Option<i64>>(3)?.map(UnixTime),
        not_after: row.get::<_, Option<i64>>(4)?.map(UnixTime),
        shard: row.get(5)?,
        state,
    }))
}
