//! The cost of serving in workerd itself, without a proxy in front: the edge compared with (a) a
//! Worker that streams the same value from KV with fixed headers, (b) a Worker that answers with a
//! constant text, and (c) nginx with the same file. Run it with `cargo xtask bench serve`.
//!
//! All servers run at once and take turns, so that other load on the machine affects them equally.
//! Figures are medians over the rounds, and ratios are ratios of medians.

mod load;
mod nginx;
mod processor;
mod startup;

use std::time::Duration;

use end_to_end::edge::{OPERATOR_TOKEN, ORIGIN_TOKEN};
use end_to_end::test_origin::sha256;
use end_to_end::workerd::{Worker, Workerd};
use end_to_end::{Answer, CertificateAuthority, TestOrigin};
use tempfile::TempDir;

use crate::load::{Load, Measured, Target};
use crate::nginx::Nginx;

/// The number of entries of each CRL, and the requests with a body to measure in a round.
const SIZES: [(&str, u32, usize); 3] = [
    ("5 KB", 100, 2_000),
    ("500 KB", 10_200, 500),
    ("20 MB", 408_000, 24),
];

/// Requests without a body to measure in a round: they are so cheap that it takes many.
const WITHOUT_BODY: usize = 2_000;

const ROUNDS: usize = 15;

/// The measurements of one kind of request to one server.
struct Subject {
    name: String,
    target: Target,
    load: Load,
    requests: usize,
    rounds: Vec<Measured>,
}

#[tokio::main]
async fn main() {
    startup::show();

    let state = TempDir::new().expect("a temporary folder");
    let origin = TestOrigin::start().await;
    let crls = SIZES.map(|(size, entries, requests)| {
        let id = size.replace(' ', "");
        let ca = CertificateAuthority::new(&id);
        origin.add(&ca);
        let der = ca.crl_of(1, entries);
        origin.answer(&id, Answer::crl(der.clone()));
        (size, id, der, requests)
    });
    let origin_url = origin.url();
    let vars = [
        ("ORIGIN_URL", origin_url.as_str()),
        ("ORIGIN_TOKEN", ORIGIN_TOKEN),
        ("OPERATOR_TOKEN", OPERATOR_TOKEN),
    ];
    let keys = crls.each_ref().map(|(_, id, ..)| format!("crl/{id}/full"));
    let streams = keys.each_ref().map(|key| Worker::Stream(key));
    let workers: Vec<_> = [Worker::Edge, Worker::Hello]
        .into_iter()
        .chain(streams)
        .collect();
    let runtime = Workerd::start_all(&workers, state.path(), &vars);
    let target = |worker: usize| Target::of(runtime.ports()[worker], runtime.process());
    let (edge, hello) = (target(0), target(1));
    let nginx = Nginx::start(
        crls.iter()
            .map(|(_, id, der, _)| (id.as_str(), der.as_slice())),
    );
    if nginx.is_none() {
        println!("skipped: nginx is neither in PATH nor in /usr/sbin");
    }

    println!(
        "{:<30} {:>10} {:>9} {:>9} {:>12}   times the requests/s of …",
        "", "requests/s", "p50", "p99", "CPU/request"
    );
    for (index, (size, id, der, requests)) in crls.iter().enumerate() {
        publish(&runtime, id).await;
        let stream = target(2 + index);
        let path = format!("/crl/{id}.crl");
        let subject = |name: &str, target, load, requests| Subject {
            name: format!("{size} {name}"),
            target,
            load,
            requests,
            rounds: Vec::new(),
        };
        let with_body = |name: &str, target, load| subject(name, target, load, *requests);
        let without = |name: &str, target, load| subject(name, target, load, WITHOUT_BODY);
        let held = format!("If-None-Match: \"{}\"", sha256(der));
        let range = "Range: bytes=1000-2023";
        let mut subjects = vec![
            with_body("(a) streaming Worker 200", stream, Load::get("/")),
            with_body("(a) streaming Worker HEAD", stream, Load::head("/")),
            without("(b) hello Worker", hello, Load::get("/")),
            with_body("edge 200", edge, Load::get(&path)),
            without("edge HEAD", edge, Load::head(&path)),
            without("edge 304", edge, Load::get(&path).header(&held)),
            with_body("edge range", edge, Load::get(&path).header(range)),
        ];
        if let Some(nginx) = &nginx {
            let target = Target::of(nginx.port(), nginx.process());
            let file = format!("/{id}.crl");
            subjects.extend([
                with_body("(c) nginx 200", target, Load::get(&file)),
                without("(c) nginx HEAD", target, Load::head(&file)),
                with_body("(c) nginx range", target, Load::get(&file).header(range)),
            ]);
        }
        for round in 0..=ROUNDS {
            for subject in &mut subjects {
                let measured = subject.load.run(subject.target, subject.requests).await;
                // The first round only warms up: V8 optimises code that has run often.
                if round > 0 {
                    subject.rounds.push(measured);
                }
            }
        }
        // The baseline of each, by its index in the list.
        let beside: [&[(&str, usize)]; 7] = [
            &[],
            &[],
            &[],
            &[("(a)", 0), ("(c)", 7)],
            &[("(a)", 1), ("(c)", 8)],
            &[("(b)", 2)],
            &[("(a)", 0), ("(c)", 9)],
        ];
        for (place, subject) in subjects.iter().enumerate() {
            let ratios = beside.get(place).copied().unwrap_or_default();
            let ratios: Vec<_> = ratios
                .iter()
                .filter_map(|(name, other)| Some((*name, subjects.get(*other)?)))
                .map(|(name, other)| format!("{name} {:.2}", subject.ratio(other)))
                .collect();
            subject.show(&ratios.join("  "));
        }
    }
}

impl Subject {
    /// Requests per second relative to `other`, by medians: other load on the machine and garbage
    /// collection fall into rounds by chance.
    fn ratio(&self, other: &Self) -> f64 {
        self.per_second() / other.per_second()
    }

    fn per_second(&self) -> f64 {
        median(self.rounds.iter().map(|round| round.per_second))
    }

    fn show(&self, ratios: &str) {
        let of = |figure: fn(&Measured) -> f64| median(self.rounds.iter().map(figure));
        println!(
            "{:<30} {:>10.0} {:>6.2} ms {:>6.2} ms {:>9.0} µs   {ratios}",
            self.name,
            self.per_second(),
            of(|measured| measured.p50.as_secs_f64() * 1e3),
            of(|measured| measured.p99.as_secs_f64() * 1e3),
            of(|measured| measured.cpu_per_request.as_secs_f64() * 1e6),
        );
    }
}

fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures: Vec<_> = figures.collect();
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// Refreshes an issuer and waits until KV has its CRL.
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
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("KV did not get {id} within ten seconds");
}
