//! A CA's web server that misbehaves, over the network, and a clock that the test sets.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use origin_api::{CrlName, Issuer, Timestamp};
use sha2::{Digest, Sha256};

use super::openbao::Engine;
use super::passed_on::PassedOn;
use super::url::Url;
use super::{Answer, Connector, ConnectorError, CrlRequest};
use crate::ca::{self, KeyKind};
use crate::clock::{Clock, SystemClock};
use crate::connector_config::{ConnectorConfig, Login, OpenBaoConfig, UrlConfig};
use crate::hex;
use crate::http_client::NetworkClient;
use crate::list_config::{Lists, NewList};
use crate::origin::{Caller, CrlAnswer, HeldCrl, MadeCrl, NewIssuer, NewKey, Origin, SignedBy};
use crate::profile::Profile;
use crate::random::SystemRandom;
use crate::vault::Vault;

const DAY: Duration = Duration::from_hours(24);

/// A CA with CRLs that are valid for ten days.
struct Authority {
    origin: Origin,
    issuer: Issuer,
    _folder: tempfile::TempDir,
}

impl Authority {
    fn new(now: Timestamp) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("ca.db");
        let origin = Origin::open(&database, Vault::default(), Arc::new(SystemRandom)).unwrap();
        let full = NewList {
            name: CrlName::Full,
            distribution_point: None,
            validity: 10 * DAY,
            overlap: None,
        };
        let new = NewIssuer {
            id: "ca".parse().unwrap(),
            subject: ca::parse_subject("CN=ca").unwrap(),
            key: NewKey::Generate(KeyKind::P256),
            validity: 1000 * DAY,
            signed_by: SignedBy::Itself,
            connector: ConnectorConfig::Local,
            profile: Profile::default(),
            lists: Lists::new(vec![full]).unwrap(),
        };
        let issuer = origin.create_issuer(new, now).unwrap();
        Self {
            origin,
            issuer,
            _folder: folder,
        }
    }

    fn crl(&self, now: Timestamp) -> MadeCrl {
        let id = &self.issuer.id;
        match self
            .origin
            .make_crl(id, CrlName::Full, &Caller::default(), now)
            .unwrap()
        {
            CrlAnswer::Crl(crl) => crl,
            other => panic!("{other:?}"),
        }
    }
}

/// What the web server publishes, and what it was asked.
#[derive(Default)]
struct Published {
    crl: Vec<u8>,
    /// Sent in place of an answer with the CRL.
    answer: Option<&'static str>,
    /// Whether a request with conditions gets 304, whatever was published since.
    is_stuck: bool,
    requests: Vec<String>,
}

/// A URL of a web server, and the connector that asks it.
struct Front {
    published: Arc<Mutex<Published>>,
    url: Url,
    issuer: Issuer,
}

impl Front {
    fn new(issuer: &Issuer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/ca.crl", listener.local_addr().unwrap());
        let published = Arc::new(Mutex::new(Published::default()));
        let server = Arc::clone(&published);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                serve(stream.unwrap(), &mut server.lock().unwrap());
            }
        });
        Self {
            published,
            url: Url {
                config: UrlConfig {
                    url,
                    allow_local: true,
                },
                client: Arc::new(NetworkClient::new().unwrap()),
                passed_on: PassedOn::default(),
            },
            issuer: issuer.clone(),
        }
    }

    fn publish(&self, crl: &MadeCrl) {
        self.published.lock().unwrap().crl = crl.parts.concat();
    }

    fn requests(&self) -> Vec<String> {
        std::mem::take(&mut self.published.lock().unwrap().requests)
    }

    async fn ask(
        &self,
        held: Option<&MadeCrl>,
        renew: bool,
        now: Timestamp,
    ) -> Result<Answer, ConnectorError> {
        let request = CrlRequest {
            issuer: self.issuer.clone(),
            name: CrlName::Full,
            caller: Caller {
                token: None,
                held: held.map(|held| HeldCrl {
                    sha256: held.sha256,
                    number: None,
                    watermark: None,
                }),
                renew,
            },
            now,
        };
        self.url.crl(&request).await
    }
}

fn serve(mut stream: TcpStream, published: &mut Published) {
    let mut request = [0; 4096];
    let length = stream.read(&mut request).unwrap_or_default();
    let request = String::from_utf8_lossy(&request[..length]).into_owned();
    let tag = format!("\"{}\"", hex::encode(&Sha256::digest(&published.crl)));
    let is_conditional = request.contains("if-none-match:");
    let is_held = request.contains(&format!("if-none-match: {tag}"));
    published.requests.push(request);
    let head = |status: &str, length: usize| {
        let head = format!("HTTP/1.1 {status}\r\nETag: {tag}\r\nConnection: close\r\n");
        format!("{head}Content-Length: {length}\r\n\r\n")
    };
    let answer = if let Some(status) = published.answer {
        head(status, 0).into_bytes()
    } else if is_held || is_conditional && published.is_stuck {
        head("304 Not Modified", 0).into_bytes()
    } else {
        let head = head("200 OK", published.crl.len());
        [head.as_bytes(), &published.crl].concat()
    };
    let _ = stream.write_all(&answer);
}

fn sha256(answer: Result<Answer, ConnectorError>) -> Option<[u8; 32]> {
    match answer.unwrap() {
        Answer::Crl(body) => Some(body.sha256),
        Answer::Unchanged => None,
        Answer::Nothing => panic!("a CRL is published"),
    }
}

