//! Rows of bearer tokens.

use crl::UnixTime;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::StoreError;
use crate::bearer_token::{BearerToken, TokenHash, TokenScope};

/// Stores a token.
///
/// # Errors
/// [`StoreError::Sqlite`], a failed constraint if the name is taken.
pub fn insert(conn: &Connection, token: &BearerToken, hash: TokenHash) -> Result<(), StoreError> {
    conn.prepare_cached("INSERT INTO tokens (name, sha256, scope, created_at, expires_at) VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![
            token.name,
            hash.0,
            token.scope.as_str(),
            token.created_at.0,
            token.expires_at.map(|time| time.0)
        ])?;
    Ok(())
}

/// All tokens, by name.
///
/// # Errors
/// [`StoreError`].
pub fn all(conn: &Connection) -> Result<Vec<BearerToken>, StoreError> {
    conn.prepare_cached("SELECT name, scope, created_at, expires_at FROM tokens ORDER BY name")?
        .query_map([], from_row)?
        .map(|row| row?)
        .collect()
}

/// Finds a token by its hash.
///
/// # Errors
/// [`StoreError`].
pub fn find(conn: &Connection, hash: TokenHash) -> Result<Option<BearerToken>, StoreError> {
    conn.prepare_cached("SELECT name, scope, created_at, expires_at FROM tokens WHERE sha256 = ?1")?
        .query_row([hash.0], from_row)
        .optional()?
        .transpose()
}

/// Sets when a token expires. Returns whether it exists.
///
/// # Errors
/// [`StoreError`].
pub fn expire(conn: &Connection, name: &str, at: UnixTime) -> Result<bool, StoreError> {
    let rows = conn
        .prepare_cached("UPDATE tokens SET expires_at = ?2 WHERE name = ?1")?
        .execute(params![name, at.0])?;
    Ok(rows > 0)
}

/// Deletes a token. Returns whether it existed.
///
/// # Errors
/// [`StoreError`].
pub fn delete(conn: &Connection, name: &str) -> Result<bool, StoreError> {
    Ok(conn
        .prepare_cached("DELETE FROM tokens WHERE name = ?1")?
        .execute([name])?
        > 0)
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<Result<BearerToken, StoreError>> {
    let Some(scope) = TokenScope::from_name(row.get_ref(1)?.as_str().unwrap_or_default()) else {
        return Ok(Err(StoreError::Corrupt("token's scope")));
    };
    Ok(Ok(BearerToken {
        name: row.get(0)?,
        scope,
        created_at: UnixTime(row.get(2)?),
        expires_at: row.get::<_, Option<i64>>(3)?.map(UnixTime),
    }))
}
