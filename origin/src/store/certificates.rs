//! Rows of the certificates that local issuers issued.

use crl::UnixTime;
use rusqlite::{Connection, OptionalExtension, params};

use super::StoreError;
use super::issuers::IssuerNumber;
use crate::ca::Serial;
use crate::revocation::{CertificateFacts, NamedList};

/// A certificate that a local issuer issued.
#[derive(Clone, Debug)]
pub struct CertificateRow {
    /// Its serial number.
    pub serial: Serial,
    /// Its subject, in the form of RFC 4514.
    pub subject: String,
    /// When it expires.
    pub not_after: UnixTime,
    /// The shard that its distribution point names, if any.
    pub shard: Option<u32>,
    /// Its DER.
    pub der: Vec<u8>,
}

impl CertificateRow {
    /// What the certificate states.
    #[must_use]
    pub fn facts(&self) -> CertificateFacts {
        CertificateFacts {
            not_after: self.not_after,
            list: self.shard.map_or(NamedList::Full, NamedList::Shard),
        }
    }
}

/// Stores a certificate.
///
/// # Errors
/// [`StoreError`].
pub fn insert(
    conn: &Connection,
    issuer: IssuerNumber,
    certificate: &CertificateRow,
) -> Result<(), StoreError> {
    conn.prepare_cached(
        "INSERT INTO certificates (issuer, serial, subject, not_after, shard, certificate)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?
    .execute(params![
        issuer.0,
        certificate.serial.as_bytes(),
        certificate.subject,
        certificate.not_after.0,
        certificate.shard,
        certificate.der,
    ])?;
    Ok(())
}

/// Whether any certificate names this shard's distribution point.
///
/// # Errors
/// [`StoreError`].
pub fn any_of_shard(
    conn: &Connection,
    issuer: IssuerNumber,
    shard: u32,
) -> Result<bool, StoreError> {
    let mut statement = conn.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM certificates WHERE issuer = ?1 AND shard = ?2)",
    )?;
    Ok(statement.query_row(params![issuer.0, shard], |row| row.get(0))?)
}

/// Up to `limit` certificates in order of serial number, after the serial number `after`.
///
/// # Errors
/// [`StoreError`].
pub fn page(
    conn: &Connection,
    issuer: IssuerNumber,
    after: Option<&Serial>,
    limit: u32,
) -> Result<Vec<CertificateRow>, StoreError> {
    let after = after.map(Serial::as_bytes).unwrap_or_default();
    conn.prepare_cached(
        "SELECT serial, subject, not_after, shard, certificate FROM certificates
         WHERE issuer = ?1 AND serial > ?2 ORDER BY serial LIMIT ?3",
    )?
    .query_map(params![issuer.0, after, limit], |row| {
        let Ok(serial) = Serial::from_be_bytes(row.get_ref(0)?.as_blob().unwrap_or_default())
        else {
            return Ok(Err(StoreError::Corrupt("certificate's serial number")));
        };
        Ok(Ok(CertificateRow {
            serial,
            subject: row.get(1)?,
            not_after: UnixTime(row.get(2)?),
            shard: row.get(3)?,
            der: row.get(4)?,
        }))
    })?
    .map(|row| row?)
    .collect()
}

/// Finds a certificate.
///
/// # Errors
/// [`StoreError`].
pub fn find(
    conn: &Connection,
    issuer: IssuerNumber,
    serial: &Serial,
) -> Result<Option<CertificateRow>, StoreError> {
    let mut statement = conn.prepare_cached(
        "SELECT subject, not_after, shard, certificate FROM certificates WHERE issuer = ?1 AND serial = ?2",
    )?;
    let row = statement.query_row(params![issuer.0, serial.as_bytes()], |row| {
        Ok(CertificateRow {
            serial: serial.clone(),
            subject: row.get(0)?,
            not_after: UnixTime(row.get(1)?),
            shard: row.get(2)?,
            der: row.get(3)?,
        })
    });
    Ok(row.optional()?)
}
