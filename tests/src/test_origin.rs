//! An origin made for tests: it speaks the contract by default, and breaks it on demand.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use origin_api::{CRL_MEDIA_TYPE, Crl, Der, Issuer, IssuersPage};
use sha2::{Digest, Sha256};

use crate::{
    CertificateAuthority,
    edge::ORIGIN_TOKEN,
    http::{End, Request, Response, Server},
};

/// The origin. Dropping it is an origin that is down.
pub struct TestOrigin {
    server: Server,
    state: Arc<Mutex<State>>,
}

/// One call for a CRL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Which list: `full`, `delta`, `shard-0`, …
    pub name: String,
    /// The SHA-256 in If-None-Match, without its quotes.
    pub held: Option<String>,
    /// When it came.
    pub at: Instant,
}

/// What the origin does with one call.
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
    /// Accepts the call, then says nothing.
    Never,
    /// Accepts the call, then ends the connection.
    Closed,
    /// Ends the connection after so many bytes of the body, whose whole length was announced.
    CutAfter(usize),
    /// Says nothing more after so many bytes of the body.
    StallAfter(usize),
    /// The body in pieces of this size, with a pause before each.
    Drip {
        piece: usize,
        pause: Duration,
    },
}

impl Answer {
    /// A CRL, as the contract wants it.
    #[must_use]
    pub fn crl(der: Vec<u8>) -> Self {
        let etag = format!("\"{}\"", sha256(&der));
        Self::status(200)
            .header("Content-Type", CRL_MEDIA_TYPE)
            .header("ETag", &etag)
            .body(der)
    }

    /// Any status, without a body.
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

    /// Any header; another one of this name is replaced.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers
            .retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Any body.
    #[must_use]
    pub fn body(mut self, body: Vec<u8>) -> Self {
        self.body = body;
        self
    }

    /// The same, but later.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// No answer at all, on an open connection.
    #[must_use]
    pub fn never() -> Self {
        Self {
            delivery: Delivery::Never,
            ..Self::status(200)
        }
    }

    /// No answer at all, and the connection ends.
    #[must_use]
    pub fn closed() -> Self {
        Self {
            delivery: Delivery::Closed,
            ..Self::status(200)
        }
    }

    /// The same, but the connection ends after so many bytes of the body.
    #[must_use]
    pub fn cut_after(mut self, bytes: usize) -> Self {
        self.delivery = Delivery::CutAfter(bytes);
        self
    }

    /// The same, but nothing follows so many bytes of the body.
    #[must_use]
    pub fn stalled_after(mut self, bytes: usize) -> Self {
        self.delivery = Delivery::StallAfter(bytes);
        self
    }

    /// The same, but slowly.
    #[must_use]
    pub fn dripped(mut self, piece: usize, pause: Duration) -> Self {
        self.delivery = Delivery::Drip { piece, pause };
        self
    }

    fn into_response(self) -> Response {
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
    /// Answers the next calls of the registry instead, while it says so.
    registry: Option<Box<dyn FnMut() -> Option<Answer> + Send>>,
    pages_read: Vec<String>,
    lookups: usize,
    page_limit: usize,
}

struct ScriptedIssuer {
    registered: Issuer,
    script: Script,
    calls: Vec<Call>,
}

impl TestOrigin {
    /// Starts one without issuers.
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

    /// Its URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.server.port())
    }

    /// Registers an issuer with a full CRL, or replaces it. It answers well: each new CRL has the next number.
    pub fn add(&self, ca: &CertificateAuthority) {
        self.add_as(ca.id(), ca);
    }

    /// The same, under another id.
    pub fn add_as(&self, id: &str, ca: &CertificateAuthority) {
        self.register_full(id, ca.certificate(), None);
        self.on_call(id, well_behaved(ca.clone()));
    }

    /// Registers an issuer with a full CRL, whose clients look for it at `distribution_point`. As [`Self::register`], it has none to
    /// give.
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

    /// Registers an issuer as it is. It has no CRLs to give until [`Self::on_call`] says how.
    pub fn register(&self, issuer: Issuer) {
        let id = issuer.id.to_string();
        let scripted = ScriptedIssuer {
            registered: issuer,
            script: Box::new(|_| Answer::status(404)),
            calls: Vec::new(),
        };
        lock(&self.state).issuers.insert(id, scripted);
    }

    /// Forgets an issuer.
    pub fn remove(&self, issuer: &str) {
        lock(&self.state).issuers.remove(issuer);
    }

    /// From now on, calls for this issuer's CRLs are answered so.
    pub fn on_call(&self, issuer: &str, script: impl FnMut(&Call) -> Answer + Send + 'static) {
        let mut state = lock(&self.state);
        state
            .issuers
            .get_mut(issuer)
            .expect("a registered issuer")
            .script = Box::new(script);
    }

    /// From now on, every call for this issuer's CRLs gets this answer.
    pub fn answer(&self, issuer: &str, answer: Answer) {
        self.on_call(issuer, move |_| answer.clone());
    }

    /// From now on, calls of the registry are answered so, or as ever where it gives none.
    pub fn on_registry(&self, script: impl FnMut() -> Option<Answer> + Send + 'static) {
        lock(&self.state).registry = Some(Box::new(script));
    }

    /// How many issuers a page of the registry holds at most, whatever is asked for.
    pub fn limit_pages(&self, limit: usize) {
        lock(&self.state).page_limit = limit;
    }

    /// The calls for this issuer's CRLs so far.
    #[must_use]
    pub fn calls(&self, issuer: &str) -> Vec<Call> {
        lock(&self.state)
            .issuers
            .get(issuer)
            .map(|issuer| issuer.calls.clone())
            .unwrap_or_default()
    }

    /// The pages of the registry that were read so far, by their cursors; the first page's is empty.
    #[must_use]
    pub fn pages_read(&self) -> Vec<String> {
        lock(&self.state).pages_read.clone()
    }

    /// How often a single issuer was looked up so far.
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
                    at: Instant::now(),
                };
                issuer.calls.push(call.clone());
                (issuer.script)(&call)
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

/// A new CRL with the next number for whoever does not hold the current one.
fn well_behaved(ca: CertificateAuthority) -> impl FnMut(&Call) -> Answer + Send {
    let mut number = 0_u64;
    let mut current = None;
    move |call| {
        if call.held.is_some() && call.held == current {
            return Answer::status(304);
        }
        number += 1;
        let der = ca.crl(number);
        current = Some(sha256(&der));
        Answer::crl(der)
    }
}

/// Lower-case hex, as in the contract's entity tags.
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
