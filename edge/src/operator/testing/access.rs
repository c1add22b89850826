//! A team in Cloudflare Access: its keys, and the tokens that it signs.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rsa::sha2::Sha256;
use rsa::traits::PublicKeyParts as _;
use rsa::{BoxedUint, Generate as _, PrivateKey, PublicKey};
use serde_json::{Value, json};

use crate::operator::RsaKey;
use crate::tables::testing::NOW;

pub(crate) const TEAM_URL: &str = "https://team.cloudflareaccess.com";
pub(crate) const AUDIENCE: &str = "32eafc7626e974616deaf0dc3ce63d7b";

/// Made once: a key takes a second.
static KEYS: LazyLock<[PrivateKey; 2]> =
    LazyLock::new(|| [PrivateKey::generate(), PrivateKey::generate()]);

/// One of the team's keys.
#[derive(Clone, Copy)]
pub(crate) struct TeamKey {
    pub(crate) id: &'static str,
    key: usize,
}

/// The key that signs now, and the one that signs after it.
pub(crate) const CURRENT: TeamKey = TeamKey {
    id: "key-1",
    key: 0,
};
pub(crate) const NEXT: TeamKey = TeamKey {
    id: "key-2",
    key: 1,
};

impl TeamKey {
    fn private(self) -> &'static PrivateKey {
        &KEYS[self.key]
    }

    /// This key with the id of another.
    pub(crate) fn named_as(self, other: Self) -> Self {
        Self {
            id: other.id,
            ..self
        }
    }

    /// The modulus in base64url.
    pub(crate) fn modulus(self) -> String {
        encode(&self.private().n().to_be_bytes())
    }

    /// A token with these claims, as Access makes it.
    pub(crate) fn token(self, claims: &Value) -> String {
        self.sign(
            &json!({ "alg": "RS256", "kid": self.id, "typ": "JWT" }),
            claims,
        )
    }

    /// A token with this header, signed by RS256 whatever the header says.
    pub(crate) fn sign(self, header: &Value, claims: &Value) -> String {
        let signed = signed(header, claims);
        let signature = self.private().pkcs1v15_sign::<Sha256>(signed.as_bytes());
        format!("{signed}.{}", encode(&signature.unwrap()))
    }
}

/// What is signed of a token.
pub(crate) fn signed(header: &Value, claims: &Value) -> String {
    let part = |json: &Value| encode(json.to_string().as_bytes());
    format!("{}.{}", part(header), part(claims))
}

pub(crate) fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The key set with these keys.
pub(crate) fn key_set(keys: &[TeamKey]) -> String {
    let keys: Vec<_> = keys
        .iter()
        .map(|key| {
            json!({
                "kid": key.id, "kty": "RSA", "alg": "RS256", "use": "sig", "e": "AQAB",
                "n": key.modulus(),
            })
        })
        .collect();
    json!({ "keys": keys, "public_cert": { "kid": "key-1", "cert": "" } }).to_string()
}

/// The claims of a person, as Access documents them.
pub(crate) fn person(email: &str) -> Value {
    let now = NOW.as_unix_time().0;
    json!({
        "aud": [AUDIENCE], "email": email, "exp": now + 60, "iat": now, "nbf": now,
        "iss": TEAM_URL, "type": "app", "identity_nonce": "6ei69kawdKzMIAPF",
        "sub": "7335d417-61da-459d-899c-0a01c76a2f94", "country": "US",
    })
}

/// The claims of a service token.
pub(crate) fn service(client_id: &str) -> Value {
    let now = NOW.as_unix_time().0;
    json!({
        "type": "app", "aud": [AUDIENCE], "exp": now + 60, "iss": TEAM_URL,
        "common_name": client_id, "iat": now, "sub": "",
    })
}

/// The platform's check, in Rust.
pub(crate) fn verify_rs256(key: &RsaKey, signed: &str, signature: &[u8]) -> bool {
    let number = |text: &str| {
        let bytes = URL_SAFE_NO_PAD.decode(text).unwrap();
        BoxedUint::from_be_slice_vartime(&bytes)
    };
    let key = PublicKey::new(number(&key.modulus), number(&key.exponent)).unwrap();
    let verified = key.pkcs1v15_verify::<Sha256>(signed.as_bytes(), signature);
    verified.is_ok()
}
