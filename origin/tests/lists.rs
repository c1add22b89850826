//! What stands on the lists: holds, deltas, shards, expiry, imports.

mod harness;

use std::collections::BTreeMap;
use std::process::Stdio;

use x509_cert::der::Decode;
use x509_cert::der::oid::AssociatedOid;
use x509_cert::ext::pkix::CrlReason;
use x509_cert::ext::pkix::crl::BaseCrlNumber;

use harness::{Origin, number, openssl, parse, serials};

const DELTA: &str = "http://crl.example/ca-delta.crl";

/// Each serial number on a CRL, with its reason's number; 0 where none is given.
fn reasons(der: &[u8]) -> BTreeMap<String, u32> {
    let entries = parse(der)
        .tbs_cert_list
        .revoked_certificates
        .unwrap_or_default();
    let reason = |entry: &x509_cert::crl::RevokedCert| {
        let extensions = entry.crl_entry_extensions.as_ref()?;
        let extension = extensions
            .iter()
            .find(|extension| extension.extn_id == CrlReason::OID)?;
        Some(CrlReason::from_der(extension.extn_value.as_bytes()).unwrap() as u32)
    };
    let numbers = entries
        .iter()
        .map(|entry| reason(entry).unwrap_or_default());
    serials(der).into_iter().zip(numbers).collect()
}

fn base_number(der: &[u8]) -> u128 {
    let extensions = parse(der).tbs_cert_list.crl_extensions.unwrap();
    let indicator = extensions
        .iter()
        .find(|extension| extension.extn_id == BaseCrlNumber::OID)
        .unwrap();
    assert!(indicator.critical);
    let BaseCrlNumber(number) = BaseCrlNumber::from_der(indicator.extn_value.as_bytes()).unwrap();
    number
        .as_bytes()
        .iter()
        .fold(0, |number, &byte| number << 8 | u128::from(byte))
}

#[test]
fn base_and_delta_together_are_the_full_list() {
    let origin = Origin::new();
    origin.run(&[
        "issuer",
        "create",
        "ca",
        "--distribution-point",
        "http://crl.example/ca.crl",
        "--delta",
        DELTA,
    ]);
    for (serial, reason) in [
        ("0a", "superseded"),
        ("0b", "certificateHold"),
        ("0c", "certificateHold"),
    ] {
        origin.run(&["revoke", "ca", serial, "--reason", reason]);
    }
    let (_, base) = origin.crl("ca", "full");
    origin.run(&["revoke", "ca", "0d", "--reason", "keyCompromise"]);
    origin.run(&["revoke", "ca", "0a", "--reason", "keyCompromise"]);
    origin.run(&["release", "ca", "0b"]);
    // On hold and released again between two full lists: nobody who has the base need know, but who
    // had a delta must.
    origin.run(&["revoke", "ca", "0e", "--reason", "certificateHold"]);
    origin.run(&["release", "ca", "0e"]);
    let (_, delta) = origin.crl("ca", "delta");
    let (_, full) = origin.crl("ca", "full");
    assert_eq!(base_number(&delta), number(&base));
    assert!(
        number(&base) < number(&delta) && number(&delta) < number(&full),
        "one sequence"
    );
    let mut applied = reasons(&base);
    for (serial, reason) in reasons(&delta) {
        match reason {
            8 => applied.remove(&serial),
            _ => applied.insert(serial, reason),
        };
    }
    assert_eq!(applied, reasons(&full));
    assert_eq!(
        applied,
        BTreeMap::from([("0a".into(), 1), ("0c".into(), 6), ("0d".into(), 1)])
    );
    let text = String::from_utf8_lossy(&full).into_owned();
    assert!(text.contains(DELTA), "the freshest CRL is named");
}

