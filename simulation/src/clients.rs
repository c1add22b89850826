//! Relying parties: they ask for CRLs, and notice what must not happen.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use crl::CrlNumber;
use edge::method::Method;
use origin_api::Timestamp;

use crate::clock::Timeline;
use crate::edge_node::{Answer, Isolate};
use crate::ledger::{Ledger, List, Seen};
use crate::mutation::Mutation;
use crate::random::Random;
use crate::trace::Trace;

/// A relying party that asks one isolate.
pub(crate) struct Client {
    pub(crate) name: String,
    pub(crate) isolate: Rc<Isolate>,
    pub(crate) timeline: Timeline,
    pub(crate) random: Random,
    pub(crate) trace: Trace,
    pub(crate) ledger: Ledger,
    pub(crate) mutation: Option<Mutation>,
    /// What it got last, by list.
    pub(crate) cache: RefCell<BTreeMap<List, Cached>>,
}

/// A CRL in a relying party's cache.
pub(crate) struct Cached {
    etag: Option<String>,
    body: bytes::Bytes,
    number: CrlNumber,
    stored_at: Timestamp,
    fresh_for: Duration,
}

/// The `max-age` of an answer.
fn max_age(answer: &Answer) -> Duration {
    let header = answer.header("cache-control").unwrap_or_default();
    let directives = header.split(',').map(str::trim);
    let mut seconds = directives.filter_map(|directive| directive.strip_prefix("max-age="));
    let seconds = seconds.find_map(|seconds| seconds.parse().ok());
    Duration::from_secs(seconds.unwrap_or(0))
}

impl Client {
    /// Needs the CRL of a list: takes the cached one while it is fresh, and asks otherwise.
    pub(crate) async fn need(&self, list: &List) {
        let now = self.timeline.now();
        let (mut headers, mut is_fresh) = (Vec::new(), false);
        if let Some(cached) = self.cache.borrow().get(list) {
            is_fresh = now.since(cached.stored_at) < cached.fresh_for;
            if let Some(etag) = &cached.etag {
                headers.push(("if-none-match", etag.clone()));
            }
        }
        // Some ask whatever they have; some without a condition.
        if is_fresh && self.random.chance(500) {
            return;
        }
        if self.random.chance(300) {
            headers.clear();
        }
        self.ask(list, &headers).await;
    }

    async fn ask(&self, list: &List, headers: &[(&str, String)]) {
        self.timeline.sleep(self.random.millis(1..200)).await;
        let answer = self.isolate.get(Method::Get, list, headers).await;
        let status = answer.as_ref().map_or(0, |answer| answer.status);
        let is_fine = matches!(status, 200 | 304);
        if !is_fine && self.ledger.is_settled() && !self.ledger.is_disturbed(&list.0) {
            let what = format!("{} asked for {list:?} and got {status}", self.name);
            self.ledger.violated("a valid CRL is served", &what);
        }
        let Some(mut answer) = answer.filter(|_| is_fine) else {
            let line = format!("{} asked for {}/{}: {status}", self.name, list.0, list.1);
            return self.trace.line(line);
        };
        self.mutate(list, &mut answer);
        if status == 304 {
            self.revalidated(list, &answer);
        } else {
            self.received(list, &answer);
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
                if let Some(etag) = self
                    .cache
                    .borrow()
                    .get(list)
                    .and_then(|cached| cached.etag.clone())
                {
                    set("etag", etag);
                }
            }
            _ => {}
        }
    }

    /// The copy in the cache is still the newest.
    fn revalidated(&self, list: &List, answer: &Answer) {
        let mut cache = self.cache.borrow_mut();
        let Some(cached) = cache.get_mut(list) else {
            return self
                .ledger
                .violated("304 answers a condition", &format!("{list:?}"));
        };
        cached.stored_at = self.timeline.now();
        cached.fresh_for = max_age(answer);
        let seen = Seen {
            list,
            body: &cached.body,
            max_age: cached.fresh_for,
            etag: answer.header("etag"),
            who: &self.name,
        };
        self.ledger.served(&seen);
    }

    fn received(&self, list: &List, answer: &Answer) {
        let seen = Seen {
            list,
            body: &answer.body,
            max_age: max_age(answer),
            etag: answer.header("etag"),
            who: &self.name,
        };
        let Some(number) = self.ledger.served(&seen) else {
            return;
        };
        self.trace.line(format!(
            "{} got {}/{} number {number}, fresh for {} s",
            self.name,
            list.0,
            list.1,
            seen.max_age.as_secs()
        ));
        let mut cache = self.cache.borrow_mut();
        if let Some(before) = cache.get(list)
            && number < before.number
            && !answer.object_failed
            && !self.ledger.was_overruled(list)
        {
            let what = format!(
                "{list:?}: {number} after {} to {}",
                before.number, self.name
            );
            self.ledger
                .violated("no client sees the number go back", &what);
        }
        let cached = Cached {
            etag: answer.header("etag").map(str::to_owned),
            body: answer.body.clone(),
            number,
            stored_at: self.timeline.now(),
            fresh_for: seen.max_age,
        };
        cache.insert(list.clone(), cached);
    }

    /// The isolate that it asks has no memory any more: another one may answer from a point of
    /// presence that is behind.
    pub(crate) fn isolate_restarted(&self) {
        self.cache.borrow_mut().clear();
    }
}
