//! Serving and events survive the loss of one part: KV, a Durable Object, D1, the cron trigger, the
//! process.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use end_to_end::certificate_authority::time;
use end_to_end::suite::until;
use end_to_end::test_origin::sha256;
use end_to_end::{Answer, CertificateAuthority, Edge, Start, TestOrigin, World, suite};
use serde_json::Value;
use tokio::time::sleep;

struct Nothing;

impl World for Nothing {
    async fn start() -> Self {
        Self
    }

    fn log(&self) -> String {
        String::new()
    }
}

async fn a_crl_of_many_megabytes_is_served_whole_by_kv_and_by_the_object(_: Arc<Nothing>) {
    let (origin, edge) = edge_with("large", |start| start).await;
    // Larger than 25 MiB, KV's limit for one value.
    let der = CertificateAuthority::new("large").crl_of(1, 600_000);
    assert!(der.len() > 26 * 1024 * 1024, "{}", der.len());
    origin.answer("large", Answer::crl(der.clone()));
    assert_eq!(edge.refresh("large").await.status(), 200);
    drop(origin);
    assert_served(&edge, "/crl/large.crl", &der).await;

    // From KV alone.
    let start = edge.stop();
    let objects = start.state().join("v3/do");
    let aside = start.state().join("objects-aside");
    fs::rename(&objects, &aside).unwrap();
    let edge = start.start().await;
    assert_served(&edge, "/crl/large.crl", &der).await;

    // From the object alone.
    let start = edge.stop();
    fs::remove_dir_all(&objects).ok();
    fs::rename(&aside, &objects).unwrap();
    fs::remove_dir_all(start.state().join("v3/kv")).unwrap();
    let edge = start.start().await;
    assert_served(&edge, "/crl/large.crl", &der).await;
}

async fn with_kv_lost_and_the_origin_down_the_object_serves(_: Arc<Nothing>) {
    let (origin, edge) = edge_with("kept", |start| start).await;
    let der = CertificateAuthority::new("kept").crl(1);
    origin.answer("kept", Answer::crl(der.clone()));
    assert_eq!(edge.refresh("kept").await.status(), 200);
    drop(origin);

    let start = edge.stop();
    fs::remove_dir_all(start.state().join("v3/kv")).unwrap();
    let edge = start.start().await;

    assert_served(&edge, "/crl/kept.crl", &der).await;
}

async fn a_crl_lost_from_kv_is_published_again_unnoticed_by_clients(_: Arc<Nothing>) {
    let (origin, edge) = edge_with("lost", |start| start).await;
    let der = CertificateAuthority::new("lost").crl(1);
    origin.answer("lost", Answer::crl(der.clone()));
    assert_eq!(edge.refresh("lost").await.status(), 200);
    let key = "crl/lost/full";
    let edge = until_kv_has_settled(edge).await;
    assert!(edge.kv().value(key).is_some());

    edge.kv().remove(key);

    let meanwhile = edge.get("/crl/lost.crl").await;
    assert_eq!(meanwhile.headers()["cache-status"], "crl-edge-kv; fwd=miss");
    assert_eq!(meanwhile.bytes().await.unwrap(), der);
    until(|| async { edge.kv().value(key).is_some_and(|value| value.body == der) }).await;
    let again = edge.get("/crl/lost.crl").await;
    assert_eq!(again.headers()["cache-status"], "crl-edge-kv; hit");
    assert_eq!(again.bytes().await.unwrap(), der);
    assert_eq!(origin.calls("lost").len(), 1);
}

async fn a_kv_that_reverted_is_repaired_by_the_next_tick(_: Arc<Nothing>) {
    let (origin, edge) = edge_with("back", |start| start).await;
    let key = "crl/back/full";
    assert_eq!(edge.refresh("back").await.status(), 200);
    let edge = until_kv_has_settled(edge).await;
    let older = edge.kv().value(key).unwrap();
    assert_eq!(edge.refresh("back").await.status(), 200);
    let edge = until_kv_has_settled(edge).await;
    let newer = edge.kv().value(key).unwrap();
    assert_ne!(older, newer);

    edge.kv().put(key, &older);

    // The old CRL is still valid, so it is served meanwhile.
    let meanwhile = edge.get("/crl/back.crl").await;
    assert_eq!(meanwhile.headers()["crl-number"], "1");
    assert_eq!(meanwhile.bytes().await.unwrap(), older.body);
    assert_eq!(edge.tick().await.status(), 200);
    until(|| async { edge.kv().value(key).as_ref() == Some(&newer) }).await;
    let again = edge.get("/crl/back.crl").await;
    assert_eq!(again.bytes().await.unwrap(), newer.body);
    assert_eq!(
        origin.calls("back").len(),
        3,
        "the tick's answer was that nothing changed"
    );
}

