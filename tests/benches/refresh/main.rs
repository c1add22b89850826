//! The cost of a refresh: time and wasm memory by the size of the CRL, many clients on a cold
//! issuer, and a tick over many issuers. Run it with `cargo xtask bench refresh`, or one part with
//! `cargo bench -p end-to-end --bench refresh -- tick`.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use end_to_end::certificate_authority::revoked;
use end_to_end::edge::{HOOK_TOKEN, ORIGIN_TOKEN};
use end_to_end::test_origin::sha256;
use end_to_end::{Answer, CertificateAuthority, Edge, Start, TestOrigin};
use tokio::task::JoinSet;

#[tokio::main]
async fn main() {
    let chosen = std::env::args()
        .skip(1)
        .filter(|name| !name.starts_with('-'));
    let chosen = chosen.collect::<Vec<_>>();
    let is_chosen = |name: &str| chosen.is_empty() || chosen.iter().any(|chosen| chosen == name);
    if is_chosen("sizes") {
        sizes().await;
    }
    if is_chosen("shards") {
        shards(128, 20_000).await;
    }
    if is_chosen("crowd") {
        crowd(10_000).await;
    }
    if is_chosen("tick") {
        tick(1_000, Duration::from_millis(50)).await;
    }
    if is_chosen("registry") {
        registry(10_000).await;
    }
}

async fn sizes() {
    println!("a whole refresh until KV has the CRL, best of {ROUNDS}; first: without a CRL to");
    println!("compare with; next: with one; floor: fetch, two hashes, rows and KV, in JavaScript");
    println!(
        "{:>10} {:>9} {:>9} {:>9} {:>10} {:>11} {:>12}",
        "CRL", "first", "next", "floor", "next/first", "next/floor", "wasm memory"
    );
    for entries in [1_000, 510_000, 2_040_000] {
        refresh(entries).await;
    }
}

const ROUNDS: u32 = 4;

/// Entries that come and go between two CRLs.
const CHANGES: usize = 100;

async fn refresh(count: u32) {
    let (origin, edge) = start().await;
    let ca = CertificateAuthority::new("large");
    let entries = revoked(count + ROUNDS * 2 * u32::try_from(CHANGES).unwrap_or(0));
    let (mut first, mut next, mut floor) = (Duration::MAX, Duration::MAX, Duration::MAX);
    let mut size = 0;
    origin.add(&ca);
    for round in 0..=ROUNDS {
        let number = u64::from(round) + 1;
        let start = round as usize * CHANGES;
        let some = entries[start..start + count as usize].to_vec();
        let der = ca.crl_with(number, |tbs| tbs.revoked_certificates = Some(some));
        size = der.len();
        let expected = sha256(&der);
        let fresh = format!("first-{round}");
        origin.add_as(&fresh, &ca);
        for issuer in ["large", &fresh] {
            origin.answer(issuer, Answer::crl(der.clone()));
        }

        let url = format!("{}/v1/issuers/large/crls/full", origin.url());
        let started = Instant::now();
        let hashed = edge
            .request(reqwest::Method::GET, &format!("/bench/floor?url={url}"))
            .bearer_auth(ORIGIN_TOKEN);
        assert_eq!(hashed.send().await.unwrap().text().await.unwrap(), expected);
        floor = floor.min(started.elapsed());

        let took = published(&edge, &fresh, &expected).await;
        first = first.min(took);
        let took = published(&edge, "large", &expected).await;
        // The first one has none before it.
        if round > 0 {
            next = next.min(took);
        }
        let served = edge.get("/crl/large.crl").await.bytes().await.unwrap();
        assert_eq!(sha256(&served), expected);
    }
    let memory = wasm_memory(&edge).await;
    println!(
        "{:>7.2} MB {:>6.0} ms {:>6.0} ms {:>6.0} ms {:>10.2} {:>11.2} {:>8.1} MiB",
        megabytes(size),
        milliseconds(first),
        milliseconds(next),
        milliseconds(floor),
        milliseconds(next) / milliseconds(first),
        milliseconds(next) / milliseconds(floor),
        mebibytes(memory),
    );
}

