//! Who may call what: tokens, compared in constant time. Pure.

use subtle::ConstantTimeEq as _;

use crate::config::{Secret, Settings};
use crate::problem::EdgeError;

/// Who calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Caller {
    /// A person or program with `OPERATOR_TOKEN`: everything is open.
    Operator,
    /// The origin with `HOOK_TOKEN`: only the refresh of one issuer is.
    Hook,
}

/// Who calls, by the `Authorization` header.
///
/// # Errors
/// Where no token is set, or the one shown opens nothing.
pub(crate) fn caller(
    authorization: Option<&str>,
    settings: &Settings,
) -> Result<Caller, EdgeError> {
    let shown = authorization.and_then(bearer).unwrap_or_default();
    if is(shown, settings.operator_token.as_ref()) {
        Ok(Caller::Operator)
    } else if is(shown, settings.hook_token.as_ref()) {
        Ok(Caller::Hook)
    } else if settings.operator_token.is_none() {
        Err(EdgeError::OperatorTokenNotSet)
    } else {
        Err(EdgeError::Unauthorized)
    }
}

/// The token of `Authorization: Bearer …`; the scheme's case does not matter (RFC 9110, section
/// 11.1).
fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Whether the token shown is this one. Compares in constant time: how long it takes tells nothing
/// but the length.
#[must_use]
pub(crate) fn is(shown: &str, secret: Option<&Secret>) -> bool {
    secret.is_some_and(|secret| shown.as_bytes().ct_eq(secret.reveal().as_bytes()).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::testing::settings;

    #[test]
    fn each_token_opens_what_is_its_own() {
        let settings = settings(&[("OPERATOR_TOKEN", "op"), ("HOOK_TOKEN", "hook")]);
        let caller = |header| caller(header, &settings);
        assert_eq!(caller(Some("Bearer op")), Ok(Caller::Operator));
        assert_eq!(caller(Some("bearer  op ")), Ok(Caller::Operator));
        assert_eq!(caller(Some("Bearer hook")), Ok(Caller::Hook));
        for wrong in [
            None,
            Some(""),
            Some("Bearer "),
            Some("Bearer o"),
            Some("Bearer opp"),
            Some("Basic op"),
            Some("op"),
        ] {
            assert_eq!(caller(wrong), Err(EdgeError::Unauthorized), "{wrong:?}");
        }
    }

    #[test]
    fn with_no_token_set_nobody_gets_in() {
        let settings = settings(&[]);
        for header in [None, Some("Bearer "), Some("Bearer x")] {
            assert_eq!(
                caller(header, &settings),
                Err(EdgeError::OperatorTokenNotSet)
            );
        }
    }
}
