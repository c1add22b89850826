//! An origin for tests that implements the origin API and breaks it on demand.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use origin_api::{CRL_MEDIA_TYPE, Crl, Der, Issuer, IssuersPage};
use sha2::{Digest, Sha256};

use crate::CertificateAuthority;
use crate::edge::ORIGIN_TOKEN;
use crate::http::{End, Request, Response, Server};

/// An origin. Dropping it makes it unreachable.
pub struct TestOrigin {
    server: Server,
    state: Arc<Mutex<State>>,
}

/// A call that asked for a CRL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The CRL name: `full`, `delta`, `shard-0`, …
    pub name: String,
    /// The SHA-256 of If-None-Match, without quotes.
    pub held: Option<String>,
    /// Whether a new CRL is demanded, whatever is held (`Cache-Control: no-cache`).
    pub new_crl: bool,
    /// When the call arrived.
    pub at: Instant,
}

/// How the origin answers a call.
#[derive(Clone, Debug)]
pub struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    delivery: Delivery,
    delay: Duration,
}

#[derive(Clone, Debug)]
enum Delivery {
    Whole,
    /// Accept the call and never answer.
    Never,
    /// Accept the call, then close the connection.
    Closed,
    /// Close the connection after this many bytes of a body with a larger Content-Length.
    CutAfter(usize),
    /// Keep the connection open and send nothing after this many bytes of the body.
    StallAfter(usize),
    /// Send the body in pieces of this size, with a pause before each.
    Drip {
        piece: usize,
        pause: Duration,
    },
}

impl Answer {
    /// 200 with a CRL, as the origin API defines it.
    #[must_use]
    pub fn crl(der: Vec<u8>) -> Self {
        let etag = format!("\"{}\"", sha256(&der));
        Self::status(200)
            .header("Content-Type", CRL_MEDIA_TYPE)
            .header("ETag", &etag)
            .body(der)
    }

    /// A status without a body.
    #[must_use]
    pub fn status(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Vec::new(),
            delivery: Delivery::Whole,
            delay: Duration::ZERO,
        }
    }

    /// Sets a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers
            .retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: Vec<u8>) -> Self {
        self.body = body;
        self
    }

    /// Delays the answer.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// No answer, on a connection that stays open.
    #[must_use]
    pub fn never() -> Self {
        Self {
            delivery: Delivery::Never,
            ..Self::status(200)
        }
    }

    /// No answer, on a connection that is closed.
    #[must_use]
    pub fn closed() -> Self {
        Self {
            delivery: Delivery::Closed,
            ..Self::status(200)
        }
    }

    /// Closes the connection after this many bytes of the body.
    #[must_use]
    pub fn cut_after(mut self, bytes: usize) -> Self {
        self.delivery = Delivery::CutAfter(bytes);
        self
    }

    /// Sends nothing after this many bytes of the body.
    #[must_use]
    pub fn stalled_after(mut self, bytes: usize) -> Self {
        self.delivery = Delivery::StallAfter(bytes);
        self
    }

    /// Sends the body slowly.
    #[must_use]
    pub fn dripped(mut self, piece: usize, pause: Duration) -> Self {
        self.delivery = Delivery::Drip { piece, pause };
        self
    }

    pub(crate) fn into_response(self) -> Response {
        use std::fmt::Write;
        let mut head = format!("HTTP/1.1 {} Whatever\r\nConnection: close\r\n", self.status);
        let names_length = self
            .headers
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case("content-length"));
        if !names_length && !matches!(self.status, 204 | 304) {
            let _ = write!(head, "Content-Length: {}\r\n", self.body.len());
        }
        for (name, value) in &self.headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        head += "\r\n";

        let mut pieces = vec![(Duration::ZERO, head.into_bytes())];
        let mut end = End::Close;
        match self.delivery {
            Delivery::Whole => pieces.push((Duration::ZERO, self.body)),
            Delivery::Never => {
                pieces.clear();
                end = End::Hang;
            }
            Delivery::Closed => pieces.clear(),
            Delivery::CutAfter(bytes) => pieces.push((Duration::ZERO, first(&self.body, bytes))),
            Delivery::StallAfter(bytes) => {
                pieces.push((Duration::ZERO, first(&self.body, bytes)));
                end = End::Hang;
            }
            Delivery::Drip { piece, pause } => {
                pieces.extend(self.body.chunks(piece).map(|chunk| (pause, chunk.to_vec())));
            }
        }
        Response {
            delay: self.delay,
            pieces,
            end,
        }
    }
}

type Script = Box<dyn FnMut(&Call) -> Answer + Send>;

