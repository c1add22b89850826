//! Rows by which the origin recognizes the CRLs that edges hold: those adopted from elsewhere,
//! those unknown here, and what each edge holds. The CRLs made here are in [`super::lists`].

use crl::{CrlNumber, UnixTime};
use origin_api::{CrlName, Timestamp, Watermark};
use rusqlite::{Connection, OptionalExtension, params};

use super::StoreError;
use super::issuers::IssuerNumber;
use super::lists::octets;
use crate::bearer_token::TokenHash;

/// A CRL that is on record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordedCrl {
    /// Its thisUpdate.
    pub this_update: UnixTime,
    /// Its nextUpdate.
    pub next_update: UnixTime,
    /// The issuer's watermark that it reflects; 0 if it was adopted.
    pub watermark: Watermark,
}

/// A CRL that was imported, or recovered from an edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdoptedCrl {
    /// Its list.
    pub name: CrlName,
    /// The SHA-256 of its DER.
    pub sha256: [u8; 32],
    /// Its number.
    pub number: CrlNumber,
    /// Its thisUpdate.
    pub this_update: UnixTime,
    /// Its nextUpdate.
    pub next_update: UnixTime,
}

/// A CRL that an edge holds and the database does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownCrl {
    /// Its list.
    pub name: CrlName,
    /// The SHA-256 of its DER.
    pub sha256: [u8; 32],
    /// Its number.
    pub number: CrlNumber,
    /// The watermark that came with it; 0 if unknown.
    pub watermark: Watermark,
}

impl UnknownCrl {
    /// Following a number of more than 16 octets could use up the 20 that a number may have.
    #[must_use]
    pub fn is_absurd(&self) -> bool {
        self.number.as_be_bytes().len() > 16
    }
}

/// Finds a recorded CRL by its hash: one that was made here, or adopted.
///
/// # Errors
/// [`StoreError`].
pub fn find(
    conn: &Connection,
    issuer: IssuerNumber,
    name: CrlName,
    sha256: [u8; 32],
) -> Result<Option<RecordedCrl>, StoreError> {
    Ok(conn
        .prepare_cached(
            "SELECT this_update, next_update, watermark FROM made_crls
             WHERE issuer = ?1 AND name = ?2 AND sha256 = ?3
             UNION ALL
             SELECT this_update, next_update, 0 FROM adopted_crls
             WHERE issuer = ?1 AND name = ?2 AND sha256 = ?3 LIMIT 1",
        )?
        .query_row(params![issuer.0, name.to_string(), sha256], |row| {
            Ok(RecordedCrl {
                this_update: UnixTime(row.get(0)?),
                next_update: UnixTime(row.get(1)?),
                watermark: Watermark(row.get::<_, i64>(2)?.cast_unsigned()),
            })
        })
        .optional()?)
}

/// The lowest number on record for a list.
///
/// # Errors
/// [`StoreError`].
pub fn oldest_number(
    conn: &Connection,
    issuer: IssuerNumber,
    name: CrlName,
) -> Result<Option<CrlNumber>, StoreError> {
    let oldest: Option<Vec<u8>> = conn
        .prepare_cached(
            "SELECT min(number) FROM (
                 SELECT min(number) AS number FROM made_crls WHERE issuer = ?1 AND name = ?2 AND sha256 IS NOT NULL
                 UNION ALL
                 SELECT min(number) FROM adopted_crls WHERE issuer = ?1 AND name = ?2)",
        )?
        .query_row(params![issuer.0, name.to_string()], |row| row.get(0))?;
    oldest
        .map(|octets| CrlNumber::from_be_bytes(&octets))
        .transpose()
        .map_err(|_| StoreError::Corrupt("CRL number"))
}

