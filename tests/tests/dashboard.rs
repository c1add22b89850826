//! The dashboard in a real browser: sign-in, filters, refresh, trust, accept, retire, changes,
//! hostile text, accessibility, and the Content-Security-Policy; and the way from each alert to
//! what failed.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use end_to_end::access::{AUDIENCE, Team};
use end_to_end::certificate_authority::{revoked, time};
use end_to_end::edge::OPERATOR_TOKEN;
use end_to_end::suite::until;
use end_to_end::{Answer, CertificateAuthority, Edge, Skipped, Start, TestOrigin, World, suite};
use reqwest::Method;
use serde_json::{Value, json};

const VIEWER_TOKEN: &str = "the-viewers-own-token";

struct Shared {
    origin: TestOrigin,
    team: Team,
    edge: Edge,
}

impl World for Shared {
    async fn start() -> Self {
        let origin = TestOrigin::start().await;
        for id in ISSUERS {
            origin.add(&CertificateAuthority::new(id));
        }
        let team = Team::start().await;
        let edge = Start::new(&origin.url())
            .var("VIEWER_TOKEN", VIEWER_TOKEN)
            .var("ACCESS_TEAM_URL", &team.url())
            .var("ACCESS_AUDIENCE", AUDIENCE)
            .var("ACCESS_OPERATORS", "ann@example.com")
            .var("ACCESS_VIEWERS", "bob@example.com");
        let edge = edge.start().await;
        Self { origin, team, edge }
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
    wait_for_the_changed_certificate(&world.edge).await;
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

    // Refreshing all issuers takes as long as this one.
    let slow = Answer::status(503).after(Duration::from_secs(15));
    world.origin.answer("down", slow);
    let [operator, viewer] =
        ["ann@example.com", "bob@example.com"].map(|email| world.team.token(email));
    let environment = [
        ("VIEWER_TOKEN", VIEWER_TOKEN),
        ("ACCESS_OPERATOR", &operator),
        ("ACCESS_VIEWER", &viewer),
    ];
    drive(&world.edge, chromium, "dashboard.cjs", &environment).await;
    Ok(())
}

/// Runs a script of `tests/browser` with the edge's URL and the operator's token.
async fn drive(edge: &Edge, chromium: PathBuf, script: &str, environment: &[(&str, &str)]) {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tools = tests.join("../target/tools/npm/node_modules");
    let mut browser = Command::new(tools.join(".bin/node"));
    browser
        .arg(tests.join("browser").join(script))
        .env("NODE_PATH", &tools)
        .env("EDGE", edge.url(""))
        .env("TOKEN", OPERATOR_TOKEN)
        .envs(environment.iter().copied())
        .env("CHROMIUM", chromium);
    let output = tokio::task::spawn_blocking(move || browser.output())
        .await
        .unwrap()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{printed}");
}

/// For each alert rule: the issuer of which its page lists a CRL, and what else the page says.
const ALERTS: [(&str, &str, &[&str]); 25] = [
    ("CrlExpired", "expired", &["origin_status", "503"]),
    (
        "CrlExpiresSoon",
        "failing",
        &["origin_status", "in \\d+ min"],
    ),
    ("CrlAbsent", "down", &["origin_status"]),
    ("CrlFailing", "failing", &["origin_status", "in \\d+ min"]),
    ("CrlRejected", "rejected", &["malformed"]),
    ("CertificateWaiting", "moved", &["issuer_changed"]),
    ("CrlNumberWentBack", "well", &[]),
    ("RegenerateAllStands", "unchecked", &["3 h \\d+ min ago"]),
    ("CrlUnchecked", "unchecked", &["3 h \\d+ min ago"]),
    (
        "RegistryShrank",
        "",
        &["20 issuers are missing from the origin's list, since .* ago"],
    ),
    ("CandidateWaiting", "lower", &["number_regressed"]),
    ("EarlyRemoval", "early", &[]),
    ("PublishesOwed", "unpublished", &["reads of KV failed"]),
    (
        "EventsOwed",
        "",
        &["yet to take [1-9]\\d* events", "newest that it has .* ago"],
    ),
    (
        "ServingErrors",
        "expired",
        &["answers to relying parties were 503"],
    ),
    ("ServingSlow", "unpublished", &["first byte took \\d+ ms"]),
    ("KvFailing", "unpublished", &["reads of KV failed"]),
    ("EdgeUnseen", "failing", &["/healthz"]),
    ("OriginStateLost", "failing", &["crl-origin recover"]),
    ("OriginListsNothing", "failing", &[]),
    ("OriginListShrank", "failing", &[]),
    ("OriginConfigChanged", "failing", &[]),
    ("OriginIssuerFailing", "failing", &["origin_status"]),
    ("OriginCallsWait", "failing", &[]),
    ("OriginPushesWait", "failing", &["origin_status"]),
];

async fn every_alert_leads_to_what_failed_in_three_clicks(_: Arc<Shared>) -> Result<(), Skipped> {
    let Some(chromium) = in_path("chromium") else {
        return Err(Skipped("chromium is not installed".to_owned()));
    };
    let edge = with_every_trouble().await;
    let alerts: Vec<_> = alert_links()
        .into_iter()
        .map(|(name, link)| {
            let mut known = ALERTS.iter();
            let (_, issuer, says) = known.find(|(known, ..)| *known == name).unwrap();
            let link = link.replace("{{ $labels.issuer }}", issuer);
            json!({ "name": name, "link": link, "issuer": issuer, "says": says })
        })
        .collect();
    assert_eq!(alerts.len(), ALERTS.len());
    let alerts = Value::from(alerts).to_string();
    drive(&edge.1, chromium, "alerts.cjs", &[("ALERTS", &alerts)]).await;
    Ok(())
}

/// The name of each alert rule, and the path that it links to.
fn alert_links() -> Vec<(String, String)> {
    let rules = concat!(
        include_str!("../../ops/prometheus/crl-edge.rules.yml"),
        include_str!("../../ops/prometheus/crl-origin.rules.yml"),
    );
    let rules = rules.split("- alert: ").skip(1);
    let link = |rule: &str| {
        let link = rule
            .split("dashboard: https://{{ ")
            .nth(1)?
            .lines()
            .next()?;
        let (_, path) = link.split_once(" }}")?;
        Some((rule.lines().next()?.to_owned(), path.to_owned()))
    };
    rules.map(|rule| link(rule).expect("a link")).collect()
}

/// An edge with everything that the alerts are about.
async fn with_every_trouble() -> (TestOrigin, Edge) {
    let origin = TestOrigin::start().await;
    let vanishing: Vec<_> = (0..20)
        .map(|number| format!("vanishing-{number}"))
        .collect();
    let named = [
        "well",
        "expired",
        "failing",
        "down",
        "rejected",
        "moved",
        "lower",
        "early",
        "unchecked",
        "unpublished",
    ];
    for id in named
        .into_iter()
        .chain(vanishing.iter().map(String::as_str))
    {
        origin.add(&CertificateAuthority::new(id));
    }
    let edge = Start::new(&origin.url()).var("CLOCK_SKEW_SECONDS", "0");
    let edge = edge.start().await;
    let soon = SystemTime::now() + Duration::from_secs(45);
    let short = CertificateAuthority::new("expired").crl_with(1, |tbs| {
        tbs.next_update = Some(time(soon));
    });
    origin.answer("expired", Answer::crl(short));
    assert_eq!(edge.refresh("expired").await.status(), 200);
    origin.answer("expired", Answer::status(500));
    origin.answer("down", Answer::status(500));
    for id in named {
        edge.refresh(id).await;
    }
    origin.answer("failing", Answer::status(500));
    origin.answer("rejected", Answer::crl(b"no CRL".to_vec()));
    let lower = CertificateAuthority::new("lower");
    let early = CertificateAuthority::new("early");
    let revoked = revoked(3);
    for (number, entries) in [(9, 3), (8, 2)] {
        origin.answer("lower", Answer::crl(lower.crl(number)));
        edge.refresh("lower").await;
        let crl = early.crl_with(20 - number, |tbs| {
            tbs.revoked_certificates = Some(revoked[..entries].to_vec());
        });
        origin.answer("early", Answer::crl(crl));
        edge.refresh("early").await;
    }
    let moved = CertificateAuthority::new("moved").rekeyed();
    origin.add(&moved);
    origin.answer("moved", Answer::crl(moved.crl(2)));
    wait_for_the_changed_certificate(&edge).await;
    for id in ["failing", "rejected"] {
        edge.refresh(id).await;
    }
    let left = soon.duration_since(SystemTime::now());
    tokio::time::sleep(left.unwrap_or_default()).await;
    // What takes hours, and a KV that fails, are written to the table that the pages read.
    let database = edge.database();
    database.execute(
        "UPDATE crl_status SET publish_owed = 1 WHERE issuer_id = 'unpublished';
         UPDATE crl_status SET last_checked_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-181 minutes')
         WHERE issuer_id = 'unchecked'",
    );
    // A full database reads, and takes no row.
    database.execute(
        "CREATE TRIGGER full BEFORE INSERT ON crl_generation_events \
         BEGIN SELECT RAISE(ABORT, 'full'); END",
    );
    assert_eq!(edge.refresh("well").await.status(), 200);
    for id in &vanishing {
        origin.remove(id);
    }
    let figure = async |name: &str| -> u64 {
        let metrics = edge.operate(Method::GET, "/metrics").await;
        let metrics = metrics.text().await.unwrap();
        let mut lines = metrics.lines();
        let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.unwrap().parse().unwrap()
    };
    until(async || figure("crl_edge_registry_vanished_issuers").await == 20).await;
    until(async || figure("crl_edge_events_owed").await > 0).await;
    (origin, edge)
}

/// The edge caches the origin's record of an issuer for a second. Until it reads the new
/// certificate, it refuses the CRL as `wrong_issuer`.
async fn wait_for_the_changed_certificate(edge: &Edge) {
    tokio::time::sleep(Duration::from_millis(1100)).await;
    for _ in 0..200 {
        let answer: Value = edge.refresh("moved").await.json().await.unwrap();
        if answer["events"][0]["error_code"] == "issuer_changed" {
            return;
        }
    }
    panic!("the changed certificate is not seen");
}

fn in_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|file| file.exists())
}

suite!(
    Shared;
    the_dashboard_works_in_a_browser,
    every_alert_leads_to_what_failed_in_three_clicks,
);