struct State {
    issuers: BTreeMap<String, ScriptedIssuer>,
    /// Replaces the answer to registry calls for as long as it returns one.
    registry: Option<Box<dyn FnMut() -> Option<Answer> + Send>>,
    pages_read: Vec<String>,
    lookups: usize,
    page_limit: usize,
}

struct ScriptedIssuer {
    registered: Issuer,
    script: Script,
    calls: Vec<Call>,
    departed: Option<serde_json::Value>,
}

impl TestOrigin {
    /// Starts an origin without issuers.
    pub async fn start() -> Self {
        let state = Arc::new(Mutex::new(State {
            issuers: BTreeMap::new(),
            registry: None,
            pages_read: Vec::new(),
            lookups: 0,
            page_limit: usize::MAX,
        }));
        let shared = Arc::clone(&state);
        let server =
            Server::start(move |request| lock(&shared).answer(&request).into_response()).await;
        Self {
            server: server.expect("a port on 127.0.0.1"),
            state,
        }
    }

    /// The origin's base URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.server.port())
    }

    /// Registers or replaces an issuer with a full CRL. It answers correctly: each new CRL has the
    /// next number.
    pub fn add(&self, ca: &CertificateAuthority) {
        self.add_as(ca.id(), ca);
    }

    /// [`Self::add`], under another id.
    pub fn add_as(&self, id: &str, ca: &CertificateAuthority) {
        self.register_full(id, ca.certificate(), None);
        self.on_call(id, well_behaved(ca.clone()));
    }

    /// [`Self::register`] for an issuer with a full CRL at `distribution_point`.
    pub fn register_full(&self, id: &str, certificate: Vec<u8>, distribution_point: Option<&str>) {
        let full = Crl {
            name: "full".parse().expect("a CRL name"),
            distribution_point: distribution_point.map(str::to_owned),
        };
        self.register(Issuer {
            id: id.parse().expect("an issuer id"),
            certificate: Der(certificate),
            crls: vec![full],
        });
    }

    /// Registers an issuer. It fails calls for its CRLs until [`Self::on_call`] sets an answer.
    pub fn register(&self, issuer: Issuer) {
        let id = issuer.id.to_string();
        let scripted = ScriptedIssuer {
            registered: issuer,
            script: Box::new(|_| Answer::status(404)),
            calls: Vec::new(),
            departed: None,
        };
        lock(&self.state).issuers.insert(id, scripted);
    }

    /// Whether the registry has this issuer.
    #[must_use]
    pub fn lists(&self, issuer: &str) -> bool {
        lock(&self.state).issuers.contains_key(issuer)
    }

    /// Removes an issuer from the registry.
    pub fn remove(&self, issuer: &str) {
        lock(&self.state).issuers.remove(issuer);
    }

    /// Sets the script that answers calls for this issuer's CRLs from now on.
    pub fn on_call(&self, issuer: &str, script: impl FnMut(&Call) -> Answer + Send + 'static) {
        let mut state = lock(&self.state);
        state
            .issuers
            .get_mut(issuer)
            .expect("a registered issuer")
            .script = Box::new(script);
    }

    /// Explains with this array why entries have departed from this issuer's CRLs. Without one the
    /// origin has no evidence (404).
    pub fn explain_departed(&self, issuer: &str, departed: serde_json::Value) {
        let mut state = lock(&self.state);
        let issuer = state.issuers.get_mut(issuer).expect("a registered issuer");
        issuer.departed = Some(departed);
    }

    /// Gives this answer to every call for this issuer's CRLs from now on.
    pub fn answer(&self, issuer: &str, answer: Answer) {
        self.on_call(issuer, move |_| answer.clone());
    }

    /// Sets a script that answers registry calls from now on; if it returns `None`, they get the
    /// ordinary answer.
    pub fn on_registry(&self, script: impl FnMut() -> Option<Answer> + Send + 'static) {
        lock(&self.state).registry = Some(Box::new(script));
    }

    /// Limits the issuers on a page of the registry, whatever the caller asks for.
    pub fn limit_pages(&self, limit: usize) {
        lock(&self.state).page_limit = limit;
    }

    /// The calls for this issuer's CRLs so far, oldest first.
    #[must_use]
    pub fn calls(&self, issuer: &str) -> Vec<Call> {
        lock(&self.state)
            .issuers
            .get(issuer)
            .map(|issuer| issuer.calls.clone())
            .unwrap_or_default()
    }

    /// The cursors of the registry pages that were read so far; the first page's cursor is empty.
    #[must_use]
    pub fn pages_read(&self) -> Vec<String> {
        lock(&self.state).pages_read.clone()
    }

    /// The number of calls for a single issuer so far.
    #[must_use]
    pub fn lookups(&self) -> usize {
        lock(&self.state).lookups
    }
}

