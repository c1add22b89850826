//! A CA that does not follow the rules: it lags, goes back, shrinks, lies about the time, changes
//! its key, and answers with what it did not sign.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use crl::{
    AlgorithmIdentifier, CrlNumber, DistinguishedName, Issuer as Signer, Reason, Revocation,
    Serial, Template,
};
use crl_origin::ca::{self, KeyKind, PrivateKey};
use der::Encode as _;
use http::{HeaderValue, Method, Request, StatusCode, header};
use origin_api::{CRL_MEDIA_TYPE, Crl, CrlName, Der, Issuer, IssuerId, Timestamp};

use crate::clock::Timeline;
use crate::ledger::{Ledger, sha256};
use crate::random::Random;
use crate::wire::Response;

/// How long its CRLs are valid.
const VALIDITY: Duration = Duration::from_hours(12);
/// How many certificates it revokes at first: enough for the removal gate.
const REVOKED: u64 = 40;

/// How many it revokes at most.
const MOST_REVOKED: usize = 400;
/// How many of its CRLs it can go back to.
const KEPT: usize = 40;

/// For how long it publishes the same lie: a connector that waits for a newer CRL asks many times.
const LIE_LASTS: Duration = Duration::from_secs(10);

/// How it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lie {
    /// Not now.
    None,
    /// It answers with a CRL that it has replaced.
    GoesBack,
    /// It leaves most entries off.
    Shrinks,
    /// It uses a number twice, for other bytes.
    RepeatsNumber,
    /// A signature that is not its own.
    Forges,
    /// Bytes that are no CRL.
    Garbage,
    /// A CRL that has expired.
    Expired,
    /// A CRL from tomorrow.
    Future,
    /// A new key, and CRLs by it.
    ReKeys,
}

const LIES: [Lie; 9] = [
    Lie::None,
    Lie::GoesBack,
    Lie::Shrinks,
    Lie::RepeatsNumber,
    Lie::Forges,
    Lie::Garbage,
    Lie::Expired,
    Lie::Future,
    Lie::ReKeys,
];

impl Lie {
    /// The same in words.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::None => "it tells the truth",
            Self::GoesBack => "it goes back",
            Self::Shrinks => "it leaves most entries off",
            Self::RepeatsNumber => "it uses a number twice",
            Self::Forges => "it shows the signature of another",
            Self::Garbage => "it sends bytes that are no CRL",
            Self::Expired => "its CRL has expired",
            Self::Future => "its CRL is from the future",
            Self::ReKeys => "it has a new key",
        }
    }
}

/// The CA.
pub(crate) struct LyingCa {
    pub(crate) id: IssuerId,
    timeline: Timeline,
    random: Random,
    ledger: Ledger,
    /// It publishes at a URL, and its certificate at the origin stays.
    is_published: bool,
    is_listed: Cell<bool>,
    state: RefCell<State>,
}

struct State {
    lie: Lie,
    keys: Keys,
    /// The keys that it had before it changed them for a time.
    before: Option<Keys>,
    /// A key that is not the CA's.
    foreign: PrivateKey,
    is_new_key: bool,
    number: u64,
    serials: BTreeSet<[u8; 12]>,
    made: Vec<Made>,
    /// What it said last while it lied.
    told: Option<Made>,
}

struct Keys {
    key: PrivateKey,
    certificate: Vec<u8>,
}

struct Made {
    der: Bytes,
    at: Timestamp,
}

impl LyingCa {
    pub(crate) fn new(
        id: IssuerId,
        timeline: &Timeline,
        random: Random,
        ledger: &Ledger,
        is_published: bool,
    ) -> anyhow::Result<Self> {
        ledger.has_liar(&id);
        let keys = Keys::new(&id, &random, timeline.now())?;
        let foreign = PrivateKey::generate(keys.key.kind()?, &random)?;
        let serials = (0..REVOKED).map(|_| random.bytes()).collect();
        Ok(Self {
            state: RefCell::new(State {
                lie: Lie::None,
                keys,
                before: None,
                foreign,
                is_new_key: false,
                number: 1,
                serials,
                made: Vec::new(),
                told: None,
            }),
            id,
            timeline: timeline.clone(),
            random,
            ledger: ledger.clone(),
            is_published,
            is_listed: Cell::new(true),
        })
    }

    /// The origin's record of it.
    pub(crate) fn record(&self) -> Issuer {
        Issuer {
            id: self.id.clone(),
            certificate: Der(self.state.borrow().keys.certificate.clone()),
            crls: vec![Crl {
                name: CrlName::Full,
                distribution_point: None,
            }],
        }
    }

