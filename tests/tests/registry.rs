//! The registry of issuers: it is read from the origin page by page and rarely, and unknown issuers
//! cost nothing.

use std::fs;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use end_to_end::certificate_authority::time;
use end_to_end::database::Event;
use end_to_end::suite::until;
use end_to_end::{Answer, CertificateAuthority, Edge, Start, TestOrigin, World, suite};
use reqwest::Method;
use tokio::task::JoinSet;
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

async fn unknown_ids_cause_no_origin_call_however_many_are_requested(_: Arc<Nothing>) {
    let (origin, edge) =
        edge_with(&["known"], |start| start.var("REGISTRY_TTL_SECONDS", "60")).await;
    let edge = Arc::new(edge);
    assert_eq!(edge.get("/crl/known.crl").await.status(), 200);
    let before = (origin.pages_read(), origin.lookups());

    let mut crowd = JoinSet::new();
    for number in 0..200 {
        let edge = Arc::clone(&edge);
        crowd.spawn(async move {
            edge.get(&format!("/crl/unknown-{number}.crl"))
                .await
                .status()
        });
    }

    assert!(crowd.join_all().await.iter().all(|status| *status == 404));
    assert_eq!((origin.pages_read(), origin.lookups()), before);
    let objects = fs::read_dir(edge.state().join("v3/do/crl-edge-IssuerObject")).unwrap();
    let objects = objects
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.ends_with(".sqlite") && name != "metadata.sqlite")
        .count();
    assert_eq!(objects, 1, "one object, for the one known issuer");
    let rows = edge
        .database()
        .query("SELECT id FROM crl_generation_events WHERE issuer_id LIKE 'unknown%'");
    assert!(rows.is_empty());
}

async fn concurrent_requests_read_a_cold_registry_once(_: Arc<Nothing>) {
    let (origin, edge) = edge_with(&["a", "b", "c"], |start| {
        start.var("REGISTRY_TTL_SECONDS", "60")
    })
    .await;
    let edge = Arc::new(edge);
    let mut crowd = JoinSet::new();
    for number in 0..60 {
        let edge = Arc::clone(&edge);
        let id = ["a", "b", "c"][number % 3];
        crowd.spawn(async move { edge.get(&format!("/crl/{id}.crl")).await.status() });
    }
    assert!(crowd.join_all().await.iter().all(|status| *status == 200));
    assert_eq!(origin.pages_read(), [""]);
}

async fn a_new_issuer_is_served_within_the_registry_ttl(_: Arc<Nothing>) {
    let (origin, edge) = edge_with(&["old"], |start| start).await;
    assert_eq!(edge.get("/crl/old.crl").await.status(), 200);
    assert_eq!(edge.get("/crl/new.crl").await.status(), 404);

    origin.add(&CertificateAuthority::new("new"));
    // The TTL of one second, and one more for the request that finds the registry out of date.
    for _ in 0..40 {
        if edge.get("/crl/new.crl").await.status() == 200 {
            return;
        }
        sleep(Duration::from_millis(100)).await;
    }
    panic!("not served four seconds later");
}

async fn a_new_crl_of_a_known_issuer_is_requested_within_the_registry_ttl(_: Arc<Nothing>) {
    let (origin, edge) = edge_with(&[], |start| start).await;
    let ca = CertificateAuthority::new("growing");
    let crls = ca.clone();
    origin.register(ca.record(&["full"]));
    let answer = move |_: &_| Answer::crl(crls.crl(1));
    origin.on_call("growing", answer.clone());
    assert_eq!(edge.get("/crl/growing.crl").await.status(), 200);
    assert_eq!(edge.get("/crl/growing/shard-0.crl").await.status(), 404);

    origin.register(ca.record(&["full", "shard-0"]));
    origin.on_call("growing", answer);
    for _ in 0..40 {
        // The CRL is refused as the wrong one. The test only shows that the edge asked for it.
        if edge.get("/crl/growing/shard-0.crl").await.status() == 503 {
            return;
        }
        sleep(Duration::from_millis(100)).await;
    }
    panic!("not asked for four seconds later");
}

