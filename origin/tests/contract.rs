//! The calls that an edge makes, as the contract has them.

mod harness;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use sha2::{Digest, Sha256};

use harness::{Origin, agent, header, json, number, parse, serials};

#[test]
fn the_registry_is_walked_page_by_page() {
    let origin = Origin::new();
    for id in ["c", "a", "b"] {
        origin.issuer(id, "p256");
    }
    let server = origin.serve();
    let first = json(&mut server.get("/v1/issuers?limit=2"));
    let ids = |page: &serde_json::Value| -> Vec<String> {
        page["issuers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|issuer| issuer["id"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(ids(&first), ["a", "b"]);
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = json(&mut server.get(&format!("/v1/issuers?limit=2&cursor={cursor}")));
    assert_eq!(ids(&second), ["c"]);
    assert!(second["next_cursor"].is_null());
    let crl = &second["issuers"][0]["crls"][0];
    assert_eq!(
        *crl,
        serde_json::json!({"name": "full", "distribution_point": "http://crl.example/c.crl"})
    );
    assert_eq!(json(&mut server.get("/v1/issuers/c")), second["issuers"][0]);
    for query in ["limit=0", "limit=1001", "limit=x", "cursor=", "cursor=a/b"] {
        let mut refused = server.get(&format!("/v1/issuers?{query}"));
        assert_eq!(refused.status(), 400, "{query}");
        assert_eq!(json(&mut refused)["code"], "invalid_request", "{query}");
    }
}

#[test]
fn a_call_without_a_valid_token_is_refused() {
    let origin = Origin::new();
    origin.issuer("ca", "p256");
    let edge = origin.run(&["token", "create", "edge-1"]);
    let admin = origin.run(&["token", "create", "admin-1", "--scope", "admin"]);
    let server = origin.serve();
    let status = |token: Option<&str>, path: &str| {
        let request = agent().post(format!("{}{path}", server.url));
        let request = match token {
            Some(token) => request.header("Authorization", format!("Bearer {}", token.trim())),
            None => request,
        };
        request
            .send_json(serde_json::json!({"serial": "0a"}))
            .unwrap()
            .status()
            .as_u16()
    };
    // What a path says is not what it leads to.
    origin.issuer("crls", "p256");
    assert_eq!(status(Some(&edge), "/v1/issuers/crls/revocations"), 403);
    let (crl, revocations) = ("/v1/issuers/ca/crls/full", "/v1/issuers/ca/revocations");
    assert_eq!(status(None, crl), 401);
    assert_eq!(status(Some("wrong"), crl), 401);
    assert_eq!(status(Some(&edge), crl), 200);
    assert_eq!(status(Some(&edge), revocations), 403);
    assert_eq!(status(Some(&admin), revocations), 201);
    origin.run(&["token", "expire", "admin-1"]);
    assert_eq!(status(Some(&admin), revocations), 401);
    let mut response = agent()
        .get(format!("{}/v1/issuers", server.url))
        .call()
        .unwrap();
    assert_eq!(
        header(&response, "content-type"),
        "application/problem+json"
    );
    assert_eq!(header(&response, "www-authenticate"), "Bearer");
    assert_eq!(json(&mut response)["code"], "unauthorized");
}

#[test]
fn a_crl_comes_with_its_hash_its_length_and_its_watermark() {
    let origin = Origin::new();
    origin.issuer("ca", "p256");
    let server = origin.serve();
    let mut response = server.crl("ca", "full", None);
    assert_eq!(response.status(), 200);
    assert_eq!(header(&response, "content-type"), "application/pkix-crl");
    let tag = header(&response, "etag").to_owned();
    let length: usize = header(&response, "content-length").parse().unwrap();
    assert!(
        header(&response, "revocation-watermark")
            .parse::<u64>()
            .is_ok()
    );
    let der = response.body_mut().read_to_vec().unwrap();
    let digest = crl_origin::hex::encode(&Sha256::digest(&der));
    assert_eq!(tag, format!("\"{digest}\""));
    assert_eq!(length, der.len());
}

#[test]
fn what_is_held_stays_current_until_something_changes() {
    let origin = Origin::new();
    origin.issuer("ca", "ed25519");
    let server = origin.serve();
    let first = server.crl("ca", "full", None);
    let (tag, watermark) = (
        header(&first, "etag").to_owned(),
        header(&first, "revocation-watermark").to_owned(),
    );
    assert_eq!(server.crl("ca", "full", Some(&tag)).status(), 304);
    // Without a condition there is always a new one; what was held before is no longer the last one
    // then.
    let second = server.crl("ca", "full", None);
    assert_ne!(header(&second, "etag"), tag);
    assert_eq!(header(&second, "revocation-watermark"), watermark);
    let tag = header(&second, "etag").to_owned();
    assert_eq!(server.crl("ca", "full", Some(&tag)).status(), 304);
    // Another process revokes.
    origin.run(&["revoke", "ca", "0a0b"]);
    let mut third = server.crl("ca", "full", Some(&tag));
    assert_eq!(third.status(), 200);
    let grown = header(&third, "revocation-watermark")
        .parse::<u64>()
        .unwrap();
    assert!(grown > watermark.parse().unwrap());
    assert_eq!(serials(&third.body_mut().read_to_vec().unwrap()), ["0a0b"]);
}

#[test]
fn a_crl_that_is_due_is_made_anew() {
    let origin = Origin::new();
    // Due at once: it ends in two days, and the next one is to come nearly as long before.
    origin.run(&[
        "issuer",
        "create",
        "ca",
        "--crl-validity",
        "2days",
        "--crl-overlap",
        "47h 59m 59s",
    ]);
    let server = origin.serve();
    let first = server.crl("ca", "full", None);
    let tag = header(&first, "etag").to_owned();
    let renewed = (0..50).any(|_| {
        std::thread::sleep(Duration::from_millis(100));
        server.crl("ca", "full", Some(&tag)).status() == 200
    });
    assert!(renewed);
}

#[test]
fn what_does_not_exist_is_a_404_with_a_code() {
    let origin = Origin::new();
    origin.issuer("ca", "p256");
    let server = origin.serve();
    for (issuer, name) in [
        ("nobody", "full"),
        ("ca", "delta"),
        ("ca", "shard-0"),
        ("ca", "Full"),
        ("-", "full"),
    ] {
        let mut response = server.crl(issuer, name, None);
        assert_eq!(response.status(), 404, "{issuer} {name}");
        assert_eq!(
            header(&response, "content-type"),
            "application/problem+json"
        );
        assert!(
            json(&mut response)["code"]
                .as_str()
                .unwrap()
                .ends_with("not_found")
        );
    }
}

#[test]
fn numbers_grow_however_many_ask_at_once() {
    let origin = Origin::new();
    origin.issuer("ca", "p256");
    let server = origin.serve();
    let mut numbers: Vec<u128> = std::thread::scope(|scope| {
        let ask = || {
            let der = |_| {
                server
                    .crl("ca", "full", None)
                    .body_mut()
                    .read_to_vec()
                    .unwrap()
            };
            let numbers: Vec<u128> = (0..10).map(|n| number(&der(n))).collect();
            assert!(numbers.is_sorted());
            numbers
        };
        let workers: Vec<_> = (0..6).map(|_| scope.spawn(ask)).collect();
        // Another process makes some of the same list at the same time.
        let mut all: Vec<u128> = (0..5)
            .map(|_| number(&origin.crl("ca", "full").1))
            .collect();
        all.extend(
            workers
                .into_iter()
                .flat_map(|worker| worker.join().unwrap()),
        );
        all
    });
    let made = numbers.len();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), made);
}

