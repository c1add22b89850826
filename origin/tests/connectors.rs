//! The origin in front of CAs that run elsewhere.

mod harness;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crl_origin::hex::encode;
use end_to_end::{OpensslAuthority, Skipped};
use sha2::{Digest, Sha256};

use harness::{Origin, json, number, openssl, serials};

/// A web server with one file, which may be exchanged, and how often it sent it.
#[derive(Default)]
struct Published {
    contents: Mutex<Vec<u8>>,
    sent: AtomicUsize,
}

impl Published {
    fn start(contents: Vec<u8>) -> (Arc<Self>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/ca.crl", listener.local_addr().unwrap());
        let published = Arc::new(Self::default());
        published.exchange(contents);
        let server = Arc::clone(&published);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                server.answer(stream.unwrap());
            }
        });
        (published, url)
    }

    fn answer(&self, mut stream: TcpStream) {
        let mut request = [0; 4096];
        let length = stream.read(&mut request).unwrap_or_default();
        let request = String::from_utf8_lossy(&request[..length]).into_owned();
        let contents = self.contents.lock().unwrap().clone();
        let tag = format!("\"{}\"", encode(&Sha256::digest(&contents)));
        let head =
            |status: &str| format!("HTTP/1.1 {status}\r\nETag: {tag}\r\nConnection: close\r\n");
        let answer = if request.contains(&format!("if-none-match: {tag}")) {
            format!("{}\r\n", head("304 Not Modified")).into_bytes()
        } else {
            self.sent.fetch_add(1, Ordering::SeqCst);
            let head = format!(
                "{}Content-Length: {}\r\n\r\n",
                head("200 OK"),
                contents.len()
            );
            [head.as_bytes(), &contents].concat()
        };
        let _ = stream.write_all(&answer);
    }

    fn exchange(&self, contents: Vec<u8>) {
        *self.contents.lock().unwrap() = contents;
    }
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
    let crl = ca.crl("ca", "full").1;
    let (published, url) = Published::start(crl.clone());
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
        "--allow-local",
    ]);
    // It was checked when it was connected.
    assert_eq!(published.sent.swap(0, Ordering::SeqCst), 1);
    let server = front.serve();
    let mut first = server.crl("front", "full", None);
    assert_eq!(first.status(), 200);
    assert!(
        first.headers().get("revocation-watermark").is_none(),
        "nobody knows it"
    );
    assert_eq!(first.body_mut().read_to_vec().unwrap(), crl);
    assert_eq!(server.crl("front", "delta", None).status(), 404);
    let tag = harness::header(&first, "etag").to_owned();
    // It is asked for only if it was changed, where its asker holds it.
    assert_eq!(published.sent.load(Ordering::SeqCst), 1);
    assert_eq!(server.crl("front", "full", Some(&tag)).status(), 304);
    assert_eq!(published.sent.load(Ordering::SeqCst), 1);
    let other = format!("\"{}\"", "0".repeat(64));
    assert_eq!(server.crl("front", "full", Some(&other)).status(), 200);
    ca.run(&["revoke", "ca", "0b"]);
    published.exchange(ca.crl("ca", "full").1);
    assert_eq!(server.crl("front", "full", Some(&tag)).status(), 200);
    published.exchange(b"<html>Not today</html>".to_vec());
    let mut broken = server.crl("front", "full", Some(&tag));
    assert_eq!(broken.status(), 502);
    assert_eq!(json(&mut broken)["code"], "upstream_crl_refused");
    ca.issuer("impostor", "p256");
    published.exchange(ca.crl("impostor", "full").1);
    assert_eq!(server.crl("front", "full", None).status(), 502);
}

#[test]
fn what_is_no_url_is_refused_when_it_is_given() {
    let origin = Origin::new();
    origin.issuer("ca", "p256");
    let connect = ["issuer", "connect", "url", "x", "--certificate", "ca.pem"];
    let serve = ["serve", "--token", "t", "--hook-token", "t"];
    for url in ["ca.example/ca.crl", "ftp://ca.example/ca.crl", "http://"] {
        for arguments in [
            [&connect[..], &["--url", url]].concat(),
            [&serve[..], &["--edge", url]].concat(),
        ] {
            let (code, complaint) = origin.fail(&arguments);
            assert_eq!(code, 2, "{arguments:?}: {complaint}");
            assert!(
                complaint.contains("not an http:// or https:// URL"),
                "{complaint}"
            );
        }
    }
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
        "--allow-local",
    ]);
    let server = origin.serve();
    let response = server.crl("front", "full", None);
    assert_eq!(response.status(), 503);
    assert_eq!(harness::header(&response, "retry-after"), "30");
}

