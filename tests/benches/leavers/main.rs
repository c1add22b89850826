//! Clients that leave: the memory of workerd and the time of `/healthz` while 20,000 of them ask
//! for a cold issuer whose origin is slow, and while 1,000 break off a large PEM.

use std::fs;
use std::time::{Duration, Instant};

use end_to_end::certificate_authority::revoked;
use end_to_end::edge::ORIGIN_TOKEN;
use end_to_end::workerd::{Worker, Workerd};
use end_to_end::{Answer, CertificateAuthority, TestOrigin};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// How many clients ask at the same time.
const AT_ONCE: usize = 500;
/// How long each of them stays.
const STAY: Duration = Duration::from_millis(50);
/// How long the origin takes, before it fails.
const ORIGINS_TIME: Duration = Duration::from_millis(3_500);

/// How a client leaves.
#[derive(Clone, Copy, Debug)]
enum Departure {
    /// It resets the connection, as a proxy does: the runtime sees it.
    Reset,
    /// It closes its side of the connection: the runtime sees nothing.
    Close,
}

#[tokio::main]
async fn main() {
    let origin = TestOrigin::start().await;
    for id in ["slow", "large"] {
        origin.add(&CertificateAuthority::new(id));
    }
    origin.answer("slow", Answer::status(500).after(ORIGINS_TIME));
    let large = CertificateAuthority::new("large").crl_with(1, |tbs| {
        tbs.revoked_certificates = Some(revoked(200_000));
    });
    origin.answer("large", Answer::crl(large));
    let state = tempfile::TempDir::new().expect("a temporary folder");
    let url = origin.url();
    let vars = [("ORIGIN_URL", url.as_str()), ("ORIGIN_TOKEN", ORIGIN_TOKEN)];
    let edge = Workerd::start(&Worker::Edge, state.path(), &vars);
    let client = end_to_end::client().build().expect("an HTTP client");
    let ready = client.get(edge.url("/crl/large.crl")).send().await;
    assert_eq!(ready.expect("an answer").status(), 200);
    println!(
        "at first:                            {}",
        figures(&edge).await
    );

    for departure in [Departure::Reset, Departure::Close] {
        let mut slowest = Duration::ZERO;
        for wave in 1..=20_000 / AT_ONCE {
            let mut leavers = JoinSet::new();
            for _ in 0..AT_ONCE {
                leavers.spawn(leave(edge.port(), "/crl/slow.crl", departure, STAY));
            }
            slowest = slowest.max(health(&edge).await);
            leavers.join_all().await;
            if wave % 10 == 0 {
                println!("{:>6} leavers: {} MB", wave * AT_ONCE, megabytes(&edge));
            }
        }
        println!(
            "20,000 leavers by {departure:?}: at worst /healthz in {} ms; {}",
            slowest.as_millis(),
            figures(&edge).await
        );
    }
    sleep(Duration::from_secs(35)).await;
    println!(
        "35 s later:                          {}",
        figures(&edge).await
    );
    for departure in [Departure::Reset, Departure::Close] {
        for _ in 0..1_000 / 20 {
            let mut leavers = JoinSet::new();
            for _ in 0..20 {
                leavers.spawn(leave(edge.port(), "/crl/large.pem", departure, STAY));
            }
            leavers.join_all().await;
        }
        println!(
            "1,000 aborted PEMs by {departure:?}: {}",
            figures(&edge).await
        );
    }
}

/// Asks for a path, reads what comes at once, and leaves.
async fn leave(port: u16, path: &str, departure: Departure, stay: Duration) {
    let Ok(mut connection) = TcpStream::connect(("127.0.0.1", port)).await else {
        return;
    };
    if matches!(departure, Departure::Reset) {
        connection.set_zero_linger().expect("a socket's option");
    }
    let request = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n");
    let _ = connection.write_all(request.as_bytes()).await;
    let mut beginning = [0; 16_384];
    let _ = tokio::time::timeout(stay, connection.read(&mut beginning)).await;
}

/// The memory of workerd, and how long `/healthz` takes.
async fn figures(edge: &Workerd) -> String {
    let health = health(edge).await;
    format!(
        "{} MB, /healthz in {} ms",
        megabytes(edge),
        health.as_millis()
    )
}

async fn health(edge: &Workerd) -> Duration {
    let client = end_to_end::client().build().expect("an HTTP client");
    let started = Instant::now();
    let answer = client.get(edge.url("/healthz")).send().await;
    assert_eq!(answer.expect("an answer").status(), 200);
    started.elapsed()
}

/// The resident memory of the runtime's child, which is workerd.
fn megabytes(edge: &Workerd) -> u64 {
    let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", edge.process()));
    let children = children.expect("the children of a process");
    let kilobytes = children.split_whitespace().map(|child| {
        let status = fs::read_to_string(format!("/proc/{child}/status")).unwrap_or_default();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let resident = resident.and_then(|line| line.split_whitespace().next()?.parse().ok());
        resident.unwrap_or(0_u64)
    });
    kilobytes.max().unwrap_or(0) / 1024
}
