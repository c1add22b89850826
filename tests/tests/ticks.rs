//! The cron trigger: it refreshes every issuer, each refresh leaves a row, and one broken issuer
//! does not affect the others. An operator's refresh of all issuers is a job.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use end_to_end::suite::until;
use end_to_end::{Answer, CertificateAuthority, Edge, Start, TestOrigin, World, suite, xtask};
use reqwest::Method;
use serde_json::Value;

struct Shared {
    origin: TestOrigin,
    edge: Edge,
}

impl World for Shared {
    async fn start() -> Self {
        let origin = TestOrigin::start().await;
        let edge = Start::new(&origin.url()).start().await;
        Self { origin, edge }
    }

    fn log(&self) -> String {
        self.edge.log()
    }
}

const GOOD: [&str; 4] = ["a-good", "b-good", "y-good", "z-good"];

async fn a_tick_refreshes_every_issuer_despite_a_broken_one(world: Arc<Shared>) {
    for id in GOOD {
        world.origin.add(&CertificateAuthority::new(id));
    }
    world.origin.add(&CertificateAuthority::new("m-broken"));
    world.origin.answer("m-broken", Answer::status(500));

    assert_eq!(world.edge.tick().await.status(), 200);

    let database = world.edge.database();
    for id in GOOD {
        let events = database.events_when(id, 1).await;
        assert_eq!(
            (events[0].trigger.as_str(), events[0].outcome.as_str()),
            ("cron", "published"),
            "{id}"
        );
        assert_eq!(
            world.edge.get(&format!("/crl/{id}.crl")).await.status(),
            200,
            "{id}"
        );
        assert_eq!(world.origin.calls(id).len(), 1, "{id}");
    }
    let broken = database.events_when("m-broken", 1).await;
    assert_eq!(broken[0].outcome, "failed");
    assert_eq!(broken[0].error_code.as_deref(), Some("origin_status"));
    assert!(
        broken[0]
            .error
            .as_ref()
            .is_some_and(|error| error.contains("500")),
        "{broken:?}"
    );

    // Operators read the same rows through wrangler.
    let output = Command::new(xtask())
        .args([
            "wrangler",
            "d1",
            "execute",
            "crl-edge",
            "--local",
            "--json",
            "--persist-to",
        ])
        .arg(world.edge.state())
        .args([
            "--command",
            "SELECT issuer_id, outcome FROM crl_generation_events ORDER BY issuer_id",
        ])
        .output()
        .unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(
        GOOD.iter().all(|id| shown.contains(id)) && shown.contains("m-broken"),
        "{shown}"
    );
}

/// An origin whose 40 issuers each take `delay` for a CRL.
async fn a_tick_removes_rows_that_are_older_than_their_retention(_: Arc<Shared>) {
    let origin = TestOrigin::start().await;
    origin.add(&CertificateAuthority::new("pruned"));
    let edge = Start::new(&origin.url()).start().await;
    let database = edge.database();
    let age = |days: u32| format!("strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-{days} days')");
    for (days, id) in [(401, "old"), (399, "kept")] {
        database.execute(&format!(
            "INSERT INTO operator_actions (id, at, action) VALUES ('{id}', {}, 'trust')",
            age(days)
        ));
    }
    for (days, id) in [(31, "old"), (29, "kept")] {
        database.execute(&format!(
            "INSERT INTO crl_generation_events (id, issuer_id, crl_name, trigger, outcome, \
             succeeded, started_at, duration_ms) \
             VALUES ('{id}', 'pruned', 'full', 'cron', 'published', 1, {}, 1)",
            age(days)
        ));
    }
    assert_eq!(edge.tick().await.status(), 200);
    for table in ["operator_actions", "crl_generation_events"] {
        let count = |id: &str| {
            let sql = format!("SELECT id FROM {table} WHERE id = '{id}'");
            database.query(&sql).len()
        };
        until(async || count("old") == 0).await;
        assert_eq!(count("kept"), 1, "{table}");
    }
}

