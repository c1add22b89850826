//! Bearer tokens: made here, shown once, kept as hashes. Several may be valid at a time, so that one can follow on another.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use crl::UnixTime;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::{Origin, OriginError};
use crate::clock::Moment;
use crate::store::tokens::{self as rows, TokenRow, TokenScope};

/// Why a token cannot be made or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The name is taken.
    #[error("token {0} already exists")]
    Exists(String),
    /// No token of that name.
    #[error("no token is named {0}")]
    NotFound(String),
    /// The system gave no randomness.
    #[error("no randomness: {0}")]
    Randomness(#[from] getrandom::Error),
}

/// A token that was made: the only time that it is seen.
#[derive(Debug)]
pub struct NewToken {
    /// What is known of it later on.
    pub row: TokenRow,
    /// The token itself.
    pub token: Zeroizing<String>,
}

impl Origin {
    /// Makes a token of 256 random bits.
    ///
    /// # Errors
    /// [`TokenError`], [`StoreError`](crate::store::StoreError).
    pub fn create_token(
        &self,
        name: &str,
        scope: TokenScope,
        expires_at: Option<UnixTime>,
        now: Moment,
    ) -> Result<NewToken, OriginError> {
        let mut bytes = Zeroizing::new([0_u8; 32]);
        getrandom::fill(bytes.as_mut()).map_err(TokenError::from)?;
        let token = Zeroizing::new(URL_SAFE_NO_PAD.encode(bytes.as_ref()));
        let row = TokenRow {
            name: name.to_owned(),
            scope,
            created_at: now.time(),
            expires_at,
        };
        self.store.write(|t| {
            if rows::all(t)?.iter().any(|known| known.name == name) {
                return Err(OriginError::from(TokenError::Exists(name.to_owned())));
            }
            Ok(rows::insert(t, &row, token_hash(&token))?)
        })?;
        Ok(NewToken { row, token })
    }

    /// All tokens, by name.
    ///
    /// # Errors
    /// [`StoreError`](crate::store::StoreError).
    pub fn tokens(&self) -> Result<Vec<TokenRow>, OriginError> {
        self.store.read(|c| Ok(rows::all(c)?))
    }

    /// Sets from when a token is refused.
    ///
    /// # Errors
    /// [`TokenError::NotFound`], [`StoreError`](crate::store::StoreError).
    pub fn expire_token(&self, name: &str, at: UnixTime) -> Result<(), OriginError> {
        let found = self.store.write(|t| rows::expire(t, name, at))?;
        if found {
            Ok(())
        } else {
            Err(TokenError::NotFound(name.to_owned()).into())
        }
    }

    /// Deletes a token.
    ///
    /// # Errors
    /// [`TokenError::NotFound`], [`StoreError`](crate::store::StoreError).
    pub fn delete_token(&self, name: &str) -> Result<(), OriginError> {
        let found = self.store.write(|t| rows::delete(t, name))?;
        if found {
            Ok(())
        } else {
            Err(TokenError::NotFound(name.to_owned()).into())
        }
    }

    /// What a presented token is good for; `None` if it is unknown or has expired.
    ///
    /// # Errors
    /// [`StoreError`](crate::store::StoreError).
    pub fn token_scope(&self, token: &str, now: Moment) -> Result<Option<TokenScope>, OriginError> {
        // Looked up by its hash: how long that takes tells nothing about the token.
        let row = self.store.read(|c| rows::find(c, token_hash(token)))?;
        let valid = row.filter(|row| row.expires_at.is_none_or(|end| now.time() < end));
        Ok(valid.map(|row| row.scope))
    }
}

/// A token as it is kept and compared.
#[must_use]
pub fn token_hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}
