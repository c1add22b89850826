//! A CRL's way from the origin to a relying party: cold, warm, under concurrency, and with faults.

use std::fs;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use end_to_end::certificate_authority::time;
use end_to_end::test_origin::sha256;
use end_to_end::{Answer, CertificateAuthority, Edge, Start, TestOrigin, World, serving_suite};
use reqwest::{Method, Response, StatusCode};
use tokio::task::JoinSet;

struct Shared {
    origin: TestOrigin,
    edge: Edge,
}

impl World for Shared {
    async fn start() -> Self {
        let origin = TestOrigin::start().await;
        for id in ISSUERS {
            origin.add(&CertificateAuthority::new(id));
        }
        let edge = Start::new(&origin.url()).start().await;
        Self { origin, edge }
    }

    fn log(&self) -> String {
        self.edge.log()
    }
}

/// Registered before the edge first reads the registry, so that no test waits for the next read.
const ISSUERS: [&str; 13] = [
    "cold", "crowded", "known", "garbage", "failing", "foreign", "replaced", "pinned", "operated",
    "polled", "dated", "polled2", "scripted",
];

async fn a_cold_issuer_is_fetched_verified_and_served(world: Arc<Shared>) {
    let ca = CertificateAuthority::new("cold");
    let der = ca.crl(7);
    world.origin.answer("cold", Answer::crl(der.clone()));

    let response = world.edge.get("/crl/cold.crl").await;

    assert_eq!(response.status(), 200);
    assert_eq!(header(&response, "content-type"), "application/pkix-crl");
    assert_eq!(header(&response, "crl-number"), "7");
    assert_eq!(body(response).await, der);
    let events = world.edge.database().events_when("cold", 1).await;
    assert_eq!(
        (events[0].trigger.as_str(), events[0].outcome.as_str()),
        ("request", "published")
    );
    assert_eq!(events[0].crl_number.as_deref(), Some("7"));

    let again = world.edge.get("/crl/cold.crl").await;
    assert_eq!(body(again).await, der);
    assert_eq!(world.origin.calls("cold").len(), 1);
}

async fn concurrent_requests_for_a_cold_issuer_cause_one_origin_call(world: Arc<Shared>) {
    let der = CertificateAuthority::new("crowded").crl(1);
    let slow = Answer::crl(der.clone()).after(Duration::from_millis(500));
    world.origin.answer("crowded", slow);

    let mut crowd = JoinSet::new();
    for _ in 0..100 {
        let world = Arc::clone(&world);
        crowd.spawn(async move { body(world.edge.get("/crl/crowded.crl").await).await });
    }

    for served in crowd.join_all().await {
        assert_eq!(sha256(&served), sha256(&der));
    }
    assert_eq!(world.origin.calls("crowded").len(), 1);
    assert_eq!(
        world.edge.database().events_when("crowded", 1).await.len(),
        1
    );
}

async fn an_unknown_issuer_is_404_and_causes_no_origin_call(world: Arc<Shared>) {
    let _ = world.edge.get("/crl/known.crl").await;
    for id in ["nobody", "cold2", "..%2f..%2fknown"] {
        let response = world.edge.get(&format!("/crl/{id}.crl")).await;
        assert_eq!(response.status(), 404, "{id}");
        assert_ne!(header(&response, "content-type"), "application/pkix-crl");
        assert!(world.origin.calls(id).is_empty());
        assert!(world.edge.database().events("nobody").is_empty());
    }
}

async fn an_unknown_crl_name_is_404(world: Arc<Shared>) {
    for path in [
        "/crl/known/delta.crl",
        "/crl/known/shard-0.crl",
        "/crl/known/nonsense.crl",
        "/crl/known.txt",
    ] {
        assert_eq!(world.edge.get(path).await.status(), 404, "{path}");
    }
}

async fn garbage_from_the_origin_is_never_served(world: Arc<Shared>) {
    world.origin.answer(
        "garbage",
        Answer::crl(b"<html>Service temporarily unavailable</html>".to_vec()),
    );

    let response = world.edge.get("/crl/garbage.crl").await;

    assert_unavailable(response).await;
    let events = world.edge.database().events_when("garbage", 1).await;
    assert_eq!(events[0].outcome, "rejected");
    assert_eq!(events[0].error_code.as_deref(), Some("malformed"));
    assert!(!events[0].succeeded);
}

