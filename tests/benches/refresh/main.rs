//! What a refresh costs: time and wasm memory by the size of the CRL, a crowd on a cold issuer, a tick over many issuers.
//! `cargo xtask bench refresh`

use std::{
    path::Path,
    time::{Duration, Instant},
};

use end_to_end::{
    Answer, CertificateAuthority, Edge, Start, TestOrigin,
    certificate_authority::revoked,
    edge::ORIGIN_TOKEN,
    test_origin::sha256,
    workerd::{Worker, Workerd},
};
use tempfile::TempDir;
use tokio::task::JoinSet;

#[tokio::main]
async fn main() {
    println!("a whole refresh, beside fetching and hashing alone (best of 3)");
    println!(
        "{:>10} {:>10} {:>10} {:>7} {:>14}",
        "CRL", "refresh", "hash", "ratio", "wasm memory"
    );
    for entries in [1_000, 510_000, 2_040_000] {
        refresh(entries).await;
    }
    crowd(10_000).await;
    tick(1_000, Duration::from_millis(50)).await;
}

async fn refresh(entries: u32) {
    let (origin, edge) = start().await;
    let ca = CertificateAuthority::new("large");
    origin.add(&ca);
    let entries = revoked(entries);
    let (mut whole, mut hash) = (Duration::MAX, Duration::MAX);
    let mut size = 0;
    for number in 1..=3 {
        let der = ca.crl_with(number, |tbs| {
            tbs.revoked_certificates = Some(entries.clone());
        });
        size = der.len();
        let expected = sha256(&der);
        origin.answer("large", Answer::crl(der));

        let url = format!("{}/v1/issuers/large/crls/full", origin.url());
        let started = Instant::now();
        let hashed = edge
            .request(reqwest::Method::GET, &format!("/bench/hash?url={url}"))
            .bearer_auth(ORIGIN_TOKEN);
        assert_eq!(hashed.send().await.unwrap().text().await.unwrap(), expected);
        hash = hash.min(started.elapsed());

        let started = Instant::now();
        assert_eq!(edge.refresh("large").await.status(), 200);
        whole = whole.min(started.elapsed());
        let served = edge.get("/crl/large.crl").await.bytes().await.unwrap();
        assert_eq!(sha256(&served), expected);
    }
    let memory: usize = edge
        .get("/bench/wasm-memory")
        .await
        .text()
        .await
        .unwrap()
        .parse()
        .unwrap();
    println!(
        "{:>7.2} MB {:>7.0} ms {:>7.0} ms {:>7.1} {:>10.1} MiB",
        megabytes(size),
        milliseconds(whole),
        milliseconds(hash),
        milliseconds(whole) / milliseconds(hash),
        mebibytes(memory),
    );
}

async fn crowd(clients: usize) {
    let origins_time = Duration::from_secs(10);
    let origin = TestOrigin::start().await;
    let ca = CertificateAuthority::new("cold");
    let der = ca.crl(1);
    origin.add(&ca);
    origin.answer("cold", Answer::crl(der.clone()).after(origins_time));
    let state = TempDir::new().expect("a temporary folder");
    let url = origin.url();
    let vars = [("ORIGIN_URL", url.as_str()), ("ORIGIN_TOKEN", ORIGIN_TOKEN)];
    // Not behind wrangler's proxy, which has too few sockets for this.
    let edge = Workerd::start(&Worker::Edge, state.path(), &vars);
    let client = end_to_end::client().build().expect("a client");

    let started = Instant::now();
    let mut crowd = JoinSet::new();
    for _ in 0..clients {
        let request = client.get(edge.url("/crl/cold.crl"));
        crowd.spawn(async move { request.send().await.ok()?.bytes().await.ok() });
    }
    let served = crowd
        .join_all()
        .await
        .into_iter()
        .filter(|body| body.as_deref() == Some(&der))
        .count();
    println!(
        "\n{clients} at once on a cold issuer whose origin takes {origins_time:?}: {served} served, {} call of the origin, {:.1} s",
        origin.calls("cold").len(),
        started.elapsed().as_secs_f64()
    );
}

async fn tick(issuers: u32, origins_time: Duration) {
    let (origin, edge) = start().await;
    for number in 0..issuers {
        let ca = CertificateAuthority::new(&format!("issuer-{number}"));
        origin.add(&ca);
        origin.answer(ca.id(), Answer::crl(ca.crl(1)).after(origins_time));
    }
    let started = Instant::now();
    let tick = edge
        .request(reqwest::Method::GET, "/cdn-cgi/handler/scheduled")
        .timeout(Duration::from_mins(30));
    let status = tick.send().await.expect("an answer").status();
    let took = started.elapsed();
    let refreshed = (0..issuers)
        .filter(|number| origin.calls(&format!("issuer-{number}")).len() == 1)
        .count();
    println!(
        "\na tick over {issuers} issuers whose origin takes {origins_time:?} each: {status}, {refreshed} refreshed in {:.1} s; six at once without any cost: {:.1} s",
        took.as_secs_f64(),
        (origins_time * issuers / 6).as_secs_f64()
    );
}

async fn start() -> (TestOrigin, Edge) {
    let origin = TestOrigin::start().await;
    let probe = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/refresh/probe.js");
    let edge = Start::new(&origin.url())
        .var("ORIGIN_TIMEOUT_MS", "120000")
        .var("MAX_CRL_BYTES", "268435456")
        .script(&probe)
        .start()
        .await;
    (origin, edge)
}

#[expect(clippy::cast_precision_loss, reason = "shown with two digits")]
fn megabytes(bytes: usize) -> f64 {
    bytes as f64 / 1e6
}

#[expect(clippy::cast_precision_loss, reason = "shown with one digit")]
fn mebibytes(bytes: usize) -> f64 {
    bytes as f64 / 1_048_576.0
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