#[tokio::test]
async fn a_server_that_answers_304_for_ever_is_asked_without_conditions_once_the_list_is_due() {
    let now = SystemClock.now();
    let ca = Authority::new(now);
    let front = Front::new(&ca.issuer);
    let first = ca.crl(now);
    front.publish(&first);
    assert_eq!(
        sha256(front.ask(None, false, now).await),
        Some(first.sha256)
    );
    front.published.lock().unwrap().is_stuck = true;
    let later = now.after(DAY);
    let second = ca.crl(later);
    front.publish(&second);
    assert_eq!(sha256(front.ask(Some(&first), false, later).await), None);
    let due = now.after(6 * DAY);
    let answer = front.ask(Some(&first), false, due).await;
    assert_eq!(sha256(answer), Some(second.sha256));
    let asked = front.requests().pop().unwrap();
    assert!(asked.contains("cache-control: no-cache"), "{asked}");
}

#[tokio::test]
async fn a_new_list_is_asked_for_past_every_cache() {
    let now = SystemClock.now();
    let ca = Authority::new(now);
    let front = Front::new(&ca.issuer);
    let first = ca.crl(now);
    front.publish(&first);
    front.ask(None, false, now).await.unwrap();
    front.published.lock().unwrap().is_stuck = true;
    let second = ca.crl(now.after(DAY));
    front.publish(&second);
    let answer = front.ask(Some(&first), true, now.after(DAY)).await;
    assert_eq!(sha256(answer), Some(second.sha256));
}

/// The caches of a CDN, one of which lags behind.
#[tokio::test]
async fn an_older_list_from_a_cache_does_not_replace_a_newer_one() {
    let now = SystemClock.now();
    let ca = Authority::new(now);
    let front = Front::new(&ca.issuer);
    let (older, newer) = (ca.crl(now), ca.crl(now.after(DAY)));
    let now = now.after(DAY);
    front.publish(&newer);
    assert_eq!(
        sha256(front.ask(None, false, now).await),
        Some(newer.sha256)
    );
    front.publish(&older);
    front.requests();
    assert_eq!(sha256(front.ask(Some(&newer), false, now).await), None);
    let asked = front.requests();
    assert!(asked[1].contains("cache-control: no-cache"), "{asked:?}");
    // A caller that holds none is better off with the older one.
    assert_eq!(
        sha256(front.ask(None, false, now).await),
        Some(older.sha256)
    );
    front.publish(&newer);
    assert_eq!(sha256(front.ask(Some(&newer), false, now).await), None);
    let answer = front.ask(Some(&older), false, now).await;
    assert_eq!(sha256(answer), Some(newer.sha256));
}

#[tokio::test]
async fn an_empty_answer_is_a_failure() {
    let now = SystemClock.now();
    let ca = Authority::new(now);
    let front = Front::new(&ca.issuer);
    for (status, code) in [
        ("200 OK", "upstream_crl_refused"),
        ("204 No Content", "upstream_failed"),
        ("302 Found", "upstream_failed"),
        ("304 Not Modified", "upstream_failed"),
    ] {
        front.published.lock().unwrap().answer = Some(status);
        let error = front.ask(None, false, now).await.unwrap_err();
        assert_eq!(error.code(), code, "{status}");
    }
}

#[tokio::test]
async fn a_local_address_is_not_asked_unless_allowed() {
    let now = SystemClock.now();
    let ca = Authority::new(now);
    let mut front = Front::new(&ca.issuer);
    front.publish(&ca.crl(now));
    front.url.config.allow_local = false;
    let by_name = front.url.config.url.replace("127.0.0.1", "localhost");
    for url in [front.url.config.url.clone(), by_name] {
        front.url.config.url = url;
        let error = front.ask(None, false, now).await.unwrap_err();
        assert_eq!(error.code(), "upstream_local", "{error}");
        assert!(error.to_string().contains("--allow-local"), "{error}");
    }
    assert!(front.requests().is_empty());
}

/// A web server that answers every request with a redirect there.
fn redirecting(location: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answer = format!(
        "HTTP/1.1 307 X\r\nLocation: {location}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    );
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    url
}

/// A redirect would carry a token, or a secret id, to a host that nobody configured.
#[tokio::test]
async fn no_redirect_is_followed() {
    let now = SystemClock.now();
    let ca = Authority::new(now);
    let mut front = Front::new(&ca.issuer);
    front.publish(&ca.crl(now));
    let elsewhere = front.url.config.url.clone();
    front.url.config.url = redirecting(&elsewhere);
    let error = front.ask(None, false, now).await.unwrap_err();
    assert!(error.to_string().contains(&elsewhere), "{error}");

    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "secret").unwrap();
    let logins = [
        Login::TokenFile(secret.clone()),
        Login::AppRole {
            role_id: "role".to_owned(),
            secret_id_file: secret,
        },
    ];
    for login in logins {
        let config = OpenBaoConfig {
            address: redirecting(&elsewhere),
            mount: "pki".to_owned(),
            issuer: "default".to_owned(),
            login,
        };
        let engine = Engine::new(config, Arc::new(NetworkClient::new().unwrap()));
        let error = engine.crl_config().await.unwrap_err();
        assert!(error.to_string().contains(&elsewhere), "{error}");
    }
    assert!(front.requests().is_empty());
}
