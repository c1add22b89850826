//! A cache between relying parties and the edge, such as a company's proxy: it keeps answers by
//! HTTP's rules, and answers several of them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use edge::http::Method;
use origin_api::Timestamp;

use crate::caching::{initial_age, max_age};
use crate::clock::Clock;
use crate::edge_node::{Answer, Isolate};
use crate::ledger::List;

/// A shared cache, which asks one isolate.
pub(crate) struct SharedCache {
    isolate: Rc<Isolate>,
    /// May be wrong.
    clock: Clock,
    stored: RefCell<BTreeMap<List, Stored>>,
}

#[derive(Clone)]
struct Stored {
    answer: Answer,
    at: Timestamp,
    initial_age: Duration,
}

impl Stored {
    fn of(answer: Answer, now: Timestamp) -> Self {
        Self {
            initial_age: initial_age(&answer, now),
            at: now,
            answer,
        }
    }

    fn age(&self, now: Timestamp) -> Duration {
        now.since(self.at) + self.initial_age
    }

    /// The answer to a request that may name what it holds.
    fn answer(&self, condition: Option<&String>, now: Timestamp) -> Answer {
        let mut answer = self.answer.clone();
        answer.headers.retain(|(name, _)| *name != "age");
        let age = self.age(now).as_millis().div_ceil(1_000);
        answer.headers.push(("age", age.to_string()));
        if condition.is_some_and(|held| self.answer.header("etag") == Some(held)) {
            answer.status = 304;
            answer.body = Bytes::new();
        }
        answer
    }
}

fn value<'h>(headers: &'h [(&'static str, String)], name: &str) -> Option<&'h String> {
    let mut headers = headers.iter();
    headers
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
}

impl SharedCache {
    pub(crate) fn new(isolate: &Rc<Isolate>, clock: Clock) -> Self {
        Self {
            isolate: Rc::clone(isolate),
            clock,
            stored: RefCell::default(),
        }
    }

    pub(crate) fn isolate(&self) -> &Rc<Isolate> {
        &self.isolate
    }

    /// Forgets everything: the isolate that it asks has begun anew, and may be behind.
    pub(crate) fn clear(&self) {
        self.stored.borrow_mut().clear();
    }

    pub(crate) async fn get(
        &self,
        method: Method,
        list: &List,
        headers: &[(&'static str, String)],
    ) -> Option<Answer> {
        // Parts and dates of the client's own are for the edge to judge.
        let is_simple =
            method == Method::Get && headers.iter().all(|(name, _)| *name == "if-none-match");
        if !is_simple {
            return self.isolate.get(method, list, headers).await;
        }
        let condition = value(headers, "if-none-match");
        let stored = self.stored.borrow().get(list).cloned();
        if let Some(stored) = &stored
            && stored.age(self.clock.now()) < max_age(&stored.answer)
        {
            return Some(stored.answer(condition, self.clock.now()));
        }
        let held = stored
            .as_ref()
            .and_then(|stored| stored.answer.header("etag"));
        let own = held.map(|etag| ("if-none-match", etag.to_owned()));
        let own: Vec<_> = own.into_iter().collect();
        let mut answer = self.isolate.get(Method::Get, list, &own).await?;
        let now = self.clock.now();
        match (answer.status, stored) {
            (304, Some(stored)) => {
                // Its headers replace the stored ones (section 3.2).
                answer.status = 200;
                answer.body = stored.answer.body;
            }
            (200, _) => {}
            _ => return Some(answer),
        }
        let fresh = Stored::of(answer, now);
        let answer = fresh.answer(condition, now);
        self.stored.borrow_mut().insert(list.clone(), fresh);
        Some(answer)
    }
}
