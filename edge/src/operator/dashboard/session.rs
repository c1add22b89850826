//! Sessions of the dashboard: a cookie that only this edge can make, and the tokens of its forms.
//!
//! Nothing is stored. The cookie is `{expiry}.{nonce}.{HMAC-SHA-256}`, keyed by the token that
//! began the session, so the session has that token's rights and ends when the token is removed.
//! Tokens are long enough to be keys: shorter ones are refused with the settings.

use std::fmt::Write as _;
use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use subtle::ConstantTimeEq as _;

use super::super::authorization::Caller;
use crate::config::Secret;
use crate::problem::EdgeError;
use crate::time::Timestamp;

const COOKIE: &str = "crl-edge-session";
/// A working day.
const LIFETIME: Duration = Duration::from_hours(8);

/// A session that has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Session {
    cookie: String,
    form_token: String,
}

impl Session {
    /// Starts a session with the rights of `token`.
    #[must_use]
    pub(crate) fn begin(token: &Secret, now: Timestamp, nonce: [u8; 16]) -> Self {
        let expiry = now.after(LIFETIME).as_unix_time().0;
        let claim = format!("{expiry}.{}", hex(&nonce));
        let mac = authenticate(token.reveal(), "session", &claim);
        Self::of(token, format!("{claim}.{mac}"))
    }

    /// The session of the `Cookie` header, and the holder of the token that began it.
    #[must_use]
    pub(crate) fn resume<'s>(
        cookies: &str,
        mut holders: impl Iterator<Item = (&'s Secret, Caller<'s>)>,
        now: Timestamp,
    ) -> Option<(Self, Caller<'s>)> {
        // A page of a sibling domain may have set a cookie of the same name.
        let cookies: Vec<_> = cookies
            .split(';')
            .filter_map(|pair| pair.trim().split_once('='))
            .filter(|(name, _)| *name == COOKIE)
            .map(|(_, cookie)| cookie)
            .collect();
        holders.find_map(|(secret, caller)| {
            let mut cookies = cookies.iter();
            let session = cookies.find_map(|cookie| Self::verify(cookie, secret, now))?;
            Some((session, caller))
        })
    }

    /// The session of an identity of Cloudflare Access: it lasts as long as Access's token, which
    /// no other site knows. Access keeps it, in a cookie of its own.
    #[must_use]
    pub(crate) fn of_access(jwt: &str) -> Self {
        Self {
            form_token: authenticate(jwt, "form of Access", ""),
            cookie: String::new(),
        }
    }

    fn verify(cookie: &str, token: &Secret, now: Timestamp) -> Option<Self> {
        let (claim, mac) = cookie.rsplit_once('.')?;
        if !equal(mac, &authenticate(token.reveal(), "session", claim)) {
            return None;
        }
        let expiry: i64 = claim.split_once('.')?.0.parse().ok()?;
        (now.as_unix_time().0 < expiry).then(|| Self::of(token, cookie.to_owned()))
    }

    fn of(token: &Secret, cookie: String) -> Self {
        Self {
            form_token: authenticate(token.reveal(), "form", &cookie),
            cookie,
        }
    }

    /// The field of each form without which the form is refused: no other site can know it.
    #[must_use]
    pub(crate) fn form_token(&self) -> &str {
        &self.form_token
    }

    /// Accepts a form that a page of this session sent.
    ///
    /// # Errors
    /// The form came from elsewhere.
    pub(crate) fn admit_form(&self, shown: Option<&str>) -> Result<(), EdgeError> {
        let known = shown.is_some_and(|shown| equal(shown, &self.form_token));
        known.then_some(()).ok_or(EdgeError::ForeignForm)
    }

    /// The `Set-Cookie` that starts the session in the browser.
    #[must_use]
    pub(crate) fn set_cookie(&self, secure: bool) -> String {
        set_cookie(&self.cookie, LIFETIME.as_secs(), secure)
    }
}

/// The `Set-Cookie` that ends a session in the browser.
#[must_use]
pub(crate) fn end_cookie(secure: bool) -> String {
    set_cookie("", 0, secure)
}

fn set_cookie(value: &str, max_age: u64, secure: bool) -> String {
    let secure = if secure { "; Secure" } else { "" };
    format!(
        "{COOKIE}={value}; Path=/dashboard; Max-Age={max_age}; HttpOnly; SameSite=Strict{secure}"
    )
}

fn authenticate(key: &str, purpose: &str, claim: &str) -> String {
    // HMAC takes keys of any length, so this cannot fail. `equal` never accepts the empty text.
    let Ok(mut mac) = Hmac::<sha2::Sha256>::new_from_slice(key.as_bytes()) else {
        return String::new();
    };
    mac.update(format!("crl-edge {purpose} 1:{claim}").as_bytes());
    hex(&mac.finalize().into_bytes())
}

