//! Clients that leave: the memory of workerd and the time of `/healthz` while 20,000 of them ask
//! for a cold issuer whose origin is slow, and while 1,000 break off a large PEM. A Worker that
//! does nothing but call a Durable Object that waits as long as the origin shows which part of it
//! is the runtime's.

use std::fs;
use std::time::{Duration, Instant};

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

/// How many clients leave, in which way, for each Worker.
const LEAVERS: usize = 20_000;

#[tokio::main]
async fn main() {
    let origin = TestOrigin::start().await;
    for id in ["slow", "large"] {
        origin.add(&CertificateAuthority::new(id));
    }
    origin.answer("slow", Answer::status(500).after(ORIGINS_TIME));
    let large = CertificateAuthority::new("large").crl_of(1, 200_000);
    origin.answer("large", Answer::crl(large));
    let states = [(); 2].map(|()| tempfile::TempDir::new().expect("a temporary folder"));
    let url = origin.url();
    let vars = [("ORIGIN_URL", url.as_str()), ("ORIGIN_TOKEN", ORIGIN_TOKEN)];
    let edge = Workerd::start(&Worker::Edge, states[0].path(), &vars);
    let waits = u32::try_from(ORIGINS_TIME.as_millis()).expect("some seconds");
    let baseline = Workerd::start(&Worker::Wait(waits), states[1].path(), &vars);
    let client = end_to_end::client().build().expect("an HTTP client");
    let ready = client.get(edge.url("/crl/large.crl")).send().await;
    assert_eq!(ready.expect("an answer").status(), 200);

    let at_first = [&edge, &baseline].map(megabytes);
    println!(
        "at first: edge {} MB, baseline {} MB",
        at_first[0], at_first[1]
    );
    for departure in [Departure::Reset, Departure::Close] {
        let mut slowest = [Duration::ZERO; 2];
        for wave in 1..=LEAVERS / AT_ONCE {
            for (subject, slowest) in [&edge, &baseline].into_iter().zip(&mut slowest) {
                let mut leavers = JoinSet::new();
                for _ in 0..AT_ONCE {
                    let left = leave(subject.port(), "/crl/slow.crl", departure, STAY);
                    leavers.spawn(left);
                }
                *slowest = (*slowest).max(health(subject).await);
                leavers.join_all().await;
            }
            if wave % 10 == 0 {
                print_growth(
                    &format!("{:>6} by {departure:?}", wave * AT_ONCE),
                    at_first,
                    &edge,
                    &baseline,
                );
            }
        }
        let [edge, baseline] = slowest.map(|slowest| slowest.as_millis());
        println!("       /healthz at worst: edge {edge} ms, baseline {baseline} ms");
    }
    sleep(Duration::from_secs(35)).await;
    print_growth("35 s later", at_first, &edge, &baseline);
    println!("/healthz: {} ms", health(&edge).await.as_millis());
    for departure in [Departure::Reset, Departure::Close] {
        for wave in 1..=1_000 / 20 {
            let mut leavers = JoinSet::new();
            for _ in 0..20 {
                leavers.spawn(leave(edge.port(), "/crl/large.pem", departure, STAY));
            }
            leavers.join_all().await;
            if wave % 25 == 0 {
                println!(
                    "{:>6} aborted PEMs by {departure:?}: {} MB",
                    wave * 20,
                    megabytes(&edge)
                );
            }
        }
    }
    println!("/healthz: {} ms", health(&edge).await.as_millis());
}

/// Prints by how much memory has grown, and how many times as much as the baseline's.
fn print_growth(when: &str, at_first: [u64; 2], edge: &Workerd, baseline: &Workerd) {
    let edge = megabytes(edge).saturating_sub(at_first[0]);
    let baseline = megabytes(baseline).saturating_sub(at_first[1]);
    let percent = edge * 100 / baseline.max(1);
    println!("{when:>16}: edge +{edge} MB, baseline +{baseline} MB, {percent} % of the baseline");
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

/// How long `/healthz` takes.
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