#[test]
fn a_delta_starts_from_the_oldest_full_list_that_anyone_may_hold() {
    let origin = Origin::new();
    origin.run(&[
        "issuer",
        "create",
        "ca",
        "--distribution-point",
        "http://crl.example/ca.crl",
        "--delta",
        DELTA,
    ]);
    let made = origin
        .command(&["crl", "make", "ca", "delta"])
        .output()
        .unwrap();
    assert!(
        String::from_utf8_lossy(&made.stdout).contains("no CRL to publish"),
        "there is nothing to start from"
    );
    let (_, first) = origin.crl("ca", "full");
    origin.run(&["revoke", "ca", "0a"]);
    origin.crl("ca", "full");
    let (_, delta) = origin.crl("ca", "delta");
    assert_eq!(base_number(&delta), number(&first));
    assert_eq!(serials(&delta), ["0a"]);
}

#[test]
fn a_serial_number_with_its_first_bit_set_is_listed_as_it_was_revoked() {
    let origin = Origin::new();
    origin.issuer("ca", "p256");
    let serial = "89f43758489ba9fb";
    origin.run(&["revoke", "ca", serial]);
    assert_eq!(serials(&origin.crl("ca", "full").1), [serial]);
}

#[test]
fn a_shard_tells_of_its_own_certificates_and_says_so() {
    let origin = Origin::new();
    let (zero, one) = ("http://crl.example/ca/0.crl", "http://crl.example/ca/1.crl");
    origin.run(&["issuer", "create", "ca", "--shard", zero, "--shard", one]);
    for (serial, shard) in [("0a", "0"), ("0b", "1"), ("0c", "1")] {
        origin.run(&["revoke", "ca", serial, "--shard", shard]);
    }
    let issued = origin.run(&[
        "cert",
        "issue",
        "ca",
        "--dns",
        "a.example",
        "--shard",
        "1",
        "--json",
    ]);
    let issued: serde_json::Value = serde_json::from_str(&issued).unwrap();
    let serial = issued["serial"].as_str().unwrap();
    origin.run(&["revoke", "ca", serial]);
    let (path, der) = origin.crl("ca", "shard-1");
    assert_eq!(serials(&der), ["0b", "0c", serial]);
    assert_eq!(serials(&origin.crl("ca", "shard-0").1), ["0a"]);
    assert_eq!(serials(&origin.crl("ca", "full").1).len(), 4);
    let shown = origin.run(&["crl", "show", path.to_str().unwrap(), "--json"]);
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["distribution_points"], serde_json::json!([one]));
    let (code, complaint) = origin.fail(&["revoke", "ca", "0d", "--shard", "2"]);
    assert_eq!(
        (code, complaint.trim()),
        (1, "crl-origin: issuer ca has no shard 2")
    );
}

#[test]
fn an_authority_that_was_signed_here_is_known_to_end() {
    let origin = Origin::new();
    origin.issuer("root", "p256");
    origin.run(&["issuer", "create", "sub", "--signed-by", "root"]);
    let certificate = origin.run(&["issuer", "show", "sub", "--pem"]);
    std::fs::write(origin.path("sub.pem"), certificate).unwrap();
    let shown = openssl(
        &origin.path("."),
        &["x509", "-in", "sub.pem", "-noout", "-serial"],
    );
    let Some(shown) = shown else { return };
    let shown = String::from_utf8(shown.stdout).unwrap();
    let serial = shown.trim().strip_prefix("serial=").unwrap();
    let printed = origin.run(&["revoke", "root", serial, "--json"]);
    let printed: serde_json::Value = serde_json::from_str(&printed).unwrap();
    assert!(printed["not_after"].is_string(), "{printed}");
}

#[test]
fn a_certificate_that_may_not_sign_crls_makes_no_issuer() {
    let origin = Origin::new();
    origin.issuer("ca", "p256");
    origin.certificate("ca", "leaf");
    let leaf = ["--certificate", "leaf.pem"];
    let import = ["issuer", "import", "one", "--key", "leaf.key"];
    let connect = ["issuer", "connect", "url", "two", "--url", "http://a/b.crl"];
    for arguments in [&import[..], &connect] {
        let (code, complaint) = origin.fail(&[arguments, &leaf].concat());
        assert_eq!(code, 1);
        assert!(
            complaint.contains("does not allow to sign CRLs"),
            "{complaint}"
        );
    }
    origin.run(&[&["issuer", "connect", "external", "three"], &leaf[..]].concat());
}

