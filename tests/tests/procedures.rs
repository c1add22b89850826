//! The runbook's procedures for the origin, run as they stand there, by the real edge and the real
//! origin.

use std::process::Command;
use std::sync::Arc;

use end_to_end::edge::OPERATOR_TOKEN;
use end_to_end::{Edge, Origin, Skipped, Start, World, suite};
use reqwest::StatusCode;
use serde_json::Value;

struct Nothing;

impl World for Nothing {
    async fn start() -> Self {
        Self
    }

    fn log(&self) -> String {
        String::new()
    }
}

/// The commands of a section of the runbook, in order: what it has in backticks that a shell runs.
fn commands(section: &str) -> Vec<&'static str> {
    let runbook = include_str!("../../docs/runbook.md");
    let (_, rest) = runbook
        .split_once(&format!("\n### {section}\n"))
        .expect("a section");
    let text = rest.split("\n### ").next().unwrap();
    let in_backticks = text.split('`').skip(1).step_by(2);
    let programs = ["crl-origin ", "curl ", "openssl ", "cargo "];
    in_backticks
        .filter(|code| programs.iter().any(|program| code.starts_with(program)))
        // The name of a service to stop and start.
        .filter(|code| *code != "crl-origin serve")
        .collect()
}

/// An origin with the issuer `web`, and an edge in front of it.
struct Site {
    origin: Origin,
    edge: Edge,
}

impl Site {
    async fn start(lists: &[(&str, &str)], set: impl FnOnce(Start) -> Start) -> Self {
        let origin = Origin::start();
        let edge = set(Start::new(origin.url()));
        let options: Vec<String> = lists
            .iter()
            .map(|(option, path)| format!("{option} {}", edge.url(path)))
            .collect();
        let site = Self {
            edge: edge.start().await,
            origin,
        };
        site.run(&format!(
            "crl-origin issuer create web {}",
            options.join(" ")
        ));
        std::fs::create_dir(site.origin.folder().join("backups")).unwrap();
        site
    }

    /// Runs a command: whether it succeeded, and what it printed.
    fn try_to_run(&self, command: &str) -> (bool, String) {
        let edge = self.edge.url("");
        let line = command
            .replace("https://EDGE", &edge)
            .replace("http://EDGE", &edge)
            .replace("/backups/", "backups/");
        let output = self
            .origin
            .shell(&line)
            .env("OPERATOR_TOKEN", OPERATOR_TOKEN)
            .output()
            .unwrap();
        let printed = [output.stdout, output.stderr].concat();
        let printed = String::from_utf8(printed).unwrap();
        (output.status.success(), format!("{line}\n{printed}"))
    }

    fn run(&self, command: &str) -> String {
        let (succeeded, printed) = self.try_to_run(command);
        assert!(succeeded, "{printed}");
        printed.split_once('\n').unwrap().1.to_owned()
    }

    fn json(&self, command: &str) -> Value {
        let printed = self.run(command);
        serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{error}: {printed}"))
    }

    /// Issues a certificate; its serial number. It is in `{name}.pem`.
    fn issue(&self, name: &str, more: &str) -> String {
        let files = format!("--out {name}.pem --key-out {name}.key");
        let issue = format!("crl-origin --json cert issue web --dns {name} {files} {more}");
        let issued = self.json(&issue);
        issued["serial"].as_str().unwrap().to_owned()
    }

    /// The serial numbers on a CRL that the edge serves.
    fn served(&self, path: &str) -> Vec<String> {
        self.run(&format!("curl -fsSo check.crl {}", self.edge.url(path)));
        let shown = self.run("crl-origin crl show check.crl --entries --json");
        let entries = shown.lines().filter_map(|line| {
            let line: Value = serde_json::from_str(line).unwrap();
            line["serial"].as_str().map(str::to_owned)
        });
        entries.collect()
    }

    async fn refresh(&self) -> Value {
        self.edge.refresh("web").await.json().await.unwrap()
    }
}

const FULL: &str = "/crl/web.crl";
const SHARD: &str = "/crl/web/shard-0.crl";

