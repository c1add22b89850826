//! The origin in front of CAs that run elsewhere.

mod harness;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use harness::{Origin, json, number, openssl, serials};

/// A web server with one file, which may be exchanged.
fn publish(contents: &Arc<Mutex<Vec<u8>>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/ca.crl", listener.local_addr().unwrap());
    let contents = Arc::clone(contents);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            let contents = contents.lock().unwrap().clone();
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                contents.len()
            );
            let _ = stream.write_all(&[head.as_bytes(), &contents].concat());
        }
    });
    url
}

#[test]
fn an_external_issuer_is_known_and_has_no_crl() {
    let origin = Origin::new();
    origin.issuer("ca", "p256");
    origin.run(&[
        "issuer",
        "connect",
        "external",
        "elsewhere",
        "--certificate",
        "ca.pem",
    ]);
    let server = origin.serve();
    assert_eq!(
        json(&mut server.get("/v1/issuers/elsewhere"))["crls"],
        serde_json::json!([])
    );
    assert_eq!(server.crl("elsewhere", "full", None).status(), 204);
    let refused = server.post(
        "/v1/issuers/elsewhere/revocations",
        &serde_json::json!({"serial": "0a"}),
    );
    assert_eq!(refused.status(), 409);
}

#[test]
fn a_published_crl_is_passed_on_as_it_is() {
    let (ca, front) = (Origin::new(), Origin::new());
    ca.issuer("ca", "p256");
    ca.run(&["revoke", "ca", "0a"]);
    let contents = Arc::new(Mutex::new(ca.crl("ca", "full").1));
    let url = publish(&contents);
    let certificate = ca.path("ca.pem");
    let certificate = certificate.to_str().unwrap();
    front.run(&[
        "issuer",
        "connect",
        "url",
        "front",
        "--certificate",
        certificate,
        "--url",
        &url,
    ]);
    let server = front.serve();
    let mut first = server.crl("front", "full", None);
    assert_eq!(first.status(), 200);
    assert!(
        first.headers().get("revocation-watermark").is_none(),
        "nobody knows it"
    );
    assert_eq!(
        first.body_mut().read_to_vec().unwrap(),
        *contents.lock().unwrap()
    );
    assert_eq!(server.crl("front", "delta", None).status(), 404);
    let tag = harness::header(&first, "etag").to_owned();
    assert_eq!(server.crl("front", "full", Some(&tag)).status(), 304);
    ca.run(&["revoke", "ca", "0b"]);
    *contents.lock().unwrap() = ca.crl("ca", "full").1;
    assert_eq!(server.crl("front", "full", Some(&tag)).status(), 200);
    *contents.lock().unwrap() = b"<html>Not today</html>".to_vec();
    let mut broken = server.crl("front", "full", Some(&tag));
    assert_eq!(broken.status(), 502);
    assert_eq!(json(&mut broken)["code"], "upstream_crl_refused");
    ca.issuer("impostor", "p256");
    *contents.lock().unwrap() = ca.crl("impostor", "full").1;
    assert_eq!(server.crl("front", "full", None).status(), 502);
}

#[test]
fn a_ca_that_cannot_be_reached_is_to_be_asked_again() {
    let origin = Origin::new();
    origin.issuer("ca", "p256");
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let url = format!("http://{closed}/ca.crl");
    origin.run(&[
        "issuer",
        "connect",
        "url",
        "front",
        "--certificate",
        "ca.pem",
        "--url",
        &url,
    ]);
    let server = origin.serve();
    let response = server.crl("front", "full", None);
    assert_eq!(response.status(), 503);
    assert_eq!(harness::header(&response, "retry-after"), "30");
}

const OPENSSL_CONFIGURATION: &str = "
[ca]
default_ca = demo
[demo]
database = index.txt
new_certs_dir = .
certificate = cacert.pem
private_key = private/cakey.pem
serial = serial
crlnumber = crlnumber
default_md = sha256
default_days = 30
default_crl_days = 30
policy = any
[any]
commonName = supplied
[req]
distinguished_name = name
[name]
";

#[test]
fn an_openssl_directory_is_followed() {
    let origin = Origin::new();
    let folder = origin.path("demoCA");
    std::fs::create_dir_all(folder.join("private")).unwrap();
    for (name, contents) in [
        ("ca.cnf", OPENSSL_CONFIGURATION),
        ("index.txt", ""),
        ("serial", "1000\n"),
        ("crlnumber", "2000000000000000\n"),
    ] {
        std::fs::write(folder.join(name), contents).unwrap();
    }
    let run = |line: &str| {
        let output = openssl(&folder, &line.split(' ').collect::<Vec<_>>())?;
        assert!(
            output.status.success(),
            "{line}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Some(())
    };
    let root = "req -x509 -newkey rsa:2048 -nodes -keyout private/cakey.pem -out cacert.pem -subj /CN=Demo -days 99";
    if run(&format!(
        "{root} -addext keyUsage=critical,keyCertSign,cRLSign"
    ))
    .is_none()
    {
        return;
    }
    origin.run(&[
        "issuer",
        "connect",
        "openssl",
        "demo",
        "--directory",
        "demoCA",
    ]);
    for name in ["one", "two"] {
        run(&format!(
            "req -newkey rsa:2048 -nodes -keyout {name}.key -out {name}.csr -subj /CN={name} -config ca.cnf"
        ));
        run(&format!(
            "ca -batch -config ca.cnf -in {name}.csr -out {name}.pem -notext"
        ));
    }
    let server = origin.serve();
    let ask = |held: Option<&str>| {
        let mut response = server.crl("demo", "full", held);
        let tag = response
            .headers()
            .get("etag")
            .map(|tag| tag.to_str().unwrap().to_owned());
        (
            response.status().as_u16(),
            tag,
            response.body_mut().read_to_vec().unwrap(),
        )
    };
    let (_, tag, first) = ask(None);
    assert!(serials(&first).is_empty());
    assert!(number(&first) > 0x2000_0000_0000_0000, "above the CA's own");
    run("ca -config ca.cnf -revoke one.pem -crl_reason keyCompromise");
    let (status, _, second) = ask(tag.as_deref());
    assert_eq!((status, serials(&second)), (200, vec!["1000".to_owned()]));
    std::fs::write(folder.join("second.der"), &second).unwrap();
    run("crl -inform DER -in second.der -out second.pem");
    run("verify -CAfile cacert.pem -crl_check -CRLfile second.pem two.pem");
    let verify = [
        "verify",
        "-CAfile",
        "cacert.pem",
        "-crl_check",
        "-CRLfile",
        "second.pem",
        "one.pem",
    ];
    let refused = openssl(&folder, &verify).unwrap();
    assert!(String::from_utf8_lossy(&refused.stderr).contains("certificate revoked"));
}