#[test]
fn an_openssl_directory_is_followed() {
    let ca = match OpensslAuthority::start("http://crl.example/demo.crl") {
        Ok(ca) => ca,
        Err(Skipped(why)) => return println!("skipped: {why}"),
    };
    let number_file = ca.folder().join("crlnumber");
    std::fs::write(number_file, "2000000000000000\n").unwrap();
    let origin = Origin::new();
    let folder = ca.folder().to_str().unwrap();
    let connect = ["issuer", "connect", "openssl", "demo"];
    origin.run(&[&connect[..], &["--directory", folder]].concat());
    let (one, two) = (ca.issue("one"), ca.issue("two"));
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
    ca.revoke("one");
    let (status, _, second) = ask(tag.as_deref());
    assert_eq!((status, serials(&second)), (200, vec!["1000".to_owned()]));
    std::fs::write(origin.path("second.der"), &second).unwrap();
    let run = |arguments: &[&str]| openssl(&origin.path("."), arguments).unwrap();
    run(&[
        "crl",
        "-inform",
        "DER",
        "-in",
        "second.der",
        "-out",
        "second.pem",
    ]);
    let certificate = ca.certificate();
    let verify = |leaf: &std::path::Path| {
        let trust = ["verify", "-CAfile", certificate.to_str().unwrap()];
        let check = [
            "-crl_check",
            "-CRLfile",
            "second.pem",
            leaf.to_str().unwrap(),
        ];
        let said = run(&[&trust[..], &check].concat());
        String::from_utf8([said.stdout, said.stderr].concat()).unwrap()
    };
    assert!(verify(&two).contains("OK"));
    assert!(verify(&one).contains("certificate revoked"));

    // Revoked by a clock that is ahead of ours.
    let index_file = ca.folder().join("index.txt");
    let index = std::fs::read_to_string(&index_file).unwrap();
    let ahead = index
        .replace("\t\t1001\t", "\t491231235959Z\t1001\t")
        .replace("V\t", "R\t");
    std::fs::write(&index_file, ahead).unwrap();
    assert_eq!(serials(&ask(None).2), ["1000", "1001"]);
    // A line that cannot be read: rather no CRL than one without it.
    std::fs::write(&index_file, format!("{index}R\tnever\n")).unwrap();
    assert_eq!(ask(None).0, 502);

    // The directory moves.
    let moved = origin.path("moved.txt");
    std::fs::write(&moved, &index).unwrap();
    let set = ["issuer", "set", "demo", "--index", moved.to_str().unwrap()];
    origin.run(&set);
    assert_eq!(ask(None).0, 200);
}

/// A CA that `openssl ca` keeps, with these extensions in its CRL.
fn crl_with(extensions: &str) -> Result<(OpensslAuthority, Vec<u8>), Skipped> {
    let ca = OpensslAuthority::start("http://crl.example/demo.crl")?;
    let file = ca.folder().join("ca.cnf");
    let config = std::fs::read_to_string(&file)
        .unwrap()
        .replace("[lab]", "[lab]\ncrl_extensions = list");
    std::fs::write(&file, format!("{config}\n[list]\n{extensions}\n")).unwrap();
    let crl = ca.crl("");
    Ok((ca, crl))
}

#[test]
fn a_list_that_no_edge_would_serve_is_refused_at_connect_with_what_to_do() {
    let cases = [
        // `openssl ca` numbers its CRLs only if it has a file for that.
        (
            "authorityKeyIdentifier = keyid",
            "crlnumber",
            "configure the CA to number its CRLs",
        ),
        (
            "issuingDistributionPoint = critical, @point\n[point]\nfullname = URI:http://other.example/demo.crl",
            "",
            "http://other.example/demo.crl as its distribution point",
        ),
    ];
    for (extensions, without, expected) in cases {
        let (ca, mut crl) = match crl_with(extensions) {
            Ok(made) => made,
            Err(Skipped(why)) => return println!("skipped: {why}"),
        };
        if !without.is_empty() {
            let file = ca.folder().join("ca.cnf");
            let config = std::fs::read_to_string(&file).unwrap();
            let line = format!("{without} = {without}\n");
            std::fs::write(&file, config.replace(&line, "")).unwrap();
            crl = ca.crl("");
        }
        let (_published, url) = Published::start(crl);
        let origin = Origin::new();
        let certificate = ca.certificate().to_str().unwrap().to_owned();
        let connect = ["issuer", "connect", "url", "front", "--certificate"];
        let source = [&certificate, "--url", &url, "--allow-local"];
        let point = ["--distribution-point", "http://crl.example/demo.crl"];
        let (code, complaint) = origin.fail(&[&connect[..], &source, &point].concat());
        assert_eq!(code, 1, "{complaint}");
        assert!(complaint.contains(expected), "{complaint}");
    }
}