/// One refresh by a hook of an issuer with many shards, beside one of a single shard.
async fn shards(count: usize, entries: u32) {
    let (origin, edge) = start().await;
    let ca = CertificateAuthority::new("sharded");
    let names: Vec<_> = (0..count).map(|shard| format!("shard-{shard}")).collect();
    let entries = revoked(entries);
    let crl = |name: &str, number| {
        ca.scoped_crl(name, number, |tbs| {
            tbs.revoked_certificates = Some(entries.clone());
        })
    };
    let size = crl(&names[0], 1).len();
    let mut took = Vec::new();
    for (number, names) in [(1, &names[..1]), (2, &names[..])] {
        let crls = names.iter().map(|name| (name.clone(), crl(name, number)));
        let crls: BTreeMap<_, _> = crls.collect();
        origin.register(ca.record(names));
        origin.on_call(ca.id(), move |call| Answer::crl(crls[&call.name].clone()));
        // The registry is a second old at most.
        tokio::time::sleep(Duration::from_secs(2)).await;
        let hook = edge
            .request(reqwest::Method::POST, "/v1/issuers/sharded/refresh")
            .bearer_auth(HOOK_TOKEN);
        let started = Instant::now();
        let refreshed = hook.send().await.expect("an answer");
        took.push(milliseconds(started.elapsed()));
        let refreshed: serde_json::Value = refreshed.json().await.expect("JSON");
        let events = refreshed["events"].as_array().expect("events");
        let published = events.iter().filter(|it| it["outcome"] == "published");
        assert_eq!(published.count(), names.len(), "{refreshed}");
    }
    println!(
        "\n{count} shards of {:.2} MB each by one hook: all published, {:.1} times as long as one; wasm memory {:.1} MiB",
        megabytes(size),
        took[1] / took[0],
        mebibytes(wasm_memory(&edge).await),
    );
}

/// The size of the wasm instance's memory, in bytes; it never shrinks.
async fn wasm_memory(edge: &Edge) -> usize {
    let size = edge.get("/bench/wasm-memory").await.text().await;
    size.expect("a text").parse().expect("a number of bytes")
}

