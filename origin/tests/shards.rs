//! A revocation stands on the CRL that the certificate's relying parties fetch.

mod harness;

use harness::{Origin, serials};

const ZERO: &str = "http://crl.example/ca/0.crl";
const ONE: &str = "http://crl.example/ca/1.crl";

/// An issuer with a full CRL and two shards.
fn sharded() -> Origin {
    let origin = Origin::new();
    let full = "http://crl.example/ca.crl";
    let create = ["issuer", "create", "ca", "--distribution-point", full];
    origin.run(&[&create[..], &["--shard", ZERO, "--shard", ONE]].concat());
    origin
}

/// A certificate of a shard in `{name}.pem`; its serial number.
fn issue(origin: &Origin, name: &str, shard: &str) -> String {
    let (out, key) = (format!("{name}.pem"), format!("{name}.key"));
    let files = ["--out", &out, "--key-out", &key, "--json"];
    let issue = ["cert", "issue", "ca", "--dns", name, "--shard", shard];
    let printed = origin.run(&[&issue[..], &files].concat());
    let new: serde_json::Value = serde_json::from_str(&printed).unwrap();
    new["serial"].as_str().unwrap().to_owned()
}

fn listed(origin: &Origin, name: &str) -> Vec<String> {
    serials(&origin.crl("ca", name).1)
}

#[test]
fn the_certificate_outranks_what_the_caller_says() {
    let origin = sharded();
    let serial = issue(&origin, "one", "1");
    origin.run(&["revoke", "ca", &serial]);
    // The review's case: this moved the entry to a CRL that the certificate does not name.
    origin.run(&["revoke", "ca", &serial, "--shard", "0"]);
    let early = ["--not-after", "2020-01-01T00:00:00Z"];
    origin.run(&[&["revoke", "ca", &serial], &early[..]].concat());
    assert_eq!(listed(&origin, "shard-1"), [serial.as_str()]);
    assert!(listed(&origin, "shard-0").is_empty());
}

#[test]
fn a_shard_that_was_named_first_stays_unless_the_certificate_says_otherwise() {
    let origin = sharded();
    // Issued here, and then the database that knew of it was lost.
    let serial = issue(&origin, "one", "1");
    let other = sharded_with_key_of(&origin);
    other.run(&["revoke", "ca", &serial, "--shard", "0"]);
    let (code, complaint) = other.fail(&["revoke", "ca", &serial, "--shard", "1"]);
    assert_eq!(code, 4);
    assert!(complaint.contains("on the CRL of shard 0"), "{complaint}");
    let certificate = origin.path("one.pem");
    let by_certificate = ["--certificate", certificate.to_str().unwrap()];
    other.run(&[&["revoke", "ca"], &by_certificate[..]].concat());
    assert_eq!(listed(&other, "shard-1"), [serial.as_str()]);
    assert!(listed(&other, "shard-0").is_empty());
}

/// The same CA in another database that knows none of its certificates.
fn sharded_with_key_of(origin: &Origin) -> Origin {
    let other = Origin::new();
    std::fs::copy(origin.path("origin.db"), other.path("origin.db")).unwrap();
    let database = rusqlite::Connection::open(other.path("origin.db")).unwrap();
    database.execute("DELETE FROM certificates", []).unwrap();
    other
}

#[test]
fn a_certificate_of_another_ca_is_not_revoked() {
    let origin = sharded();
    origin.issuer("other", "p256");
    origin.certificate("other", "leaf");
    for command in ["revoke", "release"] {
        let (_, complaint) = origin.fail(&[command, "ca", "--certificate", "leaf.pem"]);
        assert!(complaint.contains("not issued by issuer ca"), "{complaint}");
    }
    // Nor is one that only bears its name.
    let forger = Origin::new();
    forger.issuer("ca", "p256");
    forger.certificate("ca", "forged");
    let file = forger.path("forged.pem");
    let revoke = ["revoke", "ca", "--certificate", file.to_str().unwrap()];
    assert!(origin.fail(&revoke).1.contains("not issued by issuer ca"));
}