    /// Whether the origin lists it.
    pub(crate) fn is_listed(&self) -> bool {
        self.is_listed.get()
    }

    pub(crate) fn list(&self, is_listed: bool) {
        self.is_listed.set(is_listed);
    }

    /// Lies in another way from now on. Returns how.
    pub(crate) fn lie(&self) -> anyhow::Result<Lie> {
        self.tell_the_truth();
        let lie = *self.random.pick(&LIES);
        let mut state = self.state.borrow_mut();
        state.lie = lie;
        if lie == Lie::ReKeys {
            let keys = Keys::new(&self.id, &self.random, self.timeline.now())?;
            let before = std::mem::replace(&mut state.keys, keys);
            if self.is_published {
                state.before = Some(before);
                state.is_new_key = true;
                return Ok(lie);
            }
            // The first key that the edge sees is the one that it pins.
            let list = (self.id.clone(), CrlName::Full);
            state.is_new_key = self.ledger.held(&list).is_some();
        }
        Ok(lie)
    }

    /// Lies no more. A key that it has told the origin of stays.
    pub(crate) fn tell_the_truth(&self) {
        let mut state = self.state.borrow_mut();
        state.lie = Lie::None;
        state.told = None;
        if let Some(before) = state.before.take() {
            state.keys = before;
            state.is_new_key = false;
        }
    }

    /// An operator trusts its key.
    pub(crate) fn is_trusted(&self) {
        self.state.borrow_mut().is_new_key = false;
        self.ledger.trusts_new_key(&self.id);
    }

    /// Answers a request of the origin API.
    pub(crate) fn serve(&self, request: &Request<Bytes>) -> anyhow::Result<Response> {
        if request.method() == Method::GET {
            let record = serde_json::json!(self.record()).to_string();
            return Ok(Response::of(StatusCode::OK, record));
        }
        if request.uri().path().ends_with("/departed") {
            return Ok(Response::of(StatusCode::NOT_FOUND, "{}"));
        }
        let headers = request.headers();
        let text = |name| {
            headers
                .get(name)
                .and_then(|value: &HeaderValue| value.to_str().ok())
        };
        let renew = text(header::CACHE_CONTROL) == Some("no-cache");
        let held = text(header::IF_NONE_MATCH).unwrap_or_default();
        let now = self.timeline.now();
        let mut state = self.state.borrow_mut();
        let is_current = state.made.last().is_some_and(|last| {
            now.since(last.at) < VALIDITY / 3 && held.contains(&sha256(&last.der).to_string())
        });
        if is_current && !renew && state.lie == Lie::None {
            return Ok(Response::of(StatusCode::NOT_MODIFIED, ""));
        }
        let der = self.answer(&mut state, now)?;
        Ok(with_crl(der))
    }

    /// Its certificate now.
    pub(crate) fn certificate(&self) -> Vec<u8> {
        self.state.borrow().keys.certificate.clone()
    }

    /// Answers a request for the CRL that it publishes at its URL.
    pub(crate) fn publish(&self, request: &Request<Bytes>) -> anyhow::Result<Response> {
        let now = self.timeline.now();
        let mut state = self.state.borrow_mut();
        let (last, lasts) = if state.lie == Lie::None {
            (state.made.last(), VALIDITY / 4)
        } else {
            (state.told.as_ref(), LIE_LASTS)
        };
        let last = last.filter(|last| now.since(last.at) < lasts);
        let der = match last {
            Some(last) => last.der.clone(),
            None => self.answer(&mut state, now)?,
        };
        let etag = format!("\"{}\"", sha256(&der));
        let held = request.headers().get(header::IF_NONE_MATCH);
        let is_held = held.is_some_and(|held| held.as_bytes() == etag.as_bytes());
        let mut response = if is_held {
            Response::of(StatusCode::NOT_MODIFIED, "")
        } else {
            with_crl(der)
        };
        response.headers.insert(header::ETAG, etag.parse()?);
        Ok(response)
    }

    /// Answers a request of a PKI engine's API.
    pub(crate) fn run_engine(&self, request: &Request<Bytes>) -> anyhow::Result<Response> {
        let path = request.uri().path();
        if path.ends_with("/crl/der") {
            return self.publish_late(request);
        }
        let data = if path.ends_with("/crl/rotate") {
            let now = self.timeline.now();
            self.answer(&mut self.state.borrow_mut(), now)?;
            serde_json::json!({ "success": true })
        } else {
            // Its owner changes it at any time.
            serde_json::json!({ "disable": false, "auto_rebuild": self.random.chance(500) })
        };
        let body = serde_json::json!({ "data": data }).to_string();
        Ok(Response::of(StatusCode::OK, body))
    }