async fn slow_origin(delay: Duration) -> TestOrigin {
    let origin = TestOrigin::start().await;
    for id in job_ids() {
        let ca = CertificateAuthority::new(&id);
        origin.add(&ca);
        origin.answer(&id, Answer::crl(ca.crl(1)).after(delay));
    }
    origin
}

fn job_ids() -> impl Iterator<Item = String> {
    (0..40).map(|number| format!("job-{number:02}"))
}

async fn job(edge: &Edge) -> Value {
    let answer = edge.operate(Method::GET, "/v1/refresh").await;
    assert_eq!(answer.status(), 200);
    answer.json().await.unwrap()
}

/// The job, once it has asked this many issuers.
async fn job_with(edge: &Edge, issuers: u64) -> Value {
    until(|| async { job(edge).await["summary"]["issuers"].as_u64() >= Some(issuers) }).await;
    job(edge).await
}

async fn finished_job(edge: &Edge) -> Value {
    until(|| async { job(edge).await["state"] == "finished" }).await;
    job(edge).await
}

async fn a_refresh_of_all_issuers_is_a_job_that_its_client_may_leave(_: Arc<Shared>) {
    let origin = slow_origin(Duration::from_millis(100)).await;
    let edge = Start::new(&origin.url()).start().await;
    let none = edge.operate(Method::GET, "/v1/refresh").await;
    assert_eq!(none.status(), 404);

    let begun = edge.operate(Method::POST, "/v1/refresh").await;
    assert_eq!(begun.status(), 202);
    assert_eq!(begun.headers()["location"], "/v1/refresh");
    let begun: Value = begun.json().await.unwrap();
    let running = job_with(&edge, 1).await;
    assert_eq!(running["state"], "running", "{running}");
    assert_eq!(running["id"], begun["id"]);
    let home = edge.operate(Method::GET, "/dashboard").await;
    let home = home.text().await.unwrap();
    assert!(
        home.contains("<progress") && home.contains("of 40 issuers"),
        "{home}"
    );
    // Another request joins the job, and a tick leaves the work to it.
    let joined = edge.operate(Method::POST, "/v1/refresh").await;
    let joined: Value = joined.json().await.unwrap();
    assert_eq!(joined["id"], begun["id"]);
    assert_eq!(edge.tick().await.status(), 200);

    let finished = finished_job(&edge).await;
    assert_eq!(finished["summary"]["issuers"], 40, "{finished}");
    assert_eq!(finished["summary"]["published"], 40, "{finished}");
    for id in job_ids() {
        assert_eq!(origin.calls(&id).len(), 1, "{id}");
        let events = edge.database().events_when(&id, 1).await;
        assert_eq!(events[0].trigger, "operator", "{id}");
    }
    let again = edge.operate(Method::POST, "/v1/refresh").await;
    let again: Value = again.json().await.unwrap();
    assert_ne!(again["id"], begun["id"]);
}

async fn a_job_goes_on_after_the_edge_was_killed(_: Arc<Shared>) {
    let origin = slow_origin(Duration::from_millis(100)).await;
    let edge = Start::new(&origin.url()).start().await;
    let begun = edge.operate(Method::POST, "/v1/refresh").await;
    let begun: Value = begun.json().await.unwrap();
    job_with(&edge, 10).await;
    let edge = edge.kill().start().await;
    let finished = finished_job(&edge).await;
    assert_eq!(finished["id"], begun["id"]);
    assert_eq!(finished["summary"]["issuers"], 40, "{finished}");
    assert_eq!(finished["summary"]["not_reached"], 0, "{finished}");
    let asked_twice: Vec<_> = job_ids().filter(|id| origin.calls(id).len() > 1).collect();
    // Six at once were under way; a commit a moment before the kill may not have been noted.
    assert!(asked_twice.len() <= 12, "{asked_twice:?}");
}

suite!(
    Shared;
    a_tick_refreshes_every_issuer_despite_a_broken_one,
    a_tick_removes_rows_that_are_older_than_their_retention,
    a_refresh_of_all_issuers_is_a_job_that_its_client_may_leave,
    a_job_goes_on_after_the_edge_was_killed,
);