async fn a_failing_origin_gives_503_and_a_failed_event(world: Arc<Shared>) {
    world
        .origin
        .answer("failing", Answer::status(500).body(b"stack trace".to_vec()));

    let response = world.edge.get("/crl/failing.crl").await;

    assert_unavailable(response).await;
    let events = world.edge.database().events_when("failing", 1).await;
    assert_eq!(
        (events[0].outcome.as_str(), events[0].error_code.as_deref()),
        ("failed", Some("origin_status"))
    );
}

async fn a_crl_signed_by_another_ca_is_refused(world: Arc<Shared>) {
    let forged = CertificateAuthority::new("foreign").rekeyed().crl(1);
    world.origin.answer("foreign", Answer::crl(forged));

    assert_unavailable(world.edge.get("/crl/foreign.crl").await).await;

    let events = world.edge.database().events_when("foreign", 1).await;
    assert_eq!(events[0].outcome, "rejected");
}

async fn a_refused_crl_leaves_the_good_one_served(world: Arc<Shared>) {
    let good = CertificateAuthority::new("replaced").crl(5);
    world.origin.answer("replaced", Answer::crl(good.clone()));
    assert_eq!(body(world.edge.get("/crl/replaced.crl").await).await, good);

    world.origin.answer(
        "replaced",
        Answer::crl(CertificateAuthority::new("replaced").crl(4)),
    );
    let refreshed = world.edge.refresh("replaced").await;

    assert_eq!(refreshed.status(), 502);
    let answer: serde_json::Value = refreshed.json().await.unwrap();
    assert_eq!(answer["events"][0]["error_code"], "number_regressed");
    assert_eq!(answer["events"][0]["trigger"], "operator");
    assert_eq!(body(world.edge.get("/crl/replaced.crl").await).await, good);
}

async fn an_operators_refresh_publishes_and_answers_with_the_event(world: Arc<Shared>) {
    let ca = CertificateAuthority::new("operated");
    world.origin.answer("operated", Answer::crl(ca.crl(1)));
    let first = world.edge.refresh("operated").await;
    assert_eq!(first.status(), 200);
    let answer: serde_json::Value = first.json().await.unwrap();
    assert_eq!(answer["events"][0]["outcome"], "published");
    assert_eq!(answer["events"][0]["crl_number"], "1");

    let newer = ca.crl(2);
    world.origin.answer("operated", Answer::crl(newer.clone()));
    assert_eq!(world.edge.refresh("operated").await.status(), 200);
    assert_eq!(body(world.edge.get("/crl/operated.crl").await).await, newer);
    assert!(
        world
            .origin
            .calls("operated")
            .iter()
            .all(|call| call.new_crl),
        "asks for a new one"
    );
}

async fn operators_calls_require_the_operator_token(world: Arc<Shared>) {
    let path = "/v1/issuers/known/refresh";
    let without = world
        .edge
        .request(reqwest::Method::POST, path)
        .send()
        .await
        .unwrap();
    let wrong = world
        .edge
        .request(reqwest::Method::POST, path)
        .bearer_auth("wrong")
        .send()
        .await
        .unwrap();
    assert_eq!(
        (without.status(), wrong.status()),
        (StatusCode::UNAUTHORIZED, StatusCode::UNAUTHORIZED)
    );
}

