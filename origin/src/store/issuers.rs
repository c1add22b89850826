//! Rows of issuers and their keys.

use crl::UnixTime;
use origin_api::{IssuerId, Watermark};
use rusqlite::{Connection, OptionalExtension, Row, params};
use x509_cert::Certificate;
use zeroize::Zeroizing;

use super::StoreError;
use crate::ca::{self, CertificateError, KeyKind};
use crate::connector_config::ConnectorConfig;
use crate::profile::Profile;

/// The primary key of an issuer. It is not shown outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IssuerNumber(pub i64);

/// A stored issuer.
#[derive(Clone, Debug)]
pub struct IssuerRow {
    /// Its primary key.
    pub number: IssuerNumber,
    /// Its stable short name.
    pub id: IssuerId,
    /// The DER of its certificate.
    pub certificate: Vec<u8>,
    /// Where its CRLs come from.
    pub connector: ConnectorConfig,
    /// The rules that it is held to.
    pub profile: Profile,
    /// Counts the changes to its revocations and its configuration.
    pub watermark: Watermark,
    /// The watermark of the last change to its configuration.
    pub configured: Watermark,
    /// When it was added.
    pub created_at: UnixTime,
    /// From when on it keeps the entries of expired certificates; `None` if it does not.
    pub keeps_expired_since: Option<UnixTime>,
}

impl IssuerRow {
    /// The certificate, parsed.
    ///
    /// # Errors
    /// [`CertificateError::Malformed`].
    pub fn parse_certificate(&self) -> Result<Certificate, CertificateError> {
        ca::certificate_from_pem_or_der(&self.certificate)
    }
}

const COLUMNS: &str = "number, id, certificate, connector, watermark, created_at, profile, configured, keeps_expired_since";

/// Adds an issuer.
///
/// # Errors
/// [`StoreError::Sqlite`], a failed constraint if the id is taken.
pub fn insert(
    conn: &Connection,
    id: &IssuerId,
    certificate: &[u8],
    connector: &ConnectorConfig,
    profile: Profile,
    watermark: Watermark,
    now: UnixTime,
) -> Result<IssuerNumber, StoreError> {
    conn.prepare_cached(
        "INSERT INTO issuers (id, certificate, connector, watermark, created_at, profile, configured)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?4)",
    )?
    .execute(params![
        id.as_str(),
        certificate,
        json(connector)?,
        watermark.0.cast_signed(),
        now.0,
        profile.as_str(),
    ])?;
    Ok(IssuerNumber(conn.last_insert_rowid()))
}

/// Finds an issuer.
///
/// # Errors
/// [`StoreError`].
pub fn find(conn: &Connection, id: &IssuerId) -> Result<Option<IssuerRow>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM issuers WHERE id = ?1");
    conn.prepare_cached(&sql)?
        .query_row([id.as_str()], from_row)
        .optional()?
        .transpose()
}

/// Up to `limit` issuers in order of id, after the id `after`.
///
/// # Errors
/// [`StoreError`].
pub fn page(conn: &Connection, after: &str, limit: u32) -> Result<Vec<IssuerRow>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM issuers WHERE id > ?1 ORDER BY id LIMIT ?2");
    conn.prepare_cached(&sql)?
        .query_map(params![after, limit], from_row)?
        .map(|row| row?)
        .collect()
}

/// An issuer's watermark.
///
/// # Errors
/// [`StoreError::Sqlite`] if there is no such issuer.
pub fn watermark(conn: &Connection, issuer: IssuerNumber) -> Result<Watermark, StoreError> {
    let mut statement = conn.prepare_cached("SELECT watermark FROM issuers WHERE number = ?1")?;
    let watermark: i64 = statement.query_row([issuer.0], |row| row.get(0))?;
    Ok(Watermark(watermark.cast_unsigned()))
}

/// Sets the watermark.
///
/// # Errors
/// [`StoreError`].
pub fn set_watermark(
    conn: &Connection,
    issuer: IssuerNumber,
    watermark: Watermark,
) -> Result<(), StoreError> {
    conn.prepare_cached("UPDATE issuers SET watermark = ?2 WHERE number = ?1")?
        .execute(params![issuer.0, watermark.0.cast_signed()])?;
    Ok(())
}

/// Changes an issuer's configuration, and raises its watermark.
///
/// # Errors
/// [`StoreError`].
pub fn configure(
    conn: &Connection,
    issuer: IssuerNumber,
    connector: &ConnectorConfig,
    profile: Profile,
    watermark: Watermark,
) -> Result<(), StoreError> {
    conn.prepare_cached(
        "UPDATE issuers SET connector = ?2, profile = ?3, watermark = ?4, configured = ?4 WHERE number = ?1",
    )?
    .execute(params![
        issuer.0,
        json(connector)?,
        profile.as_str(),
        watermark.0.cast_signed()
    ])?;
    Ok(())
}

/// Sets from when on an issuer keeps the entries of expired certificates.
///
/// # Errors
/// [`StoreError`].
pub fn keep_expired(
    conn: &Connection,
    issuer: IssuerNumber,
    since: Option<UnixTime>,
) -> Result<(), StoreError> {
    conn.prepare_cached("UPDATE issuers SET keeps_expired_since = ?2 WHERE number = ?1")?
        .execute(params![issuer.0, since.map(|since| since.0)])?;
    Ok(())
}

