//! Bearer tokens of the API (RFC 6750). Only their SHA-256 is stored.

use crl::UnixTime;
use sha2::{Digest, Sha256};

/// What a token permits. The greater one includes the lesser.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TokenScope {
    /// The calls that an edge makes: read issuers, fetch CRLs.
    Edge,
    /// Every call.
    Admin,
}

impl TokenScope {
    /// Every scope.
    pub const ALL: [Self; 2] = [Self::Edge, Self::Admin];

    /// The name in the database and on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Edge => "edge",
            Self::Admin => "admin",
        }
    }

    /// The scope of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == name)
    }
}

/// What is known of a token; not the token itself.
#[derive(Clone, Debug)]
pub struct BearerToken {
    /// The name that its owner gave it.
    pub name: String,
    /// What it permits.
    pub scope: TokenScope,
    /// When it was made.
    pub created_at: UnixTime,
    /// From when on it is refused; never if absent.
    pub expires_at: Option<UnixTime>,
}

/// The SHA-256 of a token: what is stored and compared. It also identifies the caller, so that the
/// origin knows which edge holds which CRL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TokenHash(pub [u8; 32]);

impl TokenHash {
    /// The hash of this token.
    #[must_use]
    pub fn of(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }
}