async fn a_removed_issuer_is_served_while_its_crl_is_valid(_: Arc<Nothing>) {
    let (origin, edge) = edge_with(&["gone", "staying"], |start| start).await;
    let before = edge.get("/crl/gone.crl").await.bytes().await.unwrap();
    origin.remove("gone");
    sleep(Duration::from_secs(2)).await;
    assert_eq!(edge.tick().await.status(), 200);

    let after = edge.get("/crl/gone.crl").await;
    assert_eq!(after.status(), 200);
    assert_eq!(after.bytes().await.unwrap(), before);
}

async fn an_issuer_that_is_gone_is_removed_by_itself_and_comes_back_no_older(_: Arc<Nothing>) {
    let (origin, edge) = edge_with(&[], |start| start).await;
    let ca = CertificateAuthority::new("gone");
    origin.add(&ca);
    let soon = |number| {
        ca.crl_with(number, |tbs| {
            tbs.next_update = Some(time(SystemTime::now() + Duration::from_secs(8)));
        })
    };
    let first = soon(7);
    origin.answer("gone", Answer::crl(first.clone()));
    assert_eq!(served(&edge, "/crl/gone.crl").await, first);
    until(|| async { edge.kv().value("crl/gone/full").is_some() }).await;
    let expired = edge.kv().value("crl/gone/full").unwrap();
    origin.remove("gone");
    sleep(Duration::from_secs(1)).await;
    // The object sees that the origin does not know the issuer, and asks the registry.
    assert_eq!(edge.refresh("gone").await.status(), 502);

    let rows = || {
        let object = edge.object().query("SELECT id FROM body").len();
        let tables = ["crl_status", "crl_refresh_counts"].map(|table| {
            let sql = format!("SELECT 1 AS one FROM {table} WHERE issuer_id = 'gone'");
            edge.database().query(&sql).len()
        });
        object + tables.iter().sum::<usize>()
    };
    until(|| async { edge.kv().value("crl/gone/full").is_none() && rows() == 0 }).await;
    let events = edge.database().events("gone").len();
    let lookups = origin.lookups();
    // KV may still show an old copy somewhere.
    edge.kv().put("crl/gone/full", &expired);
    sleep(Duration::from_secs(3)).await;
    for _ in 0..5 {
        assert_eq!(edge.get("/crl/gone.crl").await.status(), 404);
    }
    assert_eq!(origin.lookups(), lookups);
    assert_eq!(edge.database().events("gone").len(), events);
    let unknown = edge.operate(Method::GET, "/v1/issuers/gone").await;
    assert_eq!(unknown.status(), 404);

    origin.add(&ca);
    origin.answer("gone", Answer::crl(ca.crl(6)));
    until(|| async { edge.refresh("gone").await.status() == 502 }).await;
    let database = edge.database();
    let is_refused = |event: &Event| event.error_code.as_deref() == Some("number_regressed");
    database.event_when("gone", is_refused).await;
    let newer = ca.crl(8);
    origin.answer("gone", Answer::crl(newer.clone()));
    assert_eq!(edge.refresh("gone").await.status(), 200);
    until(|| async { served(&edge, "/crl/gone.crl").await == newer }).await;
}