/// Refreshes an issuer and waits until KV has the CRL.
async fn published(edge: &Edge, issuer: &str, sha256: &str) -> Duration {
    let started = loop {
        let started = Instant::now();
        let refreshed = edge.refresh(issuer).await;
        if refreshed.status() == 200 {
            break started;
        }
        // The registry, a second old at most, does not list it yet.
        assert_eq!(refreshed.status(), 404);
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    let path = format!("/bench/published?key=crl/{issuer}/full&sha256={sha256}");
    assert_eq!(edge.get(&path).await.status(), 200);
    started.elapsed()
}

/// Many clients request an issuer's first CRL at once. Those for whom there is no slot are turned
/// away with a Retry-After, and have the CRL when they come back.
///
/// Two limits of workerd shape this. It takes two file descriptors for each connection and ends
/// when there are no more, so the clients run inside the runtime and each causes an invocation of
/// the Worker. And a request that leaves an isolate wakes all that wait for it, which takes
/// quadratic time, so the clients arrive a hundred at a time and then wait for the origin together.
async fn crowd(clients: usize) {
    const AT_ONCE: usize = 100;
    #[derive(serde::Deserialize)]
    struct Answers {
        counts: BTreeMap<String, usize>,
        /// How many clients needed so many tries.
        tries: BTreeMap<u32, usize>,
    }
    let origins_time = Duration::from_mins(1);
    let (origin, edge) = start().await;
    let ca = CertificateAuthority::new("cold");
    let der = ca.crl(1);
    origin.add(&ca);
    origin.answer("cold", Answer::crl(der.clone()).after(origins_time));
    let expected = format!("200 {}", sha256(&der));

    let started = Instant::now();
    let mut crowd = JoinSet::new();
    for _ in 0..clients / AT_ONCE {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let path = format!("/bench/crowd?path=/crl/cold.crl&clients={AT_ONCE}");
        let request = edge
            .request(reqwest::Method::GET, &path)
            .timeout(Duration::from_mins(10));
        crowd.spawn(async move {
            let answers = request.send().await.expect("an answer");
            answers.json::<Answers>().await.expect("counts")
        });
    }
    let all_there = started.elapsed();
    let mut answers = BTreeMap::new();
    let mut tries = BTreeMap::new();
    for answered in crowd.join_all().await {
        for (times, count) in answered.tries {
            *tries.entry(times).or_insert(0) += count;
        }
        for (answer, count) in answered.counts {
            *answers.entry(answer).or_insert(0) += count;
        }
    }
    let took = started.elapsed();
    assert_eq!(answers, BTreeMap::from([(expected, clients)]));
    assert!(tries.keys().all(|times| *times <= 2), "{tries:?}");
    let calls = origin.calls("cold");
    assert_eq!(calls.len(), 1);
    assert!(all_there < origins_time, "the crowd came too late");
    println!(
        "\n{clients} clients of a cold issuer, connected after {:.1} s, origin takes {origins_time:?}: all served, 1 origin call, {:.1} s; clients by their tries: {tries:?}",
        all_there.as_secs_f64(),
        took.as_secs_f64()
    );
}

/// A tick, compared with the minimum: the origin's time, with six issuers at once. Locally every
/// commit waits for the disk in workerd's only thread; set `TMPDIR` to a file system in memory,
/// such as /dev/shm, to exclude that.
async fn tick(issuers: u32, origins_time: Duration) {
    let (origin, edge) = start().await;
    // One key for all issuers: generating a thousand would take longer than the tick.
    let ca = CertificateAuthority::new("everyone");
    let ids = (0..issuers).map(|number| format!("issuer-{number}"));
    let ids = ids.collect::<Vec<_>>();
    for id in &ids {
        origin.add_as(id, &ca);
        origin.answer(id, Answer::crl(ca.crl(1)).after(origins_time));
    }
    let least = origins_time * issuers / 6;
    println!(
        "\na tick over {issuers} issuers, origin takes {origins_time:?} each; minimum {:.1} s, six at once",
        least.as_secs_f64()
    );
    for (what, answer) in [
        ("new CRLs", None),
        (
            "all unchanged",
            Some(Answer::status(304).after(origins_time)),
        ),
    ] {
        let calls = origin.calls(&ids[0]).len();
        for id in answer.is_some().then_some(&ids).into_iter().flatten() {
            origin.answer(id, answer.clone().expect("it is some"));
        }
        let started = Instant::now();
        let tick = edge
            .request(reqwest::Method::GET, "/cdn-cgi/handler/scheduled")
            .timeout(Duration::from_mins(15));
        assert_eq!(tick.send().await.expect("an answer").status(), 200);
        let took = started.elapsed();
        let once_more = |id: &&String| origin.calls(id).len() == calls + 1;
        assert_eq!(ids.iter().filter(once_more).count(), ids.len());
        println!(
            "{what:>15}: {:.1} s, ratio {:.2}",
            took.as_secs_f64(),
            took.as_secs_f64() / least.as_secs_f64()
        );
    }
}

/// The cost of a request for an unknown id if many are known: the first one reads the registry, and
/// the next ones are answered from the isolate's memory.
async fn registry(issuers: u32) {
    let origin = TestOrigin::start().await;
    let ca = CertificateAuthority::new("everyone");
    for number in 0..issuers {
        origin.add_as(&format!("issuer-{number}"), &ca);
    }
    let edge = Start::new(&origin.url())
        .var("REGISTRY_TTL_SECONDS", "60")
        .start()
        .await;
    println!("\nan unknown id beside {issuers} issuers");
    let mut pages = 0;
    for what in ["registry read from the origin", "from the isolate's memory"] {
        let started = Instant::now();
        assert_eq!(edge.get("/crl/unknown.crl").await.status(), 404);
        let took = started.elapsed();
        let read = origin.pages_read().len() - pages;
        pages += read;
        println!("{what:>30}: {:.0} ms, {read} pages", milliseconds(took));
    }
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
