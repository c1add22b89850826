//! Rows of bearer tokens. Only their SHA-256 is kept.

use crl::UnixTime;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::StoreError;

/// What a token is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum TokenScope {
    /// The calls that an edge makes: issuers and their CRLs.
    Edge,
    /// Everything.
    Admin,
}

impl TokenScope {
    /// As written in the database and on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Edge => "edge",
            Self::Admin => "admin",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [Self::Edge, Self::Admin]
            .into_iter()
            .find(|scope| scope.as_str() == name)
    }
}

/// A token, without the token.
#[derive(Clone, Debug)]
pub struct TokenRow {
    /// What its owner calls it.
    pub name: String,
    /// What it is good for.
    pub scope: TokenScope,
    /// When it was made.
    pub created_at: UnixTime,
    /// From when it is refused.
    pub expires_at: Option<UnixTime>,
}

/// Keeps a token's hash.
///
/// # Errors
/// SQLite's; a constraint fails if the name is taken.
pub fn insert(c: &Connection, token: &TokenRow, sha256: [u8; 32]) -> Result<(), StoreError> {
    c.prepare_cached("INSERT INTO tokens (name, sha256, scope, created_at, expires_at) VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![
            token.name,
            sha256,
            token.scope.as_str(),
            token.created_at.0,
            token.expires_at.map(|time| time.0)
        ])?;
    Ok(())
}

/// All tokens, by name.
///
/// # Errors
/// SQLite's.
pub fn all(c: &Connection) -> Result<Vec<TokenRow>, StoreError> {
    c.prepare_cached("SELECT name, scope, created_at, expires_at FROM tokens ORDER BY name")?
        .query_map([], from_row)?
        .map(|row| row?)
        .collect()
}

/// Finds the token with that SHA-256.
///
/// # Errors
/// SQLite's.
pub fn find(c: &Connection, sha256: [u8; 32]) -> Result<Option<TokenRow>, StoreError> {
    c.prepare_cached("SELECT name, scope, created_at, expires_at FROM tokens WHERE sha256 = ?1")?
        .query_row([sha256], from_row)
        .optional()?
        .transpose()
}

/// Sets from when a token is refused; says whether there is one of that name.
///
/// # Errors
/// SQLite's.
pub fn expire(c: &Connection, name: &str, at: UnixTime) -> Result<bool, StoreError> {
    let rows = c
        .prepare_cached("UPDATE tokens SET expires_at = ?2 WHERE name = ?1")?
        .execute(params![name, at.0])?;
    Ok(rows > 0)
}

/// Deletes a token; says whether there was one of that name.
///
/// # Errors
/// SQLite's.
pub fn delete(c: &Connection, name: &str) -> Result<bool, StoreError> {
    Ok(c.prepare_cached("DELETE FROM tokens WHERE name = ?1")?
        .execute([name])?
        > 0)
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<Result<TokenRow, StoreError>> {
    let Some(scope) = TokenScope::from_name(row.get_ref(1)?.as_str().unwrap_or_default()) else {
        return Ok(Err(StoreError::Corrupt("token's scope")));
    };
    Ok(Ok(TokenRow {
        name: row.get(0)?,
        scope,
        created_at: UnixTime(row.get(2)?),
        expires_at: row.get::<_, Option<i64>>(3)?.map(UnixTime),
    }))
}
