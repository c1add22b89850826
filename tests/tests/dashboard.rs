//! The dashboard in a real browser: sign-in, filters, refresh, trust, accept, retire, changes,
//! hostile text, accessibility, and the Content-Security-Policy.

use std::env;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use end_to_end::certificate_authority::revoked;
use end_to_end::edge::OPERATOR_TOKEN;
use end_to_end::suite::until;
use end_to_end::{Answer, CertificateAuthority, Edge, Skipped, Start, TestOrigin, World, suite};
use reqwest::Method;
use serde_json::Value;

const VIEWER_TOKEN: &str = "the-viewers-own-token";

struct Shared {
    origin: TestOrigin,
    edge: Edge,
}

impl World for Shared {
    async fn start() -> Self {
        let origin = TestOrigin::start().await;
        for id in ISSUERS {
            origin.add(&CertificateAuthority::new(id));
        }
        let edge = Start::new(&origin.url()).var("VIEWER_TOKEN", VIEWER_TOKEN);
        let edge = edge.start().await;
        Self { origin, edge }
    }

    fn log(&self) -> String {
        self.edge.log()
    }
}

const ISSUERS: [&str; 7] = [
    "well", "hostile", "moved", "down", "changed", "lower", "ended",
];

async fn the_dashboard_works_in_a_browser(world: Arc<Shared>) -> Result<(), Skipped> {
    let Some(chromium) = in_path("chromium") else {
        return Err(Skipped("chromium is not installed".to_owned()));
    };
    for _ in 0..3 {
        world.edge.refresh("well").await;
    }
    world.edge.refresh("hostile").await;
    let hostile = Answer::crl(Vec::new()).header("Content-Type", "text/<script>alert(1)</script>");
    world.origin.answer("hostile", hostile);
    world.edge.refresh("hostile").await;
    world.origin.answer("down", Answer::status(503));
    world.edge.refresh("down").await;
    world.edge.refresh("moved").await;
    let moved = CertificateAuthority::new("moved").rekeyed();
    world.origin.add(&moved);
    world.origin.answer("moved", Answer::crl(moved.crl(2)));
    wait_for_the_changed_certificate(&world).await;
    let changed = CertificateAuthority::new("changed");
    let revoked = revoked(3);
    for (number, entries) in [(1, 1), (2, 3), (3, 2)] {
        let crl = changed.crl_with(number, |tbs| {
            tbs.revoked_certificates = Some(revoked[..entries].to_vec());
        });
        world.origin.answer("changed", Answer::crl(crl));
        world.edge.refresh("changed").await;
    }
    let lower = CertificateAuthority::new("lower");
    for number in [9, 8] {
        world.origin.answer("lower", Answer::crl(lower.crl(number)));
        world.edge.refresh("lower").await;
    }
    world.edge.refresh("ended").await;
    world.origin.remove("ended");
    until(async || {
        let answer = world.edge.operate(Method::GET, "/v1/issuers/ended").await;
        let issuer: Value = answer.json().await.unwrap();
        issuer["gone_since"].is_string()
    })
    .await;

    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools/npm/node_modules");
    let mut browser = Command::new(tools.join(".bin/node"));
    browser
        .arg(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/browser/dashboard.cjs"
        ))
        .env("NODE_PATH", &tools)
        .env("EDGE", world.edge.url(""))
        .env("TOKEN", OPERATOR_TOKEN)
        .env("VIEWER_TOKEN", VIEWER_TOKEN)
        .env("ALERTS", alert_links())
        .env("CHROMIUM", chromium);
    let output = tokio::task::spawn_blocking(move || browser.output())
        .await
        .unwrap()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{printed}");
    Ok(())
}

/// The paths that the alert rules link to, separated by spaces.
fn alert_links() -> String {
    let rules = include_str!("../../ops/prometheus/crl-edge.rules.yml");
    let links: Vec<_> = rules
        .lines()
        .filter_map(|line| {
            line.trim()
                .strip_prefix("dashboard: https://{{ $labels.instance }}")
        })
        .collect();
    assert_eq!(links.len(), rules.matches("- alert: ").count());
    links.join(" ")
}

/// The edge caches the origin's record of an issuer for a second. Until it reads the new
/// certificate, it refuses the CRL as `wrong_issuer`.
async fn wait_for_the_changed_certificate(world: &Shared) {
    tokio::time::sleep(Duration::from_millis(1100)).await;
    for _ in 0..200 {
        let answer: Value = world.edge.refresh("moved").await.json().await.unwrap();
        if answer["events"][0]["error_code"] == "issuer_changed" {
            return;
        }
    }
    panic!("the changed certificate is not seen");
}

fn in_path(program: &str) -> Option<std::path::PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|file| file.exists())
}

suite!(Shared; the_dashboard_works_in_a_browser);