async fn the_database_is_restored(_: Arc<Nothing>) {
    let lists = [("--distribution-point", FULL), ("--shard", SHARD)];
    let mut site = Site::start(&lists, |edge| edge).await;
    let held = site.issue("held", "--shard 0");
    site.run(&format!(
        "crl-origin revoke web {held} --reason certificateHold"
    ));
    assert_eq!(site.edge.refresh("web").await.status(), 200);
    site.run("crl-origin backup /backups/origin.db");
    // All of this is lost: two revocations, one of which the shard's CRL does not show yet, and the
    // end of a hold.
    let kept = site.issue("kept", "--shard 0");
    site.run(&format!("crl-origin revoke web {kept}"));
    site.run(&format!("crl-origin release web {held}"));
    assert_eq!(site.edge.refresh("web").await.status(), 200);
    let lost = site.issue("lost", "--shard 0");
    site.run(&format!("crl-origin revoke web {lost}"));
    let full = "/v1/issuers/web/refresh?name=full";
    assert_eq!(
        site.edge
            .operate(reqwest::Method::POST, full)
            .await
            .status(),
        200
    );
    assert_eq!(site.served(FULL), [kept.as_str(), lost.as_str()]);

    let mut recoveries = 0;
    for command in commands("Restore the database") {
        if command.starts_with("crl-origin restore") {
            site.origin.stop();
        }
        if command.contains("/refresh") {
            site.origin.start_again(&[]);
        }
        let command = command.replace("SERIAL", &held);
        let (succeeded, printed) = site.try_to_run(&command);
        recoveries += usize::from(command.starts_with("crl-origin recover"));
        if command.starts_with("crl-origin recover") && recoveries == 1 {
            assert!(!succeeded && printed.contains(&lost), "{printed}");
            continue;
        }
        assert!(succeeded, "{printed}");
        if command.starts_with("crl-origin crl diff") {
            assert!(!printed.contains("\nremoved"), "{printed}");
        }
    }
    assert_eq!(recoveries, 2);
    assert_eq!(site.refresh().await["events"].as_array().unwrap().len(), 2);
    for path in [FULL, SHARD] {
        let mut served = site.served(path);
        served.sort_unstable();
        let mut expected = [kept.clone(), lost.clone()];
        expected.sort_unstable();
        assert_eq!(served, expected, "{path}");
    }
}

async fn a_crl_of_another_database_is_dismissed(_: Arc<Nothing>) {
    let mut site = Site::start(&[("--distribution-point", FULL)], |edge| edge).await;
    site.run("crl-origin backup /backups/origin.db");
    site.run("crl-origin revoke web 0a");
    assert_eq!(site.edge.refresh("web").await.status(), 200);
    site.origin.stop();
    site.run("crl-origin restore /backups/origin.db");
    site.origin.start_again(&[]);
    let refused = site.refresh().await;
    assert!(refused.to_string().contains("state_lost"), "{refused}");
    let mut sha256 = String::new();
    for command in commands("Dismiss a CRL of another database") {
        let printed = site.run(&command.replace("SHA256", &sha256));
        if sha256.is_empty() {
            let shown: Value = serde_json::from_str(&printed).unwrap();
            let held = &shown["crls"][0]["sha256"];
            held.as_str().unwrap().clone_into(&mut sha256);
        }
    }
    assert!(site.served(FULL).is_empty());
}

/// The words before a command that shift its clock. Not `faketime` itself: it would be the parent
/// of the command, and be killed in its place.
fn ahead_of_time(by: &str) -> Result<Vec<String>, Skipped> {
    let shown = Command::new("faketime")
        .args([
            "-f",
            by,
            "sh",
            "-c",
            "echo LD_PRELOAD=$LD_PRELOAD FAKETIME=$FAKETIME",
        ])
        .output()
        .map_err(|error| Skipped(format!("faketime: {error}")))?;
    let variables = String::from_utf8(shown.stdout).unwrap();
    let words = variables.split_whitespace().map(str::to_owned);
    Ok(std::iter::once("env".to_owned()).chain(words).collect())
}

