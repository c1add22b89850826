//! Who calls, by the token that they show, and what that token opens.

use std::net::Ipv4Addr;

use subtle::ConstantTimeEq as _;

use crate::config::{Settings, Token};
use crate::problem::EdgeError;
use crate::url;

/// What a token opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// `OPERATOR_TOKEN`: everything.
    Operator,
    /// `VIEWER_TOKEN`: every call that reads, and the dashboard without its buttons.
    Viewer,
    /// `HOOK_TOKEN`: the refresh of one issuer.
    Hook,
}

impl Role {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Viewer => "viewer",
            Self::Hook => "hook",
        }
    }
}

/// The holder of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Caller<'s> {
    pub(crate) role: Role,
    pub(crate) token: &'s Token,
}

/// Who calls, by the `Authorization` header.
///
/// # Errors
/// As [`refusal`] says, if the token opens nothing.
pub(crate) fn caller<'s>(
    authorization: Option<&str>,
    settings: &'s Settings,
) -> Result<Caller<'s>, EdgeError> {
    let shown = authorization.and_then(bearer).unwrap_or_default();
    holder(shown, settings).ok_or_else(|| refusal(settings))
}

/// Who holds the token `shown`. Every token is compared in constant time, so that the time tells
/// nothing but lengths.
pub(crate) fn holder<'s>(shown: &str, settings: &'s Settings) -> Option<Caller<'s>> {
    let mut found = None;
    for caller in callers(settings) {
        let secret = caller.token.secret.reveal();
        if bool::from(shown.as_bytes().ct_eq(secret.as_bytes())) {
            found = Some(caller);
        }
    }
    found
}

/// Every token, with what it opens.
pub(crate) fn callers(settings: &Settings) -> impl Iterator<Item = Caller<'_>> {
    [
        (Role::Operator, &settings.operator_tokens),
        (Role::Viewer, &settings.viewer_tokens),
        (Role::Hook, &settings.hook_tokens),
    ]
    .into_iter()
    .flat_map(|(role, tokens)| tokens.iter().map(move |token| Caller { role, token }))
}

/// The answer to a token that opens nothing: it may be wrong, or the settings are.
pub(crate) fn refusal(settings: &Settings) -> EdgeError {
    if let Some(wrong) = settings.wrong_tokens() {
        EdgeError::Misconfigured(wrong)
    } else if settings.operator_tokens.is_empty() && settings.viewer_tokens.is_empty() {
        EdgeError::OperatorTokenNotSet
    } else {
        EdgeError::Unauthorized
    }
}

/// Refuses to take a token that crosses a network in the clear.
///
/// # Errors
/// The URL's scheme is http, and its host is not this machine.
pub(crate) fn require_https(url: &str) -> Result<(), EdgeError> {
    let Some(authority) = url::origin(url).strip_prefix("http://") else {
        return Ok(());
    };
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => host,
        _ => authority,
    };
    let is_loopback = host.eq_ignore_ascii_case("localhost")
        || host == "[::1]"
        || host
            .parse()
            .is_ok_and(|address: Ipv4Addr| address.is_loopback());
    is_loopback.then_some(()).ok_or(EdgeError::HttpsRequired)
}

/// The token of `Authorization: Bearer …`; the scheme's case does not matter (RFC 9110, section
/// 11.1).
fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::testing::settings;

    #[test]
    fn each_token_has_its_role_and_its_name() {
        let settings = settings(&[
            ("OPERATOR_TOKEN", "ann:operator-token-1 operator-token-2"),
            ("VIEWER_TOKEN", "viewer-token-0001"),
            ("HOOK_TOKEN", "ca:hook-token-000001"),
        ]);
        let caller = |header: &str| {
            let caller = caller(Some(header), &settings)?;
            Ok((caller.role, caller.token.name.as_deref()))
        };
        assert_eq!(
            caller("Bearer operator-token-1"),
            Ok((Role::Operator, Some("ann")))
        );
        assert_eq!(
            caller("bearer  operator-token-2 "),
            Ok((Role::Operator, None))
        );
        assert_eq!(caller("Bearer viewer-token-0001"), Ok((Role::Viewer, None)));
        assert_eq!(
            caller("Bearer hook-token-000001"),
            Ok((Role::Hook, Some("ca")))
        );
        for wrong in [
            "",
            "Bearer ",
            "Bearer o",
            "Bearer operator-token-11",
            "Bearer ann:operator-token-1",
            "Bearer operator-token-1 operator-token-2",
            "Basic operator-token-1",
            "operator-token-1",
        ] {
            assert_eq!(caller(wrong), Err(EdgeError::Unauthorized), "{wrong:?}");
        }
    }

    #[test]
    fn without_a_token_that_is_set_nobody_gets_in() {
        let none = settings(&[("HOOK_TOKEN", "hook-token-000001")]);
        for header in [None, Some("Bearer "), Some("Bearer x")] {
            let refused = caller(header, &none).unwrap_err();
            assert_eq!(refused, EdgeError::OperatorTokenNotSet);
        }
        let viewer = settings(&[("VIEWER_TOKEN", "viewer-token-0001")]);
        assert_eq!(caller(None, &viewer).unwrap_err(), EdgeError::Unauthorized);
    }

    #[test]
    fn a_wrong_setting_is_named_to_those_whose_token_may_be_in_it() {
        let settings = Settings::read(|name| match name {
            "OPERATOR_TOKEN" => Some("operator-token-1".to_owned()),
            "VIEWER_TOKEN" => Some("short".to_owned()),
            _ => None,
        });
        assert!(caller(Some("Bearer operator-token-1"), &settings).is_ok());
        let refused = caller(Some("Bearer short"), &settings).unwrap_err();
        assert_eq!(refused.status_and_code(), (503, "misconfigured"));
        assert!(refused.to_string().contains("VIEWER_TOKEN"), "{refused}");
    }

    #[test]
    fn a_token_crosses_no_network_in_the_clear() {
        for ours in [
            "https://edge.example/v1/issuers",
            "http://localhost:8787/metrics",
            "http://LOCALHOST/metrics",
            "http://127.0.0.1:8787/",
            "http://127.9.9.9/",
            "http://[::1]:8787/",
            "http://[::1]",
        ] {
            assert_eq!(require_https(ours), Ok(()), "{ours}");
        }
        for open in [
            "http://edge.example/v1/issuers",
            "http://128.0.0.1/",
            "http://127.0.0.1.evil.example/",
            "http://localhost.evil.example:80/",
            "http://[::2]:8787/",
            "http://0.0.0.0/",
        ] {
            assert_eq!(require_https(open), Err(EdgeError::HttpsRequired), "{open}");
        }
    }
}
