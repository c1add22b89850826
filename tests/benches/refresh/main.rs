//! What a refresh costs: time and wasm memory by the size of the CRL, a crowd on a cold issuer, a tick over many issuers.
//! `cargo xtask bench refresh`

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use end_to_end::{
    Answer, CertificateAuthority, Edge, Start, TestOrigin, certificate_authority::revoked,
    edge::ORIGIN_TOKEN, test_origin::sha256,
};
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
    let (origin, edge) = start().await;
    let der = CertificateAuthority::new("cold").crl(1);
    origin.add(&CertificateAuthority::new("cold"));
    origin.answer(
        "cold",
        Answer::crl(der.clone()).after(Duration::from_secs(2)),
    );
    let edge = Arc::new(edge);
    let started = Instant::now();
    let mut crowd = JoinSet::new();
    for _ in 0..clients {
        let edge = Arc::clone(&edge);
        crowd.spawn(async move {
            let sent = edge
                .request(reqwest::Method::GET, "/crl/cold.crl")
                .send()
                .await;
            match sent {
                Ok(response) if response.status() == 200 => response.bytes().await.ok(),
                _ => None,
            }
        });
    }
    let served = crowd
        .join_all()
        .await
        .into_iter()
        .filter(|body| body.as_deref() == Some(&der))
        .count();
    println!(
        "\n{clients} at once on a cold issuer whose origin takes 2 s: {served} served, {} call of the origin, {:.1} s",
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
    let status = edge.tick().await.status();
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