#[test]
fn the_crl_of_a_shard_is_imported_into_the_shard() {
    let (old, new) = (sharded(), sharded());
    old.run(&["revoke", "ca", "0a", "--shard", "1"]);
    let (path, _) = old.crl("ca", "shard-1");
    new.run(&["import", "ca", path.to_str().unwrap()]);
    assert_eq!(listed(&new, "shard-1"), ["0a"]);
    assert_eq!(listed(&new, "full"), ["0a"]);
    // A CRL whose distribution point is unknown here belongs to no list.
    let elsewhere = Origin::new();
    elsewhere.run(&[
        "issuer",
        "create",
        "ca",
        "--shard",
        "http://crl.example/2.crl",
    ]);
    let (path, _) = elsewhere.crl("ca", "shard-0");
    let (_, complaint) = new.fail(&["import", "ca", path.to_str().unwrap()]);
    assert!(
        complaint.contains("none of the issuer's shards"),
        "{complaint}"
    );
}

#[test]
fn a_line_of_unknown_shard_is_refused() {
    let origin = sharded();
    let known = issue(&origin, "one", "1");
    let lines = format!("serial,shard\n0a,\n0b,0\n{known},\n");
    std::fs::write(origin.path("list.csv"), lines).unwrap();
    let (code, complaint) = origin.fail(&["import", "ca", "list.csv"]);
    assert_eq!(code, 1);
    assert!(
        complaint.contains("line 2: the issuer has shards"),
        "{complaint}"
    );
    assert_eq!(listed(&origin, "shard-0"), ["0b"]);
    assert_eq!(listed(&origin, "shard-1"), [known.as_str()]);
    origin.run(&["import", "ca", "list.csv", "--no-shard"]);
    assert!(listed(&origin, "full").contains(&"0a".to_owned()));
}

#[test]
fn a_revocation_of_unknown_list_is_refused_by_command() {
    let origin = sharded();
    let serial = issue(&origin, "one", "1");
    let stranger = sharded_with_key_of(&origin);
    let (code, complaint) = stranger.fail(&["revoke", "ca", &serial]);
    assert_eq!(code, 1);
    assert!(complaint.contains("--shard"), "{complaint}");
    assert!(listed(&stranger, "full").is_empty());
    // Each way to name the list.
    stranger.run(&["revoke", "ca", "0a", "--shard", "0"]);
    stranger.run(&["revoke", "ca", "0b", "--no-shard"]);
    let certificate = origin.path("one.pem");
    stranger.run(&[
        "revoke",
        "ca",
        "--certificate",
        certificate.to_str().unwrap(),
    ]);
    assert_eq!(listed(&stranger, "shard-0"), ["0a"]);
    assert_eq!(listed(&stranger, "shard-1"), [serial.as_str()]);
    assert_eq!(listed(&stranger, "full").len(), 3);
    // What is listed already needs no repetition.
    stranger.run(&["revoke", "ca", "0b", "--reason", "keyCompromise"]);
}

#[test]
fn a_certificate_that_names_no_list_of_the_issuer_needs_one_to_be_named() {
    let origin = sharded();
    let serial = issue(&origin, "one", "1");
    let stranger = sharded_with_key_of(&origin);
    let database = rusqlite::Connection::open(stranger.path("origin.db")).unwrap();
    let moved =
        "UPDATE lists SET distribution_point = 'http://moved.example/1.crl' WHERE name = 'shard-1'";
    assert_eq!(database.execute(moved, []).unwrap(), 1);
    let file = origin.path("one.pem");
    let revoke = ["revoke", "ca", "--certificate", file.to_str().unwrap()];
    let (_, complaint) = stranger.fail(&revoke);
    assert!(complaint.contains(ONE), "{complaint}");
    assert!(complaint.contains("which list certificate"), "{complaint}");
    stranger.run(&[&revoke[..], &["--shard", "1"]].concat());
    assert_eq!(listed(&stranger, "shard-1"), [serial.as_str()]);
}

