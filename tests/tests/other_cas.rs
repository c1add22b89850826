//! Existing CAs behind crl-origin and the edge, with OpenSSL as the relying party; and revocations
//! that the origin pushes to the edge.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use end_to_end::edge::HOOK_TOKEN;
use end_to_end::openssl::{Verdict, verify};
use end_to_end::{Edge, OpenBao, OpensslAuthority, Origin, Skipped, Start, World, suite};
use reqwest::Method;

struct Shared {
    /// Pushes revocations to the edge.
    origin: Origin,
    edge: Edge,
}

impl World for Shared {
    async fn start() -> Self {
        let start = Start::new("");
        let origin = Origin::pushing_to(&start.url(""));
        let edge = start.origin_url(origin.url()).start().await;
        Self { origin, edge }
    }

    fn log(&self) -> String {
        self.edge.log()
    }
}

async fn an_openbao_revocation_reaches_the_edge(world: Arc<Shared>) -> Result<(), Skipped> {
    let Shared { origin, edge } = &*world;
    let bao = OpenBao::start()?;
    let url = edge.url("/crl/bao.crl");
    bao.mount("pki");
    let _ = bao.run(&[
        "write",
        "pki/config/urls",
        &format!("crl_distribution_points={url}"),
    ]);
    let root = bao.root("pki", "root");
    let (good, _) = bao.issue("pki", "good.example");
    let (bad, serial) = bao.issue("pki", "bad.example");
    let token = bao.token_file().display().to_string();
    let engine = ["--address", bao.url(), "--token-file", &token];
    let bao_issuer = ["openbao", "bao", "--issuer-ref", "root"];
    origin.connect(&[&bao_issuer[..], &engine, &["--distribution-point", &url]].concat());

    becomes(&root, &bad, &Verdict::Good).await?;
    let _ = bao.run(&["write", "pki/revoke", &format!("serial_number={serial}")]);
    let hook = edge
        .request(Method::POST, "/v1/issuers/bao/refresh")
        .bearer_auth(HOOK_TOKEN);
    assert_eq!(hook.send().await.expect("an answer").status(), 200);

    becomes(&root, &bad, &Verdict::Revoked).await?;
    assert_eq!(verify(&root, &good)?, Verdict::Good);
    Ok(())
}

async fn a_revocation_by_openssl_ca_reaches_the_edge_by_itself(
    world: Arc<Shared>,
) -> Result<(), Skipped> {
    let Shared { origin, edge } = &*world;
    let url = edge.url("/crl/lab.crl");
    let ca = OpensslAuthority::start(&url)?;
    let (good, bad) = (ca.issue("good"), ca.issue("bad"));
    let folder = ca.folder().display().to_string();
    let lab = ["openssl", "lab", "--directory", &folder];
    origin.connect(&[&lab[..], &["--distribution-point", &url]].concat());

    becomes(&ca.certificate(), &bad, &Verdict::Good).await?;
    ca.revoke("bad");

    becomes(&ca.certificate(), &bad, &Verdict::Revoked).await?;
    assert_eq!(verify(&ca.certificate(), &good)?, Verdict::Good);
    let database = edge.database();
    let event = database
        .event_when("lab", |event| event.trigger == "hook" && event.succeeded)
        .await;
    assert_eq!(event.outcome, "published");
    Ok(())
}

async fn a_crl_fetched_from_a_url_is_served_byte_for_byte(world: Arc<Shared>) {
    let Shared { origin, edge } = &*world;
    origin.create_issuer("own", "p256", &edge.url("/crl/own.crl"));
    let certificate = origin.issue("own", "www.example");
    served(edge, "/crl/own.crl").await;
    // The edge itself is the web server that publishes this CRL.
    let pem = origin.issuer_certificate("own").display().to_string();
    let source = edge.url("/crl/own.crl");
    let partner = ["url", "partner", "--certificate", &pem, "--url", &source];
    origin.connect(&[&partner[..], &["--allow-local"]].concat());
    // The origin pushes its new issuer to the edge, which may cause one more CRL.
    let first = until(|| async {
        edge.refresh("partner").await;
        let passed_on = served(edge, "/crl/partner.crl").await;
        (passed_on == served(edge, "/crl/own.crl").await).then_some(passed_on)
    })
    .await;

    origin.revoke(&certificate);
    let changed = until(|| async {
        let own = served(edge, "/crl/own.crl").await;
        (own != first).then_some(own)
    })
    .await;
    assert_eq!(edge.refresh("partner").await.status(), 200);

    let passed_on = until(|| async {
        let passed_on = served(edge, "/crl/partner.crl").await;
        (passed_on != first).then_some(passed_on)
    });
    assert_eq!(passed_on.await, changed);
}