async fn an_operator_retires_a_withdrawn_name_and_confirms_that_the_registry_shrank(
    _: Arc<Nothing>,
) {
    let ids: Vec<_> = (0..10).map(|number| format!("ca-{number}")).collect();
    let ids: Vec<_> = ids.iter().map(String::as_str).collect();
    let (origin, edge) = edge_with(&ids, |start| start).await;
    assert_eq!(edge.get("/crl/ca-0.crl").await.status(), 200);
    let retire = |path| edge.operate(Method::DELETE, path);
    assert_eq!(retire("/v1/issuers/ca-0").await.status(), 409);
    origin.register(CertificateAuthority::new("ca-0").record(&["shard-0"]));
    let retired = || async { retire("/v1/issuers/ca-0/crls/full").await.status() == 200 };
    until(retired).await;
    assert!(edge.kv().value("crl/ca-0/full").is_none());

    for id in &ids[4..] {
        origin.remove(id);
    }
    let metrics = || async {
        let metrics = edge.operate(Method::GET, "/metrics").await;
        metrics.text().await.unwrap()
    };
    let held = "crl_edge_registry_vanished_issuers 6";
    until(|| async { metrics().await.contains(held) }).await;
    assert!(metrics().await.contains("crl_edge_issuers_gone 0"));
    assert_eq!(retire("/v1/issuers/ca-9").await.status(), 409);
    let confirm = || edge.operate(Method::POST, "/v1/registry/confirm");
    let confirmed: serde_json::Value = confirm().await.json().await.unwrap();
    assert_eq!(confirmed["gone"], 6);
    assert_eq!(confirm().await.status(), 409);
    until(|| async { retire("/v1/issuers/ca-9").await.status() == 200 }).await;
}

async fn a_withdrawn_crl_that_kv_lost_is_served_until_it_is_retired(_: Arc<Nothing>) {
    let (origin, edge) = edge_with(&[], |start| start).await;
    let ca = CertificateAuthority::new("shrinking");
    origin.register(ca.record(&["full", "shard-0"]));
    let crl = ca.crl(1);
    origin.answer("shrinking", Answer::crl(crl.clone()));
    assert_eq!(served(&edge, "/crl/shrinking.crl").await, crl);
    until(|| async { edge.kv().value("crl/shrinking/full").is_some() }).await;
    origin.register(ca.record(&["shard-0"]));
    let pages = origin.pages_read().len();
    // Names that the index does not have make the edge read it again.
    let made_up = || async {
        let status = edge.get("/crl/shrinking/shard-7.crl").await.status();
        assert_eq!(status, 404);
        origin.pages_read().len() > pages
    };
    until(made_up).await;
    edge.database().events_when("shrinking", 1).await;

    edge.kv().remove("crl/shrinking/full");
    let from_object = || async {
        let answer = edge.get("/crl/shrinking.crl").await;
        assert_eq!(answer.status(), 200);
        let is_from_object = answer.headers()["cache-status"] == "crl-edge-kv; fwd=miss";
        assert_eq!(answer.bytes().await.unwrap(), crl);
        is_from_object
    };
    until(from_object).await;

    let retire = || edge.operate(Method::DELETE, "/v1/issuers/shrinking/crls/full");
    until(|| async { retire().await.status() == 200 }).await;
    until(|| async { edge.get("/crl/shrinking.crl").await.status() == 404 }).await;
    assert_eq!(edge.get("/crl/shrinking/shard-7.crl").await.status(), 404);
    assert_eq!(edge.database().events("shrinking").len(), 1);
    assert!(edge.kv().value("crl/shrinking/full").is_none());
}

async fn operators_read_what_is_held_after_it_has_expired(_: Arc<Nothing>) {
    let (origin, edge) = edge_with(&["expiring"], |start| start).await;
    let ca = CertificateAuthority::new("expiring");
    let crl = ca.crl_with(3, |tbs| {
        tbs.next_update = Some(time(SystemTime::now() + Duration::from_secs(15)));
    });
    origin.answer("expiring", Answer::crl(crl.clone()));
    assert_eq!(edge.refresh("expiring").await.status(), 200);
    // As after a restore, until somebody has recovered.
    origin.answer("expiring", Answer::status(503));
    let is_over = || async { edge.get("/crl/expiring.crl").await.status() == 503 };
    until(is_over).await;

    let held = "/v1/issuers/expiring/crls/full";
    let read = edge.operate(Method::GET, held).await;
    assert_eq!(read.status(), 200);
    assert_eq!(read.headers()["content-type"], "application/pkix-crl");
    assert_eq!(read.headers()["cache-control"], "no-store");
    assert_eq!(read.headers()["crl-number"], "3");
    assert_eq!(read.bytes().await.unwrap(), crl);
    assert_eq!(edge.get(held).await.status(), 401);
    let unknown = "/v1/issuers/unknown/crls/full";
    let unknown = edge.operate(Method::GET, unknown).await;
    assert_eq!(unknown.status(), 404);
}

