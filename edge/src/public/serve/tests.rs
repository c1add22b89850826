//! Who is asked for a CRL, what becomes of the answer, and which answers may be given again.

use futures_executor::block_on;
use origin_api::{CrlName, Problem};

use super::*;
use crate::http::Body;
use crate::public::testing::{State, Twin, World, bytes, index, wanted};
use crate::public::{Encoding, tables};
use crate::refresh::Sha256;
use crate::time::Timestamp;
use crate::wait_slots::MOST_WAITING;

/// A serving edge over the twin. KV has number 1, of which the next is due later; the object has
/// number 2, valid for a week longer.
struct Edge {
    serving: Serving<Twin>,
}

const SMALL_CRL: usize = 5_000;

fn der(number: u8, size: usize) -> Vec<u8> {
    (0..size)
        .map(|index| u8::try_from(index % 251).unwrap() ^ number)
        .collect()
}

fn head(number: u8, der: &[u8]) -> Head {
    Head {
        number: number.to_string().parse().unwrap(),
        sha256: Sha256(sha2::Sha256::digest(der).into()),
        size: der.len() as u64,
        ..tables::head()
    }
}

/// Number 2, which is valid for a week longer.
fn newer(size: usize) -> (Head, Vec<u8>) {
    let der = der(2, size);
    let head = head(2, &der);
    let next_update = crl::UnixTime(head.next_update.0 + 604_800);
    (
        Head {
            next_update,
            ..head
        },
        der,
    )
}

impl Edge {
    fn new() -> Self {
        Self::with(SMALL_CRL)
    }

    fn with(size: usize) -> Self {
        let now = tables::head().committed_at;
        let twin = Twin(Rc::new(World {
            now: now.into(),
            kv: std::cell::RefCell::default(),
            kv_index: Some(index(now, &[CrlName::Full])).into(),
            kv_state: State::Up.into(),
            object: Ok(newer(size)).into(),
            object_state: State::Up.into(),
            client_left: false.into(),
            index: Some(index(now, &[CrlName::Full])).into(),
            asked: std::cell::RefCell::default(),
            seen: std::cell::RefCell::default(),
            reads: std::cell::RefCell::default(),
        }));
        let der = der(1, size);
        twin.publish(&head(1, &der), &der);
        Self {
            serving: Serving {
                platform: twin,
                memory: Rc::default(),
                policy: Policy {
                    max_age: Duration::from_hours(1),
                    clock_skew: Duration::from_mins(5),
                    serve_expired: false,
                },
                fast_path: true,
                patience: Duration::from_secs(30),
                registry_ttl: Duration::from_mins(1),
            },
        }
    }

    fn serve_expired(mut self) -> Self {
        self.serving.policy.serve_expired = true;
        self
    }

    fn without_kv(self) -> Self {
        self.twin().0.kv.borrow_mut().clear();
        self
    }

    fn object(self, unavailable: Unavailable) -> Self {
        *self.twin().0.object.borrow_mut() = Err(unavailable);
        self
    }

    fn listing(self, listed: Option<&[CrlName]>) -> Self {
        let index = listed.map(|crls| index(self.twin().0.now.get(), crls));
        self.twin().0.kv_index.replace(None);
        self.twin().0.index.replace(index);
        self
    }

    fn at(self, now: Timestamp) -> Self {
        self.twin().0.now.set(now);
        self
    }

    fn later(&self, span: Duration) {
        let now = &self.twin().0.now;
        now.set(now.get().after(span));
    }

    fn twin(&self) -> &Twin {
        &self.serving.platform
    }