async fn an_origin_that_rejects_the_token_is_a_failure_that_operators_see(world: Arc<Shared>) {
    let edge = Start::new(&world.origin.url())
        .var("ORIGIN_TOKEN", "wrong")
        .start()
        .await;
    assert_unavailable(edge.get("/crl/pinned.crl").await).await;
    assert!(world.origin.calls("pinned").is_empty());
    let tick = edge.tick().await;
    assert_ne!(tick.status(), 200, "a tick that reached nobody has failed");
    let why = "the origin answered 401: it does not accept ORIGIN_TOKEN";
    // wrangler passes the Worker's log on with a delay.
    for _ in 0..100 {
        if edge.log().contains(why) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the log does not say why:\n{}", edge.log());
}

async fn an_unreachable_origin_gives_503_until_it_is_back(_: Arc<Shared>) {
    let origin = TestOrigin::start().await;
    let dead_url = origin.url();
    drop(origin);
    let edge = Start::new(&dead_url).start().await;
    assert_unavailable(edge.get("/crl/late.crl").await).await;

    let origin = TestOrigin::start().await;
    let ca = CertificateAuthority::new("late");
    origin.add(&ca);
    let edge = edge.stop().origin_url(&origin.url()).start().await;
    assert_eq!(edge.get("/crl/late.crl").await.status(), 200);
}

async fn an_expired_crl_is_served_only_if_allowed(_: Arc<Shared>) {
    for allowed in [false, true] {
        let origin = TestOrigin::start().await;
        let ca = CertificateAuthority::new("expiring");
        origin.add(&ca);
        let start = Start::new(&origin.url()).var("SERVE_EXPIRED", &allowed.to_string());
        let edge = start.start().await;
        let end = SystemTime::now() + Duration::from_secs(10);
        let der = ca.crl_with(1, |tbs| tbs.next_update = Some(time(end)));
        origin.answer("expiring", Answer::crl(der.clone()));
        assert_eq!(body(edge.get("/crl/expiring.crl").await).await, der);
        edge.database().events_when("expiring", 1).await;
        drop(origin);
        let left = end.duration_since(SystemTime::now());
        tokio::time::sleep(left.unwrap_or_default()).await;

        let assert_answered = async |edge: &Edge| {
            let response = edge.get("/crl/expiring.crl").await;
            if allowed {
                let lifetime = "public, max-age=0, must-revalidate";
                assert_eq!(header(&response, "cache-control"), lifetime);
                assert_eq!(body(response).await, der);
            } else {
                assert_unavailable(response).await;
            }
        };
        assert_answered(&edge).await;
        let start = edge.stop();
        fs::remove_dir_all(start.state().join("v3/kv")).unwrap();
        assert_answered(&start.start().await).await;
    }
}

/// Many clients send the date they got, or that of their own download. Of two CRLs with one
/// thisUpdate, or a backdated one, that date must not hide the newer.
async fn no_date_hides_a_newer_crl(world: Arc<Shared>) {
    let ca = CertificateAuthority::new("dated");
    let this_update = time(SystemTime::now() - Duration::from_mins(10));
    let [old, new] = [1, 2].map(|number| ca.crl_with(number, |tbs| tbs.this_update = this_update));
    world.origin.answer("dated", Answer::crl(old.clone()));
    assert_eq!(world.edge.refresh("dated").await.status(), 200);
    let first = world.edge.get("/crl/dated.crl").await;
    let date = header(&first, "last-modified").to_owned();
    assert_eq!(body(first).await, old);
    let since = async |date: &str| {
        let request = world.edge.request(Method::GET, "/crl/dated.crl");
        let request = request.header("If-Modified-Since", date);
        request.send().await.unwrap()
    };
    assert_eq!(since(&date).await.status(), 304);

    tokio::time::sleep(Duration::from_millis(1_100)).await;
    world.origin.answer("dated", Answer::crl(new.clone()));
    assert_eq!(world.edge.refresh("dated").await.status(), 200);

    for date in [date.as_str(), "Fri, 01 Jan 2100 00:00:00 GMT"] {
        assert_eq!(body(since(date).await).await, new, "since {date}");
    }
}

async fn a_published_crl_is_served_from_kv_alone(_: Arc<Shared>) {
    let origin = TestOrigin::start().await;
    let ca = CertificateAuthority::new("replica");
    origin.add(&ca);
    let edge = Start::new(&origin.url()).start().await;
    let first = body(edge.get("/crl/replica.crl").await).await;
    edge.database().events_when("replica", 1).await;
    drop(origin);

    // Both the origin and the object that fetched the CRL are gone.
    let start = edge.stop();
    fs::remove_dir_all(start.state().join("v3/do")).unwrap();
    let edge = start.start().await;

    assert_eq!(body(edge.get("/crl/replica.crl").await).await, first);
}

async fn polling_a_small_crl_shows_the_next_one_at_once(world: Arc<Shared>) {
    polling_shows_the_next_crl_at_once(&world, "polled", 3).await;
}

async fn polling_a_larger_crl_shows_the_next_one_at_once(world: Arc<Shared>) {
    polling_shows_the_next_crl_at_once(&world, "polled2", 3_000).await;
}

/// An isolate's memory must not outlive the CRL that it holds.
async fn polling_shows_the_next_crl_at_once(world: &Shared, id: &str, entries: u32) {
    let ca = CertificateAuthority::new(id);
    let path = &*format!("/crl/{id}.crl");
    let [old, new] = [1, 2].map(|number| ca.crl_of(number, entries));
    world.origin.answer(id, Answer::crl(old.clone()));
    assert_eq!(world.edge.refresh(id).await.status(), 200);
    let tag = |der: &[u8]| format!("\"{}\"", sha256(der));
    let poll = async |method, held: &[u8]| {
        let request = world.edge.request(method, path);
        let condition = request.header("If-None-Match", tag(held));
        condition.send().await.unwrap()
    };
    for _ in 0..3 {
        assert_eq!(body(world.edge.get(path).await).await, old);
        assert_eq!(poll(Method::GET, &old).await.status(), 304);
        let head = poll(Method::HEAD, &new).await;
        assert_eq!(
            (head.status().as_u16(), header(&head, "etag")),
            (200, &*tag(&old))
        );
    }

    world.origin.answer(id, Answer::crl(new.clone()));
    assert_eq!(world.edge.refresh(id).await.status(), 200);

    assert_eq!(body(poll(Method::GET, &old).await).await, new);
    assert_eq!(body(world.edge.get(path).await).await, new);
    assert_eq!(poll(Method::HEAD, &new).await.status(), 304);
}

async fn assert_unavailable(response: Response) {
    assert_eq!(response.status(), 503);
    assert_eq!(
        header(&response, "content-type"),
        "application/problem+json"
    );
    assert_eq!(header(&response, "cache-control"), "no-store");
    assert!(!header(&response, "retry-after").is_empty());
    let problem: serde_json::Value = response.json().await.unwrap();
    assert!(problem["code"].is_string(), "{problem}");
    assert!(!problem.to_string().contains("stack trace"), "{problem}");
}

async fn a_script_of_another_origin_may_send_conditions(world: Arc<Shared>) {
    let preflight = world
        .edge
        .request(Method::OPTIONS, "/crl/scripted.crl")
        .header("origin", "https://portal.example")
        .header("access-control-request-method", "GET")
        .header("access-control-request-headers", "if-none-match,range");
    let answer = preflight.send().await.unwrap();
    assert_eq!(answer.status(), 204);
    assert_eq!(header(&answer, "access-control-allow-origin"), "*");
    assert!(header(&answer, "access-control-allow-methods").contains("GET"));
    let allowed = header(&answer, "access-control-allow-headers");
    for name in ["If-None-Match", "Range"] {
        assert!(allowed.contains(name), "{allowed}");
    }
    assert!(world.origin.calls("scripted").is_empty());
    let refused = world.edge.request(Method::OPTIONS, "/v1/issuers");
    assert_eq!(refused.send().await.unwrap().status(), 405);
}

async fn a_client_waits_one_origin_timeout_at_most(_: Arc<Shared>) {
    let origin = TestOrigin::start().await;
    origin.add(&CertificateAuthority::new("silent"));
    origin.answer("silent", Answer::never());
    let edge = Start::new(&origin.url()).var("ORIGIN_TIMEOUT_MS", "1000");
    let edge = edge.start().await;
    // Without its own bound it would wait for the registry, the record and the CRL in turn, and for
    // 30 s by default.
    for _ in 0..3 {
        let answer = tokio::time::timeout(Duration::from_secs(20), edge.get("/crl/silent.crl"));
        assert_unavailable(answer.await.expect("an answer")).await;
    }
}

fn header<'r>(response: &'r Response, name: &str) -> &'r str {
    response
        .headers()
        .get(name)
        .map(|value| value.to_str().unwrap())
        .unwrap_or_default()
}

