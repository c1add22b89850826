//! Singleflight: concurrent requests share one refresh, which survives the client that caused it
//! and ends within its timeout.

use std::sync::Arc;
use std::time::Duration;

use end_to_end::edge::{HOOK_TOKEN, ORIGIN_TOKEN};
use end_to_end::suite::until;
use end_to_end::test_origin::Call;
use end_to_end::workerd::{Worker, Workerd};
use end_to_end::{Answer, CertificateAuthority, Edge, Start, TestOrigin, World, suite};
use reqwest::Method;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::sleep;

struct Shared {
    origin: TestOrigin,
    edge: Edge,
}

const ISSUERS: [&str; 6] = [
    "killed",
    "left",
    "overtaken",
    "hanging",
    "hooked",
    "dripping",
];

impl World for Shared {
    async fn start() -> Self {
        let origin = TestOrigin::start().await;
        for id in ISSUERS {
            origin.add(&CertificateAuthority::new(id));
        }
        let edge = Start::new(&origin.url())
            .var("ORIGIN_TIMEOUT_MS", "8000")
            .start()
            .await;
        Self { origin, edge }
    }

    fn log(&self) -> String {
        self.edge.log()
    }
}

async fn five_hundred_requests_for_a_cold_issuer_cause_one_origin_call(_: Arc<Shared>) {
    let ca = CertificateAuthority::new("crowd");
    let der = ca.crl(1);
    let origin = TestOrigin::start().await;
    origin.add(&ca);
    // With the usual ORIGIN_TIMEOUT_MS: on a busy machine the last of them wait for seconds.
    let edge = Start::new(&origin.url()).start().await;
    let world = Arc::new(Shared { origin, edge });
    world.origin.answer(
        "crowd",
        Answer::crl(der.clone()).after(Duration::from_secs(1)),
    );

    let served = at_once(&world, 500, "/crl/crowd.crl").await;

    let turned_away: Vec<_> = served
        .iter()
        .filter(|(status, body)| *status != 200 || *body != der)
        .map(|(status, body)| (status, String::from_utf8_lossy(body)))
        .collect();
    assert!(
        turned_away.is_empty(),
        "{}: {:?}",
        turned_away.len(),
        turned_away.first()
    );
    assert_eq!(world.origin.calls("crowd").len(), 1);
}

async fn a_failure_reaches_every_waiter(world: Arc<Shared>) {
    world
        .origin
        .answer("killed", Answer::status(500).after(Duration::from_secs(1)));

    let served = at_once(&world, 50, "/crl/killed.crl").await;

    assert!(served.iter().all(|(status, _)| *status == 503));
    assert_eq!(world.origin.calls("killed").len(), 1);
    assert_eq!(
        world.edge.database().events_when("killed", 1).await.len(),
        1
    );
}

async fn a_refresh_survives_the_client_that_caused_it(world: Arc<Shared>) {
    let der = CertificateAuthority::new("left").crl(1);
    world.origin.answer(
        "left",
        Answer::crl(der.clone()).after(Duration::from_secs(2)),
    );

    let leader = {
        let world = Arc::clone(&world);
        tokio::spawn(async move { world.edge.get("/crl/left.crl").await.status() })
    };
    until(|| async { !world.origin.calls("left").is_empty() }).await;
    let others = {
        let world = Arc::clone(&world);
        tokio::spawn(async move { at_once(&world, 10, "/crl/left.crl").await })
    };
    sleep(Duration::from_millis(500)).await;
    // Dropping the request closes its connection.
    leader.abort();

    assert!(
        others
            .await
            .unwrap()
            .iter()
            .all(|(status, body)| *status == 200 && *body == der)
    );
    assert_eq!(world.origin.calls("left").len(), 1);
}

async fn an_operators_refresh_does_not_join_one_that_already_asked_the_origin(world: Arc<Shared>) {
    let ca = CertificateAuthority::new("overtaken");
    let mut number = 0;
    world.origin.on_call("overtaken", move |_| {
        number += 1;
        Answer::crl(ca.crl(number)).after(Duration::from_secs(1))
    });

    let first = {
        let world = Arc::clone(&world);
        tokio::spawn(async move { world.edge.get("/crl/overtaken.crl").await })
    };
    until(|| async { !world.origin.calls("overtaken").is_empty() }).await;
    // A revocation that is recorded now is missing from the answer that is already on its way.
    let refreshed = world.edge.refresh("overtaken").await;

    let body: serde_json::Value = refreshed.json().await.unwrap();
    assert_eq!(body["events"][0]["crl_number"], "2", "{body}");
    assert_eq!(first.await.unwrap().status(), 200);
    assert_eq!(world.origin.calls("overtaken").len(), 2);
}

