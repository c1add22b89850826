//! The alert rules for the origin name metrics that there are, and fire when they should.

mod harness;

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::process::Command;

use harness::Origin;

const RULES: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../ops/prometheus/crl-origin.rules.yml"
);

#[test]
fn alerts_fire_when_they_should_and_are_silent_otherwise() {
    let tests = RULES.replace(".rules.yml", ".test.yml");
    let Ok(output) = Command::new("promtool")
        .args(["test", "rules", &tests])
        .output()
    else {
        return println!("skipped: promtool is not installed");
    };
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
}

#[test]
fn alerts_name_metrics_that_there_are() {
    let origin = Origin::new();
    origin.issuer("ca", "p256");
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = format!("http://{}/ca.crl", closed.local_addr().unwrap());
    drop(closed);
    let connect = ["issuer", "connect", "url", "front", "--certificate"];
    origin.run(&[&connect[..], &["ca.pem", "--url", &nobody, "--allow-local"]].concat());
    let server = origin.serve();
    assert_eq!(server.crl("ca", "full", None).status(), 200);
    assert_eq!(server.crl("front", "full", None).status(), 503);
    let metrics = server.get("/metrics").body_mut().read_to_string().unwrap();
    let rules = std::fs::read_to_string(RULES).unwrap();
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let named: BTreeSet<&str> = rules
        .split(|c: char| !is_part(c))
        .filter(|word| word.starts_with("crl_origin_"))
        .collect();
    assert!(named.len() >= 5, "{named:?}");
    for name in named {
        // It takes an OpenBao that is configured otherwise; tests/openbao.rs looks for it.
        let elsewhere = name == "crl_origin_issuer_config_changed_seconds";
        assert!(elsewhere || metrics.contains(name), "{name}: {metrics}");
    }
    let failing = r#"crl_origin_issuer_failing{issuer="front",code="upstream_unreachable"} 1"#;
    assert!(metrics.contains(failing), "{metrics}");
    assert!(!metrics.contains(r#"crl_origin_issuer_failing{issuer="ca""#));
}
