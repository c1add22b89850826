//! Who is asked for a CRL, and what becomes of the answer: shelves that a test fills, and that note who came.

use std::cell::RefCell;

use futures_executor::block_on;
use origin_api::Problem;

use super::*;
use crate::public::tables::head;

/// What each shelf has.
struct TwinShelves {
    now: Timestamp,
    remembered: Option<(Head, Option<&'static str>)>,
    replica: Option<Head>,
    /// Whether the replica lies in parts, and the first one is there.
    part: Option<bool>,
    object: Result<Head, Unserved>,
    lookup: Lookup,
    asked: RefCell<Vec<&'static str>>,
}

impl TwinShelves {
    fn note(&self, who: &'static str) {
        self.asked.borrow_mut().push(who);
    }
}

impl Shelves for TwinShelves {
    type Body = &'static str;

    fn now(&self) -> Timestamp {
        self.now
    }

    async fn replica(&self, _: &IssuerId, _: CrlName) -> Option<(Metadata, &'static str)> {
        self.note("replica");
        let head = self.replica.clone()?;
        let parts = self.part.map_or(0, |_| 2);
        Some((Metadata { head, parts }, "the replica's"))
    }

    async fn open(&self, _: &Wanted, _: &mut Served<&'static str>) -> bool {
        self.note("part");
        self.part.unwrap()
    }

    fn remembered(
        &self,
        _: &IssuerId,
        _: CrlName,
        _: Timestamp,
    ) -> Option<(Head, Option<&'static str>)> {
        self.remembered.clone()
    }

    async fn object(
        &self,
        _: &IssuerId,
        _: CrlName,
        seen: Option<Sha256>,
    ) -> Result<(Head, &'static str), Unserved> {
        self.note("object");
        let replica = self.replica.as_ref().filter(|_| self.part.is_none());
        assert_eq!(seen, replica.map(|head| head.sha256));
        self.object.clone().map(|head| (head, "the object's"))
    }

    async fn lookup(&self, _: &IssuerId, _: CrlName) -> Lookup {
        self.note("registry");
        self.lookup.clone()
    }

    fn refresh_soon(&self, _: &IssuerId, _: CrlName) {
        self.note("refresh");
    }
}

/// Number 1, that of the table tests; its next one is due later.
fn shelves() -> TwinShelves {
    TwinShelves {
        now: head().generated_at,
        remembered: None,
        replica: Some(head()),
        part: None,
        object: Ok(newer()),
        lookup: Lookup::Known(Listed {
            crls: vec![CrlName::Full],
            gone_since: None,
        }),
        asked: RefCell::default(),
    }
}

/// Number 2, valid for a week longer.
fn newer() -> Head {
    Head {
        number: "2".parse().unwrap(),
        sha256: "1".repeat(64).parse().unwrap(),
        next_update: crl::UnixTime(head().next_update.0 + 604_800),
        ..head()
    }
}

fn after_expiry() -> Timestamp {
    head().next_update.into()
}

/// Asks, and tells the status, the CRL's number or the problem's code, and who was asked.
fn ask(shelves: &TwinShelves, method: Method, serve_expired: bool) -> (u16, String, String) {
    let served = served(shelves, method, serve_expired);
    let answer = served.decision.answer();
    let told = match (&served.crl, &answer.body) {
        (Some((head, body)), _) => {
            let number = answer.header("CRL-Number").unwrap_or_default();
            assert_eq!(number, head.number.to_string());
            let source = match served.source {
                Source::Replica => "the replica's",
                Source::Object | Source::ObjectForExpired => "the object's",
                Source::Nowhere => "nobody's",
            };
            assert_eq!(*body, source);
            number.to_owned()
        }
        (None, Body::Text(text)) => {
            assert_eq!(served.source, Source::Nowhere);
            let problem: Problem = serde_json::from_str(text).unwrap();
            problem.code.to_string()
        }
        (None, _) => String::new(),
    };
    let asked = shelves.asked.take().join(" ");
    (answer.status, told, asked)
}

fn served(shelves: &TwinShelves, method: Method, serve_expired: bool) -> Served<&'static str> {
    let wanted = Wanted {
        method,
        issuer: "demo".parse().unwrap(),
        name: CrlName::Full,
        encoding: Encoding::Der,
    };
    let policy = Policy {
        max_age: Duration::from_hours(1),
        clock_skew: Duration::from_mins(5),
        serve_expired,
    };
    block_on(serve(shelves, &wanted, |_| None, &policy))
}

#[test]
fn what_has_no_body_is_answered_from_memory_while_nothing_is_due() {
    let mut shelves = shelves();
    shelves.remembered = Some((head(), None));
    let head_request = |shelves: &TwinShelves| ask(shelves, Method::Head, false);
    assert_eq!(head_request(&shelves), told(200, "", ""));
    assert_eq!(get(&shelves), told(200, "1", "replica"));
    shelves.now = head().refresh_after;
    assert_eq!(head_request(&shelves), told(200, "1", "replica refresh"));
}

#[test]
fn what_is_small_is_answered_from_memory_while_nothing_is_due() {
    let mut shelves = shelves();
    shelves.remembered = Some((head(), Some("the replica's")));
    assert_eq!(get(&shelves), told(200, "1", ""));
    shelves.now = head().refresh_after;
    assert_eq!(get(&shelves), told(200, "1", "replica refresh"));
}

fn get(shelves: &TwinShelves) -> (u16, String, String) {
    ask(shelves, Method::Get, false)
}

fn told(status: u16, what: &str, asked: &str) -> (u16, String, String) {
    (status, what.to_owned(), asked.to_owned())
}

#[test]
fn a_fresh_crl_comes_from_the_replica_and_nobody_else_is_asked() {
    assert_eq!(get(&shelves()), told(200, "1", "replica"));
}

