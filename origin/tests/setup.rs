//! How an issuer is set up, changed after it was made.

mod harness;

use serde_json::{Value, json};

use harness::{Origin, agent, header, json, number, serials};

const URL: &str = "http://crl.example/ca.crl";
const DELTA: &str = "http://crl.example/ca/delta.crl";

fn setup(origin: &Origin, id: &str) -> Value {
    serde_json::from_str(&origin.run(&["issuer", "show", id, "--json"])).unwrap()
}

#[test]
fn what_is_not_named_stays() {
    let origin = Origin::new();
    origin.issuer("ca", "p256");
    origin.run(&["issuer", "set", "ca", "--crl-validity", "3d"]);
    let full = |validity: u64, overlap: u64| json!([{"name": "full", "distribution_point": URL, "validity_seconds": validity, "overlap_seconds": overlap}]);
    // The overlap was half of the validity, and so it is again.
    assert_eq!(setup(&origin, "ca")["crls"], full(259_200, 129_600));
    origin.run(&["issuer", "set", "ca", "--crl-overlap", "1h"]);
    assert_eq!(setup(&origin, "ca")["crls"], full(259_200, 3600));
    origin.run(&["issuer", "set", "ca", "--crl-validity", "2d"]);
    assert_eq!(setup(&origin, "ca")["crls"], full(172_800, 3600));
    let printed = origin.run(&["issuer", "set", "ca", "--profile", "cabf"]);
    assert!(printed.contains("profile    cabf"), "{printed}");
    assert!(
        printed.contains("valid for 2days, the next one due 1h before the end"),
        "{printed}"
    );
}

#[test]
fn what_is_held_is_not_current_once_the_settings_have_changed() {
    let origin = Origin::new();
    origin.issuer("ca", "p256");
    let server = origin.serve();
    let tag = header(&server.crl("ca", "full", None), "etag").to_owned();
    assert_eq!(server.crl("ca", "full", Some(&tag)).status(), 304);
    origin.run(&["issuer", "set", "ca", "--crl-validity", "1d"]);
    let changed = server.crl("ca", "full", Some(&tag));
    assert_eq!(changed.status(), 200);
    let tag = header(&changed, "etag").to_owned();
    assert_eq!(server.crl("ca", "full", Some(&tag)).status(), 304);
}

#[test]
fn a_delta_and_shards_come_later_and_a_delta_may_go() {
    let origin = Origin::new();
    origin.issuer("ca", "p256");
    origin.crl("ca", "full");
    origin.run(&["revoke", "ca", "0a"]);
    let shards = [
        "--shard",
        "http://crl.example/0.crl",
        "--shard",
        "http://crl.example/1.crl",
    ];
    origin.run(&[&["issuer", "set", "ca", "--delta", DELTA], &shards[..]].concat());
    let (_, delta) = origin.crl("ca", "delta");
    assert_eq!(serials(&delta), ["0a"]);
    origin.run(&["revoke", "ca", "0b", "--shard", "1"]);
    assert_eq!(serials(&origin.crl("ca", "shard-1").1), ["0b"]);
    origin.run(&["issuer", "set", "ca", "--no-delta"]);
    assert_eq!(origin.fail(&["crl", "make", "ca", "delta"]).0, 3);
    let (_, full) = origin.crl("ca", "full");
    assert!(number(&full) > number(&delta));
    assert!(!String::from_utf8_lossy(&full).contains(DELTA));
    // It may come again, and its numbers go on.
    origin.run(&["issuer", "set", "ca", "--delta", DELTA]);
    assert!(number(&origin.crl("ca", "delta").1) > number(&full));
}