async fn a_changed_certificate_is_reported_at_once_even_if_the_record_is_fresh(_: Arc<Nothing>) {
    let (origin, edge) = edge_with(&["rekeyed"], |start| {
        start.var("REGISTRY_TTL_SECONDS", "3600")
    })
    .await;
    let old = served(&edge, "/crl/rekeyed.crl").await;
    assert_eq!(origin.lookups(), 1);

    let rekeyed = CertificateAuthority::new("rekeyed").rekeyed();
    origin.add(&rekeyed);
    let newer = rekeyed.crl(2);
    origin.answer("rekeyed", Answer::crl(newer.clone()));
    let refreshed = edge.refresh("rekeyed").await;

    let body: serde_json::Value = refreshed.json().await.unwrap();
    assert_eq!(body["events"][0]["error_code"], "issuer_changed", "{body}");
    assert_eq!(origin.lookups(), 2);
    assert_eq!(served(&edge, "/crl/rekeyed.crl").await, old);
    let issuer = edge.operate(Method::GET, "/v1/issuers/rekeyed").await;
    let issuer: serde_json::Value = issuer.json().await.unwrap();
    let waiting = issuer["waiting_certificate_sha256"].as_str().unwrap();
    let trusted = edge.trust("rekeyed", waiting).await;
    assert_eq!(trusted.status(), 200);
    until(|| async { served(&edge, "/crl/rekeyed.crl").await == newer }).await;
}

async fn the_registry_is_read_page_by_page(_: Arc<Nothing>) {
    let ids = (0..7)
        .map(|number| format!("issuer-{number}"))
        .collect::<Vec<_>>();
    let (origin, edge) = edge_with(
        &ids.iter().map(String::as_str).collect::<Vec<_>>(),
        |start| start,
    )
    .await;
    origin.limit_pages(2);

    assert_eq!(edge.tick().await.status(), 200);

    for id in &ids {
        assert_eq!(
            edge.database().events_when(id, 1).await[0].outcome,
            "published",
            "{id}"
        );
    }
    assert_eq!(
        origin.pages_read(),
        ["", "issuer-1", "issuer-3", "issuer-5"]
    );
}

async fn known_issuers_are_served_while_the_registry_fails(_: Arc<Nothing>) {
    let (origin, edge) = edge_with(&["known"], |start| start).await;
    assert_eq!(edge.get("/crl/known.crl").await.status(), 200);
    origin.on_registry(|| Some(Answer::status(500)));
    sleep(Duration::from_secs(2)).await;
    assert_eq!(edge.get("/crl/known.crl").await.status(), 200);
    assert_eq!(edge.get("/crl/unknown.crl").await.status(), 404);
    assert_eq!(edge.refresh("known").await.status(), 200);
}

async fn crls_published_elsewhere_are_one_skipped_row_each_without_failure(_: Arc<Nothing>) {
    let (origin, edge) = edge_with(&["no-content"], |start| start).await;
    origin.answer("no-content", Answer::status(204));
    let elsewhere = CertificateAuthority::new("elsewhere");
    origin.register(elsewhere.record::<&str>(&[]));
    let sharded = CertificateAuthority::new("sharded");
    origin.register(sharded.record(&["full", "delta", "shard-0"]));
    origin.answer("sharded", Answer::status(204));

    // A repeated skip is no row; each CRL name has one of its own.
    for _ in 0..2 {
        assert_eq!(edge.tick().await.status(), 200);
        for (id, rows) in [("no-content", 1), ("elsewhere", 1), ("sharded", 3)] {
            let events = edge.database().events_when(id, rows).await;
            assert_eq!(events.len(), rows, "{id}: {events:#?}");
            assert!(
                events
                    .iter()
                    .all(|event| event.outcome == "skipped" && event.succeeded),
                "{events:#?}"
            );
        }
    }
    assert_eq!(edge.get("/crl/elsewhere.crl").await.status(), 404);
}

