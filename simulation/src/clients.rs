//! Relying parties: they ask for CRLs in all the ways that HTTP has, keep them as long as it lets
//! them, and notice what must not happen.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use crl::CrlNumber;
use edge::http::Method;
use origin_api::{CrlName, Timestamp};

use crate::caching::{expires_after, initial_age, max_age, stated_age};
use crate::clock::{Clock, Timeline, http_date};
use crate::edge_node::{Answer, Isolate};
use crate::faults::Faults;
use crate::ledger::{Ledger, List, Seen};
use crate::mutation::Mutation;
use crate::random::Random;
use crate::shared_cache::SharedCache;
use crate::trace::Trace;

/// Where a relying party's requests go.
#[derive(Clone)]
pub(crate) enum Way {
    /// To an isolate.
    Direct(Rc<Isolate>),
    /// Through a cache that it shares with others.
    Cached(Rc<SharedCache>),
}

/// A relying party.
pub(crate) struct Client {
    pub(crate) name: String,
    pub(crate) way: Way,
    pub(crate) timeline: Timeline,
    /// Its own, which may be wrong.
    pub(crate) clock: Clock,
    pub(crate) random: Random,
    pub(crate) trace: Trace,
    pub(crate) ledger: Ledger,
    pub(crate) faults: Faults,
    pub(crate) mutation: Option<Mutation>,
    /// What it got last, by list.
    pub(crate) cache: RefCell<BTreeMap<List, Cached>>,
}

/// A CRL in a relying party's cache.
#[derive(Clone)]
pub(crate) struct Cached {
    etag: Option<String>,
    last_modified: Option<String>,
    body: Bytes,
    number: CrlNumber,
    this_update: crl::UnixTime,
    /// By the client's clock.
    stored_at: Timestamp,
    initial_age: Duration,
    lifetime: Duration,
}

impl Cached {
    fn age(&self, now: Timestamp) -> Duration {
        now.since(self.stored_at) + self.initial_age
    }
}

/// How a relying party asks.
#[derive(Clone, Copy, Debug)]
enum Asking {
    /// For all of it, whatever it holds.
    Anew,
    /// Unless it is the one held, by its `ETag`.
    IfNoneMatch,
    /// If it has changed since the Last-Modified of the one held.
    IfModifiedSince,
    /// If it has changed since now, by the client's own clock: it proves nothing.
    IfModifiedSinceNow,
    /// For the headers.
    Head,
    /// For one half, and then the other.
    Halves,
}

impl Client {
    /// Needs the CRL of a list: takes the cached one while it is fresh, and asks otherwise.
    pub(crate) async fn need(&self, list: &List) {
        let now = self.clock.now();
        let cached = self.cache.borrow().get(list).cloned();
        let fresh = cached.filter(|cached| cached.age(now) < cached.lifetime);
        // Some ask whatever they have.
        if let Some(cached) = fresh
            && self.random.chance(500)
        {
            let age = cached.age(now);
            self.sees(
                list,
                &cached.body,
                age,
                cached.lifetime,
                cached.etag.as_deref(),
            );
            return;
        }
        self.timeline.sleep(self.random.millis(1..200)).await;
        match self.random.below(100) {
            0..30 => self.ask(list, Asking::Anew).await,
            30..62 => self.ask(list, Asking::IfNoneMatch).await,
            62..72 => self.ask(list, Asking::IfModifiedSince).await,
            72..77 => self.ask(list, Asking::IfModifiedSinceNow).await,
            77..84 => self.ask(list, Asking::Head).await,
            84..97 => self.ask_for_halves(list).await,
            _ => self.ask_for_unknown(list).await,
        }
    }