    /// Publishes its CRL, sometimes from a node that lags behind the active one.
    fn publish_late(&self, request: &Request<Bytes>) -> anyhow::Result<Response> {
        let state = self.state.borrow();
        if let [.., before, _] = &state.made[..]
            && self.random.chance(100)
        {
            return Ok(with_crl(before.der.clone()));
        }
        drop(state);
        self.publish(request)
    }

    fn answer(&self, state: &mut State, now: Timestamp) -> anyhow::Result<Bytes> {
        if state.serials.len() < MOST_REVOKED && self.random.chance(300) {
            state.serials.insert(self.random.bytes());
        }
        let hour = Duration::from_hours(1);
        let (mut begin, mut end) = (now, now.after(VALIDITY));
        let mut count = state.serials.len();
        match state.lie {
            Lie::Garbage => return Ok(self.random.bytes::<200>().to_vec().into()),
            Lie::GoesBack if !state.made.is_empty() => {
                let old = self.random.pick(&state.made);
                return Ok(old.der.clone());
            }
            Lie::Shrinks => count = 3,
            Lie::Expired => (begin, end) = (now.before(VALIDITY), now.before(hour)),
            Lie::Future => begin = now.after(hour),
            _ => {}
        }
        if state.lie != Lie::RepeatsNumber {
            state.number += 1;
        }
        let serials = state.serials.iter().take(count);
        let forges = state.lie == Lie::Forges;
        let key = if forges {
            &state.foreign
        } else {
            &state.keys.key
        };
        let der = state.keys.sign(key, state.number, begin..end, serials)?;
        if forges {
            self.ledger.forged(&self.id, &der);
        } else if state.is_new_key {
            self.ledger.signed_by_new_key(&self.id, &der);
        }
        let der = Bytes::from(der);
        let made = Made {
            der: der.clone(),
            at: now,
        };
        if state.lie == Lie::None {
            state.made.push(made);
            let old = state.made.len().saturating_sub(KEPT);
            state.made.drain(..old);
        } else {
            state.told = Some(made);
        }
        Ok(der)
    }
}

fn with_crl(der: Bytes) -> Response {
    let mut response = Response::of(StatusCode::OK, der);
    let media_type = HeaderValue::from_static(CRL_MEDIA_TYPE);
    response.headers.insert(header::CONTENT_TYPE, media_type);
    response
}

impl Keys {
    fn new(id: &IssuerId, random: &Random, now: Timestamp) -> anyhow::Result<Self> {
        // Ed25519 is cheaper, and the edge checks it in another way.
        let kind = *random.pick(&[KeyKind::Ed25519, KeyKind::Ed25519, KeyKind::P256]);
        let key = PrivateKey::generate(kind, random)?;
        let subject = ca::parse_subject(&format!("CN={id}"))?;
        let validity = Duration::from_hours(24 * 3_650);
        let certificate = ca::self_sign(&key, &subject, now.as_unix_time(), validity, random)?;
        Ok(Self {
            key,
            certificate: certificate.to_der()?,
        })
    }

    fn sign<'s>(
        &self,
        key: &PrivateKey,
        number: u64,
        validity: std::ops::Range<Timestamp>,
        serials: impl Iterator<Item = &'s [u8; 12]>,
    ) -> anyhow::Result<Vec<u8>> {
        let signer = Signer::from_der(&self.certificate)?;
        let algorithm = AlgorithmIdentifier::from_der(&key.algorithm()?.to_der()?)
            .map_err(|error| anyhow::anyhow!("{error:?}"))?;
        let subject: DistinguishedName = signer.subject().clone();
        let begin = validity.start.as_unix_time();
        let template = Template {
            authority_key_id: signer.subject_key_id().map(<[u8]>::to_vec),
            ..Template::new(
                subject,
                algorithm,
                CrlNumber::from(number),
                begin..validity.end.as_unix_time(),
            )
        };
        let revocations = serials.map(|serial| Revocation {
            serial: Serial::from_be_bytes(serial),
            date: begin,
            reason: Reason::KeyCompromise,
            invalidity_date: None,
        });
        let revocations: Vec<_> = revocations.collect();
        let mut failed = None;
        let der = template.sign(revocations, |tbs| match key.sign(&[tbs]) {
            Ok(signature) => Ok(signature),
            Err(error) => {
                failed = Some(error.to_string());
                Err(error)
            }
        });
        der.ok().context(failed.unwrap_or_default())
    }
}