async fn a_hanging_refresh_times_out_and_the_next_one_starts(world: Arc<Shared>) {
    for stuck in [
        Answer::never(),
        Answer::crl(CertificateAuthority::new("hanging").crl(1)).stalled_after(50),
        // Bytes keep arriving, but too slowly.
        Answer::crl(CertificateAuthority::new("hanging").crl(1))
            .dripped(1, Duration::from_millis(100)),
    ] {
        world.origin.answer("hanging", stuck);
        let refreshed = world.edge.refresh("hanging").await;
        let body: serde_json::Value = refreshed.json().await.unwrap();
        assert_eq!(body["events"][0]["error_code"], "origin_timeout", "{body}");
    }
    world.origin.answer(
        "hanging",
        Answer::crl(CertificateAuthority::new("hanging").crl(1)),
    );
    assert_eq!(world.edge.refresh("hanging").await.status(), 200);
    assert_eq!(world.edge.get("/crl/hanging.crl").await.status(), 200);
}

async fn a_crl_that_arrives_in_small_pieces_is_read_whole(world: Arc<Shared>) {
    let der = CertificateAuthority::new("dripping").crl(1);
    world.origin.answer(
        "dripping",
        Answer::crl(der.clone()).dripped(7, Duration::from_millis(10)),
    );
    let served = at_once(&world, 1, "/crl/dripping.crl").await;
    assert_eq!(served, [(200, der)]);
}

async fn the_hook_token_allows_the_refresh_of_one_issuer_and_nothing_else(world: Arc<Shared>) {
    let call = |method, path: &str| {
        world
            .edge
            .request(method, path)
            .bearer_auth(HOOK_TOKEN)
            .send()
    };
    assert_eq!(
        call(Method::POST, "/v1/issuers/hooked/refresh")
            .await
            .unwrap()
            .status(),
        200
    );
    assert_eq!(
        call(Method::POST, "/v1/refresh").await.unwrap().status(),
        401
    );
    assert_eq!(
        call(Method::POST, "/v1/issuers/hooked/trust")
            .await
            .unwrap()
            .status(),
        401
    );
    let events = world.edge.database().events_when("hooked", 1).await;
    assert_eq!(events[0].trigger, "hook");
}

async fn a_killed_refresh_leaves_the_old_crl_and_a_consistent_table(_: Arc<Shared>) {
    let origin = TestOrigin::start().await;
    let ca = CertificateAuthority::new("killed");
    origin.add(&ca);
    let old = ca.crl(1);
    origin.answer("killed", Answer::crl(old.clone()));
    let edge = Start::new(&origin.url()).start().await;
    assert_eq!(edge.refresh("killed").await.status(), 200);
    edge.database().events_when("killed", 1).await;

    let newer = ca.crl(2);
    origin.answer("killed", Answer::crl(newer.clone()).stalled_after(100));
    let asked = edge
        .request(Method::POST, "/v1/issuers/killed/refresh")
        .bearer_auth("the-operators-token");
    let asking = tokio::spawn(asked.send());
    until(|| async { origin.calls("killed").len() == 2 }).await;
    sleep(Duration::from_millis(300)).await;
    let start = edge.kill();
    assert!(
        asking.await.unwrap().is_err(),
        "the edge died before it could answer"
    );

    origin.answer("killed", Answer::crl(newer.clone()));
    let edge = start.start().await;
    let after_the_crash = edge.get("/crl/killed.crl").await;
    assert_eq!(after_the_crash.bytes().await.unwrap(), old);
    assert_eq!(edge.refresh("killed").await.status(), 200);
    assert_eq!(
        edge.get("/crl/killed.crl").await.bytes().await.unwrap(),
        newer
    );

    let published = edge.database().events_when("killed", 2).await;
    let numbers = published
        .iter()
        .map(|event| event.crl_number.as_deref())
        .collect::<Vec<_>>();
    assert_eq!(numbers, [Some("1"), Some("2")], "{published:#?}");
}