/// Replaces an issuer's certificate.
///
/// # Errors
/// [`StoreError`].
pub fn set_certificate(
    conn: &Connection,
    issuer: IssuerNumber,
    certificate: &[u8],
) -> Result<(), StoreError> {
    conn.prepare_cached("UPDATE issuers SET certificate = ?2 WHERE number = ?1")?
        .execute(params![issuer.0, certificate])?;
    Ok(())
}

/// The issuers with changes that have not been pushed to the edge, and their watermarks.
///
/// # Errors
/// [`StoreError`].
pub fn owed_pushes(conn: &Connection) -> Result<Vec<(IssuerId, Watermark)>, StoreError> {
    conn.prepare_cached("SELECT id, watermark FROM issuers WHERE watermark > pushed ORDER BY id")?
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

/// The issuers that follow a directory of `openssl ca`, in order of id.
///
/// # Errors
/// [`StoreError`].
pub fn of_openssl(conn: &Connection) -> Result<Vec<IssuerRow>, StoreError> {
    // The condition is that of the index `issuers_of_openssl`.
    let sql = format!(
        "SELECT {COLUMNS} FROM issuers WHERE connector ->> '$.kind' = 'openssl' ORDER BY id"
    );
    conn.prepare_cached(&sql)?
        .query_map([], from_row)?
        .map(|row| row?)
        .collect()
}

/// Records that the changes up to this watermark have been pushed to the edge.
///
/// # Errors
/// [`StoreError`].
pub fn set_pushed(
    conn: &Connection,
    id: &IssuerId,
    watermark: Watermark,
) -> Result<(), StoreError> {
    conn.prepare_cached("UPDATE issuers SET pushed = ?2 WHERE id = ?1")?
        .execute(params![id.as_str(), watermark.0.cast_signed()])?;
    Ok(())
}

/// A stored private key.
#[derive(Debug)]
pub enum StoredKey {
    /// PKCS#8 DER, encrypted or not.
    Pkcs8(Zeroizing<Vec<u8>>),
    /// The URI of a key in a PKCS#11 token.
    Pkcs11(String),
}

/// Stores an issuer's private key.
///
/// # Errors
/// [`StoreError`].
pub fn insert_key(
    conn: &Connection,
    issuer: IssuerNumber,
    kind: KeyKind,
    key: &StoredKey,
) -> Result<(), StoreError> {
    match key {
        StoredKey::Pkcs8(pkcs8) => conn
            .prepare_cached("INSERT INTO keys (issuer, kind, pkcs8) VALUES (?1, ?2, ?3)")?
            .execute(params![issuer.0, kind.as_str(), pkcs8.as_slice()])?,
        StoredKey::Pkcs11(uri) => conn
            .prepare_cached("INSERT INTO token_keys (issuer, kind, uri) VALUES (?1, ?2, ?3)")?
            .execute(params![issuer.0, kind.as_str(), uri])?,
    };
    Ok(())
}

/// An issuer's private key.
///
/// # Errors
/// [`StoreError`].
pub fn key(conn: &Connection, issuer: IssuerNumber) -> Result<Option<StoredKey>, StoreError> {
    let here = conn
        .prepare_cached("SELECT pkcs8 FROM keys WHERE issuer = ?1")?
        .query_row([issuer.0], |row| row.get(0).map(Zeroizing::new))
        .optional()?;
    if let Some(pkcs8) = here {
        return Ok(Some(StoredKey::Pkcs8(pkcs8)));
    }
    let mut statement = conn.prepare_cached("SELECT uri FROM token_keys WHERE issuer = ?1")?;
    Ok(statement
        .query_row([issuer.0], |row| row.get(0))
        .optional()?
        .map(StoredKey::Pkcs11))
}

/// The kind of an issuer's private key.
///
/// # Errors
/// [`StoreError`].
pub fn key_kind(conn: &Connection, issuer: IssuerNumber) -> Result<Option<KeyKind>, StoreError> {
    let mut statement = conn.prepare_cached(
        "SELECT kind FROM keys WHERE issuer = ?1 UNION ALL SELECT kind FROM token_keys WHERE issuer = ?1",
    )?;
    let kind = statement
        .query_row([issuer.0], |row| row.get::<_, String>(0))
        .optional()?;
    kind.map(|kind| kind.parse())
        .transpose()
        .map_err(|_| StoreError::Corrupt("key's kind"))
}

fn json(connector: &ConnectorConfig) -> Result<String, StoreError> {
    serde_json::to_string(connector).map_err(|_| StoreError::Corrupt("connector"))
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<Result<IssuerRow, StoreError>> {
    let id: String = row.get(1)?;
    let profile = Profile::from_name(row.get_ref(6)?.as_str().unwrap_or_default());
    // A later release may know more kinds of connectors.
    let connector = serde_json::from_slice(row.get_ref(3)?.as_bytes().unwrap_or_default());
    let (Ok(id), Some(profile), Ok(connector)) = (id.parse(), profile, connector) else {
        return Ok(Err(StoreError::Corrupt(
            "issuer's id, profile or connector",
        )));
    };
    Ok(Ok(IssuerRow {
        number: IssuerNumber(row.get(0)?),
        id,
        certificate: row.get(2)?,
        connector,
        profile,
        watermark: Watermark(row.get::<_, i64>(4)?.cast_unsigned()),
        configured: Watermark(row.get::<_, i64>(7)?.cast_unsigned()),
        created_at: UnixTime(row.get(5)?),
        keeps_expired_since: row.get::<_, Option<i64>>(8)?.map(UnixTime),
    }))
}