#[test]
fn numbers_grow_when_the_service_is_killed() {
    let origin = Origin::new();
    origin.issuer("ca", "p256");
    let mut last = 0;
    for _ in 0..3 {
        let mut server = origin.serve();
        let url = format!("{}/v1/issuers/ca/crls/full", server.url);
        let (seen, numbers) = std::sync::mpsc::channel();
        let asking = std::thread::spawn(move || {
            while let Ok(mut response) = agent()
                .post(&url)
                .header("Authorization", "Bearer secret")
                .send_empty()
            {
                let Ok(der) = response.body_mut().read_to_vec() else {
                    break;
                };
                seen.send(number(&der)).unwrap();
            }
        });
        let first = numbers.recv().unwrap();
        server.child.kill().unwrap();
        asking.join().unwrap();
        assert!(first > last);
        last = numbers.try_iter().last().unwrap_or(first);
    }
    assert!(number(&origin.crl("ca", "full").1) > last);
}

#[test]
fn a_ca_is_run_over_http_alone() {
    let origin = Origin::new();
    let server = origin.serve();
    let new = serde_json::json!({
        "id": "web", "key": "p384",
        "crls": [{"name": "full", "distribution_point": "http://crl.example/web.crl"}],
    });
    assert_eq!(server.post("/v1/issuers", &new).status(), 201);
    assert_eq!(server.post("/v1/issuers", &new).status(), 409);
    let mut issued = server.post(
        "/v1/issuers/web/certificates",
        &serde_json::json!({"subject": "CN=a", "dns_names": ["a"]}),
    );
    assert_eq!(issued.status(), 201);
    let issued = json(&mut issued);
    assert!(
        issued["private_key"]
            .as_str()
            .unwrap()
            .starts_with("-----BEGIN PRIVATE KEY-----")
    );
    let serial = issued["serial"].as_str().unwrap();
    let hold = serde_json::json!({"serial": serial, "reason": "certificateHold"});
    let mut answer = server.post("/v1/issuers/web/revocations", &hold);
    assert_eq!(answer.status(), 201);
    assert!(
        json(&mut answer)["not_after"].is_string(),
        "known from the certificate"
    );
    assert_eq!(
        server.post("/v1/issuers/web/revocations", &hold).status(),
        200
    );
    let der = |server: &harness::Server| {
        server
            .crl("web", "full", None)
            .body_mut()
            .read_to_vec()
            .unwrap()
    };
    assert_eq!(serials(&der(&server)), [serial]);
    let release = format!("/v1/issuers/web/revocations/{serial}/release");
    assert_eq!(server.post(&release, &serde_json::json!({})).status(), 200);
    assert!(
        parse(&der(&server))
            .tbs_cert_list
            .revoked_certificates
            .is_none()
    );
    let listed = json(&mut server.get("/v1/issuers/web/revocations"));
    assert_eq!(listed["revocations"][0]["state"], "released");
}

