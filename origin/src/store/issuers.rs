//! Rows of issuers and of their keys.

use crl::UnixTime;
use origin_api::{IssuerId, Watermark};
use rusqlite::{Connection, OptionalExtension, Row, params};
use zeroize::Zeroizing;

use super::StoreError;
use crate::profile::Profile;

/// The key of an issuer's rows in the other tables. Never leaves the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IssuerNumber(pub i64);

/// An issuer, as stored.
#[derive(Clone, Debug)]
pub struct IssuerRow {
    /// Its number here.
    pub number: IssuerNumber,
    /// Its stable short name.
    pub id: IssuerId,
    /// The DER of its certificate.
    pub certificate: Vec<u8>,
    /// Where its CRLs come from, in JSON.
    pub connector: String,
    /// The rules that it is held to.
    pub profile: Profile,
    /// How far its revocations have come.
    pub watermark: Watermark,
    /// The watermark when its settings were last changed.
    pub configured: Watermark,
    /// When it was made known here.
    pub created_at: UnixTime,
}

const COLUMNS: &str =
    "number, id, certificate, connector, watermark, created_at, profile, configured";

/// Adds an issuer.
///
/// # Errors
/// SQLite's; a constraint fails if the id is taken.
pub fn insert(
    c: &Connection,
    id: &IssuerId,
    certificate: &[u8],
    connector: &str,
    profile: Profile,
    watermark: Watermark,
    now: UnixTime,
) -> Result<IssuerNumber, StoreError> {
    c.prepare_cached(
        "INSERT INTO issuers (id, certificate, connector, watermark, created_at, profile) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?
    .execute(params![id.as_str(), certificate, connector, watermark.0.cast_signed(), now.0, profile.as_str()])?;
    Ok(IssuerNumber(c.last_insert_rowid()))
}

/// Finds an issuer.
///
/// # Errors
/// SQLite's.
pub fn find(c: &Connection, id: &IssuerId) -> Result<Option<IssuerRow>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM issuers WHERE id = ?1");
    c.prepare_cached(&sql)?
        .query_row([id.as_str()], from_row)
        .optional()?
        .transpose()
}

/// Issuers in the order of their ids, from the first one after `after`.
///
/// # Errors
/// SQLite's.
pub fn page(c: &Connection, after: &str, limit: u32) -> Result<Vec<IssuerRow>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM issuers WHERE id > ?1 ORDER BY id LIMIT ?2");
    c.prepare_cached(&sql)?
        .query_map(params![after, limit], from_row)?
        .map(|row| row?)
        .collect()
}

/// How far an issuer's revocations have come.
///
/// # Errors
/// SQLite's; there must be such an issuer.
pub fn watermark(c: &Connection, issuer: IssuerNumber) -> Result<Watermark, StoreError> {
    let mut statement = c.prepare_cached("SELECT watermark FROM issuers WHERE number = ?1")?;
    let watermark: i64 = statement.query_row([issuer.0], |row| row.get(0))?;
    Ok(Watermark(watermark.cast_unsigned()))
}

/// Sets the watermark.
///
/// # Errors
/// SQLite's.
pub fn set_watermark(
    c: &Connection,
    issuer: IssuerNumber,
    watermark: Watermark,
) -> Result<(), StoreError> {
    c.prepare_cached("UPDATE issuers SET watermark = ?2 WHERE number = ?1")?
        .execute(params![issuer.0, watermark.0.cast_signed()])?;
    Ok(())
}

/// Changes the settings, at this watermark.
///
/// # Errors
/// SQLite's.
pub fn configure(
    c: &Connection,
    issuer: IssuerNumber,
    connector: &str,
    profile: Profile,
    watermark: Watermark,
) -> Result<(), StoreError> {
    c.prepare_cached(
        "UPDATE issuers SET connector = ?2, profile = ?3, watermark = ?4, configured = ?4 WHERE number = ?1",
    )?
    .execute(params![
        issuer.0,
        connector,
        profile.as_str(),
        watermark.0.cast_signed()
    ])?;
    Ok(())
}

