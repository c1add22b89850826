//! Why a token cannot be created or changed.

use crate::random::NoRandomness;

/// Why a token cannot be created or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The name is taken.
    #[error("token {0} already exists")]
    Exists(String),
    /// No token of that name.
    #[error("no token is named {0}")]
    NotFound(String),
    /// There is no randomness for the token.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
}