async fn an_issuer_that_publishes_elsewhere_is_skipped(world: Arc<Shared>) {
    let Shared { origin, edge } = &*world;
    origin.create_issuer("template", "p256", &edge.url("/crl/template.crl"));
    let pem = origin.issuer_certificate("template").display().to_string();
    origin.connect(&["external", "legacy", "--certificate", &pem]);
    served(edge, "/crl/template.crl").await;

    let refreshed = until(|| async {
        let refreshed = edge.refresh("legacy").await;
        (refreshed.status() == 200).then_some(refreshed)
    });
    let answer: serde_json::Value = refreshed.await.json().await.expect("JSON");

    assert_eq!(answer["events"][0]["outcome"], "skipped", "{answer}");
    assert_eq!(edge.get("/crl/legacy.crl").await.status(), 404);
}

async fn an_edge_that_was_down_learns_of_a_revocation_when_it_is_back(
    _: Arc<Shared>,
) -> Result<(), Skipped> {
    let start = Start::new("");
    let origin = Origin::pushing_to(&start.url(""));
    origin.create_issuer("ca", "p256", &start.url("/crl/ca.crl"));
    let issuer = origin.issuer_certificate("ca");
    let certificate = origin.issue("ca", "www.example");
    let edge = start.origin_url(origin.url()).start().await;
    becomes(&issuer, certificate.file(), &Verdict::Good).await?;

    let start = edge.stop();
    origin.revoke(&certificate);
    // If the edge were up, it would learn of the revocation within a second.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let edge = start.start().await;

    becomes(&issuer, certificate.file(), &Verdict::Revoked).await?;
    let database = edge.database();
    database
        .event_when("ca", |event| {
            event.trigger == "hook" && event.outcome == "published"
        })
        .await;
    Ok(())
}

/// Waits until OpenSSL, which fetches the CRL from the edge, gives this verdict.
async fn becomes(issuer: &Path, certificate: &Path, wanted: &Verdict) -> Result<(), Skipped> {
    let started = Instant::now();
    loop {
        let verdict = verify(issuer, certificate)?;
        if verdict == *wanted {
            return Ok(());
        }
        assert!(
            started.elapsed() < PATIENCE,
            "{} is {verdict:?}",
            certificate.display()
        );
        tokio::time::sleep(PAUSE).await;
    }
}

/// Waits until the edge serves this path and returns the body.
async fn served(edge: &Edge, path: &str) -> Vec<u8> {
    let response = until(|| async {
        let response = edge.get(path).await;
        (response.status() == 200).then_some(response)
    });
    response.await.bytes().await.expect("a body").to_vec()
}

/// Asks until there is an answer, and panics after [`PATIENCE`].
async fn until<T, F: Future<Output = Option<T>>>(ask: impl Fn() -> F) -> T {
    let started = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(started.elapsed() < PATIENCE, "it does not happen");
        tokio::time::sleep(PAUSE).await;
    }
}

const PATIENCE: Duration = Duration::from_mins(1);
const PAUSE: Duration = Duration::from_millis(250);

suite!(
    Shared;
    an_openbao_revocation_reaches_the_edge,
    a_revocation_by_openssl_ca_reaches_the_edge_by_itself,
    a_crl_fetched_from_a_url_is_served_byte_for_byte,
    an_issuer_that_publishes_elsewhere_is_skipped,
    an_edge_that_was_down_learns_of_a_revocation_when_it_is_back,
);