async fn each_crl_name_of_an_issuer_is_served_separately(_: Arc<Nothing>) {
    let (origin, edge) = edge_with(&[], |start| start).await;
    let ca = CertificateAuthority::new("sharded");
    origin.register(ca.record(&["full", "shard-0", "shard-1"]));
    let signer = ca.clone();
    origin.on_call("sharded", move |call| {
        let number = match call.name.as_str() {
            "full" => 10,
            "shard-0" => 20,
            _ => 30,
        };
        Answer::crl(signer.scoped_crl(&call.name, number, |_| ()))
    });

    let refreshed = edge.refresh("sharded").await;

    let body: serde_json::Value = refreshed.json().await.unwrap();
    let events = body["events"].as_array().unwrap();
    assert!(
        events.iter().all(|event| event["outcome"] == "published"),
        "{body}"
    );
    assert_eq!(events.len(), 3);
    for (path, number) in [
        ("/crl/sharded.crl", "10"),
        ("/crl/sharded/full.crl", "10"),
        ("/crl/sharded/shard-0.crl", "20"),
        ("/crl/sharded/shard-1.crl", "30"),
    ] {
        let response = edge.get(path).await;
        assert_eq!(response.status(), 200, "{path}");
        assert_eq!(response.headers()["crl-number"], number, "{path}");
    }
    assert_eq!(edge.get("/crl/sharded/shard-2.crl").await.status(), 404);
    assert_eq!(origin.calls("sharded").len(), 3);
}

async fn a_record_that_is_too_large_is_refused(_: Arc<Nothing>) {
    let (origin, edge) = edge_with(&["small"], |start| start).await;
    let names: Vec<_> = (0..20_000).map(|shard| format!("shard-{shard}")).collect();
    origin.register(CertificateAuthority::new("huge").record(&names));
    let refreshed = edge.refresh("huge").await;
    let body: serde_json::Value = refreshed.json().await.unwrap();
    assert_eq!(body["events"][0]["error_code"], "malformed_record");
    assert_eq!(edge.get("/crl/small.crl").await.status(), 200);
}

async fn edge_with(ids: &[&str], set: impl FnOnce(Start) -> Start) -> (TestOrigin, Edge) {
    let origin = TestOrigin::start().await;
    for id in ids {
        origin.add(&CertificateAuthority::new(id));
    }
    let edge = set(Start::new(&origin.url())).start().await;
    (origin, edge)
}

async fn served(edge: &Edge, path: &str) -> Vec<u8> {
    let response = edge.get(path).await;
    assert_eq!(response.status(), 200);
    response.bytes().await.unwrap().to_vec()
}

suite!(
    Nothing;
    unknown_ids_cause_no_origin_call_however_many_are_requested,
    concurrent_requests_read_a_cold_registry_once,
    a_new_issuer_is_served_within_the_registry_ttl,
    a_new_crl_of_a_known_issuer_is_requested_within_the_registry_ttl,
    a_removed_issuer_is_served_while_its_crl_is_valid,
    an_issuer_that_is_gone_is_removed_by_itself_and_comes_back_no_older,
    an_operator_retires_a_withdrawn_name_and_confirms_that_the_registry_shrank,
    a_withdrawn_crl_that_kv_lost_is_served_until_it_is_retired,
    operators_read_what_is_held_after_it_has_expired,
    a_changed_certificate_is_reported_at_once_even_if_the_record_is_fresh,
    the_registry_is_read_page_by_page,
    known_issuers_are_served_while_the_registry_fails,
    crls_published_elsewhere_are_one_skipped_row_each_without_failure,
    each_crl_name_of_an_issuer_is_served_separately,
    a_record_that_is_too_large_is_refused,
);
