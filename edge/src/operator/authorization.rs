//! Who calls, by the token that they show, and what that token opens.

use subtle::ConstantTimeEq as _;

use super::ports::Request;
use crate::config::{Secret, Settings, Token};
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

/// Somebody who may call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Caller<'s> {
    pub(crate) role: Role,
    pub(crate) proof: Proof<'s>,
}

/// What shows who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Proof<'s> {
    /// A token of the settings.
    Token(&'s Token),
    /// An identity of Cloudflare Access, after `access:`.
    Access(String),
}

impl Caller<'_> {
    /// The name of the token, or the identity.
    pub(crate) fn name(&self) -> Option<&str> {
        match &self.proof {
            Proof::Token(token) => token.name.as_deref(),
            Proof::Access(name) => Some(name),
        }
    }
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

/// Who holds the token `shown`. Every token is compared in constant time, so that the time
/// shows nothing but lengths.
pub(crate) fn holder<'s>(shown: &str, settings: &'s Settings) -> Option<Caller<'s>> {
    let mut found = None;
    for (secret, caller) in holders(settings) {
        if bool::from(shown.as_bytes().ct_eq(secret.reveal().as_bytes())) {
            found = Some(caller);
        }
    }
    found
}

/// Every token, with its holder.
pub(crate) fn holders(settings: &Settings) -> impl Iterator<Item = (&Secret, Caller<'_>)> {
    [
        (Role::Operator, &settings.operator_tokens),
        (Role::Viewer, &settings.viewer_tokens),
        (Role::Hook, &settings.hook_tokens),
    ]
    .into_iter()
    .flat_map(|(role, tokens)| {
        tokens.iter().map(move |token| {
            let proof = Proof::Token(token);
            (&token.secret, Caller { role, proof })
        })
    })
}

/// The answer to a token that opens nothing: it may be wrong, or the settings are.
pub(crate) fn refusal(settings: &Settings) -> EdgeError {
    if let Some(wrong) = settings.wrong_tokens() {
        EdgeError::Misconfigured(wrong)
    } else if settings.operator_tokens.is_empty()
        && settings.viewer_tokens.is_empty()
        && !matches!(settings.access(), Ok(Some(_)))
    {
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
    let is_confidential = url::is_confidential(url);
    is_confidential
        .then_some(())
        .ok_or(EdgeError::HttpsRequired)
}

/// Accepts what a page of this site sent, or a program: browsers name another site in `Origin`, in
/// `Sec-Fetch-Site`, or in both.
///
/// # Errors
/// Another site had a browser send it.
pub(crate) fn require_own_site(request: &impl Request) -> Result<(), EdgeError> {
    let origin = request.header("origin");
    let is_own_origin = origin.is_none_or(|origin| origin == url::origin(request.url()));
    let site = request.header("sec-fetch-site");
    // `none`: a person typed the address, or loaded the page again.
    let is_own_site = site.is_none_or(|site| matches!(site.as_str(), "same-origin" | "none"));
    (is_own_origin && is_own_site)
        .then_some(())
        .ok_or(EdgeError::ForeignForm)
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
    use crate::operator::testing::platform::TestRequest;
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
            Ok((caller.role, caller.name().map(str::to_owned)))
        };
        assert_eq!(
            caller("Bearer operator-token-1"),
            Ok((Role::Operator, Some("ann".to_owned())))
        );
        assert_eq!(
            caller("bearer  operator-token-2 "),
            Ok((Role::Operator, None))
        );
        assert_eq!(caller("Bearer viewer-token-0001"), Ok((Role::Viewer, None)));
        assert_eq!(
            caller("Bearer hook-token-000001"),
            Ok((Role::Hook, Some("ca".to_owned())))
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
    fn what_another_site_had_a_browser_send_is_refused() {
        let sent = |headers: &[(&'static str, &str)]| {
            let mut request = TestRequest::new("POST", "/v1/refresh");
            for (name, value) in headers {
                request = request.header(name, *value);
            }
            require_own_site(&request)
        };
        for own in [
            &[][..],
            &[("origin", "https://edge.example")],
            &[("sec-fetch-site", "same-origin")],
            &[
                ("sec-fetch-site", "none"),
                ("origin", "https://edge.example"),
            ],
        ] {
            assert_eq!(sent(own), Ok(()), "{own:?}");
        }
        for foreign in [
            &[("origin", "null")][..],
            &[("origin", "http://edge.example")],
            &[("origin", "https://evil.example")],
            &[("sec-fetch-site", "cross-site")],
            &[("sec-fetch-site", "same-site")],
            &[
                ("sec-fetch-site", "cross-site"),
                ("origin", "https://edge.example"),
            ],
            &[("sec-fetch-site", "same-origin"), ("origin", "null")],
        ] {
            assert_eq!(sent(foreign), Err(EdgeError::ForeignForm), "{foreign:?}");
        }
    }
}
