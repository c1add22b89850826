//! Creates, lists and ends bearer tokens. Several are valid at a time, so that one can replace
//! another without a gap.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use crl::UnixTime;
use origin_api::Timestamp;
use zeroize::Zeroizing;

use super::token_error::TokenError;
use super::{Origin, OriginError};
use crate::bearer_token::{BearerToken, TokenHash, TokenScope};
use crate::store::tokens as rows;

/// A new token: only its creation shows it.
#[derive(Debug)]
pub struct NewToken {
    /// What is stored of it.
    pub stored: BearerToken,
    /// The token itself.
    pub token: Zeroizing<String>,
}

impl Origin {
    /// Creates a token of 256 random bits.
    ///
    /// # Errors
    /// [`TokenError`], [`StoreError`](crate::store::StoreError).
    pub fn create_token(
        &self,
        name: &str,
        scope: TokenScope,
        expires_at: Option<UnixTime>,
        now: Timestamp,
    ) -> Result<NewToken, OriginError> {
        let mut bytes = Zeroizing::new([0_u8; 32]);
        self.random.fill(bytes.as_mut()).map_err(TokenError::from)?;
        let token = Zeroizing::new(URL_SAFE_NO_PAD.encode(bytes.as_ref()));
        let stored = BearerToken {
            name: name.to_owned(),
            scope,
            created_at: now.as_unix_time(),
            expires_at,
        };
        self.store.write(|tx| {
            if rows::all(tx)?.iter().any(|known| known.name == name) {
                return Err(OriginError::from(TokenError::Exists(name.to_owned())));
            }
            Ok(rows::insert(tx, &stored, TokenHash::of(&token))?)
        })?;
        Ok(NewToken { stored, token })
    }

    /// All tokens, by name.
    ///
    /// # Errors
    /// [`StoreError`](crate::store::StoreError).
    pub fn tokens(&self) -> Result<Vec<BearerToken>, OriginError> {
        self.store.read(|conn| Ok(rows::all(conn)?))
    }

    /// Sets when a token expires.
    ///
    /// # Errors
    /// [`TokenError::NotFound`], [`StoreError`](crate::store::StoreError).
    pub fn expire_token(&self, name: &str, at: UnixTime) -> Result<(), OriginError> {
        let found = self.store.write(|tx| rows::expire(tx, name, at))?;
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
        let found = self.store.write(|tx| rows::delete(tx, name))?;
        if found {
            Ok(())
        } else {
            Err(TokenError::NotFound(name.to_owned()).into())
        }
    }

    /// What a token permits; `None` if it is unknown or has expired.
    ///
    /// # Errors
    /// [`StoreError`](crate::store::StoreError).
    pub fn token_scope(
        &self,
        hash: TokenHash,
        now: Timestamp,
    ) -> Result<Option<TokenScope>, OriginError> {
        let token = self.store.read(|conn| rows::find(conn, hash))?;
        let valid =
            token.filter(|token| token.expires_at.is_none_or(|end| now.as_unix_time() < end));
        Ok(valid.map(|token| token.scope))
    }
}
