//! What an operator lists, fetches and renews.

mod harness;

use serde_json::Value;

use harness::{Origin, header, json, openssl, serials};

fn lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn issued_certificates_are_listed_and_fetched() {
    let origin = Origin::new();
    origin.issuer("ca", "p256");
    let mut serials: Vec<String> = ["a", "b", "c"]
        .map(|name| origin.certificate("ca", name))
        .into();
    serials.sort();
    let listed = lines(&origin.run(&["cert", "list", "ca", "--json"]));
    let found: Vec<&str> = listed
        .iter()
        .map(|it| it["serial"].as_str().unwrap())
        .collect();
    assert_eq!(found, serials);
    let pem = origin.run(&["cert", "show", "ca", &serials[0]]);
    assert!(pem.starts_with("-----BEGIN CERTIFICATE-----"));
    assert_eq!(origin.fail(&["cert", "show", "ca", "0a"]).0, 3);
    let server = origin.serve();
    let first = json(&mut server.get("/v1/issuers/ca/certificates?limit=2"));
    let cursor = first["next_cursor"].as_str().unwrap();
    let path = format!("/v1/issuers/ca/certificates?limit=2&cursor={cursor}");
    let second = json(&mut server.get(&path));
    assert_eq!(second["certificates"][0]["serial"], serials[2]);
    assert!(second["next_cursor"].is_null());
    let one = json(&mut server.get(&format!("/v1/issuers/ca/certificates/{}", serials[2])));
    assert_eq!(one, second["certificates"][0]);
}

#[test]
fn revocations_are_filtered() {
    let origin = Origin::new();
    origin.issuer("ca", "p256");
    for (serial, reason) in [
        ("0a", "superseded"),
        ("0b", "certificateHold"),
        ("0c", "superseded"),
    ] {
        origin.run(&["revoke", "ca", serial, "--reason", reason]);
    }
    origin.run(&["release", "ca", "0b"]);
    let found = |filter: &[&str]| -> Vec<Value> {
        let listed = lines(&origin.run(&[&["revocations", "ca", "--json"], filter].concat()));
        listed.into_iter().map(|it| it["serial"].clone()).collect()
    };
    assert_eq!(found(&[]), ["0a", "0b", "0c"]);
    assert_eq!(found(&["--reason", "superseded"]), ["0a", "0c"]);
    assert_eq!(found(&["--state", "released"]), ["0b"]);
    let server = origin.serve();
    let path = "/v1/issuers/ca/revocations?state=listed&reason=superseded&limit=1";
    let page = json(&mut server.get(path));
    assert_eq!(page["revocations"][0]["serial"], "0a");
    assert!(page["next_cursor"].is_string());
    assert_eq!(
        server.get("/v1/issuers/ca/revocations?state=gone").status(),
        400
    );
}

#[test]
fn a_renewed_certificate_has_the_same_key_and_verifies_the_crls() {
    let origin = Origin::new();
    origin.issuer("ca", "p256");
    let server = origin.serve();
    let tag = header(&server.crl("ca", "full", None), "etag").to_owned();
    let before = std::fs::read_to_string(origin.path("ca.pem")).unwrap();
    origin.run(&["issuer", "renew", "ca", "--validity", "30d"]);
    let after = origin.run(&["issuer", "show", "ca", "--pem"]);
    assert_ne!(before, after);
    std::fs::write(origin.path("renewed.pem"), &after).unwrap();
    // The edge gets a new CRL, and both certificates verify it.
    assert_eq!(server.crl("ca", "full", Some(&tag)).status(), 200);
    let (path, _) = origin.crl("ca", "full");
    for certificate in ["ca.pem", "renewed.pem"] {
        let path = path.to_str().unwrap();
        origin.run(&["crl", "verify", path, "--issuer", certificate]);
    }
    origin.issuer("other", "p256");
    let (_, complaint) = origin.fail(&["issuer", "renew", "ca", "--certificate", "other.pem"]);
    assert!(complaint.contains("does not match"), "{complaint}");
    origin.run(&["issuer", "renew", "ca", "--certificate", "ca.pem"]);
    assert_eq!(origin.run(&["issuer", "show", "ca", "--pem"]), before);
    origin.run(&["issuer", "create", "sub", "--signed-by", "ca"]);
    assert!(
        origin
            .fail(&["issuer", "renew", "sub"])
            .1
            .contains("signed by another CA")
    );
}

#[test]
fn a_crl_that_keeps_expired_certificates_says_so() {
    let origin = Origin::new();
    origin.issuer("ca", "p256");
    origin.run(&["issuer", "set", "ca", "--keep-expired"]);
    origin.run(&["revoke", "ca", "0a"]);
    let (path, der) = origin.crl("ca", "full");
    assert_eq!(serials(&der), ["0a"]);
    origin.run(&[
        "crl",
        "verify",
        path.to_str().unwrap(),
        "--issuer",
        "ca.pem",
    ]);
    // 2.5.29.60 with a GeneralizedTime.
    let extension = [0x06, 0x03, 0x55, 0x1d, 0x3c, 0x04, 0x11, 0x18, 0x0f];
    let has = |der: &[u8]| {
        der.windows(extension.len())
            .any(|window| window == extension)
    };
    assert!(has(&der));
    let arguments = [
        "crl",
        "-inform",
        "DER",
        "-noout",
        "-text",
        "-in",
        path.to_str().unwrap(),
    ];
    if let Some(shown) = openssl(&origin.path("."), &arguments) {
        assert!(shown.status.success());
    }
    origin.run(&["issuer", "set", "ca", "--no-keep-expired"]);
    assert!(!has(&origin.crl("ca", "full").1));
}
