//! Identities of Cloudflare Access, which stand in for tokens: Access puts a signed token (a JWT,
//! RFC 7519) into a header of each request that it lets through. This proves it and says what the
//! identity in it opens.
//!
//! The token's form is documented at
//! <https://developers.cloudflare.com/cloudflare-one/identity/authorization-cookie/application-token/>.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::access_keys::{KeySet, NoKey, parse_key_set};
use super::authorization::{Caller, Proof, Role};
use super::ports::Ports;
use crate::config::{Access, Identities};
use crate::problem::EdgeError;
use crate::time::{Timestamp, within};

/// The header that Access sets. It removes one that a client sends.
pub(crate) const HEADER: &str = "cf-access-jwt-assertion";

/// A longer token is not looked at.
const LONGEST_TOKEN: usize = 16 * 1024;
/// The longest identity: an e-mail address has 254 octets at most (RFC 5321, section 4.5.3.1.3).
const LONGEST_IDENTITY: usize = 254;
/// How far the clocks of Access and of the edge may be apart.
const CLOCK_SKEW: Duration = Duration::from_mins(1);
/// How long reading the team's keys may take.
const READ_LIMIT: Duration = Duration::from_secs(5);
/// The largest key set, in bytes. Two keys with their certificates take 6,000.
const LARGEST_KEY_SET: u32 = 64 * 1024;
/// When a client may ask again if the keys cannot be read.
const RETRY_AFTER: Duration = Duration::from_secs(10);

/// Why a token of Access opens nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AccessError {
    #[error("its token is no JWT")]
    Malformed,
    #[error("its token is not signed by RS256 alone")]
    Algorithm,
    #[error("its token is from another team than ACCESS_TEAM_URL")]
    Issuer,
    #[error("its token is for another application than ACCESS_AUDIENCE")]
    Audience,
    #[error("its token has expired")]
    Expired,
    #[error("its token is not valid yet")]
    NotYetValid,
    #[error("its token is signed with a key that the team does not publish")]
    UnknownKey,
    #[error("the signature of its token is wrong")]
    Signature,
    #[error("its token names neither a person (email) nor a service token (common_name)")]
    NoIdentity,
    #[error("{0} is in neither ACCESS_OPERATORS nor ACCESS_VIEWERS")]
    NotListed(String),
    #[error("the team's keys cannot be read")]
    NoKeys,
}

impl From<AccessError> for EdgeError {
    fn from(error: AccessError) -> Self {
        match error {
            AccessError::NoKeys => Self::AccessUnavailable {
                retry_after: RETRY_AFTER,
            },
            refused => Self::AccessRefused {
                reason: refused.to_string(),
            },
        }
    }
}

/// Who Access let through.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Identity {
    /// By e-mail address.
    Person(String),
    /// A service token, by its client id.
    Service(String),
}

impl Identity {
    /// Reads the claims. Access puts those of an identity provider below `custom`, so that it alone
    /// sets these.
    fn of(claims: &Value) -> Option<Self> {
        let claim = |name: &str| {
            let text = claims.get(name).and_then(Value::as_str)?;
            let fits = (1..=LONGEST_IDENTITY).contains(&text.len());
            (fits && !text.contains(char::is_control)).then(|| text.to_owned())
        };
        let service = || claim("common_name").map(Self::Service);
        claim("email").map(Self::Person).or_else(service)
    }

    fn role(&self, access: Access<'_>) -> Option<Role> {
        let is_among = |known: &Identities| match self {
            Self::Person(email) => known.have_person(email),
            Self::Service(client_id) => known.have_service(client_id),
        };
        if is_among(access.operators) {
            Some(Role::Operator)
        } else {
            is_among(access.viewers).then_some(Role::Viewer)
        }
    }

    /// As actions name it. No token's name has a colon.
    fn into_name(self) -> String {
        match self {
            Self::Person(identity) | Self::Service(identity) => format!("access:{identity}"),
        }
    }
}

/// A token of Access, taken apart, that is for this application and in its time. Its signature has
/// yet to be checked.
struct Jwt<'t> {
    /// What is signed.
    signed: &'t str,
    signature: Vec<u8>,
    key_id: String,
    claims: Value,
}