async fn altered_bytes_in_kv_are_not_served(_: Arc<Nothing>) {
    let (_origin, edge) = edge_with("altered", |start| start).await;
    assert_eq!(edge.refresh("altered").await.status(), 200);
    let key = "crl/altered/full";
    until(|| async { edge.kv().value(key).is_some() }).await;
    let good = edge.kv().value(key).unwrap();
    let mut altered = good.clone();
    altered.body[100] ^= 1;

    edge.kv().put(key, &altered);

    for _ in 0..2 {
        assert_served(&edge, "/crl/altered.crl", &good.body).await;
    }
}

async fn with_kv_failing_the_object_serves(_: Arc<Nothing>) {
    let (origin, edge, der) = edge_by_script("kv-down.js", "unread").await;
    for _ in 0..2 {
        assert_served(&edge, "/crl/unread.crl", &der).await;
    }
    assert_eq!(origin.calls("unread").len(), 1);
    drop(origin);

    assert_served(&edge, "/crl/unread.crl", &der).await;
    assert_eq!(edge.get("/crl/unknown.crl").await.status(), 404);
}

async fn with_kv_hanging_the_object_serves(_: Arc<Nothing>) {
    let (origin, edge, der) = edge_by_script("kv-hanging.js", "waiting").await;
    for _ in 0..2 {
        assert_served(&edge, "/crl/waiting.crl", &der).await;
    }
    assert_eq!(origin.calls("waiting").len(), 1);
}

async fn a_broken_instance_is_replaced_before_the_next_request(_: Arc<Nothing>) {
    let (_origin, edge, der) = edge_by_script("breaking.js", "kept").await;
    for _ in 0..3 {
        assert_eq!(edge.get("/break").await.status(), 500);
        assert_served(&edge, "/crl/kept.crl", &der).await;
        assert_eq!(edge.refresh("kept").await.status(), 200);
    }
}

async fn after_a_panic_the_next_crl_is_seen_at_once_and_answers_are_replayed_again(
    _: Arc<Nothing>,
) {
    let (origin, edge, der) = edge_by_script("breaking.js", "renewed").await;
    let count = async |what: &str| {
        let counts = edge.get("/counts").await.json::<Value>().await.unwrap();
        counts[what].as_u64().unwrap()
    };
    assert_eq!(edge.refresh("renewed").await.status(), 200);
    // The fast path forgets nothing by itself from now on.
    assert_eq!(edge.get("/freeze").await.status(), 200);
    let mut current = der;
    for number in 2..4 {
        assert_served(&edge, "/crl/renewed.crl", &current).await;
        let handled = count("handled").await;
        assert_served(&edge, "/crl/renewed.crl", &current).await;
        assert_eq!(count("handled").await, handled, "it was replayed");

        let instances = count("instances").await;
        assert_eq!(edge.get("/break").await.status(), 500);
        current = CertificateAuthority::new("renewed").crl(number);
        origin.answer("renewed", Answer::crl(current.clone()));
        assert_eq!(edge.refresh("renewed").await.status(), 200);
        assert_eq!(count("instances").await, instances + 1);
        assert_served(&edge, "/crl/renewed.crl", &current).await;
    }
}

async fn what_clients_get_is_reported_once_a_minute(_: Arc<Nothing>) {
    let (_origin, edge, der) = edge_by_script("next-minute.js", "counted").await;
    assert_eq!(edge.refresh("counted").await.status(), 200);
    for _ in 0..4 {
        assert_served(&edge, "/crl/counted.crl", &der).await;
    }
    assert_eq!(edge.get("/crl/unknown.crl").await.status(), 404);
    assert_eq!(edge.get("/next-minute").await.status(), 200);
    assert_served(&edge, "/crl/counted.crl", &der).await;

    let answers = |source: &str, status: u64| -> u64 {
        let lines = lines_about(&edge, "served");
        let served = lines.iter().filter_map(|line| line["served"].as_array());
        let counters = served.flatten();
        let of_source =
            counters.filter(|counter| counter["source"] == source && counter["status"] == status);
        of_source
            .filter_map(|counter| counter["answers"].as_u64())
            .sum()
    };
    until(|| async { answers("none", 404) == 1 }).await;
    let (from_kv, from_memory) = (answers("kv", 200), answers("memory", 200));
    assert_eq!(from_kv + from_memory, 4);
    assert!(from_memory > 0, "{from_kv} {from_memory}");
    let reads = lines_about(&edge, "served");
    let read = |outcome: &str| -> u64 {
        reads
            .iter()
            .filter_map(|line| line["kv"][outcome].as_u64())
            .sum()
    };
    assert_eq!((read("hit"), read("miss")), (from_kv, 1));
    // Each counter is one data point, however many answers it counts.
    let points = lines_about(&edge, "data point");
    let of_memory = points
        .iter()
        .filter(|point| point["blobs"][1] == "memory")
        .filter_map(|point| point["doubles"][0].as_u64());
    assert_eq!(of_memory.sum::<u64>(), from_memory);
}

