//! A state folder that the last release's Worker wrote (tests/fixtures/README.md) is opened by this
//! one: nothing is lost, and nothing is served wrongly.

use std::collections::BTreeMap;
use std::sync::Arc;

use end_to_end::access::{AUDIENCE, Team};
use end_to_end::database::{Column, Row};
use end_to_end::edge::OPERATOR_TOKEN;
use end_to_end::last_release::{ISSUERS, certificate, crl, register, unpack};
use end_to_end::suite::until;
use end_to_end::test_origin::sha256;
use end_to_end::{Answer, CertificateAuthority, Edge, Start, TestOrigin, World, suite};
use reqwest::Method;
use serde_json::Value;

/// Tests share the state, and each has issuers of its own.
struct Upgraded {
    origin: TestOrigin,
    team: Team,
    edge: Edge,
    /// The event table as the last release left it, by event id.
    events: BTreeMap<String, Row>,
    /// How many refreshes the last release had counted.
    refreshes: i64,
    /// The SHA-256 of the certificate that waited for an operator.
    waiting: String,
}

const VIEWER_TOKEN: &str = "the-viewers-own-token";
const TOTAL: &str = "SELECT sum(refreshes) AS total FROM crl_refresh_totals";
const EVENTS: &str = "SELECT * FROM crl_generation_events";

impl World for Upgraded {
    async fn start() -> Self {
        let origin = TestOrigin::start().await;
        let team = Team::start().await;
        let start = Start::new(&origin.url())
            // The events are as old as the fixture.
            .var("EVENT_RETENTION_DAYS", "3650")
            .var("OPERATOR_TOKEN", &format!("ann:{OPERATOR_TOKEN}"))
            .var("VIEWER_TOKEN", VIEWER_TOKEN)
            .var("ACCESS_TEAM_URL", &team.url())
            .var("ACCESS_AUDIENCE", AUDIENCE)
            .var("ACCESS_VIEWERS", "@example.com");
        unpack(start.state());
        for id in ISSUERS.iter().filter(|id| **id != "gone") {
            let file = match *id {
                "rekeyed" => "rekeyed-again",
                id => id,
            };
            register(&origin, id, certificate(start.state(), file));
            let left = left_behind(id);
            origin.on_call(id, move |call| {
                let path = format!("/crl/{id}/{}.crl", call.name);
                let mut left = left.iter();
                let found = left.find(|(served, _)| *served == path);
                found.map_or(Answer::status(500), |(_, der)| Answer::crl(der.clone()))
            });
        }
        origin.answer("refused", Answer::crl(b"no CRL".to_vec()));
        let events = by_id(start.database().query(EVENTS));
        let refreshes = total(&start.database().query(TOTAL));
        let waiting = sha256(&certificate(start.state(), "rekeyed-again"));
        let edge = start.start().await;
        Self {
            origin,
            team,
            edge,
            events,
            refreshes,
            waiting,
        }
    }

    fn log(&self) -> String {
        self.edge.log()
    }
}

fn by_id(rows: Vec<Row>) -> BTreeMap<String, Row> {
    let id = |row: &Row| format!("{:?}", row["id"]);
    rows.into_iter().map(|row| (id(&row), row)).collect()
}

fn total(rows: &[Row]) -> i64 {
    match rows[0]["total"] {
        Column::Integer(total) => total,
        ref other => panic!("{other:?}"),
    }
}

/// The CRL that the last release left, and where it is served.
fn left_behind(id: &str) -> Vec<(String, Vec<u8>)> {
    let ca = CertificateAuthority::new(id);
    let (names, number, entries): (&[&str], _, _) = match id {
        "kept" | "owing" | "failing" => (&["full"], 2, 4),
        "sharded" => (&["shard-0", "shard-1"], 2, 4),
        _ => (&["full"], 1, 3),
    };
    let served = names.iter().map(|name| {
        let path = format!("/crl/{id}/{name}.crl");
        (path, crl(&ca, name, number, entries))
    });
    served.collect()
}