impl State {
    fn answer(&mut self, request: &Request) -> Answer {
        if request.headers.get("authorization") != Some(&format!("Bearer {ORIGIN_TOKEN}")) {
            return problem(401, "unauthorized");
        }
        let (path, query) = request
            .target
            .split_once('?')
            .unwrap_or((&request.target, ""));
        let segments = path.trim_matches('/').split('/').collect::<Vec<_>>();
        match (request.method.as_str(), segments.as_slice()) {
            ("GET", ["v1", "issuers"]) => {
                self.pages_read
                    .push(parameter(query, "cursor").unwrap_or_default().to_owned());
                self.registry(|state| json(&state.page(query)))
            }
            ("GET", ["v1", "issuers", id]) => {
                self.lookups += 1;
                self.registry(|state| match state.issuers.get(*id) {
                    Some(issuer) => json(&issuer.registered),
                    None => problem(404, "unknown_issuer"),
                })
            }
            ("POST", ["v1", "issuers", id, "crls", name]) => {
                let Some(issuer) = self.issuers.get_mut(*id) else {
                    return problem(404, "unknown_issuer");
                };
                let held = request
                    .headers
                    .get("if-none-match")
                    .map(|etag| etag.trim_matches('"').to_owned());
                let call = Call {
                    name: (*name).to_owned(),
                    held,
                    new_crl: request
                        .headers
                        .get("cache-control")
                        .is_some_and(|value| value == "no-cache"),
                    at: Instant::now(),
                };
                issuer.calls.push(call.clone());
                (issuer.script)(&call)
            }
            ("POST", ["v1", "issuers", id, "crls", _, "departed"]) => {
                let issuer = self.issuers.get(*id);
                match issuer.and_then(|issuer| issuer.departed.as_ref()) {
                    Some(departed) => json(&serde_json::json!({ "departed": departed })),
                    None => problem(404, "not_found"),
                }
            }
            _ => problem(404, "not_found"),
        }
    }

    fn registry(&mut self, ordinary: impl FnOnce(&Self) -> Answer) -> Answer {
        let scripted = self.registry.as_mut().and_then(|script| script());
        scripted.unwrap_or_else(|| ordinary(self))
    }

    fn page(&self, query: &str) -> IssuersPage {
        let limit = parameter(query, "limit")
            .and_then(|limit| limit.parse().ok())
            .unwrap_or(100)
            .min(self.page_limit);
        let after = parameter(query, "cursor").unwrap_or_default();
        let mut rest = self
            .issuers
            .range::<str, _>((std::ops::Bound::Excluded(after), std::ops::Bound::Unbounded));
        let issuers = rest
            .by_ref()
            .take(limit)
            .map(|(_, issuer)| issuer.registered.clone())
            .collect::<Vec<_>>();
        let next_cursor = rest
            .next()
            .and_then(|_| Some(issuers.last()?.id.to_string()));
        IssuersPage {
            issuers,
            next_cursor,
        }
    }
}

fn parameter<'q>(query: &'q str, name: &str) -> Option<&'q str> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs
        .filter(|(key, _)| *key == name)
        .map(|(_, value)| value)
        .next()
}

/// Answers 304 to a caller that holds the current CRL and demands no new one, and a CRL with the
/// next number to others.
fn well_behaved(ca: CertificateAuthority) -> impl FnMut(&Call) -> Answer + Send {
    let mut number = 0_u64;
    let mut current = None;
    move |call| {
        if !call.new_crl && call.held.is_some() && call.held == current {
            return Answer::status(304);
        }
        number += 1;
        let der = ca.crl(number);
        current = Some(sha256(&der));
        Answer::crl(der)
    }
}

/// Lower-case hex, as in the origin API's entity tags.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    use std::fmt::Write;
    Sha256::digest(bytes)
        .iter()
        .fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
}

fn json(value: &impl serde::Serialize) -> Answer {
    let body = serde_json::to_vec(value).expect("the wire types serialize");
    Answer::status(200)
        .header("Content-Type", "application/json")
        .body(body)
}

fn problem(status: u16, code: &str) -> Answer {
    let body =
        serde_json::json!({ "type": "about:blank", "status": status, "title": code, "code": code });
    Answer::status(status)
        .header("Content-Type", "application/problem+json")
        .body(body.to_string().into_bytes())
}

fn first(bytes: &[u8], count: usize) -> Vec<u8> {
    bytes.get(..count).unwrap_or(bytes).to_vec()
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