/// The lines of the Worker's log that are JSON and about this.
fn lines_about(edge: &Edge, what: &str) -> Vec<Value> {
    let log = edge.log();
    let lines = log
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line["what"] == what).collect()
}

async fn events_survive_an_outage_of_d1_and_are_written_once(_: Arc<Nothing>) {
    let (origin, edge) = edge_with("recorded", |start| start).await;
    let database = edge.database();
    assert_eq!(edge.refresh("recorded").await.status(), 200);
    database.events_when("recorded", 1).await;

    database.execute("ALTER TABLE crl_generation_events RENAME TO out_of_order");
    for _ in 0..3 {
        assert_eq!(
            edge.refresh("recorded").await.status(),
            200,
            "D1 being down fails no refresh"
        );
    }
    database.execute("ALTER TABLE out_of_order RENAME TO crl_generation_events");
    assert_eq!(edge.refresh("recorded").await.status(), 200);

    let events = database.events_when("recorded", 5).await;
    let numbers = events
        .iter()
        .map(|event| event.crl_number.clone().unwrap())
        .collect::<Vec<_>>();
    assert_eq!(numbers, ["1", "2", "3", "4", "5"]);
    assert_eq!(origin.calls("recorded").len(), 5);
}

async fn a_crl_is_refreshed_before_it_expires_without_cron(_: Arc<Nothing>) {
    let set = |start: Start| {
        start
            .var("REFRESH_AT", "0.1")
            .var("CLOCK_SKEW_SECONDS", "0")
    };
    let (origin, edge) = edge_with("brief", set).await;
    let ca = CertificateAuthority::new("brief");
    let mut number = 0;
    origin.on_call("brief", move |_| {
        number += 1;
        Answer::crl(ca.crl_with(number, |tbs| {
            tbs.this_update = time(SystemTime::now());
            tbs.next_update = Some(time(SystemTime::now() + Duration::from_mins(1)));
        }))
    });

    assert_eq!(edge.get("/crl/brief.crl").await.status(), 200);

    let event = edge
        .database()
        .event_when("brief", |event| event.crl_number.as_deref() == Some("2"))
        .await;
    assert_eq!(
        (event.trigger.as_str(), event.outcome.as_str()),
        ("alarm", "published")
    );
    assert_eq!(
        edge.get("/crl/brief.crl").await.headers()["crl-number"],
        "2"
    );
}

async fn the_origins_retry_after_is_respected(_: Arc<Nothing>) {
    let (origin, edge) = edge_with("busy", |start| start).await;
    origin.answer("busy", Answer::status(503).header("Retry-After", "4"));
    assert_eq!(edge.get("/crl/busy.crl").await.status(), 503);
    // The client may have been answered before the origin was.
    edge.database()
        .event_when("busy", |event| event.outcome == "failed")
        .await;
    origin.answer(
        "busy",
        Answer::crl(CertificateAuthority::new("busy").crl(1)),
    );
    // Further requests by clients change nothing.
    for _ in 0..5 {
        let _ = edge.get("/crl/busy.crl").await;
        sleep(Duration::from_millis(300)).await;
    }
    edge.database()
        .event_when("busy", |event| event.outcome == "published")
        .await;
    let calls = origin.calls("busy");
    let pause = calls[1].at - calls[0].at;
    assert!(pause >= Duration::from_millis(3900), "{pause:?}");
    assert_eq!(edge.get("/crl/busy.crl").await.status(), 200);
}

async fn ticks_that_overlap_ask_the_origin_once(_: Arc<Nothing>) {
    let (origin, edge) = edge_with("slow", |start| start).await;
    let der = CertificateAuthority::new("slow").crl(1);
    origin.answer("slow", Answer::crl(der).after(Duration::from_secs(1)));
    let (first, second) = tokio::join!(edge.tick(), edge.tick());
    assert_eq!(
        (first.status().as_u16(), second.status().as_u16()),
        (200, 200)
    );
    assert_eq!(origin.calls("slow").len(), 1);
}

