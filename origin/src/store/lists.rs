//! Rows of the lists that an issuer publishes, and of the CRLs made for them.

use std::time::Duration;

use crl::{CrlNumber, UnixTime};
use origin_api::{CrlName, Watermark};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::StoreError;
use super::issuers::IssuerNumber;
use crate::list_config::ListConfig;

/// A list that an issuer publishes.
#[derive(Clone, Debug)]
pub struct ListRow {
    /// How it is published.
    pub config: ListConfig,
    /// The last number used.
    pub number: Option<CrlNumber>,
    /// The last thisUpdate used.
    pub this_update: Option<UnixTime>,
}

/// A CRL that was made.
#[derive(Clone, Debug)]
pub struct MadeRow {
    /// Its number.
    pub number: CrlNumber,
    /// Its thisUpdate.
    pub this_update: UnixTime,
    /// Its nextUpdate.
    pub next_update: UnixTime,
    /// The issuer's watermark that it reflects.
    pub watermark: Watermark,
    /// Its number of entries.
    pub entries: u64,
    /// Its size in bytes; absent until it is signed.
    pub size: Option<u64>,
    /// Its SHA-256; absent until it is signed.
    pub sha256: Option<[u8; 32]>,
}

/// Configures a list; adds it if the issuer does not publish it yet.
///
/// # Errors
/// [`StoreError`].
pub fn configure(
    conn: &Connection,
    issuer: IssuerNumber,
    list: &ListConfig,
) -> Result<(), StoreError> {
    conn.prepare_cached(
        "INSERT INTO lists (issuer, name, distribution_point, validity, overlap) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (issuer, name) DO UPDATE SET distribution_point = ?3, validity = ?4, overlap = ?5",
    )?
    .execute(params![
        issuer.0,
        list.name.to_string(),
        list.distribution_point,
        seconds(list.validity),
        seconds(list.overlap),
    ])?;
    Ok(())
}

/// Removes a list.
///
/// # Errors
/// [`StoreError`].
pub fn remove(conn: &Connection, issuer: IssuerNumber, name: CrlName) -> Result<(), StoreError> {
    conn.prepare_cached("DELETE FROM lists WHERE issuer = ?1 AND name = ?2")?
        .execute(params![issuer.0, name.to_string()])?;
    Ok(())
}

/// The lists of an issuer, in order: full, delta, shards.
///
/// # Errors
/// [`StoreError`].
pub fn all(conn: &Connection, issuer: IssuerNumber) -> Result<Vec<ListRow>, StoreError> {
    let mut lists: Vec<ListRow> = conn
        .prepare_cached(
            "SELECT name, distribution_point, validity, overlap, number, this_update FROM lists WHERE issuer = ?1",
        )?
        .query_map([issuer.0], list_from_row)?
        .map(|row| row?)
        .collect::<Result<_, _>>()?;
    lists.sort_by_key(|list| list.config.name);
    Ok(lists)
}

/// Uses up the number and thisUpdate of a CRL that is about to be signed.
///
/// # Errors
/// [`StoreError::Sqlite`], a failed constraint if the number was used before.
pub fn reserve(
    conn: &Connection,
    issuer: IssuerNumber,
    name: CrlName,
    next: &MadeRow,
) -> Result<(), StoreError> {
    let name = name.to_string();
    conn.prepare_cached(
        "UPDATE lists SET number = ?3, this_update = ?4 WHERE issuer = ?1 AND name = ?2",
    )?
    .execute(params![
        issuer.0,
        name,
        octets(next.number),
        next.this_update.0
    ])?;
    conn.prepare_cached(
        "INSERT INTO made_crls (issuer, name, number, this_update, next_update, watermark, entries)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute(params![
        issuer.0,
        name,
        octets(next.number),
        next.this_update.0,
        next.next_update.0,
        next.watermark.0.cast_signed(),
        next.entries.cast_signed(),
    ])?;
    Ok(())
}

/// Raises the last number of each of the issuer's lists to at least `used`.
///
/// # Errors
/// [`StoreError`].
pub fn raise_numbers(
    conn: &Connection,
    issuer: IssuerNumber,
    used: CrlNumber,
) -> Result<(), StoreError> {
    conn.prepare_cached(
        "UPDATE lists SET number = ?2 WHERE issuer = ?1 AND (number IS NULL OR number < ?2)",
    )?
    .execute(params![issuer.0, octets(used)])?;
    Ok(())
}

/// Records the size and hash of a CRL that was signed.
///
/// # Errors
/// [`StoreError`].
pub fn signed(
    conn: &Connection,
    issuer: IssuerNumber,
    name: CrlName,
    number: CrlNumber,
    size: u64,
    sha256: [u8; 32],
) -> Result<(), StoreError> {
    conn.prepare_cached(
        "UPDATE made_crls SET size = ?4, sha256 = ?5 WHERE issuer = ?1 AND name = ?2 AND number = ?3",
    )?
    .execute(params![
        issuer.0,
        name.to_string(),
        octets(number),
        size.cast_signed(),
        sha256
    ])?;
    Ok(())
}

