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