async fn edge_with(issuer: &str, set: impl FnOnce(Start) -> Start) -> (TestOrigin, Edge) {
    let origin = TestOrigin::start().await;
    origin.add(&CertificateAuthority::new(issuer));
    let edge = set(Start::new(&origin.url())).start().await;
    (origin, edge)
}

/// Waits until the object of the only issuer has written its CRL to KV, then backdates that write:
/// the object ignores what KV returns before a write has had time to propagate, and no test
/// should take minutes. The edge stops meanwhile, since an object reads its storage once.
async fn until_kv_has_settled(edge: Edge) -> Edge {
    let published =
        "SELECT name FROM crl WHERE json_extract(state, '$.publication.done.at') IS NOT NULL";
    until(|| async { !edge.object().query(published).is_empty() }).await;
    let object = edge.object();
    let start = edge.stop();
    object.execute("UPDATE crl SET state = json_set(state, '$.publication.done.at', 0)");
    start.start().await
}

/// Starts an edge inside one of the scripts in tests/scripts. Returns the CRL of its only issuer.
async fn a_crl_that_is_valid_to_the_last_date_is_served_and_refreshed(_: Arc<Nothing>) {
    let (origin, edge) = edge_with("lasting", |start| start).await;
    let last = SystemTime::UNIX_EPOCH + Duration::from_secs(253_402_300_799);
    let lasting = |number| {
        CertificateAuthority::new("lasting").crl_with(number, |tbs| {
            tbs.next_update = Some(time(last));
        })
    };
    for number in 1..=2 {
        origin.answer("lasting", Answer::crl(lasting(number)));
        assert_eq!(edge.refresh("lasting").await.status(), 200);
    }
    until(|| async {
        let answer = edge.get("/crl/lasting.crl").await;
        answer.status() == 200 && answer.headers()["crl-number"] == "2"
    })
    .await;
    assert!(!edge.log().contains("storage failed"), "{}", edge.log());
}

async fn a_body_that_clients_broke_off_is_swept_once_it_is_replaced(_: Arc<Nothing>) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/kv-down.js");
    let origin = TestOrigin::start().await;
    let ca = CertificateAuthority::new("broken-off");
    origin.add(&ca);
    let large = |number| ca.crl_of(number, 100_000);
    origin.answer("broken-off", Answer::crl(large(1)));
    let edge = Start::new(&origin.url()).script(&script).start().await;
    for _ in 0..20 {
        // Dropping the answer closes its connection after the first bytes of some megabytes.
        let mut answer = edge.get("/crl/broken-off.pem").await;
        assert_eq!(answer.status(), 200);
        assert!(answer.chunk().await.unwrap().is_some());
    }
    origin.answer("broken-off", Answer::crl(large(2)));
    assert_eq!(edge.refresh("broken-off").await.status(), 200);
    until(|| async {
        // A refresh is what sweeps.
        edge.refresh("broken-off").await;
        edge.object().query("SELECT id FROM body").len() == 1
    })
    .await;
}

async fn edge_by_script(script: &str, id: &str) -> (TestOrigin, Edge, Vec<u8>) {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts");
    let (origin, edge) = edge_with(id, |start| start.script(&scripts.join(script))).await;
    let der = CertificateAuthority::new(id).crl(1);
    origin.answer(id, Answer::crl(der.clone()));
    (origin, edge, der)
}

async fn assert_served(edge: &Edge, path: &str, der: &[u8]) {
    let response = edge.get(path).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.content_length(), Some(der.len() as u64));
    assert_eq!(sha256(&response.bytes().await.unwrap()), sha256(der));
}

suite!(
    Nothing;
    a_crl_of_many_megabytes_is_served_whole_by_kv_and_by_the_object,
    with_kv_lost_and_the_origin_down_the_object_serves,
    a_crl_lost_from_kv_is_published_again_unnoticed_by_clients,
    a_kv_that_reverted_is_repaired_by_the_next_tick,
    altered_bytes_in_kv_are_not_served,
    with_kv_failing_the_object_serves,
    with_kv_hanging_the_object_serves,
    a_broken_instance_is_replaced_before_the_next_request,
    after_a_panic_the_next_crl_is_seen_at_once_and_answers_are_replayed_again,
    a_crl_that_is_valid_to_the_last_date_is_served_and_refreshed,
    a_body_that_clients_broke_off_is_swept_once_it_is_replaced,
    what_clients_get_is_reported_once_a_minute,
    events_survive_an_outage_of_d1_and_are_written_once,
    a_crl_is_refreshed_before_it_expires_without_cron,
    the_origins_retry_after_is_respected,
    ticks_that_overlap_ask_the_origin_once,
);