/// The issuers of whose revocations the edge is still to be told, and how far they have come.
///
/// # Errors
/// SQLite's.
pub fn owed_pushes(c: &Connection) -> Result<Vec<(IssuerId, Watermark)>, StoreError> {
    c.prepare_cached("SELECT id, watermark FROM issuers WHERE watermark > pushed ORDER BY id")?
        .query_map([], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?))
        })?
        .map(|row| {
            let (id, watermark) = row?;
            let id = id.parse().map_err(|_| StoreError::Corrupt("issuer id"))?;
            Ok((id, Watermark(watermark.cast_unsigned())))
        })
        .collect()
}

/// Notes how far the edge was told.
///
/// # Errors
/// SQLite's.
pub fn set_pushed(c: &Connection, id: &IssuerId, watermark: Watermark) -> Result<(), StoreError> {
    c.prepare_cached("UPDATE issuers SET pushed = ?2 WHERE id = ?1")?
        .execute(params![id.as_str(), watermark.0.cast_signed()])?;
    Ok(())
}

/// An issuer's private key, as it is kept.
#[derive(Debug)]
pub enum KeptKey {
    /// PKCS#8, encrypted or not.
    Here(Zeroizing<Vec<u8>>),
    /// The URI of a key in a PKCS#11 token.
    InToken(String),
}

/// Keeps an issuer's private key.
///
/// # Errors
/// SQLite's.
pub fn insert_key(
    c: &Connection,
    issuer: IssuerNumber,
    kind: &str,
    key: &KeptKey,
) -> Result<(), StoreError> {
    match key {
        KeptKey::Here(pkcs8) => c
            .prepare_cached("INSERT INTO keys (issuer, kind, pkcs8) VALUES (?1, ?2, ?3)")?
            .execute(params![issuer.0, kind, pkcs8.as_slice()])?,
        KeptKey::InToken(uri) => c
            .prepare_cached("INSERT INTO token_keys (issuer, kind, uri) VALUES (?1, ?2, ?3)")?
            .execute(params![issuer.0, kind, uri])?,
    };
    Ok(())
}

/// The private key as it was kept.
///
/// # Errors
/// SQLite's.
pub fn key(c: &Connection, issuer: IssuerNumber) -> Result<Option<KeptKey>, StoreError> {
    let here = c
        .prepare_cached("SELECT pkcs8 FROM keys WHERE issuer = ?1")?
        .query_row([issuer.0], |row| row.get(0).map(Zeroizing::new))
        .optional()?;
    if let Some(pkcs8) = here {
        return Ok(Some(KeptKey::Here(pkcs8)));
    }
    let mut statement = c.prepare_cached("SELECT uri FROM token_keys WHERE issuer = ?1")?;
    Ok(statement
        .query_row([issuer.0], |row| row.get(0))
        .optional()?
        .map(KeptKey::InToken))
}

/// The kind of the private key.
///
/// # Errors
/// SQLite's.
pub fn key_kind(c: &Connection, issuer: IssuerNumber) -> Result<Option<String>, StoreError> {
    let mut statement = c.prepare_cached(
        "SELECT kind FROM keys WHERE issuer = ?1 UNION ALL SELECT kind FROM token_keys WHERE issuer = ?1",
    )?;
    Ok(statement
        .query_row([issuer.0], |row| row.get(0))
        .optional()?)
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<Result<IssuerRow, StoreError>> {
    let id: String = row.get(1)?;
    let profile = Profile::from_name(row.get_ref(6)?.as_str().unwrap_or_default());
    let (Ok(id), Some(profile)) = (id.parse(), profile) else {
        return Ok(Err(StoreError::Corrupt("issuer's id or profile")));
    };
    Ok(Ok(IssuerRow {
        number: IssuerNumber(row.get(0)?),
        id,
        certificate: row.get(2)?,
        connector: row.get(3)?,
        profile,
        watermark: Watermark(row.get::<_, i64>(4)?.cast_unsigned()),
        configured: Watermark(row.get::<_, i64>(7)?.cast_unsigned()),
        created_at: UnixTime(row.get(5)?),
    }))
}