    fn serve(&self, wanted: &Wanted, headers: &[(&str, &str)]) -> Served<Twin> {
        let header = |name: &str| {
            let mut headers = headers.iter();
            let found = headers.find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        block_on(self.serving.serve(wanted, header)).unwrap()
    }

    /// The status, the CRL's number or the problem's code, and who was asked.
    fn ask(&self, method: Method) -> (u16, String, String) {
        let served = self.serve(&wanted(method, Encoding::Der), &[]);
        let status = served.answer.status;
        let what = match (&served.answer.body, served.answer.header("CRL-Number")) {
            (Body::Text(text), _) => {
                let problem: Problem = serde_json::from_str(text).unwrap();
                problem.code.into_owned()
            }
            (_, Some(number)) => number.to_owned(),
            _ => String::new(),
        };
        if method == Method::Get && status == 200 {
            let number = what.parse().unwrap();
            assert_eq!(bytes(served), der(number, SMALL_CRL));
        }
        (status, what, self.twin().asked())
    }

    fn get(&self) -> (u16, String, String) {
        self.ask(Method::Get)
    }
}

fn saw(status: u16, what: &str, asked: &str) -> (u16, String, String) {
    (status, what.to_owned(), asked.to_owned())
}

fn after_expiry() -> Timestamp {
    tables::head().next_update.into()
}

const IN_15_SECONDS: Unavailable = Unavailable::RetryAfter { seconds: 15 };

#[test]
fn a_fresh_crl_comes_from_kv_and_then_from_memory_for_two_seconds() {
    let edge = Edge::new();
    assert_eq!(edge.get(), saw(200, "1", "kv read"));
    assert_eq!(edge.get(), saw(200, "1", ""));
    assert_eq!(edge.ask(Method::Head), saw(200, "1", ""));
    edge.later(Duration::from_millis(1_999));
    assert_eq!(edge.get(), saw(200, "1", ""));
    edge.later(Duration::from_millis(1));
    // The body is known by its hash.
    assert_eq!(edge.get(), saw(200, "1", "kv"));
}

#[test]
fn without_the_fast_path_kv_is_read_each_time() {
    let mut edge = Edge::new();
    edge.serving.fast_path = false;
    assert_eq!(edge.get(), saw(200, "1", "kv read"));
    assert_eq!(edge.ask(Method::Head), saw(200, "1", "kv"));
}

#[test]
fn a_large_crl_is_read_each_time_and_its_head_is_remembered() {
    let edge = Edge::with(200_000);
    let get = || edge.serve(&wanted(Method::Get, Encoding::Der), &[]);
    assert!(matches!(get().body, ResponseBody::Stream(_)));
    assert!(matches!(get().body, ResponseBody::Stream(_)));
    assert_eq!(edge.twin().asked(), "kv kv");
    assert_eq!(edge.ask(Method::Head), saw(200, "1", ""));
    let tag = format!("\"{}\"", head(1, &der(1, 200_000)).sha256);
    let condition = [("If-None-Match", tag.as_str())];
    let served = edge.serve(&wanted(Method::Get, Encoding::Der), &condition);
    assert_eq!(
        (served.answer.status, edge.twin().asked().as_str()),
        (304, "")
    );
}

#[test]
fn of_more_small_crls_than_fit_the_least_recently_used_is_forgotten_and_no_other() {
    const FIT: u8 = 96;
    let edge = Edge::new();
    let size = usize::try_from(SMALL).unwrap();
    let shards = 0..=FIT;
    for shard in shards.clone() {
        let der = der(shard, size);
        let name = CrlName::Shard(shard.into());
        edge.twin().publish_as(name, &head(shard, &der), &der);
    }
    let ask = |shard: u8| {
        let wanted = Wanted {
            name: CrlName::Shard(shard.into()),
            ..wanted(Method::Get, Encoding::Der)
        };
        let served = edge.serve(&wanted, &[]);
        assert_eq!(served.answer.status, 200);
        edge.twin().asked()
    };
    for shard in 0..FIT {
        assert_eq!(ask(shard), "kv read");
    }
    // The first is used again, so that the second is the oldest.
    assert_eq!(ask(0), "");
    assert_eq!(ask(FIT), "kv read");
    edge.later(Duration::from_secs(2));
    for shard in shards.filter(|shard| *shard != 1) {
        assert_eq!(ask(shard), "kv", "{shard}");
    }
    assert_eq!(ask(1), "kv read");
}

#[test]
fn what_this_isolate_writes_is_forgotten() {
    let edge = Edge::new();
    edge.get();
    let (head, der) = newer(SMALL_CRL);
    edge.twin().publish(&head, &der);
    edge.serving.memory.forget("crl/demo/full");
    assert_eq!(edge.get(), saw(200, "2", "kv read"));
}

#[test]
fn a_crl_that_is_due_comes_from_kv_and_a_refresh_is_asked_for_rarely() {
    let edge = Edge::new().at(tables::head().refresh_after);
    assert_eq!(edge.get(), saw(200, "1", "kv read refresh"));
    assert_eq!(edge.get(), saw(200, "1", "kv"));
    edge.later(Duration::from_secs(20));
    assert_eq!(edge.get(), saw(200, "1", "kv refresh"));
}

#[test]
fn an_expired_crl_is_replaced_by_what_the_object_has() {
    let edge = Edge::new().at(after_expiry());
    assert_eq!(
        edge.get(),
        saw(200, "2", "kv read kv-index registry object")
    );
    let seen = head(1, &der(1, SMALL_CRL)).sha256;
    assert_eq!(edge.twin().0.seen.take(), [Some(seen)]);
}

#[test]
fn cache_status_says_why_the_object_was_asked() {
    for (edge, status) in [
        (Edge::new(), "crl-edge-kv; hit"),
        (Edge::new().at(after_expiry()), "crl-edge-kv; fwd=stale"),
        (Edge::new().without_kv(), "crl-edge-kv; fwd=miss"),
    ] {
        let served = edge.serve(&wanted(Method::Get, Encoding::Der), &[]);
        assert_eq!(served.answer.header("Cache-Status"), Some(status));
    }
}

#[test]
fn every_answer_names_its_source_and_every_read_of_kv_is_counted() {
    let altered = Edge::new();
    for value in altered.twin().0.kv.borrow_mut().values_mut() {
        value.1[7] ^= 1;
    }
    let failing = Edge::new();
    failing.twin().0.kv_state.set(State::Fails);
    let nowhere = Unavailable::RetryAfter { seconds: 5 };
    for (edge, source, reads) in [
        (Edge::new(), Some(Source::Kv), vec![KvRead::Hit]),
        (
            Edge::new().without_kv(),
            Some(Source::Object),
            vec![KvRead::Miss],
        ),
        (
            altered,
            Some(Source::Object),
            vec![KvRead::Mismatch, KvRead::Failed],
        ),
        (failing, Some(Source::Object), vec![KvRead::Failed]),
        (
            Edge::new().without_kv().object(nowhere),
            None,
            vec![KvRead::Miss],
        ),
    ] {
        let served = edge.serve(&wanted(Method::Get, Encoding::Der), &[]);
        assert_eq!((served.source, edge.twin().0.reads.take()), (source, reads));
    }
    let edge = Edge::new();
    edge.get();
    let again = edge.serve(&wanted(Method::Get, Encoding::Der), &[]);
    assert_eq!(again.source, Some(Source::Memory));
    assert_eq!(edge.twin().0.reads.take(), [KvRead::Hit]);
}

#[test]
fn what_kv_does_not_have_comes_from_the_object_if_the_issuer_is_known() {
    let edge = Edge::new().without_kv();
    assert_eq!(edge.get(), saw(200, "2", "kv kv-index object"));
    assert_eq!(edge.twin().0.seen.take(), [None]);
    // The index is remembered, and for a second that KV has nothing.
    assert_eq!(edge.get(), saw(200, "2", "object"));
    edge.later(Duration::from_secs(1));
    assert_eq!(edge.get(), saw(200, "2", "kv object"));
}

#[test]
fn a_kv_that_fails_or_hangs_is_passed_over() {
    for state in [State::Fails, State::Hangs] {
        let edge = Edge::new();
        edge.twin().0.kv_state.set(state);
        assert_eq!(
            edge.get(),
            saw(200, "2", "kv kv-index registry object"),
            "{state:?}"
        );
    }
}

#[test]
fn while_kv_fails_what_is_remembered_and_valid_is_served() {
    let edge = Edge::new();
    edge.get();
    edge.twin().asked();
    edge.twin().0.kv_state.set(State::Fails);
    edge.later(Duration::from_secs(299));
    assert_eq!(edge.get(), saw(200, "1", "kv"));
    // The object may have a newer one by now.
    edge.later(Duration::from_secs(1));
    assert_eq!(edge.get(), saw(200, "2", "kv kv-index registry object"));
    edge.twin().0.object_state.set(State::Fails);
    assert_eq!(edge.get(), saw(200, "1", "kv object"));
    let edge = edge.at(after_expiry());
    assert_eq!(edge.get(), saw(503, "crl_unavailable", "kv object"));
}

#[test]
fn while_kv_fails_what_was_only_remembered_by_its_head_comes_from_the_object() {
    let edge = Edge::with(200_000);
    edge.serve(&wanted(Method::Get, Encoding::Der), &[]);
    edge.twin().asked();
    edge.twin().0.kv_state.set(State::Fails);
    edge.later(Duration::from_secs(10));
    assert_eq!(edge.ask(Method::Head), saw(200, "1", "kv"));
    let served = edge.serve(&wanted(Method::Get, Encoding::Der), &[]);
    assert_eq!(served.answer.header("CRL-Number"), Some("2"));
    assert_eq!(edge.twin().asked(), "kv object");
}

#[test]
fn a_body_that_does_not_fit_its_head_is_not_served() {
    let edge = Edge::new();
    for value in edge.twin().0.kv.borrow_mut().values_mut() {
        value.1[7] ^= 1;
    }
    assert_eq!(edge.get(), saw(200, "2", "kv read object"));
}

#[test]
fn an_unknown_issuer_or_crl_never_reaches_an_object() {
    let none = index(tables::head().committed_at, &[]);
    let edge = Edge::new().without_kv().listing(Some(&[]));
    edge.twin().0.index.replace(Some(Index {
        issuers: [].into(),
        ..none
    }));
    assert_eq!(
        edge.get(),
        saw(404, "unknown_issuer", "kv kv-index registry")
    );
    let others = [CrlName::Delta, CrlName::Shard(0)];
    let edge = Edge::new().without_kv().listing(Some(&others));
    assert_eq!(edge.get(), saw(404, "unknown_crl", "kv kv-index registry"));
    // A crowd that asks for it reads the index once.
    assert_eq!(edge.get(), saw(404, "unknown_crl", ""));
    edge.later(Duration::from_mins(1));
    assert_eq!(edge.get(), saw(404, "unknown_crl", "kv kv-index registry"));
}

#[test]
fn an_index_in_kv_that_is_old_does_not_say_who_does_not_exist() {
    let edge = Edge::new().without_kv();
    let old = index(tables::head().committed_at, &[CrlName::Delta]);
    edge.twin().0.kv_index.replace(Some(old));
    edge.later(Duration::from_mins(1));
    assert_eq!(edge.get(), saw(200, "2", "kv kv-index registry object"));
}

#[test]
fn without_an_index_no_issuer_is_said_not_to_exist() {
    let edge = Edge::new().without_kv().listing(None);
    let unavailable = saw(503, "crl_unavailable", "kv kv-index registry");
    assert_eq!(edge.get(), unavailable);
}

#[test]
fn an_issuer_that_publishes_elsewhere_is_404() {
    let elsewhere = || Edge::new().object(Unavailable::PublishedElsewhere);
    let edge = elsewhere().without_kv().listing(Some(&[]));
    let answer = saw(404, "published_elsewhere", "kv kv-index registry object");
    assert_eq!(edge.get(), answer);
    let edge = elsewhere().at(after_expiry());
    let answer = saw(
        404,
        "published_elsewhere",
        "kv read kv-index registry object",
    );
    assert_eq!(edge.get(), answer, "and its expired CRL is gone");
}

#[test]
fn a_withdrawn_crl_that_kv_does_not_have_comes_from_the_object() {
    let withdrawn = || {
        let edge = Edge::new().without_kv();
        let mut index = index(tables::head().committed_at, &[CrlName::Delta]);
        for listed in index.issuers.values_mut() {
            listed.withdrawn = vec![CrlName::Full];
        }
        edge.twin().0.kv_index.replace(Some(index));
        edge
    };
    let answer = saw(200, "2", "kv kv-index object-held");
    assert_eq!(withdrawn().get(), answer);
    let removed = withdrawn().object(Unavailable::NotHeld);
    let answer = saw(404, "unknown_crl", "kv kv-index object-held");
    assert_eq!(removed.get(), answer);
    let unreachable = withdrawn();
    unreachable.twin().0.object_state.set(State::Fails);
    let answer = saw(503, "crl_unavailable", "kv kv-index object-held");
    assert_eq!(unreachable.get(), answer, "its CRL may be valid");
    let made_up = Wanted {
        name: CrlName::Shard(7),
        ..wanted(Method::Get, Encoding::Der)
    };
    let edge = withdrawn();
    assert_eq!(edge.serve(&made_up, &[]).answer.status, 404);
    assert!(!edge.twin().asked().contains("object"));
}

#[test]
fn an_operator_reads_what_is_held_after_it_has_expired() {
    let edge = Edge::new().at(after_expiry().after(Duration::from_hours(24 * 8)));
    let held = |edge: &Edge, method| {
        let served = block_on(edge.serving.held(&wanted(method, Encoding::Der))).unwrap();
        assert_eq!(edge.twin().asked(), "operators-object");
        assert_eq!(served.answer.header("Cache-Control"), Some("no-store"));
        served
    };
    let served = held(&edge, Method::Get);
    assert_eq!(served.answer.status, 200);
    assert_eq!(served.answer.header("CRL-Number"), Some("2"));
    assert_eq!(served.answer.header("Content-Length"), Some("5000"));
    assert_eq!(bytes(served), der(2, SMALL_CRL));
    let answer = held(&edge, Method::Head).answer;
    assert_eq!((answer.status, answer.body), (200, Body::None));
    let edge = edge.object(Unavailable::NotHeld);
    assert_eq!(held(&edge, Method::Get).answer.status, 404);
    let edge = edge.object(IN_15_SECONDS);
    let answer = saw(503, "crl_unavailable", "kv read kv-index registry object");
    assert_eq!(edge.get(), answer, "that is not remembered");
    edge.twin().0.object_state.set(State::Fails);
    assert_eq!(held(&edge, Method::Get).answer.status, 503);
}

#[test]
fn an_expired_copy_of_what_is_not_listed_leads_to_no_object() {
    let gone = || {
        let edge = Edge::new().object(Unavailable::NotHeld);
        let mut index = index(tables::head().committed_at, &[CrlName::Full]);
        for listed in index.issuers.values_mut() {
            listed.gone_since = Some(index.read_at);
        }
        edge.twin().0.kv_index.replace(Some(index.clone()));
        edge.twin().0.index.replace(Some(index));
        edge
    };
    let edge = gone().at(after_expiry());
    assert_eq!(edge.get().1, "unknown_issuer");
    assert!(!edge.twin().asked().contains("object"));
    assert_eq!(gone().get(), saw(200, "1", "kv read"), "valid to its end");
    let answer = saw(404, "unknown_issuer", "kv kv-index object-held");
    assert_eq!(gone().without_kv().get(), answer, "its object may have one");
    for (crls, code) in [
        (&[CrlName::Delta][..], "unknown_crl"),
        (&[], "published_elsewhere"),
    ] {
        let edge = Edge::new().at(after_expiry()).listing(Some(crls));
        assert_eq!(edge.get().1, code);
        assert!(!edge.twin().asked().contains("object"));
    }
    let edge = Edge::new().at(after_expiry()).listing(None);
    assert_eq!(
        edge.get(),
        saw(200, "2", "kv read kv-index registry object")
    );
}

#[test]
fn an_expired_crl_is_served_only_if_the_operator_allows_it_and_no_other_can_be_had() {
    let expired = || Edge::new().at(after_expiry());
    let edge = expired().object(IN_15_SECONDS);
    assert_eq!(
        edge.get(),
        saw(503, "crl_unavailable", "kv read kv-index registry object")
    );
    let edge = expired().object(IN_15_SECONDS).serve_expired();
    assert_eq!(
        edge.get(),
        saw(200, "1", "kv read kv-index registry object")
    );
    let edge = expired().serve_expired();
    assert_eq!(
        edge.get(),
        saw(200, "2", "kv read kv-index registry object")
    );
}

#[test]
fn with_nothing_in_kv_and_no_object_it_is_503() {
    for edge in [Edge::new(), Edge::new().serve_expired()] {
        let edge = edge.without_kv().object(IN_15_SECONDS);
        assert_eq!(
            edge.get(),
            saw(503, "crl_unavailable", "kv kv-index object")
        );
        edge.twin().0.object_state.set(State::Fails);
        edge.later(Duration::from_secs(1));
        assert_eq!(edge.get(), saw(503, "crl_unavailable", "kv object"));
    }
}

#[test]
fn of_a_crowd_one_reads_kv_again_each_second_however_long_kv_takes() {
    let edge = Edge::new().without_kv();
    edge.get();
    let memory = &edge.serving.memory;
    let reads = || {
        let now = edge.twin().0.now.get();
        (0..500)
            .filter(|_| memory.claim_read("crl/demo/full", now))
            .count()
    };
    for _ in 0..4 {
        assert_eq!(reads(), 0);
        edge.later(Duration::from_secs(1));
        assert_eq!(reads(), 1);
    }
    // Of a key that is being written nobody knows, and after a pause nobody relies on it.
    memory.forget("crl/demo/full");
    assert_eq!(reads(), 500);
    edge.get();
    edge.later(Duration::from_secs(5));
    assert_eq!(reads(), 500);
}

#[test]
fn what_the_object_had_not_is_refused_without_it_for_a_second() {
    let edge = Edge::new().without_kv().object(IN_15_SECONDS);
    edge.get();
    let served = edge.serve(&wanted(Method::Get, Encoding::Der), &[]);
    assert_eq!(served.answer.header("Retry-After"), Some("15"));
    assert_eq!(edge.get(), saw(503, "crl_unavailable", ""));
    // Not once this isolate's object has a CRL.
    let twin = &edge.twin().0;
    *twin.object.borrow_mut() = Ok(newer(SMALL_CRL));
    edge.serving.memory.forget("crl/demo/full");
    assert_eq!(edge.get(), saw(200, "2", "kv object"));

    for (fast_path, seconds) in [(true, 1), (false, 0)] {
        let mut edge = Edge::new().without_kv().object(IN_15_SECONDS);
        edge.serving.fast_path = fast_path;
        edge.get();
        edge.later(Duration::from_secs(seconds));
        assert_eq!(edge.get(), saw(503, "crl_unavailable", "kv object"));
    }
}

#[test]
fn what_kept_one_client_from_the_object_is_not_held_against_the_next() {
    // The one left, or had no more time.
    for client_left in [true, false] {
        let edge = Edge::new().without_kv();
        edge.twin().0.object_state.set(State::Hangs);
        edge.twin().0.client_left.set(client_left);
        edge.get();
        edge.twin().0.object_state.set(State::Up);
        edge.twin().0.client_left.set(false);
        assert_eq!(edge.get().0, 200);
    }
}

#[test]
fn a_client_waits_for_one_origin_timeout_at_most() {
    let edge = Edge::new().without_kv();
    edge.twin().0.object_state.set(State::Hangs);
    let asked_at = edge.twin().0.now.get();
    assert_eq!(edge.get().1, "crl_unavailable");
    let waited = edge.twin().0.now.get().since(asked_at);
    assert_eq!(waited, Duration::from_secs(30));
}

#[test]
fn a_client_that_leaves_waits_no_longer() {
    let edge = Edge::new().without_kv();
    edge.twin().0.object_state.set(State::Hangs);
    edge.twin().0.client_left.set(true);
    let asked_at = edge.twin().0.now.get();
    edge.get();
    assert_eq!(edge.twin().0.now.get(), asked_at);
}

#[test]
fn when_too_many_wait_the_rest_are_turned_away_and_nothing_keeps_its_slot_for_ever() {
    let edge = Edge::new().without_kv();
    let now = edge.twin().0.now.get();
    let until = now.after(Duration::from_secs(30));
    let memory = Rc::clone(&edge.serving.memory);
    let slots: Vec<_> = (0..MOST_WAITING)
        .map(|number| memory.slots.take(&(number / 500).to_string(), now, until))
        .collect();
    let served = edge.serve(&wanted(Method::Get, Encoding::Der), &[]);
    let status = (served.answer.status, served.answer.header("Retry-After"));
    assert_eq!(
        (status, edge.twin().asked().as_str()),
        ((503, Some("31")), "kv")
    );
    // What KV has is served to any crowd.
    let (head, der) = newer(SMALL_CRL);
    edge.twin().publish(&head, &der);
    edge.later(Duration::from_secs(1));
    assert_eq!(edge.get().0, 200);
    let edge = edge.without_kv();
    edge.later(Duration::from_secs(10));
    drop(slots.into_iter().take(1).collect::<Vec<_>>());
    assert_eq!(edge.get().0, 200);
}

#[test]
fn a_slot_whose_request_was_never_dropped_is_free_after_its_deadline() {
    let edge = Edge::new().without_kv();
    let now = edge.twin().0.now.get();
    for number in 0..MOST_WAITING {
        let slot = edge.serving.memory.slots.take(
            &(number / 500).to_string(),
            now,
            now.after(Duration::from_secs(30)),
        );
        std::mem::forget(slot);
    }
    assert_eq!(edge.get().0, 503);
    edge.later(Duration::from_secs(30));
    assert_eq!(edge.get().0, 200);
}

#[test]
fn an_expired_crl_that_may_be_served_is_served_at_once() {
    let edge = Edge::new().at(after_expiry()).serve_expired();
    edge.twin().0.object_state.set(State::Hangs);
    assert_eq!(
        edge.get(),
        saw(200, "1", "kv read kv-index registry object")
    );
    let waited = edge.twin().0.now.get().since(after_expiry());
    assert_eq!(waited, Duration::from_secs(1));
}

#[test]
fn head_takes_the_same_way_and_has_no_body() {
    let edge = Edge::new().without_kv().listing(Some(&[CrlName::Delta]));
    assert_eq!(edge.ask(Method::Head), saw(404, "", "kv kv-index registry"));
    assert_eq!(Edge::new().ask(Method::Head), saw(200, "1", "kv read"));
}

const LARGE: usize = 26 * 1024 * 1024;

#[test]
fn a_crl_in_parts_is_read_from_the_parts_that_the_answer_needs() {
    let edge = Edge::with(LARGE);
    let get = |headers: &[(&str, &str)]| {
        let served = edge.serve(&wanted(Method::Get, Encoding::Der), headers);
        (served.answer.status, bytes(served), edge.twin().asked())
    };
    let whole = der(1, LARGE);
    assert!(get(&[]) == (200, whole.clone(), "kv part part".to_owned()));
    let part = usize::try_from(kv_layout::PART_BYTES).unwrap();
    let range = format!("bytes={part}-{}", part + 9);
    let second = whole[part..part + 10].to_vec();
    assert_eq!(
        get(&[("Range", &range)]),
        (206, second, "kv part".to_owned())
    );
    assert_eq!(edge.ask(Method::Head), saw(200, "1", ""));
}

#[test]
fn if_the_first_part_is_missing_all_of_the_answer_is_the_objects() {
    let edge = Edge::with(LARGE);
    edge.twin().lose(0);
    let served = edge.serve(&wanted(Method::Get, Encoding::Der), &[]);
    assert_eq!(served.answer.header("CRL-Number"), Some("2"));
    assert!(bytes(served) == der(2, LARGE));
    let edge = edge.object(IN_15_SECONDS);
    let served = edge.serve(&wanted(Method::Get, Encoding::Der), &[]);
    assert_eq!(served.answer.status, 503);
}

#[test]
fn a_later_part_that_is_missing_comes_from_the_object_if_it_still_has_that_crl() {
    let edge = Edge::with(LARGE);
    edge.twin().lose(1);
    let get = || edge.serve(&wanted(Method::Get, Encoding::Pem), &[]);
    let ResponseBody::Chunks(chunks, _) = get().body else {
        panic!("not in chunks")
    };
    let read = block_on(futures_util::TryStreamExt::try_collect::<Vec<_>>(chunks));
    assert!(read.is_err(), "bytes of number 2 follow those of number 1");

    let der = der(1, LARGE);
    *edge.twin().0.object.borrow_mut() = Ok((head(1, &der), der.clone()));
    let pem = pem_rfc7468::encode_string("X509 CRL", pem_rfc7468::LineEnding::LF, &der).unwrap();
    assert!(bytes(get()) == pem.into_bytes());
}

#[test]
fn a_stream_is_never_replayed_and_bytes_are() {
    let replay = |size, encoding, headers: &[(&str, &str)]| {
        let edge = Edge::with(size);
        edge.serve(&wanted(Method::Get, encoding), headers).replay
    };
    let range = [("Range", "bytes=0-9")];
    // Of a CRL that is kept whole, the PEM is longer than what is kept: it is bytes all the same.
    for size in [SMALL_CRL, 97_000, 131_072] {
        for encoding in [Encoding::Der, Encoding::Pem] {
            let replay = replay(size, encoding, &[]);
            assert!(
                matches!(replay, Replay::SameBody(Some(_))),
                "{size} {encoding:?}"
            );
        }
    }
    for headers in [&[][..], &range] {
        let large = replay(200_000, Encoding::Der, headers);
        match large {
            Replay::ReadKv { key, metadata } if headers.is_empty() => {
                assert_eq!(key, "crl/demo/full");
                let metadata: Metadata = serde_json::from_str(&metadata).unwrap();
                assert_eq!(metadata.head, head(1, &der(1, 200_000)));
            }
            // A short range was read into memory.
            Replay::SameBody(Some(bytes)) if !headers.is_empty() => assert_eq!(bytes.len(), 10),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(replay(200_000, Encoding::Pem, &[]), Replay::No);
    assert_eq!(replay(LARGE, Encoding::Der, &[]), Replay::No);
    assert_eq!(
        replay(200_000, Encoding::Der, &[("If-Match", "\"x\"")]),
        Replay::No
    );
    assert_eq!(
        replay(200_000, Encoding::Der, &[("If-None-Match", "*")]),
        Replay::SameBody(None)
    );
}

#[test]
fn what_the_object_streams_or_refuses_is_not_replayed() {
    let edge = Edge::new().without_kv();
    let get = |edge: &Edge| edge.serve(&wanted(Method::Get, Encoding::Der), &[]).replay;
    assert_eq!(get(&edge), Replay::No);
    assert_eq!(get(&edge.object(IN_15_SECONDS)), Replay::No);
}

#[test]
fn what_kv_still_has_of_before_is_not_served_after_a_later_crl() {
    let edge = Edge::new();
    let twin = edge.twin();
    // KV is down, and the object answers with number 2; KV comes back and has number 1.
    twin.0.kv_state.set(State::Fails);
    assert_eq!(edge.ask(Method::Get).1, "2");
    twin.0.kv_state.set(State::Up);
    assert_eq!(edge.ask(Method::Get).1, "2");
    assert_eq!(
        edge.ask(Method::Get).1,
        "2",
        "nor is what was read remembered"
    );
    // The object learns that KV has number 1, so that it publishes again.
    let seen = twin.0.seen.borrow();
    assert_eq!(seen.last(), Some(&Some(head(1, &der(1, SMALL_CRL)).sha256)));
}

#[test]
fn an_older_crl_is_better_than_none() {
    let edge = Edge::new();
    let twin = edge.twin();
    twin.0.kv_state.set(State::Fails);
    assert_eq!(edge.ask(Method::Get).1, "2");
    twin.0.kv_state.set(State::Up);
    twin.0.object_state.set(State::Fails);
    assert_eq!(edge.ask(Method::Get).1, "1");
}

#[test]
fn an_earlier_crl_of_the_object_is_served_for_it_decides() {
    let edge = Edge::new();
    let twin = edge.twin();
    twin.0.kv_state.set(State::Fails);
    assert_eq!(edge.ask(Method::Get).1, "2");
    twin.0.kv_state.set(State::Up);
    let der = der(1, SMALL_CRL);
    *twin.0.object.borrow_mut() = Ok((head(1, &der), der));
    assert_eq!(edge.ask(Method::Get).1, "1");
    let (status, number, asked) = edge.ask(Method::Get);
    assert_eq!((status, number.as_str()), (200, "1"));
    assert!(!asked.contains("object"), "{asked}");
}
