//! The cost of operators' answers with 1,000 issuers and 200,000 events: time, size, and the rows
//! that D1 reads. Run it with `cargo xtask bench operators`.

use std::time::{Duration, Instant};

use end_to_end::edge::OPERATOR_TOKEN;
use end_to_end::{CertificateAuthority, Start, TestOrigin};
use reqwest::Method;

/// An unused id in the middle of the period that the events cover.
const MIDDLE: &str = "018bcfe5-6800-7000-8000-ffffffffffff";
/// Requests for each answer.
const TIMES: usize = 9;

#[tokio::main]
async fn main() {
    let origin = TestOrigin::start().await;
    for number in 0..1000 {
        origin.add(&CertificateAuthority::new(&format!("issuer-{number:04}")));
    }
    let edge = Start::new(&origin.url()).start().await;
    let database = edge.database();
    database.execute(include_str!("../../../edge/src/tables/testing/large.sql"));
    assert_eq!(edge.refresh("issuer-0007").await.status(), 200);
    let middle = database.query(
        "SELECT started_at FROM crl_generation_events ORDER BY started_at LIMIT 1 OFFSET 100000",
    );
    let rusqlite::types::Value::Text(middle) = &middle[0]["started_at"] else {
        panic!("{middle:?}")
    };

    println!("1,000 issuers, 200,000 events; wrangler's proxy in front; median of {TIMES}");
    println!("{:>9} {:>10} {:>12}", "median", "size", "D1 rows read");
    for path in [
        "/dashboard",
        "/dashboard?state=failing",
        "/dashboard?page=20",
        "/dashboard/issuers/issuer-0007",
        "/dashboard/events",
        "/dashboard/events?issuer=issuer-0400&outcome=failed",
        "/v1/issuers/issuer-0007",
        "/v1/issuers?limit=100",
        "/v1/issuers",
        "/v1/issuers?state=failing",
        "/v1/events",
        "/v1/events?outcome=rejected",
        "/v1/events?issuer=issuer-0007&outcome=published",
        &format!("/v1/events?cursor={middle}~{MIDDLE}"),
        "/v1/events?trigger=hook&outcome=failed",
        "/metrics",
        "/metrics?limit=2000",
    ] {
        let mut took = Vec::new();
        let (mut size, mut rows) = (0, String::new());
        for _ in 0..TIMES {
            let started = Instant::now();
            let answer = edge.operate(Method::GET, path).await;
            assert_eq!(answer.status(), 200, "{path}");
            rows = answer.headers().get("d1-rows-read").map_or_else(
                || "0".to_owned(),
                |rows| rows.to_str().unwrap_or("?").to_owned(),
            );
            size = answer.bytes().await.expect("a body").len();
            took.push(started.elapsed());
        }
        took.sort_unstable();
        println!(
            "{:>6.0} ms {:>7} kB {rows:>12}  {path}",
            milliseconds(took[TIMES / 2]),
            size / 1000
        );
    }

    let started = Instant::now();
    let request = edge
        .request(Method::GET, "/v1/events")
        .bearer_auth(OPERATOR_TOKEN)
        .header("accept", "text/csv");
    let answer = request.send().await.expect("an answer");
    let lines = answer.text().await.expect("lines").lines().count();
    println!(
        "\nall events as text/csv: {lines} lines in {:.1} s",
        started.elapsed().as_secs_f64()
    );
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