async fn each_crl_is_served_as_it_was_left_and_its_validators_hide_nothing(world: Arc<Upgraded>) {
    for (path, der) in ISSUERS
        .into_iter()
        // Other tests replace these.
        .filter(|id| !["kept", "rekeyed"].contains(id))
        .flat_map(left_behind)
    {
        let answer = world.edge.get(&path).await;
        assert_eq!(answer.status(), 200, "{path}");
        let etag = format!("\"{}\"", sha256(&der));
        assert_eq!(answer.headers()["etag"], etag.as_str(), "{path}");
        let last_modified = answer.headers()["last-modified"].clone();
        assert_eq!(answer.bytes().await.unwrap(), der, "{path}");

        let conditional = |name: &'static str, value: &str| {
            let request = world.edge.request(Method::GET, &path).header(name, value);
            async move { request.send().await.unwrap().status().as_u16() }
        };
        assert_eq!(conditional("If-None-Match", &etag).await, 304, "{path}");
        let last_modified = last_modified.to_str().unwrap();
        let same = conditional("If-Modified-Since", last_modified).await;
        assert_eq!(same, 304, "{path}");
        // The last release sent thisUpdate, which the CRLs before and after may have too.
        let this_update = "Wed, 01 Jan 2025 00:00:01 GMT";
        let by_this_update = conditional("If-Modified-Since", this_update).await;
        assert_eq!(by_this_update, 200, "{path}");
    }
}

async fn every_event_is_kept_and_one_that_d1_never_got_is_delivered(world: Arc<Upgraded>) {
    assert_eq!(world.edge.refresh("owing").await.status(), 200);
    let database = world.edge.database();
    let owing = database.events_when("owing", 4).await;
    let outcomes: Vec<_> = owing
        .iter()
        .map(|event| (event.outcome.as_str(), event.crl_number.as_deref()))
        .collect();
    let expected = [
        ("published", Some("1")),
        ("published", Some("2")),
        // Was in the outbox of the last release.
        ("unchanged", Some("2")),
        ("unchanged", Some("2")),
    ];
    assert_eq!(outcomes, expected);
    let missing = || {
        let now = by_id(database.query(EVENTS));
        let is_kept = |(id, old): &(&String, &Row)| {
            let same = |(column, value)| now.get(*id).is_some_and(|new| &new[column] == value);
            !old.iter().all(same)
        };
        world.events.iter().filter(is_kept).count()
    };
    assert!(world.events.len() >= 9, "{}", world.events.len());
    assert_eq!(missing(), 0);
    let answer = world
        .edge
        .operate(Method::GET, "/v1/events?issuer=refused")
        .await;
    let body: Value = answer.json().await.unwrap();
    let outcomes = body["events"].as_array().unwrap().iter();
    let outcomes: Vec<_> = outcomes.map(|event| &event["outcome"]).collect();
    assert_eq!(outcomes.last().unwrap(), &"published", "{body}");
    assert_eq!(outcomes[0], "rejected", "{body}");
}

async fn states_and_counts_go_on(world: Arc<Upgraded>) {
    let answer = world.edge.operate(Method::GET, "/v1/issuers/refused").await;
    let refused: Value = answer.json().await.unwrap();
    let crl = &refused["crls"][0];
    assert_eq!(crl["number"], "1", "{refused}");
    assert_eq!(crl["last_error"]["code"], "malformed", "{refused}");

    let answer = world.edge.operate(Method::GET, "/v1/issuers/gone").await;
    let gone: Value = answer.json().await.unwrap();
    assert_eq!(gone["crls"][0]["number"], "1", "{gone}");

    assert!(total(&world.edge.database().query(TOTAL)) >= world.refreshes);
    let metrics = world.edge.operate(Method::GET, "/metrics").await;
    let metrics = metrics.text().await.unwrap();
    assert!(metrics.contains("issuer=\"kept\""), "{metrics}");
}