/// The number and watermark of the oldest CRL that is still valid at `now`, made here or adopted:
/// relying parties may hold it. An adopted one has watermark 0.
///
/// # Errors
/// [`StoreError`].
pub fn oldest_valid(
    conn: &Connection,
    issuer: IssuerNumber,
    name: CrlName,
    now: UnixTime,
) -> Result<Option<(CrlNumber, Watermark)>, StoreError> {
    let row = conn
        .prepare_cached(
            "SELECT number, watermark FROM (
                 SELECT number, watermark FROM made_crls
                 WHERE issuer = ?1 AND name = ?2 AND sha256 IS NOT NULL AND next_update >= ?3
                 UNION ALL
                 SELECT number, 0 FROM adopted_crls WHERE issuer = ?1 AND name = ?2 AND next_update >= ?3)
             ORDER BY number LIMIT 1",
        )?
        .query_row(params![issuer.0, name.to_string(), now.0], |row| {
            Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, i64>(1)?))
        })
        .optional()?;
    let Some((number, watermark)) = row else {
        return Ok(None);
    };
    let number =
        CrlNumber::from_be_bytes(&number).map_err(|_| StoreError::Corrupt("CRL number"))?;
    Ok(Some((number, Watermark(watermark.cast_unsigned()))))
}

/// The newest signed CRL.
///
/// # Errors
/// [`StoreError`].
pub fn latest(
    conn: &Connection,
    issuer: IssuerNumber,
    name: CrlName,
) -> Result<Option<MadeRow>, StoreError> {
    conn.prepare_cached(
        "SELECT number, this_update, next_update, watermark, entries, size, sha256 FROM made_crls
         WHERE issuer = ?1 AND name = ?2 AND sha256 IS NOT NULL ORDER BY number DESC LIMIT 1",
    )?
    .query_row(params![issuer.0, name.to_string()], made_from_row)
    .optional()?
    .transpose()
}

/// The list of another CA with this distribution point, if any: its issuer's id and certificate.
///
/// # Errors
/// [`StoreError`].
pub fn others_at_url(
    conn: &Connection,
    issuer: IssuerNumber,
    url: &str,
) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
    conn.prepare_cached(
        "SELECT issuers.id, issuers.certificate FROM lists JOIN issuers ON issuers.number = lists.issuer
         WHERE lists.distribution_point = ?1 AND lists.issuer != ?2",
    )?
    .query_map(params![url, issuer.0], |row| Ok((row.get(0)?, row.get(1)?)))?
    .collect::<Result<_, _>>()
    .map_err(StoreError::from)
}

/// Raises the last thisUpdate of a list to at least `used`.
///
/// # Errors
/// [`StoreError`].
pub fn raise_this_update(
    conn: &Connection,
    issuer: IssuerNumber,
    name: CrlName,
    used: UnixTime,
) -> Result<(), StoreError> {
    conn.prepare_cached(
        "UPDATE lists SET this_update = ?3 WHERE issuer = ?1 AND name = ?2
         AND (this_update IS NULL OR this_update < ?3)",
    )?
    .execute(params![issuer.0, name.to_string(), used.0])?;
    Ok(())
}

fn list_from_row(row: &Row<'_>) -> rusqlite::Result<Result<ListRow, StoreError>> {
    let name: String = row.get(0)?;
    let number: Option<Vec<u8>> = row.get(4)?;
    let (Ok(name), Ok(number)) = (
        name.parse(),
        number.as_deref().map(CrlNumber::from_be_bytes).transpose(),
    ) else {
        return Ok(Err(StoreError::Corrupt("CRL's name or number")));
    };
    Ok(Ok(ListRow {
        config: ListConfig {
            name,
            distribution_point: row.get(1)?,
            validity: duration(row.get(2)?),
            overlap: duration(row.get(3)?),
        },
        number,
        this_update: row.get::<_, Option<i64>>(5)?.map(UnixTime),
    }))
}

fn made_from_row(row: &Row<'_>) -> rusqlite::Result<Result<MadeRow, StoreError>> {
    let Ok(number) = CrlNumber::from_be_bytes(&row.get::<_, Vec<u8>>(0)?) else {
        return Ok(Err(StoreError::Corrupt("CRL number")));
    };
    Ok(Ok(MadeRow {
        number,
        this_update: UnixTime(row.get(1)?),
        next_update: UnixTime(row.get(2)?),
        watermark: Watermark(row.get::<_, i64>(3)?.cast_unsigned()),
        entries: row.get::<_, i64>(4)?.cast_unsigned(),
        size: row.get::<_, Option<i64>>(5)?.map(i64::cast_unsigned),
        sha256: row.get(6)?,
    }))
}

/// All twenty octets, so that blobs sort as numbers do.
pub(super) fn octets(number: CrlNumber) -> Vec<u8> {
    let digits = number.as_be_bytes();
    let mut octets = vec![0; CrlNumber::MAX_OCTETS.saturating_sub(digits.len())];
    octets.extend_from_slice(digits);
    octets
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

fn duration(seconds: i64) -> Duration {
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}