#[test]
fn completions_are_printed_for_each_shell() {
    let origin = Origin::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        assert!(
            origin.run(&["completions", shell]).contains("revoke"),
            "{shell}"
        );
    }
}

#[test]
fn what_cannot_be_is_refused_with_its_own_exit_code() {
    let origin = Origin::new();
    origin.issuer("ca", "p256");
    assert_eq!(origin.fail(&["issuer", "create", "ca"]).0, 4);
    origin.run(&["issuer", "create", "ca", "--if-missing"]);
    assert_eq!(origin.fail(&["issuer", "show", "nobody"]).0, 3);
    let (_, problem) = origin.fail(&["issuer", "show", "nobody", "--json"]);
    assert_eq!(
        problem.trim(),
        r#"{"code":"issuer_not_found","detail":"no issuer is named nobody"}"#
    );
    assert_eq!(origin.fail(&["release", "ca", "0a"]).0, 3);
    origin.run(&["revoke", "ca", "0a", "--reason", "superseded"]);
    assert_eq!(origin.fail(&["release", "ca", "0a"]).0, 4);
    assert_eq!(
        origin
            .fail(&["revoke", "ca", "0a", "--reason", "privilegeWithdrawn"])
            .0,
        4
    );
    assert_eq!(
        origin
            .fail(&["revoke", "ca", "0a", "--reason", "boredom"])
            .0,
        2
    );
    let (code, complaint) = origin.fail(&[
        "issuer",
        "create",
        "x",
        "--crl-validity",
        "1h",
        "--crl-overlap",
        "2h",
    ]);
    assert_eq!(code, 1);
    assert!(
        complaint.contains("must be more than nothing and less than its validity"),
        "{complaint}"
    );
}

#[test]
fn an_issuer_is_held_to_the_baseline_requirements_if_it_wants_to_be() {
    let origin = Origin::new();
    let create = ["issuer", "create", "ca", "--profile", "cabf"];
    assert!(
        origin
            .fail(&[&create[..], &["--key", "ed25519"]].concat())
            .1
            .contains("6.1.5")
    );
    assert!(
        origin
            .fail(&[&create[..], &["--crl-validity", "11d"]].concat())
            .1
            .contains("4.9.7")
    );
    origin.run(&create);
    assert!(
        origin
            .fail(&["revoke", "ca", "0a", "--reason", "certificateHold"])
            .1
            .contains("7.2.2")
    );
    origin.run(&["revoke", "ca", "0a", "--reason", "superseded"]);
}

