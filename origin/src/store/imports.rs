//! Rows of imports, and of what each changed, so that an import can be undone.

use crl::{Reason, UnixTime};
use origin_api::Watermark;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::StoreError;
use super::issuers::IssuerNumber;
use crate::ca::Serial;
use crate::revocation::{RevokedCertificate, State};

/// An import.
#[derive(Clone, Debug)]
pub struct ImportRow {
    /// Its id.
    pub id: i64,
    /// The name of the imported file.
    pub source: String,
    /// When it started.
    pub created_at: UnixTime,
    /// When it was undone.
    pub undone_at: Option<UnixTime>,
    /// The number of certificates that it changed.
    pub changes: u64,
}

/// What an import changed of one certificate.
#[derive(Clone, Debug)]
pub struct ImportChange {
    /// The certificate's serial number.
    pub serial: Serial,
    /// The watermark that the import set. If the certificate has another one, it has changed since.
    pub changed: Watermark,
    /// The state before the import; `None` if the certificate had never been revoked.
    pub before: Option<RevokedCertificate>,
}

/// Adds an import. Returns its id.
///
/// # Errors
/// [`StoreError`].
pub fn insert(
    conn: &Connection,
    issuer: IssuerNumber,
    source: &str,
    now: UnixTime,
) -> Result<i64, StoreError> {
    conn.prepare_cached("INSERT INTO imports (issuer, source, created_at) VALUES (?1, ?2, ?3)")?
        .execute(params![issuer.0, source, now.0])?;
    Ok(conn.last_insert_rowid())
}

/// The imports of an issuer, oldest first.
///
/// # Errors
/// [`StoreError`].
pub fn all(conn: &Connection, issuer: IssuerNumber) -> Result<Vec<ImportRow>, StoreError> {
    conn.prepare_cached(
        "SELECT id, source, created_at, undone_at,
             (SELECT count(*) FROM import_changes WHERE import = imports.id)
         FROM imports WHERE issuer = ?1 ORDER BY id",
    )?
    .query_map([issuer.0], |row| {
        Ok(ImportRow {
            id: row.get(0)?,
            source: row.get(1)?,
            created_at: UnixTime(row.get(2)?),
            undone_at: row.get::<_, Option<i64>>(3)?.map(UnixTime),
            changes: row.get::<_, i64>(4)?.cast_unsigned(),
        })
    })?
    .collect::<Result<_, _>>()
    .map_err(StoreError::from)
}

/// Whether the issuer has an import with this id that has not been undone.
///
/// # Errors
/// [`StoreError`].
pub fn exists(conn: &Connection, issuer: IssuerNumber, id: i64) -> Result<bool, StoreError> {
    let found = conn
        .prepare_cached(
            "SELECT 1 FROM imports WHERE issuer = ?1 AND id = ?2 AND undone_at IS NULL",
        )?
        .query_row(params![issuer.0, id], |_| Ok(()))
        .optional()?;
    Ok(found.is_some())
}

/// Marks an import as undone.
///
/// # Errors
/// [`StoreError`].
pub fn set_undone(conn: &Connection, id: i64, now: UnixTime) -> Result<(), StoreError> {
    conn.prepare_cached("UPDATE imports SET undone_at = ?2 WHERE id = ?1")?
        .execute(params![id, now.0])?;
    Ok(())
}

/// Records what an import changes. The first state before the import counts.
///
/// # Errors
/// [`StoreError`].
pub fn record(conn: &Connection, import: i64, change: &ImportChange) -> Result<(), StoreError> {
    let before = change.before.as_ref();
    conn.prepare_cached(
        "INSERT INTO import_changes (import, serial, changed, revoked_at, reason, invalidity_date, not_after, shard, state)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
         ON CONFLICT (import, serial) DO UPDATE SET changed = ?3",
    )?
    .execute(params![
        import,
        change.serial.as_bytes(),
        change.changed.0.cast_signed(),
        before.map(|before| before.revoked_at.0),
        before.map(|before| before.reason.code()),
        before.and_then(|before| before.invalidity_date).map(|time| time.0),
        before.and_then(|before| before.not_after).map(|time| time.0),
        before.and_then(|before| before.shard),
        before.map(|before| before.state.as_str()),
    ])?;
    Ok(())
}

/// Up to `limit` changes of an import, in order of serial number, after `after`.
///
/// # Errors
/// [`StoreError`].
pub fn changes(
    conn: &Connection,
    import: i64,
    after: Option<&Serial>,
    limit: u32,
) -> Result<Vec<ImportChange>, StoreError> {
    conn.prepare_cached(
        "SELECT serial, changed, revoked_at, reason, invalidity_date, not_after, shard, state
         FROM import_changes WHERE import = ?1 AND (?2 IS NULL OR serial > ?2) ORDER BY serial LIMIT ?3",
    )?
    .query_map(
        params![import, after.map(Serial::as_bytes), limit],
        change_from_row,
    )?
    .map(|row| row?)
    .collect()
}

fn change_from_row(row: &Row<'_>) -> rusqlite::Result<Result<ImportChange, StoreError>> {
    let corrupt = || StoreError::Corrupt("import's change");
    let Ok(serial) = Serial::from_be_bytes(row.get_ref(0)?.as_blob().unwrap_or_default()) else {
        return Ok(Err(corrupt()));
    };
    let state: Option<String> = row.get(7)?;
    let before = match state {
        None => None,
        Some(state) => {
            let reason = Reason::from_code(row.get(3)?);
            let (Some(reason), Some(state)) = (reason, State::from_name(&state)) else {
                return Ok(Err(corrupt()));
            };
            Some(RevokedCertificate {
                serial: serial.clone(),
                revoked_at: UnixTime(row.get(2)?),
                reason,
                invalidity_date: row.get::<_, Option<i64>>(4)?.map(UnixTime),
                not_after: row.get::<_, Option<i64>>(5)?.map(UnixTime),
                shard: row.get(6)?,
                state,
            })
        }
    };
    Ok(Ok(ImportChange {
        serial,
        changed: Watermark(row.get::<_, i64>(1)?.cast_unsigned()),
        before,
    }))
}