    async fn send(
        &self,
        method: Method,
        list: &List,
        headers: Vec<(&'static str, String)>,
        asking: Asking,
    ) -> Option<Answer> {
        let before = self.faults.what_serving_needs_works();
        let answer = match &self.way {
            Way::Direct(isolate) => isolate.get(method, list, &headers).await,
            Way::Cached(cache) => cache.get(method, list, &headers).await,
        };
        let status = answer.as_ref().map_or(0, |answer| answer.status);
        let what = format!(
            "{} asked {asking:?} for {}/{}: {status}",
            self.name, list.0, list.1
        );
        let is_fine = matches!(status, 200 | 206 | 304 | 416);
        // An isolate that ends answers nobody.
        if !is_fine && answer.is_some() {
            // A delta may be withdrawn, and is then served while it is valid.
            let is_listed = list.1 != CrlName::Delta;
            let is_normal = is_listed && !self.ledger.is_disturbed(&list.0);
            if is_normal && self.ledger.is_settled() {
                self.ledger.violated("a valid CRL is served", &what);
            }
            let works = before && self.faults.what_serving_needs_works();
            if works && self.ledger.is_servable(list) {
                let rule = "serving goes on without what it does not need";
                self.ledger.violated(rule, &what);
            }
        }
        if !is_fine {
            self.trace.line(what);
            return None;
        }
        let mut answer = answer?;
        self.mutate(list, &mut answer);
        Some(answer)
    }

    async fn ask(&self, list: &List, asking: Asking) {
        let cached = self.cache.borrow().get(list).cloned();
        let condition = match asking {
            Asking::IfNoneMatch => cached
                .and_then(|cached| cached.etag)
                .map(|etag| ("if-none-match", etag)),
            Asking::IfModifiedSince => cached
                .and_then(|cached| cached.last_modified)
                .map(|date| ("if-modified-since", date)),
            Asking::IfModifiedSinceNow => {
                let now = http_date(self.clock.now().as_unix_time());
                cached.map(|_| ("if-modified-since", now))
            }
            _ => None,
        };
        let method = if matches!(asking, Asking::Head) {
            Method::Head
        } else {
            Method::Get
        };
        let headers = condition.into_iter().collect();
        let Some(answer) = self.send(method, list, headers, asking).await else {
            return;
        };
        match answer.status {
            304 => self.revalidated(list, &answer, asking),
            _ if method == Method::Head => self.got_head(list, &answer),
            200 => self.received(list, &answer, answer.body.clone(), asking),
            _ => {}
        }
    }

    /// Asks for the beginning, and then for the rest of the same CRL.
    async fn ask_for_halves(&self, list: &List) {
        let end = self.random.between(1..400);
        let range = vec![("range", format!("bytes=0-{}", end - 1))];
        let Some(first) = self.send(Method::Get, list, range, Asking::Halves).await else {
            return;
        };
        let etag = first.header("etag").map(str::to_owned);
        let (206, Some(etag)) = (first.status, etag) else {
            if first.status == 200 {
                self.received(list, &first, first.body.clone(), Asking::Halves);
            }
            return;
        };
        self.timeline.sleep(self.random.millis(1..5_000)).await;
        let rest = vec![
            ("range", format!("bytes={}-", first.body.len())),
            ("if-range", etag.clone()),
        ];
        let Some(second) = self.send(Method::Get, list, rest, Asking::Halves).await else {
            return;
        };
        match second.status {
            206 if second.header("etag") == Some(&etag) => {
                let body = [&first.body[..], &second.body[..]].concat().into();
                self.received(list, &second, body, Asking::Halves);
            }
            206 => {
                let what = format!("{list:?}: {etag} and {:?}", second.header("etag"));
                self.ledger
                    .violated("If-Range gives parts of one CRL", &what);
            }
            200 => self.received(list, &second, second.body.clone(), Asking::Halves),
            _ => {}
        }
    }

    async fn ask_for_unknown(&self, list: &List) {
        let made_up = format!("{}-{}", list.0, self.random.below(1_000_000));
        let Ok(id) = made_up.parse() else { return };
        let unknown = (id, list.1);
        let answer = match &self.way {
            Way::Direct(isolate) => isolate.get(Method::Get, &unknown, &[]).await,
            Way::Cached(cache) => cache.get(Method::Get, &unknown, &[]).await,
        };
        let status = answer.map_or(0, |answer| answer.status);
        if !matches!(status, 0 | 404 | 503) {
            let what = format!("{made_up} got {status}");
            self.ledger.violated("who is not listed is unknown", &what);
        }
    }

    fn mutate(&self, list: &List, answer: &mut Answer) {
        let mut set = |name: &'static str, value: String| {
            answer
                .headers
                .retain(|(key, _)| !key.eq_ignore_ascii_case(name));
            answer.headers.push((name, value));
        };
        match self.mutation {
            Some(Mutation::AgeStretched) => {
                set("cache-control", "public, max-age=86400".to_owned());
            }
            Some(Mutation::ValidatorStuck) => {
                let cache = self.cache.borrow();
                if let Some(etag) = cache.get(list).and_then(|cached| cached.etag.clone()) {
                    set("etag", etag);
                }
            }
            _ => {}
        }
    }

    /// Checks what is in use, which may be from a cache. Returns the CRL's number and thisUpdate.
    fn sees(
        &self,
        list: &List,
        body: &[u8],
        age: Duration,
        lifetime: Duration,
        etag: Option<&str>,
    ) -> Option<(CrlNumber, crl::UnixTime)> {
        self.ledger.served(&Seen {
            list,
            body,
            age,
            max_age: lifetime.saturating_sub(age),
            etag,
            who: &self.name,
        })
    }