#[test]
fn an_import_goes_on_after_a_kill() {
    const LINES: u32 = 30_000;
    let origin = Origin::new();
    origin.issuer("ca", "p256");
    let line =
        |n: u32| format!("R\t361123120000Z\t260101000000Z,superseded\t{n:08X}\tunknown\t/CN=h\n");
    let index: String = (1..=LINES).map(line).collect();
    std::fs::write(origin.path("index.txt"), index).unwrap();
    let import = ["import", "ca", "index.txt", "--batch", "500"];
    let mut child = origin
        .command(&import)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let listed = || serials(&origin.crl("ca", "full").1).len();
    // Some batches are in before the process is killed.
    while listed() == 0 {
        assert!(
            child
                .try_wait()
                .unwrap()
                .is_none_or(|status| status.success())
        );
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let (_, half) = origin.crl("ca", "full");
    assert_eq!(serials(&half).len() % 500, 0, "whole batches");
    let printed = origin.run(&import);
    assert!(
        printed.contains(&format!("{} already were", serials(&half).len())),
        "{printed}"
    );
    let (_, whole) = origin.crl("ca", "full");
    assert_eq!(serials(&whole).len(), LINES as usize);
    assert!(number(&whole) > number(&half));
}

#[test]
fn an_import_names_the_lines_that_it_leaves_out() {
    let origin = Origin::new();
    origin.issuer("ca", "p256");
    let csv = "serial,reason\n0a,superseded\nzz,\n0b,certificateHold\n0a,privilegeWithdrawn\n";
    std::fs::write(origin.path("list.csv"), csv).unwrap();
    let (code, complaint) = origin.fail(&["import", "ca", "list.csv"]);
    assert_eq!(code, 1);
    assert!(
        complaint.contains("list.csv: line 3: a serial number is written in"),
        "{complaint}"
    );
    assert!(
        complaint.contains("list.csv: line 5: already revoked because of superseded"),
        "{complaint}"
    );
    assert_eq!(serials(&origin.crl("ca", "full").1), ["0a", "0b"]);
}

#[test]
fn a_ca_is_taken_over_with_its_list_and_its_number() {
    let (old, new) = (Origin::new(), Origin::new());
    old.issuer("ca", "p256");
    old.run(&[
        "revoke",
        "ca",
        "0a",
        "--reason",
        "keyCompromise",
        "--invalidity-date",
        "2026-01-01T00:00:00Z",
    ]);
    let (path, der) = old.crl("ca", "full");
    new.issuer("other", "p256");
    let import = ["import", "other", path.to_str().unwrap()];
    assert!(
        new.fail(&import)
            .1
            .contains("the CRL is of CN=ca, and other is CN=other")
    );
    new.run(&[&import[..], &["--other-issuer"]].concat());
    let (_, taken_over) = new.crl("other", "full");
    assert_eq!(reasons(&taken_over), reasons(&der));
    assert!(number(&taken_over) > number(&der));
    let shown = new.run(&[
        "crl",
        "diff",
        path.to_str().unwrap(),
        new.path("other-full.crl").to_str().unwrap(),
        "--json",
    ]);
    let changed: Vec<serde_json::Value> = shown
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let what: Vec<&str> = changed
        .iter()
        .map(|change| change["what"].as_str().unwrap())
        .collect();
    assert!(
        what.contains(&"issuer") && what.contains(&"number") && !what.contains(&"0a"),
        "{what:?}"
    );
}

#[test]
fn numbers_grow_after_a_backup_is_restored() {
    let origin = Origin::new();
    origin.issuer("ca", "p256");
    origin.crl("ca", "full");
    std::fs::copy(origin.path("origin.db"), origin.path("backup.db")).unwrap();
    let since: Vec<u128> = (0..3)
        .map(|_| number(&origin.crl("ca", "full").1))
        .collect();
    std::fs::copy(origin.path("backup.db"), origin.path("origin.db")).unwrap();
    assert!(number(&origin.crl("ca", "full").1) > since[2]);
}

#[test]
fn keys_are_encrypted_under_a_passphrase() {
    let origin = Origin::new();
    std::fs::write(origin.path("passphrase"), "correct horse\n").unwrap();
    origin.run(&["issuer", "create", "ca", "--passphrase-file", "passphrase"]);
    assert!(origin.fail(&["crl", "make", "ca"]).1.contains("encrypted"));
    origin.run(&["crl", "make", "ca", "--passphrase-file", "passphrase"]);
    // An empty one would protect nothing.
    std::fs::write(origin.path("empty"), "\n").unwrap();
    let (code, complaint) = origin.fail(&["issuer", "list", "--passphrase-file", "empty"]);
    assert_eq!(code, 2);
    assert!(complaint.contains("no passphrase in it"), "{complaint}");
}

#[test]
fn a_crl_is_verified_as_the_edge_does_it() {
    let origin = Origin::new();
    origin.issuer("ca", "ed25519");
    origin.issuer("other", "ed25519");
    let (path, mut der) = origin.crl("ca", "full");
    let path = path.to_str().unwrap();
    origin.run(&["crl", "verify", path, "--issuer", "ca.pem"]);
    assert!(
        origin
            .fail(&["crl", "verify", path, "--issuer", "other.pem"])
            .1
            .contains("wrong_issuer")
    );
    assert!(
        origin
            .fail(&[
                "crl", "verify", path, "--issuer", "ca.pem", "--name", "delta"
            ])
            .1
            .contains("wrong_scope")
    );
    *der.last_mut().unwrap() ^= 1;
    std::fs::write(path, der).unwrap();
    assert!(
        origin
            .fail(&["crl", "verify", path, "--issuer", "ca.pem"])
            .1
            .contains("bad_signature")
    );
}