async fn a_wrong_clock_is_set_right(_: Arc<Nothing>) -> Result<(), Skipped> {
    let ahead = ahead_of_time("+50m")?;
    let ahead: Vec<&str> = ahead.iter().map(String::as_str).collect();
    // An edge that takes what is dated ahead, as if its own clock had been wrong too.
    let tolerant = |edge: Start| edge.var("CLOCK_SKEW_SECONDS", "3600");
    let mut site = Site::start(&[("--distribution-point", FULL)], tolerant).await;
    let serial = site.issue("www", "");
    site.run(&format!("crl-origin revoke web {serial}"));
    site.origin.stop();
    site.origin.start_again(&ahead);
    assert_eq!(site.edge.refresh("web").await.status(), 200);
    // The clock is set right. That the service starts anew is the test's way to do so.
    site.origin.stop();
    site.origin.start_again(&[]);
    let mut sha256 = String::new();
    for command in commands("A clock that was wrong") {
        let printed = site.run(&command.replace("SHA256", &sha256));
        if command.contains("/refresh") {
            let answer: Value = serde_json::from_str(&printed).unwrap();
            let event = &answer["events"][0];
            assert_eq!(event["error_code"], "this_update_regressed", "{answer}");
            event["sha256"].as_str().unwrap().clone_into(&mut sha256);
        }
        if command.starts_with("crl-origin revocations") {
            assert!(!printed.contains(&serial), "{printed}");
        }
    }
    assert_eq!(site.served(FULL), [serial]);
    assert_eq!(site.edge.refresh("web").await.status(), 200);
    Ok(())
}

async fn an_issuers_certificate_is_renewed(_: Arc<Nothing>) {
    let site = Site::start(&[("--distribution-point", FULL)], |edge| edge).await;
    assert_eq!(site.edge.refresh("web").await.status(), 200);
    for command in commands("Renew an issuer's certificate") {
        if command.contains("--certificate") {
            site.run("crl-origin issuer show web --pem > web-new.pem");
        }
        let printed = site.run(command);
        if command.starts_with("openssl") {
            let sha256 = printed.split(' ').next().unwrap();
            // The edge reads the registry once a second here, and once a minute by default.
            let is_refused = async || site.refresh().await.to_string().contains("issuer_changed");
            end_to_end::suite::until(is_refused).await;
            for trust in commands("issuer_changed") {
                let trust = trust.replace("issuers/ID", "issuers/web");
                site.run(&trust.replace('…', sha256).replace("curl ", "curl -fsS "));
            }
        }
    }
    assert_eq!(site.edge.refresh("web").await.status(), 200);
}

async fn an_issuers_key_is_replaced(_: Arc<Nothing>) {
    let site = Site::start(&[("--distribution-point", FULL)], |edge| edge).await;
    for command in commands("Replace an issuer's key") {
        site.run(command);
    }
    let found = async || site.edge.get("/crl/web-2027.crl").await.status() == StatusCode::OK;
    end_to_end::suite::until(found).await;
    site.run("crl-origin crl verify --help");
}

async fn the_edges_token_is_rotated(_: Arc<Nothing>) {
    let mut site = Site::start(&[("--distribution-point", FULL)], |edge| edge).await;
    let create = "crl-origin --json token create edge-2026 --scope edge";
    let old = site.json(create)["token"].as_str().unwrap().to_owned();
    site.edge = site.edge.stop().var("ORIGIN_TOKEN", &old).start().await;
    let mut new = String::new();
    for command in commands("Rotate the edge's token") {
        if command.starts_with("cargo xtask wrangler secret put ORIGIN_TOKEN") {
            let start = site.edge.stop().var("ORIGIN_TOKEN", &new);
            site.edge = start.start().await;
            continue;
        }
        let printed = site.run(command);
        if command.contains("token create") {
            printed.trim().clone_into(&mut new);
        }
    }
    assert_eq!(site.edge.refresh("web").await.status(), 200);
    let url = format!("{}/v1/issuers", site.origin.url());
    for (token, status) in [(&old, 401), (&new, 200)] {
        let answer = end_to_end::client().build().unwrap().get(&url);
        let answer = answer.bearer_auth(token).send().await.unwrap();
        assert_eq!(answer.status(), status);
    }
}

suite!(
    Nothing;
    the_database_is_restored,
    a_crl_of_another_database_is_dismissed,
    a_wrong_clock_is_set_right,
    an_issuers_certificate_is_renewed,
    an_issuers_key_is_replaced,
    the_edges_token_is_rotated,
);