    /// For how long an answer may be kept. Caches that know only `Expires` keep it as long.
    fn lifetime(&self, list: &List, answer: &Answer) -> Duration {
        let lifetime = max_age(answer);
        let expires = expires_after(answer);
        let is_longer = |expires: Duration| expires > lifetime + Duration::from_secs(1);
        if self.mutation.is_none() && expires.is_none_or(is_longer) {
            let what = format!("{list:?}: {lifetime:?} and {expires:?}");
            self.ledger.violated("Expires is not after max-age", &what);
        }
        lifetime
    }

    fn got_head(&self, list: &List, answer: &Answer) {
        let left = max_age(answer).saturating_sub(stated_age(answer));
        if !answer.body.is_empty() {
            self.ledger
                .violated("HEAD has no body", &format!("{list:?}"));
        }
        self.ledger.head_served(list, answer.header("etag"), left);
    }

    /// The copy in the cache is still the newest.
    fn revalidated(&self, list: &List, answer: &Answer, asking: Asking) {
        let now = self.clock.now();
        let cached = self.cache.borrow().get(list).cloned();
        let Some(mut cached) = cached else {
            let rule = "304 answers a condition";
            return self.ledger.violated(rule, &format!("{list:?}"));
        };
        if answer.header("etag") != cached.etag.as_deref() {
            // A wrong clock may show the very second of the commit. The 304 is then for another
            // copy (RFC 9111, section 4.3.4).
            if matches!(asking, Asking::IfModifiedSinceNow) {
                return;
            }
            let what = format!(
                "{list:?}: {:?} for {:?}",
                answer.header("etag"),
                cached.etag
            );
            self.ledger
                .violated("no validator hides a newer CRL", &what);
        }
        cached.stored_at = now;
        cached.initial_age = initial_age(answer, now);
        cached.lifetime = self.lifetime(list, answer);
        let age = stated_age(answer);
        let etag = answer.header("etag");
        self.sees(list, &cached.body, age, cached.lifetime, etag);
        self.cache.borrow_mut().insert(list.clone(), cached);
    }

    fn received(&self, list: &List, answer: &Answer, body: Bytes, asking: Asking) {
        let lifetime = self.lifetime(list, answer);
        let (age, etag) = (stated_age(answer), answer.header("etag"));
        let Some((number, this_update)) = self.sees(list, &body, age, lifetime, etag) else {
            return;
        };
        let stated = answer.header("crl-number");
        if stated.is_some_and(|stated| stated != number.to_string()) {
            let what = format!("{list:?}: {stated:?} of {number}");
            self.ledger.violated("head and body agree", &what);
        }
        self.trace.line(format!(
            "{} got {}/{} number {number}, fresh for {} s",
            self.name,
            list.0,
            list.1,
            lifetime.as_secs()
        ));
        let last_modified = answer.header("last-modified").map(str::to_owned);
        // What went past a shared cache may be newer than what that has.
        let is_past = !matches!(asking, Asking::Anew | Asking::IfNoneMatch);
        if matches!(self.way, Way::Cached(_)) && is_past {
            return;
        }
        let mut cache = self.cache.borrow_mut();
        if let Some(before) = cache.get(list) {
            let what = format!(
                "{list:?}: {number} after {} to {}",
                before.number, self.name
            );
            let is_older = number < before.number || this_update < before.this_update;
            if is_older && !answer.object_failed && !self.ledger.was_overruled(list) {
                let rule = "no client sees the number or thisUpdate go back";
                self.ledger.violated(rule, &what);
            }
        }
        let now = self.clock.now();
        let cached = Cached {
            etag: answer.header("etag").map(str::to_owned),
            last_modified,
            body,
            number,
            this_update,
            stored_at: now,
            initial_age: initial_age(answer, now),
            lifetime,
        };
        cache.insert(list.clone(), cached);
    }

    /// An isolate has no memory any more: another one may answer in its place from a point of
    /// presence that is behind.
    pub(crate) fn isolate_restarted(&self, isolate: &Rc<Isolate>) {
        let asks = match &self.way {
            Way::Direct(own) => own,
            Way::Cached(cache) => {
                if Rc::ptr_eq(cache.isolate(), isolate) {
                    cache.clear();
                }
                cache.isolate()
            }
        };
        if Rc::ptr_eq(asks, isolate) {
            self.cache.borrow_mut().clear();
        }
    }
}