#[test]
fn what_cannot_work_is_refused_and_changes_nothing() {
    let origin = Origin::new();
    origin.run(&[
        "issuer",
        "create",
        "ca",
        "--distribution-point",
        URL,
        "--shard",
        "http://crl.example/0.crl",
    ]);
    let hold = ["revoke", "ca", "0a", "--reason", "certificateHold"];
    origin.run(&[&hold[..], &["--no-shard"]].concat());
    let before = setup(&origin, "ca");
    let refused = |arguments: &[&str]| {
        let (code, complaint) = origin.fail(&[&["issuer", "set"], arguments].concat());
        assert_eq!(setup(&origin, "ca"), before);
        (code, complaint)
    };
    for (arguments, code, complaint) in [
        (
            &["ca", "--crl-overlap", "7d"][..],
            1,
            "less than its validity",
        ),
        (
            &["ca", "--distribution-point", "https://crl.example/"],
            1,
            "must be an http:// URL",
        ),
        (
            &["ca", "--delta", DELTA, "--delta-validity", "8d"],
            1,
            "must not be longer",
        ),
        (
            &["ca", "--delta-validity", "1h"],
            1,
            "delta needs a distribution point",
        ),
        // It has a certificate on hold.
        (&["ca", "--profile", "cabf"], 1, "not certificateHold"),
        (
            &["ca", "--url", "http://ca.example/ca.crl"],
            2,
            "of kind local",
        ),
        (&["ca"], 2, "nothing to change"),
        (&["nobody", "--crl-validity", "1d"], 3, "no issuer is named"),
    ] {
        let (found, said) = refused(arguments);
        assert_eq!(found, code, "{arguments:?}: {said}");
        assert!(said.contains(complaint), "{arguments:?}: {said}");
    }
}

#[test]
fn a_shard_stays_where_its_certificates_look_for_it() {
    let origin = Origin::new();
    let server = origin.serve();
    let new = json!({"id": "ca", "key": "p256", "crls": [
        {"name": "full"}, {"name": "shard-0", "distribution_point": "http://crl.example/0.crl"},
    ]});
    assert_eq!(server.post("/v1/issuers", &new).status(), 201);
    let patch = |changes: &Value| {
        let request = agent()
            .patch(format!("{}/v1/issuers/ca", server.url))
            .header("Authorization", "Bearer secret");
        let mut answer = request.send_json(changes).unwrap();
        (answer.status().as_u16(), json(&mut answer))
    };
    let moved = |url: &str| json!({"crls": [{"name": "shard-0", "distribution_point": url}]});
    let (status, setup) = patch(&moved("http://crl.example/zero.crl"));
    assert_eq!(
        (status, &setup["crls"][1]["distribution_point"]),
        (200, &"http://crl.example/zero.crl".into())
    );
    assert_eq!(json(&mut server.get("/v1/issuers/ca/setup")), setup);
    let certificate = json!({"subject": "CN=a", "shard": 0});
    assert_eq!(
        server
            .post("/v1/issuers/ca/certificates", &certificate)
            .status(),
        201
    );
    let (status, problem) = patch(&moved("http://crl.example/0.crl"));
    assert_eq!(
        (status, problem["code"].as_str()),
        (400, Some("invalid_settings"))
    );
    assert_eq!(patch(&json!({})).1["crls"], setup["crls"]);
    for wrong in [
        json!({"colour": "red"}),
        json!({"profile": "none"}),
        json!([]),
    ] {
        let (status, problem) = patch(&wrong);
        assert!(
            (400..500).contains(&status) && problem["code"] == "invalid_body",
            "{wrong}: {problem}"
        );
    }
}

#[test]
fn an_issuer_whose_ca_is_elsewhere_is_found_elsewhere() {
    let origin = Origin::new();
    origin.issuer("ca", "p256");
    let connect = [
        "issuer",
        "connect",
        "url",
        "front",
        "--certificate",
        "ca.pem",
    ];
    origin.run(
        &[
            &connect[..],
            &["--url", "http://127.0.0.1:9/a.crl", "--allow-local"],
        ]
        .concat(),
    );
    let set = ["issuer", "set", "front"];
    let moved = ["--url", "http://127.0.0.1:9/b.crl"];
    origin.run(&[&set[..], &moved, &["--distribution-point", URL]].concat());
    let shown = setup(&origin, "front");
    assert_eq!(shown["connector"], "url");
    assert_eq!(
        shown["crls"],
        json!([{"name": "full", "distribution_point": URL, "validity_seconds": null, "overlap_seconds": null}])
    );
    // What its CA decides is not for the origin to change.
    for (more, code) in [
        (["--crl-validity", "1d"], 4),
        (["--delta", DELTA], 4),
        (["--index", "index.txt"], 2),
    ] {
        let (found, said) = origin.fail(&[&set[..], &more].concat());
        assert_eq!(found, code, "{more:?}: {said}");
    }
}