#[test]
fn a_crl_that_is_due_comes_from_the_replica_and_a_refresh_is_asked_for() {
    let shelves = TwinShelves {
        now: head().refresh_after,
        ..shelves()
    };
    assert_eq!(get(&shelves), told(200, "1", "replica refresh"));
}

#[test]
fn an_expired_crl_is_replaced_by_what_the_object_has() {
    let shelves = TwinShelves {
        now: after_expiry(),
        ..shelves()
    };
    assert_eq!(get(&shelves), told(200, "2", "replica object"));
}

#[test]
fn cache_status_says_why_the_object_was_asked() {
    let expired = TwinShelves {
        now: after_expiry(),
        ..shelves()
    };
    let missing = TwinShelves {
        replica: None,
        ..shelves()
    };
    for (shelves, status) in [
        (shelves(), "crl-edge-kv; hit"),
        (expired, "crl-edge-kv; fwd=stale"),
        (missing, "crl-edge-kv; fwd=miss"),
    ] {
        let source = served(&shelves, Method::Get, false).source;
        assert_eq!(source.cache_status(), Some(status));
    }
}

#[test]
fn what_the_replica_does_not_have_comes_from_the_object_if_the_issuer_is_known() {
    let shelves = TwinShelves {
        replica: None,
        ..shelves()
    };
    assert_eq!(get(&shelves), told(200, "2", "replica registry object"));
}

#[test]
fn a_crl_in_parts_comes_from_the_replica_where_its_part_is_there() {
    let shelves = TwinShelves {
        part: Some(true),
        ..shelves()
    };
    assert_eq!(get(&shelves), told(200, "1", "replica part"));
}

#[test]
fn where_a_part_is_missing_all_of_the_answer_is_the_objects() {
    let missing = || TwinShelves {
        part: Some(false),
        ..shelves()
    };
    assert_eq!(get(&missing()), told(200, "2", "replica part object"));
    let shelves = TwinShelves {
        object: Err(Unserved::Unavailable(Duration::from_secs(15))),
        ..missing()
    };
    let answer = get(&shelves);
    assert_eq!(answer, told(503, "crl_unavailable", "replica part object"));
}

#[test]
fn an_unknown_issuer_never_reaches_an_object() {
    let shelves = TwinShelves {
        replica: None,
        lookup: Lookup::Unknown(Duration::from_secs(30)),
        ..shelves()
    };
    let answer = get(&shelves);
    assert_eq!(answer, told(404, "unknown_issuer", "replica registry"));
}

#[test]
fn an_unknown_crl_of_a_known_issuer_never_reaches_an_object() {
    let shelves = TwinShelves {
        replica: None,
        lookup: Lookup::Known(Listed {
            crls: vec![CrlName::Delta, CrlName::Shard(0)],
            gone_since: None,
        }),
        ..shelves()
    };
    let answer = get(&shelves);
    assert_eq!(answer, told(404, "unknown_crl", "replica registry"));
}

#[test]
fn without_a_list_of_issuers_nobody_is_said_not_to_exist() {
    let shelves = TwinShelves {
        replica: None,
        lookup: Lookup::CannotTell,
        ..shelves()
    };
    let (status, _, asked) = get(&shelves);
    assert_eq!((status, asked.as_str()), (503, "replica registry"));
}

#[test]
fn an_issuer_that_publishes_elsewhere_is_404() {
    let shelves = TwinShelves {
        replica: None,
        object: Err(Unserved::PublishedElsewhere),
        lookup: Lookup::Known(Listed::default()),
        ..shelves()
    };
    let answer = get(&shelves);
    assert_eq!(
        answer,
        told(404, "published_elsewhere", "replica registry object")
    );
}

#[test]
fn an_expired_crl_is_not_served_while_no_other_can_be_had() {
    let unavailable = Err(Unserved::Unavailable(Duration::from_secs(15)));
    let shelves = TwinShelves {
        now: after_expiry(),
        object: unavailable,
        ..shelves()
    };
    let answer = get(&shelves);
    assert_eq!(answer, told(503, "crl_unavailable", "replica object"));
    let answer = ask(&shelves, Method::Get, true);
    assert_eq!(answer, told(200, "1", "replica object"), "SERVE_EXPIRED");
}

#[test]
fn serve_expired_prefers_a_crl_that_is_valid() {
    let shelves = TwinShelves {
        now: after_expiry(),
        ..shelves()
    };
    assert_eq!(ask(&shelves, Method::Get, true).1, "2");
}

#[test]
fn with_nothing_in_the_replica_and_no_object_it_is_503() {
    for serve_expired in [false, true] {
        let shelves = TwinShelves {
            replica: None,
            object: Err(Unserved::Unavailable(Duration::from_secs(15))),
            ..shelves()
        };
        let answer = ask(&shelves, Method::Get, serve_expired);
        assert_eq!(
            answer,
            told(503, "crl_unavailable", "replica registry object")
        );
    }
}

#[test]
fn an_expired_crl_of_an_issuer_that_now_publishes_elsewhere_is_gone() {
    let shelves = TwinShelves {
        now: after_expiry(),
        object: Err(Unserved::PublishedElsewhere),
        ..shelves()
    };
    assert_eq!(
        get(&shelves),
        told(404, "published_elsewhere", "replica object")
    );
}

#[test]
fn head_takes_the_same_way_and_has_no_body() {
    let unknown = TwinShelves {
        replica: None,
        lookup: Lookup::Unknown(Duration::ZERO),
        ..shelves()
    };
    let answer = ask(&unknown, Method::Head, false);
    assert_eq!(answer, told(404, "", "replica registry"));
    let answer = ask(&shelves(), Method::Head, false);
    assert_eq!(answer, told(200, "1", "replica"));
}
