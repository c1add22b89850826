//! Who is signed in: a cookie that ends by itself and that only this edge can make, and the tokens
//! of its forms. Pure.
//!
//! Nothing is stored: the cookie is `{expiry}.{nonce}.{HMAC-SHA-256}`, with the operator's token as
//! the key. Another token ends every session.

use std::fmt::Write as _;
use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use subtle::ConstantTimeEq as _;

use crate::config::Secret;
use crate::problem::EdgeError;
use crate::time::Timestamp;

const COOKIE: &str = "crl-edge-session";
/// A working day.
const LIFETIME: Duration = Duration::from_hours(8);

/// A session that is good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Session {
    cookie: String,
    form_token: String,
}

impl Session {
    /// Begins a session, for who has shown the token.
    #[must_use]
    pub(crate) fn begin(token: &Secret, now: Timestamp, nonce: [u8; 16]) -> Self {
        let expiry = now.after(LIFETIME).as_unix_time().0;
        let claim = format!("{expiry}.{}", hex(&nonce));
        let mac = authenticate(token, "session", &claim);
        Self::of(token, format!("{claim}.{mac}"))
    }

    /// The session that the `Cookie` header shows, if it is one and has not ended.
    #[must_use]
    pub(crate) fn resume(cookies: Option<&str>, token: &Secret, now: Timestamp) -> Option<Self> {
        // A page of a sibling domain may have set one of this name too.
        cookies?
            .split(';')
            .filter_map(|pair| pair.trim().split_once('='))
            .filter(|(name, _)| *name == COOKIE)
            .find_map(|(_, cookie)| Self::verify(cookie, token, now))
    }

    fn verify(cookie: &str, token: &Secret, now: Timestamp) -> Option<Self> {
        let (claim, mac) = cookie.rsplit_once('.')?;
        if !equal(mac, &authenticate(token, "session", claim)) {
            return None;
        }
        let expiry: i64 = claim.split_once('.')?.0.parse().ok()?;
        (now.as_unix_time().0 < expiry).then(|| Self::of(token, cookie.to_owned()))
    }

    fn of(token: &Secret, cookie: String) -> Self {
        Self {
            form_token: authenticate(token, "form", &cookie),
            cookie,
        }
    }

    /// What each form carries, so that no other site can send one.
    #[must_use]
    pub(crate) fn form_token(&self) -> &str {
        &self.form_token
    }

    /// Whether a form was sent from a page of this session.
    ///
    /// # Errors
    /// Where it was not.
    pub(crate) fn admit_form(&self, shown: Option<&str>) -> Result<(), EdgeError> {
        let known = shown.is_some_and(|shown| equal(shown, &self.form_token));
        known.then_some(()).ok_or(EdgeError::ForeignForm)
    }

    /// The `Set-Cookie` that begins the session in the browser.
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

/// Whether a form comes from this site, by the `Origin` header, which browsers send with every
/// form.
///
/// # Errors
/// Where it does not.
pub(crate) fn admit_origin(origin: Option<&str>, own: &str) -> Result<(), EdgeError> {
    let ours = origin.is_none_or(|origin| origin == own);
    ours.then_some(()).ok_or(EdgeError::ForeignForm)
}

fn authenticate(token: &Secret, purpose: &str, claim: &str) -> String {
    // HMAC takes keys of any length, so that this cannot fail; an empty answer would be equal to
    // nothing that `equal` accepts.
    let Ok(mut mac) = Hmac::<sha2::Sha256>::new_from_slice(token.reveal().as_bytes()) else {
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
    use crate::operator::testing::settings;
    use crate::tables::testing::NOW;

    fn token(text: &str) -> Secret {
        settings(&[("OPERATOR_TOKEN", text)])
            .operator_token
            .unwrap()
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
        let token = token("secret");
        let session = Session::begin(&token, NOW, [7; 16]);
        let cookies = format!("other=1; {COOKIE}=planted; {}", cookie_of(&session));
        let resume = |now| Session::resume(Some(&cookies), &token, now);
        assert_eq!(resume(NOW), Some(session.clone()));
        assert_eq!(
            resume(NOW.after(LIFETIME).before(Duration::from_secs(1))),
            Some(session)
        );
        assert_eq!(resume(NOW.after(LIFETIME)), None);
    }

    #[test]
    fn a_cookie_that_was_changed_or_made_with_another_token_is_none() {
        let session = Session::begin(&token("secret"), NOW, [7; 16]);
        let cookie = cookie_of(&session);
        let resume = |cookie: &str| Session::resume(Some(cookie), &token("secret"), NOW);
        assert!(resume(&cookie).is_some());
        assert_eq!(Session::resume(Some(&cookie), &token("rotated"), NOW), None);
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
        let header = Session::begin(&token("secret"), NOW, [7; 16]).set_cookie(true);
        assert!(!header.contains("secret"));
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
    fn a_form_needs_the_token_of_its_own_session_and_its_own_site() {
        let first = Session::begin(&token("secret"), NOW, [1; 16]);
        let second = Session::begin(&token("secret"), NOW, [2; 16]);
        assert_eq!(first.admit_form(Some(first.form_token())), Ok(()));
        for foreign in [None, Some(""), Some(second.form_token())] {
            assert_eq!(first.admit_form(foreign), Err(EdgeError::ForeignForm));
        }
        assert_eq!(
            admit_origin(Some("https://a.example"), "https://a.example"),
            Ok(())
        );
        assert_eq!(admit_origin(None, "https://a.example"), Ok(()));
        for foreign in ["null", "http://a.example", "https://b.example"] {
            assert_eq!(
                admit_origin(Some(foreign), "https://a.example"),
                Err(EdgeError::ForeignForm)
            );
        }
    }
}