async fn the_next_crl_replaces_the_one_that_was_left(world: Arc<Upgraded>) {
    let (edge, ca) = (&world.edge, CertificateAuthority::new("kept"));
    let before = edge.get("/crl/kept.crl").await;
    assert_eq!(before.headers()["crl-number"], "2");
    let validators = ["etag", "last-modified"].map(|name| before.headers()[name].clone());
    let left = before.bytes().await.unwrap();

    world
        .origin
        .answer("kept", Answer::crl(crl(&ca, "full", 1, 3)));
    let older = edge.refresh("kept").await;
    let older: Value = older.json().await.unwrap();
    assert_eq!(
        older["events"][0]["error_code"], "number_regressed",
        "{older}"
    );
    assert_eq!(edge.get("/crl/kept.crl").await.bytes().await.unwrap(), left);

    let newer = crl(&ca, "full", 3, 6);
    world.origin.answer("kept", Answer::crl(newer.clone()));
    let refreshed = edge.refresh("kept").await;
    let refreshed: Value = refreshed.json().await.unwrap();
    let event = &refreshed["events"][0];
    assert_eq!(event["outcome"], "published", "{refreshed}");
    // Compared with the body that the last release stored.
    assert_eq!(
        (&event["entries_added"], &event["entries_removed"]),
        (&2.into(), &0.into())
    );
    let calls = world.origin.calls("kept");
    assert_eq!(calls.last().unwrap().held, Some(sha256(&left)));
    until_served(edge, "/crl/kept.crl", &newer).await;
    for (condition, validator) in [
        ("If-None-Match", &validators[0]),
        ("If-Modified-Since", &validators[1]),
    ] {
        let request = edge.request(Method::GET, "/crl/kept.crl");
        let answer = request.header(condition, validator).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{condition}");
        assert_eq!(answer.bytes().await.unwrap(), newer, "{condition}");
    }
}

async fn the_certificate_that_waited_is_trusted_by_its_name(world: Arc<Upgraded>) {
    let rekeyed = CertificateAuthority::new("rekeyed").rekeyed();
    let newer = crl(&rekeyed, "full", 2, 4);
    world.origin.answer("rekeyed", Answer::crl(newer.clone()));
    let refused = world.edge.refresh("rekeyed").await;
    let refused: Value = refused.json().await.unwrap();
    assert_eq!(
        refused["events"][0]["error_code"], "issuer_changed",
        "{refused}"
    );
    let old = sha256(&certificate(world.edge.state(), "rekeyed"));
    assert_eq!(world.edge.trust("rekeyed", &old).await.status(), 409);
    assert_eq!(
        world.edge.trust("rekeyed", &world.waiting).await.status(),
        200
    );
    assert_eq!(world.edge.refresh("rekeyed").await.status(), 200);
    until_served(&world.edge, "/crl/rekeyed.crl", &newer).await;
}

/// Waits until clients get this CRL: another test's request, which read KV before the new one was
/// there, may have brought the older one back into the isolate's memory.
async fn until_served(edge: &Edge, path: &str, der: &[u8]) {
    until(|| async {
        let answer = edge.get(path).await;
        answer.status() == 200 && answer.bytes().await.unwrap() == der
    })
    .await;
}

async fn what_only_the_object_has_is_served(world: Arc<Upgraded>) {
    let (path, der) = left_behind("sharded").remove(0);
    world.edge.kv().remove("crl/sharded/shard-0");
    until_served(&world.edge, &path, &der).await;
}

async fn what_is_new_works_on_what_was_left(world: Arc<Upgraded>) {
    let edge = &world.edge;
    assert_eq!(edge.refresh("failing").await.status(), 200);
    let get = |path: &str| edge.request(Method::GET, path);
    let jwt = world.team.token("bob@example.com");
    for request in [
        get("/v1/actions").bearer_auth(VIEWER_TOKEN),
        get("/v1/actions").header("Cf-Access-Jwt-Assertion", &jwt),
    ] {
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200);
        let page: Value = answer.json().await.unwrap();
        let mut actions = page["actions"].as_array().unwrap().iter();
        let action = actions.find(|action| action["issuer_id"] == "failing");
        let action = action.unwrap_or_else(|| panic!("{page}"));
        assert_eq!(action["action"], "refresh");
        assert_eq!(action["token_name"], "ann");
    }
    // The registry's object has a table for actions and one for the job now.
    let job = edge.operate(Method::GET, "/v1/refresh").await;
    assert_eq!(job.status(), 404);
    let changes = "/v1/issuers/failing/crls/full/changes?since=99999";
    let changes = edge.operate(Method::GET, changes).await;
    assert!([200, 410].contains(&changes.status().as_u16()));
}

suite!(
    Upgraded;
    what_is_new_works_on_what_was_left,
    each_crl_is_served_as_it_was_left_and_its_validators_hide_nothing,
    every_event_is_kept_and_one_that_d1_never_got_is_delivered,
    states_and_counts_go_on,
    the_next_crl_replaces_the_one_that_was_left,
    the_certificate_that_waited_is_trusted_by_its_name,
    what_only_the_object_has_is_served,
);
