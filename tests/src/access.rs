//! A team in Cloudflare Access: a server that publishes its keys, and the tokens that it signs.

use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rsa::sha2::Sha256;
use rsa::traits::PublicKeyParts as _;
use rsa::{Generate as _, PrivateKey};
use serde_json::{Value, json};

use crate::Answer;
use crate::http::Server;

/// The audience of the edge's application.
pub const AUDIENCE: &str = "32eafc7626e974616deaf0dc3ce63d7b";

/// Made once: a key takes a second.
static KEYS: LazyLock<[PrivateKey; 2]> =
    LazyLock::new(|| [PrivateKey::generate(), PrivateKey::generate()]);

/// The team's server. Dropping it makes it unreachable.
pub struct Team {
    server: Server,
    state: Arc<Mutex<State>>,
}

struct State {
    /// What is answered instead of the keys.
    answer: Option<Answer>,
    reads: usize,
}

impl Team {
    /// Starts the server, which publishes the first of two keys.
    pub async fn start() -> Self {
        let state = Arc::new(Mutex::new(State {
            answer: None,
            reads: 0,
        }));
        let shared = Arc::clone(&state);
        let server = Server::start(move |request| {
            let mut state = lock(&shared);
            if request.target != "/cdn-cgi/access/certs" {
                return Answer::status(404).into_response();
            }
            state.reads += 1;
            let answer = state.answer.clone().unwrap_or_else(|| {
                let modulus = encode(&KEYS[0].n().to_be_bytes());
                let key = json!({ "kid": "key-1", "kty": "RSA", "alg": "RS256", "use": "sig",
                    "e": "AQAB", "n": modulus });
                Answer::status(200)
                    .header("Content-Type", "application/json")
                    .body(json!({ "keys": [key] }).to_string().into_bytes())
            });
            answer.into_response()
        });
        Self {
            server: server.await.expect("a port on 127.0.0.1"),
            state,
        }
    }

    /// `ACCESS_TEAM_URL`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.server.port())
    }

    /// Answers this from now on instead of publishing keys.
    pub fn answer(&self, answer: Answer) {
        lock(&self.state).answer = Some(answer);
    }

    /// How often the keys were read.
    #[must_use]
    pub fn reads(&self) -> usize {
        lock(&self.state).reads
    }

    /// The claims of a person, for an hour from now.
    #[must_use]
    pub fn person(&self, email: &str) -> Value {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.unwrap_or(Duration::ZERO).as_secs();
        json!({ "aud": [AUDIENCE], "email": email, "exp": now + 3600, "iat": now, "nbf": now,
            "iss": self.url(), "type": "app", "sub": "7335d417-61da-459d-899c-0a01c76a2f94" })
    }

    /// The token of a person, as Access makes it.
    #[must_use]
    pub fn token(&self, email: &str) -> String {
        self.sign(
            &json!({ "alg": "RS256", "kid": "key-1" }),
            &self.person(email),
        )
    }

    /// A token with this header and claims, signed by the key that is published.
    #[must_use]
    pub fn sign(&self, header: &Value, claims: &Value) -> String {
        sign(&KEYS[0], header, claims)
    }

    /// A token with this header and claims, signed by a key that is not published.
    #[must_use]
    pub fn forge(&self, header: &Value, claims: &Value) -> String {
        sign(&KEYS[1], header, claims)
    }
}

fn sign(key: &PrivateKey, header: &Value, claims: &Value) -> String {
    let part = |json: &Value| encode(json.to_string().as_bytes());
    let signed = format!("{}.{}", part(header), part(claims));
    let signature = key.pkcs1v15_sign::<Sha256>(signed.as_bytes());
    format!("{signed}.{}", encode(&signature.expect("a signature")))
}

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