async fn body(response: Response) -> Vec<u8> {
    assert_eq!(response.status(), 200);
    response.bytes().await.unwrap().to_vec()
}

serving_suite!(
    Shared;
    a_cold_issuer_is_fetched_verified_and_served,
    concurrent_requests_for_a_cold_issuer_cause_one_origin_call,
    an_unknown_issuer_is_404_and_causes_no_origin_call,
    an_unknown_crl_name_is_404,
    garbage_from_the_origin_is_never_served,
    a_failing_origin_gives_503_and_a_failed_event,
    a_crl_signed_by_another_ca_is_refused,
    a_refused_crl_leaves_the_good_one_served,
    an_operators_refresh_publishes_and_answers_with_the_event,
    operators_calls_require_the_operator_token,
    an_origin_that_rejects_the_token_is_a_failure_that_operators_see,
    an_unreachable_origin_gives_503_until_it_is_back,
    an_expired_crl_is_served_only_if_allowed,
    a_script_of_another_origin_may_send_conditions,
    a_client_waits_one_origin_timeout_at_most,
    no_date_hides_a_newer_crl,
    a_published_crl_is_served_from_kv_alone,
    polling_a_small_crl_shows_the_next_one_at_once,
    polling_a_larger_crl_shows_the_next_one_at_once,
);