async fn shards_are_fetched_four_at_once_whoever_asks_and_none_times_out(_: Arc<Shared>) {
    const SHARDS: usize = 128;
    // Together they take much longer than one may.
    let takes = Duration::from_millis(400);
    let origin = TestOrigin::start().await;
    let ca = CertificateAuthority::new("sharded");
    let names: Vec<_> = (0..SHARDS).map(|shard| format!("shard-{shard}")).collect();
    origin.register(ca.record(&names));
    let mut number = 0;
    origin.on_call("sharded", move |call| {
        number += 1;
        Answer::crl(ca.scoped_crl(&call.name, number, |_| ())).after(takes)
    });
    let edge = Start::new(&origin.url())
        .var("ORIGIN_TIMEOUT_MS", "10000")
        .start()
        .await;
    let at_most_four = |calls: &[Call]| {
        let apart = calls
            .iter()
            .zip(&calls[4..])
            .map(|(first, fifth)| fifth.at - first.at);
        assert!(apart.min().unwrap() >= takes * 9 / 10, "five at once");
    };

    let request = edge.request(Method::POST, "/v1/issuers/sharded/refresh");
    let hook = request.bearer_auth(HOOK_TOKEN).send().await.unwrap();
    let body: serde_json::Value = hook.json().await.unwrap();
    let events = body["events"].as_array().unwrap();
    assert_eq!(events.len(), SHARDS);
    assert!(
        events.iter().all(|event| event["outcome"] == "published"),
        "{body}"
    );
    at_most_four(&origin.calls("sharded"));

    // One refresh of each shard, all at once.
    let mut hooks = JoinSet::new();
    for name in names.iter().take(40) {
        let path = format!("/v1/issuers/sharded/refresh?name={name}");
        let request = edge.request(Method::POST, &path).bearer_auth(HOOK_TOKEN);
        hooks.spawn(async move { request.send().await.unwrap().status() });
    }
    assert!(hooks.join_all().await.iter().all(|status| *status == 200));
    at_most_four(&origin.calls("sharded")[SHARDS..]);
}

/// Asked at the Worker's own port: a proxy in front of it would keep the connections open.
async fn clients_that_leave_free_their_slots_and_those_of_the_object(_: Arc<Shared>) {
    let origin = TestOrigin::start().await;
    for id in ["abandoned", "other"] {
        origin.add(&CertificateAuthority::new(id));
    }
    origin.answer("abandoned", Answer::never());
    let state = tempfile::TempDir::new().expect("a temporary folder");
    let url = origin.url();
    let vars = [("ORIGIN_URL", url.as_str()), ("ORIGIN_TOKEN", ORIGIN_TOKEN)];
    let edge = Workerd::start(&Worker::Edge, state.path(), &vars);
    let get = |path: &'static str| {
        let request = end_to_end::client().build().expect("a client");
        request.get(edge.url(path)).send()
    };
    // More than may wait for one CRL, for longer than this test.
    for _ in 0..7 {
        let mut leavers = JoinSet::new();
        for _ in 0..100 {
            let left = leave(
                edge.port(),
                "/crl/abandoned.crl",
                Duration::from_millis(300),
            );
            leavers.spawn(left);
        }
        leavers.join_all().await;
    }
    // Turned away at once, if their slots were still taken.
    let waiting = tokio::spawn(get("/crl/abandoned.crl"));
    sleep(Duration::from_secs(2)).await;
    assert!(!waiting.is_finished(), "it has a slot to wait in");
    waiting.abort();
    assert_eq!(get("/crl/other.crl").await.unwrap().status(), 200);
}

/// How many requests may wait for one CRL.
const MOST_FOR_ONE: usize = 600;