impl<'t> Jwt<'t> {
    fn parse(text: &'t str, access: Access<'_>, now: Timestamp) -> Result<Self, AccessError> {
        let parts = Parts::parse(text).ok_or(AccessError::Malformed)?;
        let Parts {
            signed,
            header,
            claims,
            signature,
        } = parts;
        let named = |object: &Value, name: &str, expected: &str| {
            object.get(name).and_then(Value::as_str) == Some(expected)
        };
        // `crit` names extensions that must be understood (RFC 7515, section 4.1.11).
        if !named(&header, "alg", "RS256") || header.get("crit").is_some() {
            return Err(AccessError::Algorithm);
        }
        if !named(&claims, "iss", access.team_url) {
            return Err(AccessError::Issuer);
        }
        let is_ours = |audience: &Value| audience.as_str() == Some(access.audience);
        let is_for_us = match claims.get("aud") {
            Some(Value::Array(audiences)) => audiences.iter().any(is_ours),
            Some(audience) => is_ours(audience),
            None => false,
        };
        if !is_for_us {
            return Err(AccessError::Audience);
        }
        let seconds = |moment: Timestamp| moment.as_unix_time().0;
        let end = claims.get("exp").and_then(Value::as_i64);
        if end.is_none_or(|end| end <= seconds(now.before(CLOCK_SKEW))) {
            return Err(AccessError::Expired);
        }
        // Those of service tokens have none.
        let begin = claims.get("nbf").map(Value::as_i64);
        let latest = seconds(now.after(CLOCK_SKEW));
        if begin.is_some_and(|begin| begin.is_none_or(|begin| begin > latest)) {
            return Err(AccessError::NotYetValid);
        }
        let key_id = header.get("kid").and_then(Value::as_str);
        Ok(Self {
            key_id: key_id.ok_or(AccessError::UnknownKey)?.to_owned(),
            signed,
            signature,
            claims,
        })
    }
}

/// The parts of a JWT in its compact form (RFC 7515, section 7.1).
struct Parts<'t> {
    signed: &'t str,
    header: Value,
    claims: Value,
    signature: Vec<u8>,
}

impl<'t> Parts<'t> {
    fn parse(text: &'t str) -> Option<Self> {
        if text.len() > LONGEST_TOKEN {
            return None;
        }
        let (signed, signature) = text.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).ok();
        let object = |part: &str| {
            let json = String::from_utf8(decode(part)?).ok()?;
            let value: Value = serde_json::from_str(&json).ok()?;
            value.is_object().then_some(value)
        };
        Some(Self {
            header: object(header)?,
            claims: object(claims)?,
            signature: decode(signature)?,
            signed,
        })
    }
}

/// Proves a token of Access; gives who calls.
///
/// # Errors
/// [`AccessError`]: it opens nothing.
pub(crate) async fn identify<P: Ports>(
    ports: &P,
    access: Access<'_>,
    token: &str,
) -> Result<Caller<'static>, AccessError> {
    // What is not for this application has no keys read.
    let jwt = Jwt::parse(token, access, ports.now())?;
    let memory = ports.memory();
    let read = read_keys(ports, access.team_url);
    let key = memory.access_keys.find(&jwt.key_id, ports.now(), read);
    let key = key.await.map_err(|no_key| match no_key {
        NoKey::Unknown => AccessError::UnknownKey,
        NoKey::Unread => AccessError::NoKeys,
    })?;
    let verified = ports.verify_rs256(&key, jwt.signed, &jwt.signature).await;
    let is_genuine = verified.unwrap_or_else(|error| {
        log(
            ports,
            "a signature of Access was not checked",
            &error.to_string(),
        );
        false
    });
    if !is_genuine {
        return Err(AccessError::Signature);
    }
    let identity = Identity::of(&jwt.claims).ok_or(AccessError::NoIdentity)?;
    let role = identity.role(access);
    let name = identity.into_name();
    let role = role.ok_or_else(|| AccessError::NotListed(name.clone()))?;
    Ok(Caller {
        role,
        proof: Proof::Access(name),
    })
}

/// The team's keys; `None` if they cannot be read, which the log explains.
async fn read_keys<P: Ports>(ports: &P, team_url: &str) -> Option<KeySet> {
    let url = format!("{team_url}/cdn-cgi/access/certs");
    let read = ports.read(&url, LARGEST_KEY_SET, READ_LIMIT);
    let read = within(ports.sleep(READ_LIMIT), read).await;
    let cause = match read {
        Some(Ok(text)) => match parse_key_set(&text) {
            Some(keys) => return Some(keys),
            None => "it has no key set".to_owned(),
        },
        Some(Err(error)) => error.to_string(),
        None => "it does not answer in time".to_owned(),
    };
    log(
        ports,
        "the keys of Access cannot be read",
        &format!("{url}: {cause}"),
    );
    None
}

fn log(ports: &impl Ports, what: &str, cause: &str) {
    ports.log(&serde_json::json!({ "level": "error", "what": what, "cause": cause }));
}
