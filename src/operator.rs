//! What operators may do: calls behind a token. Pure: who may call what, and what a call is.

use origin_api::{CrlName, IssuerId};
use subtle::ConstantTimeEq as _;

use crate::config::{Secret, Settings};
use crate::events::Trigger;
use crate::problem::EdgeError;

/// A call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// Refreshes an issuer's CRLs, or one of them.
    Refresh {
        /// Whose.
        issuer: IssuerId,
        /// Which, or all.
        name: Option<CrlName>,
    },
    /// Refreshes everything.
    RefreshAll,
    /// Accepts a changed certificate.
    Trust {
        /// Whose.
        issuer: IssuerId,
    },
}

impl Call {
    /// Reads a request. None where the path is no operators' path.
    pub fn parse(
        method: &str,
        path: &str,
        query: &[(String, String)],
    ) -> Option<Result<Self, EdgeError>> {
        let segments: Vec<_> = path.strip_prefix("/v1/")?.split('/').collect();
        let issuer = |text: &str| text.parse::<IssuerId>().map_err(|_| EdgeError::NotFound);
        let call = match segments.as_slice() {
            ["refresh"] => Ok(Self::RefreshAll),
            ["issuers", id, "refresh"] => issuer(id).and_then(|issuer| {
                let name = query.iter().find(|(key, _)| key == "name");
                let name = name.map(|(_, text)| text.parse()).transpose();
                Ok(Self::Refresh {
                    issuer,
                    name: name.map_err(|_| EdgeError::BadParameter {
                        name: "name",
                        problem: "is not a CRL's name: full, delta, shard-0, shard-1, …".into(),
                    })?,
                })
            }),
            ["issuers", id, "trust"] => issuer(id).map(|issuer| Self::Trust { issuer }),
            _ => return None,
        };
        Some(match (method, call) {
            ("POST", call) => call,
            (_, Ok(_)) => Err(EdgeError::MethodNotAllowed { allow: "POST" }),
            (_, error) => error,
        })
    }

    /// Who calls, by the token in `Authorization`.
    ///
    /// # Errors
    /// Where no token is set, or the one shown opens nothing, or not this.
    pub fn authorize(
        &self,
        authorization: Option<&str>,
        settings: &Settings,
    ) -> Result<Trigger, EdgeError> {
        let shown = authorization.and_then(bearer).unwrap_or_default();
        if matches(shown, settings.operator_token.as_ref()) {
            return Ok(Trigger::Operator);
        }
        if matches(shown, settings.hook_token.as_ref()) {
            return match self {
                Self::Refresh { .. } => Ok(Trigger::Hook),
                _ => Err(EdgeError::TokenNotAllowed),
            };
        }
        if settings.operator_token.is_none() {
            return Err(EdgeError::OperatorTokenNotSet);
        }
        Err(EdgeError::Unauthorized)
    }
}

/// The token of `Authorization: Bearer …`; the scheme's case does not matter (RFC 9110, section 11.1).
fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Compares in constant time: how long it takes tells nothing but the length.
fn matches(shown: &str, secret: Option<&Secret>) -> bool {
    secret.is_some_and(|secret| shown.as_bytes().ct_eq(secret.reveal().as_bytes()).into())
}