fn equal(shown: &str, expected: &str) -> bool {
    !expected.is_empty() && shown.as_bytes().ct_eq(expected.as_bytes()).into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;
    use crate::operator::authorization::{Role, holders};
    use crate::operator::testing::settings;
    use crate::tables::testing::NOW;

    const TOKEN: &str = "operator-token-1";

    fn tokens(operator: &str) -> Settings {
        settings(&[
            ("OPERATOR_TOKEN", operator),
            ("VIEWER_TOKEN", "viewer-token-0001"),
        ])
    }

    /// A session of the first operator's token.
    fn begin(settings: &Settings, nonce: u8) -> Session {
        let token = settings.operator_tokens.iter().next().unwrap();
        Session::begin(&token.secret, NOW, [nonce; 16])
    }

    fn resume(cookies: &str, settings: &Settings, now: Timestamp) -> Option<(Session, Role)> {
        let (session, caller) = Session::resume(cookies, holders(settings), now)?;
        Some((session, caller.role))
    }

    fn cookie_of(session: &Session) -> String {
        session
            .set_cookie(true)
            .split(';')
            .next()
            .unwrap()
            .to_owned()
    }

    #[test]
    fn a_session_is_resumed_by_its_cookie_until_it_ends() {
        let settings = tokens(TOKEN);
        let session = begin(&settings, 7);
        let cookies = format!("other=1; {COOKIE}=planted; {}", cookie_of(&session));
        let resume = |now| resume(&cookies, &settings, now);
        let resumed = Some((session, Role::Operator));
        assert_eq!(resume(NOW), resumed);
        let last = NOW.after(LIFETIME).before(Duration::from_secs(1));
        assert_eq!(resume(last), resumed);
        assert_eq!(resume(NOW.after(LIFETIME)), None);
    }

    #[test]
    fn a_session_has_the_rights_of_its_token_and_ends_with_it() {
        let both = tokens("operator-token-1 operator-token-2");
        let operator = cookie_of(&begin(&both, 7));
        let viewer = both.viewer_tokens.iter().next().unwrap();
        let viewer = cookie_of(&Session::begin(&viewer.secret, NOW, [7; 16]));
        let role = |cookie, settings| resume(cookie, settings, NOW).map(|(_, role)| role);
        assert_eq!(role(&operator, &both), Some(Role::Operator));
        assert_eq!(role(&viewer, &both), Some(Role::Viewer));
        let rotated = tokens("operator-token-2");
        assert_eq!(role(&operator, &rotated), None);
        assert_eq!(role(&viewer, &rotated), Some(Role::Viewer));
    }

    #[test]
    fn a_cookie_that_was_changed_is_none() {
        let settings = tokens(TOKEN);
        let cookie = cookie_of(&begin(&settings, 7));
        let resume = |cookie: &str| resume(cookie, &settings, NOW);
        assert!(resume(&cookie).is_some());
        for at in COOKIE.len() + 1..cookie.len() {
            let mut changed = cookie.clone().into_bytes();
            changed[at] = if changed[at] == b'1' { b'2' } else { b'1' };
            assert_eq!(resume(&String::from_utf8(changed).unwrap()), None, "{at}");
        }
        for wrong in [
            "",
            "crl-edge-session=",
            "crl-edge-session=.",
            "crl-edge-session=9999999999.00.",
        ] {
            assert_eq!(resume(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_cookie_holds_no_token_and_stays_with_the_dashboard() {
        let header = begin(&tokens(TOKEN), 7).set_cookie(true);
        assert!(!header.contains(TOKEN));
        for attribute in [
            "Path=/dashboard",
            "HttpOnly",
            "SameSite=Strict",
            "Secure",
            "Max-Age=28800",
        ] {
            assert!(header.split("; ").any(|part| part == attribute), "{header}");
        }
        assert!(!end_cookie(false).contains("Secure"));
    }

    #[test]
    fn a_form_needs_the_token_of_its_own_session() {
        let (first, second) = (begin(&tokens(TOKEN), 1), begin(&tokens(TOKEN), 2));
        assert_eq!(first.admit_form(Some(first.form_token())), Ok(()));
        for foreign in [None, Some(""), Some(second.form_token())] {
            assert_eq!(first.admit_form(foreign), Err(EdgeError::ForeignForm));
        }
        let (first, second) = (Session::of_access("a.b.c"), Session::of_access("a.b.d"));
        assert_eq!(first.admit_form(Some(first.form_token())), Ok(()));
        let foreign = first.admit_form(Some(second.form_token()));
        assert_eq!(foreign, Err(EdgeError::ForeignForm));
    }
}
