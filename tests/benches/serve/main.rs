//! What serving costs in workerd itself, without wrangler's proxy: the edge beside a Worker that streams the same value from KV
//! with fixed headers, a Worker that says hello, and nginx with the same file. `cargo xtask bench serve`

mod load;
mod nginx;
mod processor;

use end_to_end::{
    Answer, CertificateAuthority, TestOrigin,
    certificate_authority::revoked,
    edge::{OPERATOR_TOKEN, ORIGIN_TOKEN},
    workerd::{Worker, Workerd},
};
use tempfile::TempDir;

use crate::{
    load::{Load, Measured, Target},
    nginx::Nginx,
};

/// Entries of the CRLs, and how many requests are enough to measure each.
const SIZES: [(&str, u32, usize); 3] = [
    ("5 KB", 100, 20_000),
    ("500 KB", 10_200, 2_000),
    ("20 MB", 408_000, 100),
];

#[tokio::main]
async fn main() {
    let state = TempDir::new().expect("a temporary folder");
    let origin = TestOrigin::start().await;
    let mut crls = Vec::new();
    for (size, entries, requests) in SIZES {
        let id = size.replace(' ', "");
        let ca = CertificateAuthority::new(&id);
        origin.add(&ca);
        let der = ca.crl_with(1, |tbs| tbs.revoked_certificates = Some(revoked(entries)));
        origin.answer(&id, Answer::crl(der.clone()));
        crls.push((size, id, der, requests));
    }

    println!(
        "{:<28} {:>10} {:>9} {:>9} {:>12}",
        "", "requests/s", "p50", "p99", "CPU/request"
    );
    let origin_url = origin.url();
    let vars = [
        ("ORIGIN_URL", origin_url.as_str()),
        ("ORIGIN_TOKEN", ORIGIN_TOKEN),
        ("OPERATOR_TOKEN", OPERATOR_TOKEN),
    ];
    let edge = Workerd::start(&Worker::Edge, state.path(), &vars);
    for (size, id, der, requests) in &crls {
        publish(&edge, id).await;
        let path = format!("/crl/{id}.crl");
        let etag = format!(
            "If-None-Match: \"{}\"",
            end_to_end::test_origin::sha256(der)
        );
        for (kind, load) in [
            ("200", Load::get(&path)),
            ("304", Load::get(&path).header(&etag)),
            ("HEAD", Load::head(&path)),
            ("range", Load::get(&path).header("Range: bytes=1000-2023")),
        ] {
            show(
                &format!("edge {size} {kind}"),
                &load
                    .run(Target::of(edge.port(), edge.process()), *requests)
                    .await,
            );
        }
    }
    drop(edge);

    for (size, id, _, requests) in &crls {
        let key = format!("crl/{id}/full");
        let stream = Workerd::start(&Worker::Stream(&key), state.path(), &[]);
        show(
            &format!("streaming Worker {size}"),
            &Load::get("/")
                .run(Target::of(stream.port(), stream.process()), *requests)
                .await,
        );
    }
    let hello = Workerd::start(&Worker::Hello, state.path(), &[]);
    show(
        "hello Worker",
        &Load::get("/")
            .run(Target::of(hello.port(), hello.process()), 20_000)
            .await,
    );
    drop(hello);

    let Some(nginx) = Nginx::start(
        crls.iter()
            .map(|(_, id, der, _)| (id.as_str(), der.as_slice())),
    ) else {
        println!("skipped: nginx: there is none in PATH or /usr/sbin");
        return;
    };
    for (size, id, _, requests) in &crls {
        let path = format!("/{id}.crl");
        for (kind, load) in [("200", Load::get(&path)), ("HEAD", Load::head(&path))] {
            show(
                &format!("nginx {size} {kind}"),
                &load
                    .run(Target::of(nginx.port(), nginx.process()), *requests)
                    .await,
            );
        }
    }
}

/// Refreshes an issuer, and waits until KV has its CRL.
async fn publish(edge: &Workerd, id: &str) {
    let client = end_to_end::client().build().expect("a client");
    let refresh = client
        .post(edge.url(&format!("/v1/issuers/{id}/refresh")))
        .bearer_auth(OPERATOR_TOKEN);
    assert_eq!(refresh.send().await.expect("an answer").status(), 200);
    for _ in 0..100 {
        let served = client
            .get(edge.url(&format!("/crl/{id}.crl")))
            .send()
            .await
            .expect("an answer");
        let from_kv = served
            .headers()
            .get("cache-status")
            .is_some_and(|status| status.to_str().is_ok_and(|status| status.contains("hit")));
        let _ = served.bytes().await;
        if from_kv {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("KV did not get {id} within ten seconds");
}

fn show(what: &str, measured: &Measured) {
    println!(
        "{what:<28} {:>10.0} {:>6.2} ms {:>6.2} ms {:>9.0} µs",
        measured.per_second,
        measured.p50.as_secs_f64() * 1e3,
        measured.p99.as_secs_f64() * 1e3,
        measured.cpu_per_request.as_secs_f64() * 1e6,
    );
}