#[test]
fn a_batch_does_what_it_can_and_tells_the_rest() {
    let origin = Origin::new();
    origin.issuer("ca", "p256");
    let server = origin.serve();
    let body = serde_json::json!({"revocations": [
        {"serial": "0a", "reason": "superseded"},
        {"serial": "0b", "reason": "removeFromCRL"},
        {"serial": "0c", "shard": 7},
        {"serial": "0a", "reason": "superseded"},
    ]});
    let mut answer = server.post("/v1/issuers/ca/revocations/batch", &body);
    assert_eq!(answer.status(), 200);
    let answer = json(&mut answer);
    assert_eq!(
        (&answer["revoked"], &answer["already_revoked"]),
        (&1.into(), &1.into())
    );
    let refused = answer["refused"].as_array().unwrap().iter();
    let refused: Vec<u64> = refused.map(|one| one["index"].as_u64().unwrap()).collect();
    assert_eq!(refused, [1, 2]);
}

#[test]
fn the_description_names_every_call() {
    let origin = Origin::new();
    let server = origin.serve();
    let document = json(
        &mut agent()
            .get(format!("{}/v1/openapi.json", server.url))
            .call()
            .unwrap(),
    );
    for path in [
        "/v1/issuers",
        "/v1/issuers/{id}",
        "/v1/issuers/{id}/crls/{name}",
        "/v1/issuers/{id}/revocations",
    ] {
        assert!(document["paths"][path].is_object(), "{path}");
    }
    assert_eq!(document["openapi"], "3.1.0");
}