#[test]
fn a_revocation_of_unknown_list_is_refused_over_http() {
    let origin = sharded();
    let serial = issue(&origin, "one", "1");
    let pem = std::fs::read_to_string(origin.path("one.pem")).unwrap();
    origin.issuer("other", "p256");
    origin.certificate("other", "leaf");
    let foreign = std::fs::read_to_string(origin.path("leaf.pem")).unwrap();
    let stranger = sharded_with_key_of(&origin);
    let server = stranger.serve();
    let path = "/v1/issuers/ca/revocations";
    let by_certificate = serde_json::json!({"certificate": pem});
    for (body, status, code) in [
        (serde_json::json!({"serial": serial}), 400, "shard_unknown"),
        (serde_json::json!({}), 400, "invalid_request"),
        (
            serde_json::json!({"serial": "0a", "shard": 0, "no_shard": true}),
            400,
            "invalid_request",
        ),
        (
            serde_json::json!({"serial": "0a", "certificate": pem}),
            400,
            "other_serial",
        ),
        (
            serde_json::json!({"certificate": foreign}),
            400,
            "wrong_issuer",
        ),
    ] {
        let mut refused = server.post(path, &body);
        let refusal = harness::json(&mut refused);
        assert_eq!(
            (refused.status().as_u16(), &refusal["code"]),
            (status, &serde_json::json!(code)),
            "{body}: {refusal}"
        );
    }
    assert!(listed(&stranger, "full").is_empty());
    assert_eq!(server.post(path, &by_certificate).status(), 201);
    let batch = serde_json::json!({"revocations": [
        {"serial": "0a"},
        {"certificate": foreign},
        {"serial": "0b", "no_shard": true},
        {"serial": "0c", "shard": 7},
        {"serial": "0d", "shard": 0},
        by_certificate,
    ]});
    let mut answer = server.post(&format!("{path}/batch"), &batch);
    assert_eq!(answer.status(), 200);
    let answer = harness::json(&mut answer);
    assert_eq!(
        (&answer["revoked"], &answer["already_revoked"]),
        (&serde_json::json!(2), &serde_json::json!(1)),
        "{answer}"
    );
    let refused: Vec<_> = answer["refused"].as_array().unwrap().iter().collect();
    let indexes: Vec<_> = refused.iter().map(|it| it["index"].as_u64()).collect();
    assert_eq!(indexes, [Some(0), Some(1), Some(3)], "{answer}");
    assert_eq!(listed(&stranger, "shard-0"), ["0d"]);
    assert_eq!(listed(&stranger, "shard-1"), [serial.as_str()]);
    assert_eq!(listed(&stranger, "full").len(), 3);
}

#[test]
fn what_would_stand_on_no_crl_is_refused() {
    let origin = Origin::new();
    let server = origin.serve();
    let new = serde_json::json!({"id": "ca", "key": "p256", "crls": [
        {"name": "shard-0", "distribution_point": ZERO},
    ]});
    assert_eq!(server.post("/v1/issuers", &new).status(), 201);
    let mut refused = server.post(
        "/v1/issuers/ca/revocations",
        &serde_json::json!({"serial": "0a"}),
    );
    assert_eq!(refused.status(), 400);
    assert_eq!(harness::json(&mut refused)["code"], "no_list");
    let certificate = serde_json::json!({"subject": "CN=a"});
    let path = "/v1/issuers/ca/certificates";
    assert_eq!(server.post(path, &certificate).status(), 400);
    let shard = serde_json::json!({"serial": "0a", "shard": 0});
    assert_eq!(
        server.post("/v1/issuers/ca/revocations", &shard).status(),
        201
    );
}

#[test]
fn two_lists_do_not_share_a_url() {
    let origin = sharded();
    let same = [
        "issuer",
        "create",
        "x",
        "--shard",
        "http://a/0.crl",
        "--shard",
        "http://a/0.crl",
    ];
    assert!(
        origin
            .fail(&same)
            .1
            .contains("have the same distribution point")
    );
    let taken = ["issuer", "create", "x", "--distribution-point", ZERO];
    assert!(origin.fail(&taken).1.contains("that of a CRL of issuer ca"));
    origin.issuer("y", "p256");
    let moved = ["issuer", "set", "y", "--distribution-point", ONE];
    assert!(origin.fail(&moved).1.contains("that of a CRL of issuer ca"));
}