/// Each client obeys its Retry-After.
async fn a_crowd_that_is_turned_away_has_the_crl_at_the_next_try(_: Arc<Shared>) {
    let origin = TestOrigin::start().await;
    let ca = CertificateAuthority::new("slow");
    origin.add(&ca);
    let der = ca.crl(1);
    // Long enough for all to come, and to come back in vain if they did so too soon.
    let takes = Duration::from_secs(15);
    origin.answer("slow", Answer::crl(der.clone()).after(takes));
    let state = tempfile::TempDir::new().expect("a temporary folder");
    let url = origin.url();
    let vars = [
        ("ORIGIN_URL", url.as_str()),
        ("ORIGIN_TOKEN", ORIGIN_TOKEN),
        ("ORIGIN_TIMEOUT_MS", "40000"),
    ];
    let edge = Workerd::start(&Worker::Edge, state.path(), &vars);
    let client = end_to_end::client().build().expect("an HTTP client");
    let mut crowd = JoinSet::new();
    for _ in 0..MOST_FOR_ONE + 200 {
        let (client, url, der) = (client.clone(), edge.url("/crl/slow.crl"), der.clone());
        crowd.spawn(async move {
            let mut tries = 1;
            loop {
                let answer = client.get(&url).send().await.expect("an answer");
                if answer.status() == 200 {
                    assert_eq!(answer.bytes().await.unwrap(), der);
                    return tries;
                }
                assert_eq!(answer.status(), 503);
                sleep(Duration::from_secs(retry_after(&answer))).await;
                tries += 1;
            }
        });
    }
    let tries = crowd.join_all().await;
    let needed = |times: u32| tries.iter().filter(|tries| **tries == times).count();
    assert!(needed(2) > 0, "nobody was turned away");
    assert_eq!(
        needed(1) + needed(2),
        tries.len(),
        "{:?}",
        tries.iter().max()
    );
    assert_eq!(origin.calls("slow").len(), 1);
}

fn retry_after(answer: &reqwest::Response) -> u64 {
    let seconds = answer.headers()["retry-after"].to_str().unwrap();
    seconds.parse().unwrap()
}

/// A client whose departure the runtime does not see: it closes its side of the connection alone.
async fn a_crowd_for_one_crl_leaves_slots_for_the_others(_: Arc<Shared>) {
    let origin = TestOrigin::start().await;
    for id in ["slow", "other"] {
        origin.add(&CertificateAuthority::new(id));
    }
    origin.answer("slow", Answer::never());
    let state = tempfile::TempDir::new().expect("a temporary folder");
    let url = origin.url();
    let vars = [("ORIGIN_URL", url.as_str()), ("ORIGIN_TOKEN", ORIGIN_TOKEN)];
    let edge = Workerd::start(&Worker::Edge, state.path(), &vars);
    let client = end_to_end::client().build().expect("an HTTP client");
    for _ in 0..11 {
        let mut leavers = JoinSet::new();
        for _ in 0..100 {
            let request = client.get(edge.url("/crl/slow.crl")).send();
            leavers.spawn(async move {
                let _ = tokio::time::timeout(Duration::from_millis(300), request).await;
            });
        }
        leavers.join_all().await;
    }
    let turned_away = client.get(edge.url("/crl/slow.crl")).send().await.unwrap();
    assert_eq!(turned_away.status(), 503);
    assert!((1..=51).contains(&retry_after(&turned_away)));
    let other = client.get(edge.url("/crl/other.crl")).send().await.unwrap();
    assert_eq!(other.status(), 200);
}

/// Asks for a path and resets the connection after a while, as a proxy does whose own client has
/// left.
async fn leave(port: u16, path: &str, after: Duration) {
    let mut connection = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    connection.set_zero_linger().unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n");
    connection.write_all(request.as_bytes()).await.unwrap();
    sleep(after).await;
}

/// Sends this many GETs at once and returns their statuses and bodies.
async fn at_once(world: &Arc<Shared>, count: usize, path: &'static str) -> Vec<(u16, Vec<u8>)> {
    let mut crowd = JoinSet::new();
    for _ in 0..count {
        let world = Arc::clone(world);
        crowd.spawn(async move {
            let response = world.edge.get(path).await;
            (
                response.status().as_u16(),
                response.bytes().await.unwrap().to_vec(),
            )
        });
    }
    crowd.join_all().await
}

suite!(
    Shared;
    shards_are_fetched_four_at_once_whoever_asks_and_none_times_out,
    clients_that_leave_free_their_slots_and_those_of_the_object,
    a_crowd_for_one_crl_leaves_slots_for_the_others,
    a_crowd_that_is_turned_away_has_the_crl_at_the_next_try,
    five_hundred_requests_for_a_cold_issuer_cause_one_origin_call,
    a_failure_reaches_every_waiter,
    a_refresh_survives_the_client_that_caused_it,
    an_operators_refresh_does_not_join_one_that_already_asked_the_origin,
    a_hanging_refresh_times_out_and_the_next_one_starts,
    a_crl_that_arrives_in_small_pieces_is_read_whole,
    the_hook_token_allows_the_refresh_of_one_issuer_and_nothing_else,
    a_killed_refresh_leaves_the_old_crl_and_a_consistent_table,
);