#[test]
fn metrics_tell_of_requests_and_of_the_newest_crls() {
    let origin = Origin::new();
    origin.issuer("ca", "p256");
    let server = origin.serve();
    assert_eq!(server.crl("ca", "full", None).status(), 200);
    let odd = ureq::http::Request::builder()
        .method("BREW")
        .uri(format!("{}/healthz", server.url));
    let odd = agent()
        .configure_request(odd.body(()).unwrap())
        .allow_non_standard_methods(true)
        .build();
    assert_eq!(agent().run(odd).unwrap().status(), 405);
    let text = server.get("/metrics").body_mut().read_to_string().unwrap();
    let requests = r#"crl_origin_requests_total{method="POST",route="/v1/issuers/{id}/crls/{name}",status="200"} 1"#;
    assert!(text.contains(requests), "{text}");
    let odd = r#"crl_origin_requests_total{method="other",route="/healthz",status="405"} 1"#;
    assert!(text.contains(odd), "anyone may make up methods: {text}");
    assert!(
        text.contains(r#"crl_origin_crl_entries{issuer="ca",name="full"} 0"#),
        "{text}"
    );
}

#[test]
fn a_service_without_any_token_does_not_start() {
    let origin = Origin::new();
    let (code, complaint) = origin.fail(&["serve", "--listen", "127.0.0.1:0"]);
    assert_eq!(code, 2);
    assert!(complaint.contains("ORIGIN_TOKEN"), "{complaint}");
}

#[test]
fn calls_under_way_finish_when_the_service_is_told_to_stop() {
    let origin = Origin::new();
    origin.issuer("ca", "p256");
    let (_, crl) = origin.crl("ca", "full");
    // A CA that takes its time: it answers after the service was asked to stop.
    let slow = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/ca.crl", slow.local_addr().unwrap());
    let connect = [
        "issuer",
        "connect",
        "url",
        "slow",
        "--certificate",
        "ca.pem",
    ];
    let nobody = ["--url", "http://127.0.0.1:9/ca.crl", "--allow-local"];
    origin.run(&[&connect[..], &nobody].concat());
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", crl.len());
    let answer = [head.as_bytes(), &crl].concat();
    std::thread::scope(|scope| {
        // The changed source is checked at once.
        let set = scope.spawn(|| origin.run(&["issuer", "set", "slow", "--url", &url]));
        let (mut stream, _) = slow.accept().unwrap();
        assert!(stream.read(&mut [0; 4096]).unwrap() > 0);
        stream.write_all(&answer).unwrap();
        set.join().unwrap();
    });
    let mut server = origin.serve();
    std::thread::scope(|scope| {
        let under_way = scope.spawn(|| server.crl("slow", "full", None).body_mut().read_to_vec());
        let (mut stream, _) = slow.accept().unwrap();
        let killed = std::process::Command::new("kill")
            .arg(server.child.id().to_string())
            .status();
        assert!(killed.unwrap().success());
        // Nobody new is let in any more.
        let address = server.url.strip_prefix("http://").unwrap();
        while TcpStream::connect(address).is_ok() {
            std::thread::sleep(Duration::from_millis(20));
        }
        stream.write_all(&answer).unwrap();
        assert_eq!(under_way.join().unwrap().unwrap(), crl);
    });
    assert!(server.child.wait().unwrap().success());
}

#[test]
fn an_edge_is_answered_why_entries_left() {
    let origin = Origin::new();
    origin.issuer("ca", "p256");
    let edge = origin.run(&["token", "create", "edge-1"]);
    origin.run(&["revoke", "ca", "0a", "--reason", "certificateHold"]);
    origin.run(&["release", "ca", "0a"]);
    origin.run(&["revoke", "ca", "0b"]);
    let server = origin.serve();
    let ask = |name: &str, body: &serde_json::Value| {
        agent()
            .post(format!("{}/v1/issuers/ca/crls/{name}/departed", server.url))
            .header("Authorization", format!("Bearer {}", edge.trim()))
            .send_json(body)
            .unwrap()
    };
    let mut answer = ask("full", &serde_json::json!({"serials": ["0A", "0b", "0c"]}));
    assert_eq!(answer.status(), 200);
    assert_eq!(
        json(&mut answer),
        serde_json::json!({"departed": [
            {"serial": "0a", "because": "released"},
            {"serial": "0b", "because": "unknown"},
            {"serial": "0c", "because": "unknown"},
        ]})
    );
    let none = serde_json::json!({"serials": []});
    assert_eq!(ask("full", &none).status(), 400);
    let one = serde_json::json!({"serials": ["0a"]});
    assert_eq!(ask("delta", &one).status(), 404);
}