/// Records an adopted CRL.
///
/// # Errors
/// [`StoreError`].
pub fn adopt(conn: &Connection, issuer: IssuerNumber, crl: &AdoptedCrl) -> Result<(), StoreError> {
    conn.prepare_cached("INSERT OR REPLACE INTO adopted_crls VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
        .execute(params![
            issuer.0,
            crl.name.to_string(),
            crl.sha256,
            octets(crl.number),
            crl.this_update.0,
            crl.next_update.0,
        ])?;
    Ok(())
}

/// Records a CRL that is unknown here.
///
/// # Errors
/// [`StoreError`].
pub fn insert_unknown(
    conn: &Connection,
    issuer: IssuerNumber,
    crl: &UnknownCrl,
    now: UnixTime,
) -> Result<(), StoreError> {
    conn.prepare_cached("INSERT OR REPLACE INTO unknown_crls VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
        .execute(params![
            issuer.0,
            crl.name.to_string(),
            crl.sha256,
            octets(crl.number),
            crl.watermark.0.cast_signed(),
            now.0,
        ])?;
    Ok(())
}

/// The CRLs that edges hold and the database does not know.
///
/// # Errors
/// [`StoreError`].
pub fn unknown(conn: &Connection, issuer: IssuerNumber) -> Result<Vec<UnknownCrl>, StoreError> {
    conn.prepare_cached(
        "SELECT name, sha256, number, watermark FROM unknown_crls WHERE issuer = ?1 ORDER BY name, number",
    )?
    .query_map([issuer.0], |row| {
        let (name, number): (String, Vec<u8>) = (row.get(0)?, row.get(2)?);
        let (Ok(name), Ok(number)) = (name.parse(), CrlNumber::from_be_bytes(&number)) else {
            return Ok(Err(StoreError::Corrupt("CRL's name or number")));
        };
        Ok(Ok(UnknownCrl {
            name,
            sha256: row.get(1)?,
            number,
            watermark: Watermark(row.get::<_, i64>(3)?.cast_unsigned()),
        }))
    })?
    .map(|row| row?)
    .collect()
}

/// Forgets an unknown CRL.
///
/// # Errors
/// [`StoreError`].
pub fn remove_unknown(
    conn: &Connection,
    issuer: IssuerNumber,
    crl: &UnknownCrl,
) -> Result<(), StoreError> {
    conn.prepare_cached(
        "DELETE FROM unknown_crls WHERE issuer = ?1 AND name = ?2 AND sha256 = ?3",
    )?
    .execute(params![issuer.0, crl.name.to_string(), crl.sha256])?;
    Ok(())
}

/// What the edge with this token said when it last asked for a list: thisUpdate and watermark of
/// what it holds, and when it asked.
///
/// # Errors
/// [`StoreError`].
pub fn holding(
    conn: &Connection,
    issuer: IssuerNumber,
    name: CrlName,
    token: TokenHash,
) -> Result<Option<(UnixTime, Watermark, Timestamp)>, StoreError> {
    Ok(conn
        .prepare_cached(
            "SELECT this_update, watermark, asked_at FROM holdings WHERE issuer = ?1 AND name = ?2 AND token = ?3",
        )?
        .query_row(params![issuer.0, name.to_string(), token.0], |row| {
            Ok((
                UnixTime(row.get(0)?),
                Watermark(row.get::<_, i64>(1)?.cast_unsigned()),
                Timestamp::from_millis(row.get(2)?),
            ))
        })
        .optional()?)
}

/// Records what an edge holds of a list; `None` if it holds nothing that is on record.
///
/// # Errors
/// [`StoreError`].
pub fn set_holding(
    conn: &Connection,
    issuer: IssuerNumber,
    name: CrlName,
    token: TokenHash,
    held: Option<RecordedCrl>,
    now: Timestamp,
) -> Result<(), StoreError> {
    conn.prepare_cached("INSERT OR REPLACE INTO holdings VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
        .execute(params![
            issuer.0,
            name.to_string(),
            token.0,
            held.map_or(0, |held| held.this_update.0),
            held.map_or(0, |held| held.watermark.0.cast_signed()),
            now.as_millis(),
        ])?;
    Ok(())
}

/// Forgets what edges held of a list if their last call was before `since`. Returns their number.
///
/// # Errors
/// [`StoreError`].
pub fn forget_holdings(
    conn: &Connection,
    issuer: IssuerNumber,
    name: CrlName,
    since: Timestamp,
) -> Result<usize, StoreError> {
    Ok(conn
        .prepare_cached("DELETE FROM holdings WHERE issuer = ?1 AND name = ?2 AND asked_at < ?3")?
        .execute(params![issuer.0, name.to_string(), since.as_millis()])?)
}

/// Forgets the oldest CRLs of a list, up to `limit` of them, in order of number; stops at the first
/// one that must be kept. Kept are the newest one; one whose nextUpdate is not before
/// `expired_before`, unless its thisUpdate is later than `made_ahead`, where no edge takes it; and
/// one that an edge may still hold. Returns the number of forgotten ones.
///
/// # Errors
/// [`StoreError`].
pub fn forget_oldest(
    conn: &Connection,
    issuer: IssuerNumber,
    name: CrlName,
    expired_before: UnixTime,
    made_ahead: UnixTime,
    limit: u32,
) -> Result<usize, StoreError> {
    let name = name.to_string();
    // Edges that hold nothing on record need no record.
    let held: Option<i64> = conn
        .prepare_cached(
            "SELECT min(this_update) FROM holdings WHERE issuer = ?1 AND name = ?2 AND this_update != 0",
        )?
        .query_row(params![issuer.0, name], |row| row.get(0))?;
    let newest: Option<Vec<u8>> = conn
        .prepare_cached(
            "SELECT max(number) FROM made_crls WHERE issuer = ?1 AND name = ?2 AND sha256 IS NOT NULL",
        )?
        .query_row(params![issuer.0, name], |row| row.get(0))?;
    let mut oldest = conn.prepare_cached(
        "SELECT number, this_update, next_update FROM (
             SELECT * FROM (SELECT number, this_update, next_update FROM made_crls
                 WHERE issuer = ?1 AND name = ?2 ORDER BY number LIMIT ?3)
             UNION ALL
             SELECT * FROM (SELECT number, this_update, next_update FROM adopted_crls
                 WHERE issuer = ?1 AND name = ?2 ORDER BY number LIMIT ?3))
         ORDER BY number LIMIT ?3",
    )?;
    let mut rows = oldest.query(params![issuer.0, name, limit])?;
    let mut last = None;
    while let Some(row) = rows.next()? {
        let number: Vec<u8> = row.get(0)?;
        let (this_update, next_update) = (UnixTime(row.get(1)?), UnixTime(row.get(2)?));
        let is_old = next_update < expired_before || this_update > made_ahead;
        let is_held = held.is_some_and(|held| this_update.0 >= held);
        if !is_old || is_held || newest.as_ref().is_none_or(|newest| number >= *newest) {
            break;
        }
        last = Some(number);
    }
    let Some(last) = last else {
        return Ok(0);
    };
    let mut forgotten = 0_usize;
    for table in ["made_crls", "adopted_crls"] {
        let delete =
            format!("DELETE FROM {table} WHERE issuer = ?1 AND name = ?2 AND number <= ?3");
        let rows = conn
            .prepare_cached(&delete)?
            .execute(params![issuer.0, name, last])?;
        forgotten = forgotten.saturating_add(rows);
    }
    Ok(forgotten)
}

/// What every edge that asked for a list since `since` holds at least: the lowest thisUpdate and
/// watermark. `None` if no edge asked.
///
/// # Errors
/// [`StoreError`].
pub fn published(
    conn: &Connection,
    issuer: IssuerNumber,
    name: CrlName,
    since: Timestamp,
) -> Result<Option<(UnixTime, Watermark)>, StoreError> {
    let mut statement = conn.prepare_cached(
        "SELECT min(this_update), min(watermark) FROM holdings WHERE issuer = ?1 AND name = ?2 AND asked_at >= ?3",
    )?;
    let parameters = params![issuer.0, name.to_string(), since.as_millis()];
    Ok(statement.query_row(parameters, |row| {
        let (this_update, watermark): (Option<i64>, Option<i64>) = (row.get(0)?, row.get(1)?);
        Ok(this_update
            .zip(watermark)
            .map(|(time, watermark)| (UnixTime(time), Watermark(watermark.cast_unsigned()))))
    })?)
}