#[test]
fn a_certificate_of_another_ca_is_refused_at_connect() {
    let origin = Origin::new();
    for id in ["ca", "other"] {
        origin.issuer(id, "p256");
    }
    let (_published, url) = Published::start(origin.crl("ca", "full").1);
    let connect = ["issuer", "connect", "url", "front", "--certificate"];
    let source = ["--url", &url, "--allow-local"];
    let (code, complaint) = origin.fail(&[&connect[..], &["other.pem"], &source].concat());
    assert_eq!(code, 1);
    assert!(
        complaint.contains("the certificate must be that of the CA that signs this CRL"),
        "{complaint}"
    );
    // A page is not a CRL, and this machine is not asked unless that is meant.
    let (_published, page) = Published::start(b"<html>Not today</html>".to_vec());
    let source = ["ca.pem", "--url", &page, "--allow-local"];
    let (_, complaint) = origin.fail(&[&connect[..], &source].concat());
    assert!(complaint.contains("is it the CRL's URL"), "{complaint}");
    let (_, complaint) = origin.fail(&[&connect[..], &["ca.pem", "--url", &url]].concat());
    assert!(complaint.contains("--allow-local"), "{complaint}");
    origin.run(&[&connect[..], &["ca.pem", "--url", &url, "--allow-local"]].concat());
}

#[test]
fn a_changed_source_is_checked_as_at_connect() {
    let origin = Origin::new();
    for id in ["ca", "other"] {
        origin.issuer(id, "p256");
    }
    let (_ca, url) = Published::start(origin.crl("ca", "full").1);
    let (_other, others) = Published::start(origin.crl("other", "full").1);
    let (_page, page) = Published::start(b"<html>Moved</html>".to_vec());
    let connect = ["issuer", "connect", "url", "front", "--certificate"];
    origin.run(&[&connect[..], &["ca.pem", "--url", &url, "--allow-local"]].concat());
    let set = ["issuer", "set", "front"];
    let cases: [(&[&str], &str); 3] = [
        (
            &["--url", &others],
            "the certificate must be that of the CA",
        ),
        (&["--url", &page], "is it the CRL's URL"),
        (&["--url", &url, "--allow-local=false"], "--allow-local"),
    ];
    for (change, expected) in cases {
        let (code, complaint) = origin.fail(&[&set[..], change].concat());
        assert_eq!(code, 1, "{complaint}");
        assert!(complaint.contains(expected), "{complaint}");
    }
    let shown = origin.run(&["issuer", "show", "front", "--json"]);
    assert!(shown.contains("\"connector\":\"url\""), "{shown}");
    let server = origin.serve();
    assert_eq!(server.crl("front", "full", None).status(), 200, "as before");
}

#[test]
fn an_openssl_directory_has_no_shards() {
    let ca = match OpensslAuthority::start("http://crl.example/demo.crl") {
        Ok(ca) => ca,
        Err(Skipped(why)) => return println!("skipped: {why}"),
    };
    let origin = Origin::new();
    let folder = ca.folder().to_str().unwrap();
    let connect = [
        "issuer",
        "connect",
        "openssl",
        "demo",
        "--directory",
        folder,
    ];
    let shard = ["--shard", "http://crl.example/0.crl"];
    let set = ["issuer", "set", "demo"];
    let refuse = |arguments: &[&str]| {
        let (code, complaint) = origin.fail(&[arguments, &shard].concat());
        assert_eq!(code, 1, "{complaint}");
        assert!(complaint.contains("publish the full CRL"), "{complaint}");
    };
    refuse(&connect);
    assert!(!origin.run(&["issuer", "list"]).contains("demo"));
    origin.run(&connect);
    refuse(&set);
}
