//! The operators' API: tokens, issuers, events in every format, metrics and alerts.

use std::io::Write;
use std::process::Stdio;
use std::sync::Arc;

use end_to_end::edge::{HOOK_TOKEN, OPERATOR_TOKEN, ORIGIN_TOKEN};
use end_to_end::suite::until;
use end_to_end::workerd::{Worker, Workerd};
use end_to_end::{Answer, CertificateAuthority, Edge, Skipped, Start, TestOrigin, World, suite};
use reqwest::{Method, Response, StatusCode};
use serde_json::Value;

struct Shared {
    origin: TestOrigin,
    edge: Edge,
}

impl World for Shared {
    async fn start() -> Self {
        let origin = TestOrigin::start().await;
        for id in ISSUERS {
            origin.add(&CertificateAuthority::new(id));
        }
        let edge = Start::new(&origin.url()).start().await;
        Self { origin, edge }
    }

    fn log(&self) -> String {
        self.edge.log()
    }
}

const ISSUERS: [&str; 14] = [
    "good", "failing", "never", "pages", "formats", "hooked", "moved", "figures", "garbage",
    "queried", "costly", "outage", "misset", "acted",
];

const CALLS: [(Method, &str); 14] = [
    (Method::GET, "/v1/issuers"),
    (Method::GET, "/v1/issuers/good"),
    (Method::GET, "/v1/issuers/good/crls/full"),
    (Method::POST, "/v1/issuers/hooked/refresh"),
    (Method::POST, "/v1/refresh"),
    (Method::GET, "/v1/refresh"),
    (Method::POST, "/v1/issuers/good/trust"),
    (Method::GET, "/v1/events"),
    (Method::GET, "/v1/actions"),
    (Method::GET, "/metrics"),
    (Method::GET, "/v1/openapi.json"),
    (Method::GET, "/dashboard"),
    (Method::GET, "/dashboard/events"),
    (Method::POST, "/dashboard/issuers/good/refresh"),
];

async fn every_call_requires_the_right_token(world: Arc<Shared>) {
    for (method, path) in CALLS {
        let request = || world.edge.request(method.clone(), path);
        let none = request().send().await.unwrap();
        assert_eq!(none.status(), 401, "{path}");
        assert!(header(&none, "www-authenticate").starts_with("Bearer"));
        let wrong = request().bearer_auth("guess").send().await.unwrap();
        assert_eq!(code_of(wrong, 401).await, "unauthorized", "{path}");
        // The token is accepted from the Authorization header only.
        let in_url = format!("{path}?token={OPERATOR_TOKEN}");
        let in_url = world.edge.request(method.clone(), &in_url);
        assert_eq!(in_url.send().await.unwrap().status(), 401, "{path}");
        let hook = request().bearer_auth(HOOK_TOKEN).send().await.unwrap();
        if path == "/v1/issuers/hooked/refresh" {
            assert_eq!(json(hook, 200).await["events"][0]["trigger"], "hook");
        } else {
            assert_eq!(code_of(hook, 401).await, "token_not_allowed", "{path}");
        }
    }
}

/// Every call of operators, with the body of a POST, the status that it has with a token that opens
/// it, and the code if that is an error.
const EVERY_CALL: [(&str, &str, u16, &str); 21] = [
    ("POST", "/v1/issuers/good/refresh", 200, ""),
    ("GET", "/v1/issuers", 200, ""),
    ("GET", "/v1/issuers/good", 200, ""),
    ("GET", "/v1/issuers/good/crls/full", 200, ""),
    ("GET", "/v1/issuers/good/crls/delta", 404, "unknown_crl"),
    (
        "GET",
        "/v1/issuers/good/crls/full/changes?since=99999",
        200,
        "",
    ),
    ("GET", "/v1/events", 200, ""),
    ("GET", "/v1/actions", 200, ""),
    ("GET", "/v1/openapi.json", 200, ""),
    ("GET", "/metrics", 200, ""),
    ("GET", "/dashboard", 200, ""),
    ("GET", "/dashboard/events", 200, ""),
    ("GET", "/dashboard/issuers/good", 200, ""),
    ("HEAD", "/v1/issuers", 200, ""),
    ("POST", "/v1/refresh", 202, ""),
    ("GET", "/v1/refresh", 200, ""),
    ("POST", "/v1/registry/confirm", 409, "registry_not_shrunk"),
    (
        "POST",
        "/v1/issuers/good/trust",
        409,
        "no_certificate_waiting",
    ),
    (
        "POST",
        "/v1/issuers/good/crls/full/accept",
        409,
        "no_candidate",
    ),
    ("DELETE", "/v1/issuers/good", 409, "still_listed"),
    ("DELETE", "/v1/issuers/good/crls/full", 409, "still_listed"),
];

/// What a token opens.
#[derive(Clone, Copy, PartialEq)]
enum Opens {
    Everything,
    Reading,
    OneRefresh,
    Nothing(u16, &'static str),
}

const UNAUTHORIZED: Opens = Opens::Nothing(401, "unauthorized");
const MISCONFIGURED: Opens = Opens::Nothing(503, "misconfigured");

/// Settings of operators', viewers' and hooks' tokens, and what each token opens under them.
type TokenCase = ([&'static str; 3], &'static [(&'static str, Opens)]);

const TOKEN_CASES: [TokenCase; 4] = [
    (
        [
            "ann:operator-token-0001 operator-token-0002",
            "eve:viewer-token-000001 viewer-token-000002",
            "ca:hook-token-00000001",
        ],
        &[
            ("operator-token-0001", Opens::Everything),
            ("operator-token-0002", Opens::Everything),
            ("viewer-token-000001", Opens::Reading),
            ("viewer-token-000002", Opens::Reading),
            ("hook-token-00000001", Opens::OneRefresh),
            ("operator-token-0003", UNAUTHORIZED),
            ("operator-token-000", UNAUTHORIZED),
            ("ann:operator-token-0001", UNAUTHORIZED),
            ("operator-token-0001 operator-token-0002", UNAUTHORIZED),
            ("", UNAUTHORIZED),
        ],
    ),
    // Rotated: the tokens that were taken out end at once.
    (
        ["operator-token-0002", "viewer-token-000002", ""],
        &[
            ("operator-token-0001", UNAUTHORIZED),
            ("operator-token-0002", Opens::Everything),
            ("viewer-token-000001", UNAUTHORIZED),
            ("viewer-token-000002", Opens::Reading),
            ("hook-token-00000001", UNAUTHORIZED),
        ],
    ),
    // Short.
    (
        ["fifteen-letters", "viewer-token-000001", "short"],
        &[
            ("fifteen-letters", MISCONFIGURED),
            ("short", MISCONFIGURED),
            ("guess", MISCONFIGURED),
            ("viewer-token-000001", Opens::Reading),
        ],
    ),
    // Doubled: in two settings.
    (
        [
            "operator-token-0001",
            "operator-token-0001",
            "hook-token-00000001",
        ],
        &[
            ("operator-token-0001", MISCONFIGURED),
            ("hook-token-00000001", Opens::OneRefresh),
        ],
    ),
];

async fn every_call_with_every_kind_of_token(_: Arc<Shared>) {
    let origin = origin_of_good().await;
    let mut start = Start::new(&origin.url());
    for ([operator, viewer, hook], tokens) in TOKEN_CASES {
        let edge = start
            .var("OPERATOR_TOKEN", operator)
            .var("VIEWER_TOKEN", viewer)
            .var("HOOK_TOKEN", hook)
            .start()
            .await;
        for (token, opens) in tokens {
            for (method, path, status, code) in EVERY_CALL {
                let is_open = match opens {
                    Opens::Everything => true,
                    Opens::Reading => matches!(method, "GET" | "HEAD"),
                    Opens::OneRefresh => path == "/v1/issuers/good/refresh",
                    Opens::Nothing(..) => false,
                };
                let expected = match opens {
                    Opens::Nothing(status, code) => (*status, *code),
                    _ if !is_open => (401, "token_not_allowed"),
                    _ => (status, code),
                };
                let sent = edge
                    .request(method.parse().unwrap(), path)
                    .bearer_auth(token);
                let sent = match method {
                    "POST" => sent.body(format!(r#"{{"sha256":"{}"}}"#, "0".repeat(64))),
                    _ => sent,
                };
                let answer = sent.send().await.unwrap();
                let found = answer.status().as_u16();
                let text = answer.text().await.unwrap();
                let found_code = match serde_json::from_str::<Value>(&text) {
                    Ok(problem) => problem["code"].as_str().unwrap_or_default().to_owned(),
                    Err(_) => String::new(),
                };
                let expected_code = if method == "HEAD" { "" } else { expected.1 };
                assert_eq!(
                    (found, found_code.as_str()),
                    (expected.0, expected_code),
                    "{operator:?} {viewer:?} {hook:?}: {token:?} {method} {path}: {text}"
                );
            }
        }
        start = edge.stop();
    }
}

/// Asked at the Worker's own port: wrangler's proxy puts its own host into the URL.
async fn no_call_takes_a_token_over_plain_http_unless_the_host_is_this_machine(_: Arc<Shared>) {
    let origin = origin_of_good().await;
    let state = tempfile::TempDir::new().expect("a temporary folder");
    let url = origin.url();
    let vars = [
        ("ORIGIN_URL", url.as_str()),
        ("ORIGIN_TOKEN", ORIGIN_TOKEN),
        ("OPERATOR_TOKEN", OPERATOR_TOKEN),
        ("HOOK_TOKEN", HOOK_TOKEN),
    ];
    let edge = Workerd::start(&Worker::Edge, state.path(), &vars);
    let client = end_to_end::client().build().expect("an HTTP client");
    let ask = async |method: &str, path: &str, host: &str, token: Option<&str>| {
        let request = client.request(method.parse().unwrap(), edge.url(path));
        let request = request.header("Host", host);
        let request = match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        (status, answer.text().await.unwrap())
    };
    let forms = [
        ("GET", "/dashboard/sign-in"),
        ("POST", "/dashboard/sign-in"),
        ("POST", "/dashboard/issuers/good/refresh"),
        ("POST", "/dashboard/issuers/good/trust"),
        ("POST", "/dashboard/sign-out"),
    ];
    let calls = EVERY_CALL.iter().map(|(method, path, ..)| (*method, *path));
    for host in [
        "edge.example",
        "edge.example:8787",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "128.0.0.1",
        "10.127.0.1:8787",
        "[::2]:8787",
        "[::ffff:10.0.0.1]",
    ] {
        for (method, path) in calls.clone().chain(forms) {
            for token in [Some(OPERATOR_TOKEN), Some(HOOK_TOKEN), Some("guess"), None] {
                let (status, text) = ask(method, path, host, token).await;
                assert_eq!(status, 403, "{method} {path} at {host}: {text}");
                let is_named = text.contains(r#""code":"https_required""#);
                assert!(is_named || method == "HEAD", "{method} {path}: {text}");
            }
        }
        // Relying parties use http.
        assert_eq!(ask("GET", "/healthz", host, None).await.0, 200, "{host}");
    }
    assert!(origin.calls("good").is_empty());
    let own = format!("127.0.0.1:{}", edge.port());
    for host in [
        own.as_str(),
        "127.9.9.9",
        "localhost",
        "LOCALHOST:1",
        "[::1]",
        "[0:0:0:0:0:0:0:1]:8787",
    ] {
        let refresh = "/v1/issuers/good/refresh";
        for token in [OPERATOR_TOKEN, HOOK_TOKEN] {
            let (status, text) = ask("POST", refresh, host, Some(token)).await;
            assert_eq!(status, 200, "{host}: {text}");
        }
        let (status, text) = ask("POST", refresh, host, Some("guess")).await;
        assert_eq!(status, 401, "{host}: {text}");
    }
    assert_eq!(
        ask("GET", "/crl/good.crl", "edge.example", None).await.0,
        200
    );
}

async fn a_session_ends_with_its_token(world: Arc<Shared>) {
    let edge = Start::new(&world.origin.url())
        .var(
            "OPERATOR_TOKEN",
            "old:operator-token-0001 new:operator-token-0002",
        )
        .start()
        .await;
    let sign_in = |token: &str| {
        let form = edge.request(Method::POST, "/dashboard/sign-in");
        form.header("accept", "text/html")
            .body(format!("token={token}"))
    };
    let mut cookies = Vec::new();
    for token in ["operator-token-0001", "operator-token-0002"] {
        let answer = sign_in(token).send().await.unwrap();
        assert_eq!(answer.status(), 303);
        let cookie = header(&answer, "set-cookie");
        cookies.push(cookie.split(';').next().unwrap().to_owned());
    }
    // However many guess at once, a right token gets in.
    let guesses: Vec<_> = (0..80)
        .map(|_| tokio::spawn(sign_in("guess").send()))
        .collect();
    let right = sign_in("operator-token-0002").send().await.unwrap();
    assert_eq!(header(&right, "location"), "/dashboard");
    let mut refused = Vec::new();
    for guess in guesses {
        let answer = guess.await.unwrap().unwrap();
        refused.push(answer.status().as_u16());
    }
    assert!(
        refused.iter().all(|status| [303, 429].contains(status)),
        "{refused:?}"
    );
    assert!(refused.contains(&429), "{refused:?}");
    let edge = edge
        .stop()
        .var("OPERATOR_TOKEN", "new:operator-token-0002")
        .start()
        .await;
    for (cookie, status) in cookies.iter().zip([401, 200]) {
        let page = edge
            .request(Method::GET, "/dashboard")
            .header("cookie", cookie);
        assert_eq!(page.send().await.unwrap().status(), status);
    }
}

/// An origin of its own, for a test that refreshes everything.
async fn origin_of_good() -> TestOrigin {
    let origin = TestOrigin::start().await;
    origin.add(&CertificateAuthority::new("good"));
    origin
}

async fn what_clients_got_is_in_the_metrics(_: Arc<Shared>) {
    let origin = origin_of_good().await;
    let edge = Start::new(&origin.url()).start().await;
    let line = r#"crl_edge_answers_total{status="200",source="object"} "#;
    let answers = async || {
        // An isolate reports with the first request after a minute.
        assert_eq!(edge.get("/crl/good.crl").await.status(), 200);
        let metrics = edge
            .operate(Method::GET, "/metrics")
            .await
            .text()
            .await
            .unwrap();
        let found = metrics
            .lines()
            .find_map(|found| found.strip_prefix(line)?.parse().ok());
        found.unwrap_or_else(|| panic!("{line} is not in\n{metrics}"))
    };
    let mut found: u64 = answers().await;
    for _ in 0..600 {
        if found > 0 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        found = answers().await;
    }
    panic!("no answer was counted in two minutes");
}

async fn with_no_token_set_every_call_answers_503(world: Arc<Shared>) {
    let edge = Start::new(&world.origin.url())
        .var("OPERATOR_TOKEN", "")
        .var("HOOK_TOKEN", "")
        .start()
        .await;
    for (method, path) in CALLS {
        for token in ["", "guess", OPERATOR_TOKEN] {
            let request = edge.request(method.clone(), path).bearer_auth(token);
            let answer = request.send().await.unwrap();
            assert_eq!(
                code_of(answer, 503).await,
                "operator_token_not_set",
                "{path}"
            );
        }
    }
    // Relying parties are not affected.
    assert_eq!(edge.get("/crl/misset.crl").await.status(), 200);
}

async fn a_wrong_setting_stops_nothing_that_does_not_need_it(world: Arc<Shared>) {
    let edge = Start::new(&world.origin.url())
        .var("EVENT_RETENTION_DAYS", "abc")
        .var("MAX_AGE_SECONDS", "-1")
        .var("VIEWER_TOKEN", "short")
        .start()
        .await;
    assert_eq!(edge.get("/crl/misset.crl").await.status(), 200);
    assert_eq!(edge.refresh("misset").await.status(), 200);
    let health = edge.get("/healthz").await;
    assert_eq!(health.status(), 200);
    let health = health.text().await.unwrap();
    let home = edge.operate(Method::GET, "/dashboard").await;
    let home = home.text().await.unwrap();
    for name in ["EVENT_RETENTION_DAYS", "MAX_AGE_SECONDS", "VIEWER_TOKEN"] {
        assert!(health.contains(name), "{health}");
        assert!(home.contains(name), "{home}");
    }
    assert!(!health.contains("abc"), "{health}");
    let viewer = edge.request(Method::GET, "/metrics").bearer_auth("short");
    let viewer = viewer.send().await.unwrap();
    assert_eq!(code_of(viewer, 503).await, "misconfigured");

    let edge = edge.stop().var("ORIGIN_TOKEN", "").start().await;
    assert_eq!(edge.get("/crl/misset.crl").await.status(), 200);
    let health = edge.get("/healthz").await.text().await.unwrap();
    assert!(health.contains("ORIGIN_TOKEN"), "{health}");
    let failed = json(edge.refresh("misset").await, 502).await;
    let event = &failed["events"][0];
    assert_eq!(event["error_code"], "origin_unreachable", "{event}");
    assert!(
        event["error"].as_str().unwrap().contains("ORIGIN_TOKEN"),
        "{event}"
    );
}

async fn every_issuer_is_listed_even_if_it_was_never_requested(world: Arc<Shared>) {
    refresh(&world, "good", 200).await;
    world.origin.answer(
        "failing",
        Answer::crl(CertificateAuthority::new("failing").crl(3)),
    );
    refresh(&world, "failing", 200).await;
    world.origin.answer("failing", Answer::status(500));
    refresh(&world, "failing", 502).await;
    refresh(&world, "failing", 502).await;

    let list = json(operate(&world, "/v1/issuers").await, 200).await;
    let ids: Vec<_> = array(&list["issuers"])
        .iter()
        .map(|issuer| issuer["id"].clone())
        .collect();
    let mut expected = ISSUERS.map(Value::from).to_vec();
    expected.sort_by_key(ToString::to_string);
    assert_eq!(ids, expected);
    assert_eq!(list["next_cursor"], Value::Null);

    for source in ["the list", "its own page"] {
        let issuer = async |id: &str| match source {
            "the list" => array(&list["issuers"])
                .iter()
                .find(|issuer| issuer["id"] == id)
                .unwrap()
                .clone(),
            _ => json(operate(&world, &format!("/v1/issuers/{id}")).await, 200).await,
        };
        let good = issuer("good").await;
        let crl = &good["crls"][0];
        assert_eq!(crl["name"], "full");
        assert_eq!(crl["state"], "fresh");
        assert_eq!(crl["number"], "1");
        assert_eq!(crl["consecutive_failures"], 0);
        assert_eq!(crl["last_error"], Value::Null);
        assert_eq!(crl["publish_owed"], false, "{source}");
        for field in [
            "this_update",
            "next_update",
            "refresh_after",
            "generated_at",
        ] {
            assert!(
                crl[field]
                    .as_str()
                    .is_some_and(|moment| moment.ends_with('Z')),
                "{field}: {crl}"
            );
        }
        for field in ["sha256", "pinned_certificate_sha256"] {
            assert_eq!(
                crl[field].as_str().map(str::len),
                Some(64),
                "{field}: {crl}"
            );
        }
        assert!(
            crl["duration_ms"].is_u64()
                && crl["size_bytes"].is_u64()
                && crl["revoked_count"].is_u64()
        );
        assert_eq!(good["recent_events"][0]["outcome"], "published");

        let failing = issuer("failing").await;
        let crl = &failing["crls"][0];
        assert_eq!(
            (&crl["state"], &crl["number"]),
            (&"failing".into(), &"3".into())
        );
        assert_eq!(crl["consecutive_failures"], 2);
        assert_eq!(
            crl["failing_since"],
            array(&failing["recent_events"])[1]["started_at"]
        );
        assert_eq!(crl["last_error"]["code"], "origin_status");
        let events = array(&failing["recent_events"]);
        let outcomes: Vec<_> = events
            .iter()
            .map(|event| event["outcome"].clone())
            .collect();
        assert_eq!(outcomes, ["failed", "failed", "published"]);

        let never = issuer("never").await;
        assert_eq!(never["crls"][0]["state"], "absent");
        assert_eq!(never["crls"][0]["last_outcome"], Value::Null);
    }

    let failing = json(operate(&world, "/v1/issuers?state=failing").await, 200).await;
    assert!(
        array(&failing["issuers"])
            .iter()
            .all(|issuer| issuer["crls"][0]["state"] == "failing")
    );
    assert!(
        array(&failing["issuers"])
            .iter()
            .any(|issuer| issuer["id"] == "failing")
    );
}

async fn issuers_are_paged_by_id(world: Arc<Shared>) {
    let mut expected = ISSUERS.map(Value::from).to_vec();
    expected.sort_by_key(ToString::to_string);
    let mut walked = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = json(
            operate(&world, &format!("/v1/issuers?limit=4&cursor={cursor}")).await,
            200,
        )
        .await;
        walked.extend(
            array(&page["issuers"])
                .iter()
                .map(|issuer| issuer["id"].clone()),
        );
        match page["next_cursor"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => break,
        }
    }
    assert_eq!(walked, expected);
    assert_eq!(
        code_of(operate(&world, "/v1/issuers/nobody").await, 404).await,
        "unknown_issuer"
    );
}

async fn a_refused_crl_is_a_502_that_says_why(world: Arc<Shared>) {
    world
        .origin
        .answer("garbage", Answer::crl(b"<html>".to_vec()));
    let events = refresh(&world, "garbage", 502).await;
    let event = &events[0];
    assert_eq!(event["outcome"], "rejected");
    assert_eq!(event["error_code"], "malformed");
    assert_eq!(event["succeeded"], 0);
    let list = json(operate(&world, "/v1/issuers/garbage").await, 200).await;
    assert_eq!(list["crls"][0]["state"], "absent");
    assert_eq!(list["crls"][0]["last_error"]["code"], "malformed");
}

async fn event_pages_stay_stable_while_events_are_added(world: Arc<Shared>) {
    for _ in 0..5 {
        refresh(&world, "pages", 200).await;
    }
    let mut numbers = Vec::new();
    let mut path = "/v1/events?issuer=pages&limit=2".to_owned();
    loop {
        let page = json(operate(&world, &path).await, 200).await;
        numbers.extend(
            array(&page["events"])
                .iter()
                .map(|event| event["crl_number"].clone()),
        );
        refresh(&world, "pages", 200).await;
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("/v1/events?issuer=pages&limit=2&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(numbers, ["5", "4", "3", "2", "1"]);
}

async fn events_are_available_as_json_ndjson_and_csv(world: Arc<Shared>) {
    for _ in 0..3 {
        refresh(&world, "formats", 200).await;
    }
    let events = async |accept: &str, query: &str| {
        let path = format!("/v1/events?issuer=formats{query}");
        let request = world
            .edge
            .request(Method::GET, &path)
            .bearer_auth(OPERATOR_TOKEN);
        request.header("accept", accept).send().await.unwrap()
    };
    let json = json(events("application/json", "").await, 200).await;
    let expected = array(&json["events"]).clone();
    assert_eq!(expected.len(), 3);

    let lines = events("application/x-ndjson", "").await;
    assert_eq!(header(&lines, "content-type"), "application/x-ndjson");
    let lines = lines.text().await.unwrap();
    let read: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(read, expected);

    let csv = events("text/csv", "&limit=2").await;
    assert!(header(&csv, "content-type").starts_with("text/csv"));
    let csv = csv.text().await.unwrap();
    let lines: Vec<_> = csv.lines().collect();
    assert!(
        lines[0].starts_with("id,issuer_id,crl_name,trigger,outcome"),
        "{csv}"
    );
    assert!(
        lines[1].starts_with(expected[0]["id"].as_str().unwrap()),
        "{csv}"
    );
    assert_eq!(lines.len(), 3);

    assert_eq!(
        code_of(events("image/png", "").await, 406).await,
        "not_acceptable"
    );
    for wrong in [
        "&since=yesterday",
        "&limit=0",
        "&order=asc",
        "&limit=1&limit=2",
        "&cursor=x",
    ] {
        let answer = events("application/json", wrong).await;
        assert_eq!(code_of(answer, 400).await, "bad_parameter", "{wrong}");
    }
    let since = expected[1]["started_at"].as_str().unwrap();
    let later = self::json(events("*/*", &format!("&since={since}")).await, 200).await;
    assert_eq!(array(&later["events"]), &expected[..2]);
    let earlier = self::json(events("*/*", &format!("&until={since}")).await, 200).await;
    assert_eq!(array(&earlier["events"]), &expected[2..]);
    let other = self::json(
        events("*/*", "&trigger=operator&name=full&outcome=failed").await,
        200,
    )
    .await;
    assert_eq!(array(&other["events"]), &[] as &[Value]);
}

async fn a_changed_certificate_waits_until_it_is_trusted(world: Arc<Shared>) {
    let ca = CertificateAuthority::new("moved");
    refresh(&world, "moved", 200).await;
    let trust = async |sha256: &str| world.edge.trust("moved", sha256).await;
    let nothing = "0".repeat(64);
    let none = trust(&nothing).await;
    assert_eq!(code_of(none, 409).await, "no_certificate_waiting");

    world.origin.add(&ca.rekeyed());
    world
        .origin
        .answer("moved", Answer::crl(ca.rekeyed().crl(2)));
    // Until the edge reads the origin's record again, it refuses the CRL as `wrong_issuer`.
    for _ in 0..200 {
        if refresh(&world, "moved", 502).await[0]["error_code"] != "wrong_issuer" {
            break;
        }
    }
    assert_eq!(
        refresh(&world, "moved", 502).await[0]["error_code"],
        "issuer_changed"
    );
    let waiting = json(operate(&world, "/v1/issuers/moved").await, 200).await;
    let pinned = waiting["pinned_certificate_sha256"].clone();
    let new = waiting["waiting_certificate_sha256"].clone();
    assert!(new.is_string() && new != pinned, "{waiting}");

    let other = trust(&nothing).await;
    assert_eq!(code_of(other, 409).await, "certificate_mismatch");
    let trusted = json(trust(new.as_str().unwrap()).await, 200).await;
    assert_eq!(trusted["events"][0]["outcome"], "published");
    let after = json(operate(&world, "/v1/issuers/moved").await, 200).await;
    assert_eq!(after["pinned_certificate_sha256"], new);
    assert_eq!(after["waiting_certificate_sha256"], Value::Null);
}

async fn who_did_what_is_recorded(world: Arc<Shared>) {
    refresh(&world, "acted", 200).await;
    let trust = world.edge.trust("acted", &"0".repeat(64)).await;
    assert_eq!(code_of(trust, 409).await, "no_certificate_waiting");
    let guess = world
        .edge
        .request(Method::POST, "/dashboard/sign-in")
        .body("token=guess");
    assert_eq!(guess.send().await.unwrap().status(), 401);
    let page = json(operate(&world, "/v1/actions").await, 200).await;
    let actions: Vec<_> = array(&page["actions"])
        .iter()
        .filter(|action| action["issuer_id"] == "acted" || action["action"] == "refused_sign_in")
        .collect();
    let acts: Vec<_> = actions
        .iter()
        .map(|action| action["action"].clone())
        .collect();
    assert_eq!(acts[..3], ["refused_sign_in", "trust", "refresh"]);
    assert_eq!(actions[1]["role"], "operator");
    assert_eq!(actions[1]["sha256"], "0".repeat(64));
    assert_eq!(actions[0]["role"], Value::Null);
}

async fn events_that_d1_refuses_are_in_the_metrics(world: Arc<Shared>) {
    let edge = Start::new(&world.origin.url()).start().await;
    // A full database reads, and takes no row.
    let refusal = "CREATE TRIGGER full BEFORE INSERT ON crl_generation_events \
                   BEGIN SELECT RAISE(ABORT, 'full'); END";
    edge.database().execute(refusal);
    for _ in 0..3 {
        assert_eq!(edge.refresh("acted").await.status(), 200);
    }
    let metrics = edge.operate(Method::GET, "/metrics").await;
    let metrics = metrics.text().await.unwrap();
    let owed = metrics
        .lines()
        .find_map(|line| line.strip_prefix("crl_edge_events_owed "));
    assert!(owed.is_some_and(|owed| owed != "0"), "{metrics}");
}

async fn no_action_is_lost_while_d1_is_down(world: Arc<Shared>) {
    let edge = Start::new(&world.origin.url()).start().await;
    let database = edge.database();
    assert_eq!(edge.refresh("acted").await.status(), 200);
    database.execute("ALTER TABLE operator_actions RENAME TO lost_actions");
    assert_eq!(edge.refresh("acted").await.status(), 200);
    let answer = edge.operate(Method::GET, "/v1/actions").await;
    assert_eq!(code_of(answer, 503).await, "events_unavailable");
    // The registry's object keeps it, also if it ends.
    let edge = edge.kill().start().await;
    database.execute("ALTER TABLE lost_actions RENAME TO operator_actions");
    // The next action brings along what D1 did not take.
    assert_eq!(edge.refresh("acted").await.status(), 200);
    let page = json(edge.operate(Method::GET, "/v1/actions").await, 200).await;
    assert_eq!(array(&page["actions"]).len(), 3);
}

async fn prometheus_accepts_the_metrics(world: Arc<Shared>) -> Result<(), Skipped> {
    refresh(&world, "figures", 200).await;
    refresh(&world, "figures", 200).await;
    let answer = operate(&world, "/metrics").await;
    assert!(header(&answer, "content-type").starts_with("text/plain; version=0.0.4"));
    let text = answer.text().await.unwrap();
    for line in [
        r#"crl_edge_crl_number{issuer="figures",crl="full"} 2"#,
        r#"crl_edge_crl_refreshes_total{issuer="figures",crl="full",trigger="operator",outcome="published"} 2"#,
        r#"crl_edge_crl_state{issuer="figures",crl="full",state="fresh"} 1"#,
    ] {
        assert!(
            text.lines().any(|found| found == line),
            "{line} is not in\n{text}"
        );
    }
    let alone = operate(&world, "/metrics?issuer=figures")
        .await
        .text()
        .await
        .unwrap();
    assert!(
        alone.contains(r#"issuer="figures""#) && !alone.contains(r#"issuer="good""#),
        "{alone}"
    );

    let promtool = std::process::Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut promtool) = promtool else {
        return Err(Skipped("promtool is not installed".to_owned()));
    };
    promtool
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    let output = promtool.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// Prometheus asks for `OpenMetrics`, and takes nothing that is not well-formed.
async fn prometheus_scrapes_open_metrics(world: Arc<Shared>) -> Result<(), Skipped> {
    refresh(&world, "figures", 200).await;
    let asked = world.edge.request(Method::GET, "/metrics");
    let asked = asked.bearer_auth(OPERATOR_TOKEN);
    let asked = asked.header("Accept", "application/openmetrics-text;version=1.0.0");
    let answer = asked.send().await.unwrap();
    let media_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(header(&answer, "content-type"), media_type);
    assert!(answer.text().await.unwrap().ends_with("\n# EOF\n"));

    let folder = tempfile::TempDir::new().unwrap();
    let target = world.edge.url("");
    let target = target.strip_prefix("http://").unwrap();
    let config = format!(
        "scrape_configs:\n  - job_name: crl-edge\n    scrape_interval: 1s\n    \
         authorization: {{ credentials: {OPERATOR_TOKEN} }}\n    \
         static_configs: [{{ targets: ['{target}'] }}]\n"
    );
    std::fs::write(folder.path().join("prometheus.yml"), config).unwrap();
    let port = end_to_end::free_port();
    let prometheus = std::process::Command::new("prometheus")
        .current_dir(folder.path())
        .arg("--config.file=prometheus.yml")
        .arg("--storage.tsdb.path=data")
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let Ok(prometheus) = prometheus else {
        return Err(Skipped("prometheus is not installed".to_owned()));
    };
    let _prometheus = Killed(prometheus);
    let client = end_to_end::client().build().unwrap();
    let ask = async |path: &str| -> Value {
        let url = format!("http://127.0.0.1:{port}/api/v1/{path}");
        match client.get(url).send().await {
            Ok(answer) => answer.json().await.unwrap_or_default(),
            Err(_) => Value::Null,
        }
    };
    until(async || {
        let targets = ask("targets").await;
        let target = &targets["data"]["activeTargets"][0];
        assert!(target["health"] != "down", "{target}");
        target["health"] == "up"
    })
    .await;
    for series in [
        r#"crl_edge_crl_number{issuer="figures"}"#,
        r#"crl_edge_refreshes_total{trigger="operator",outcome="published"}"#,
    ] {
        let found = ask(&format!("query?query={series}")).await;
        assert!(
            found["data"]["result"][0]["value"][1].is_string(),
            "{found}"
        );
    }
    Ok(())
}

/// A process that ends with the test.
struct Killed(std::process::Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn every_alert_fires_when_it_should(_: Arc<Shared>) -> Result<(), Skipped> {
    let rules = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../ops/prometheus/crl-edge.test.yml"
    );
    let promtool = std::process::Command::new("promtool")
        .args(["test", "rules", rules])
        .output();
    let Ok(output) = promtool else {
        return Err(Skipped("promtool is not installed".to_owned()));
    };
    let printed = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{printed}");
    Ok(())
}

async fn every_documented_query_runs_on_the_tables_that_the_worker_wrote(world: Arc<Shared>) {
    refresh(&world, "queried", 200).await;
    world.origin.answer("queried", Answer::status(500));
    refresh(&world, "queried", 502).await;
    let document = include_str!("../../docs/queries.md");
    let database = world.edge.database();
    for (question, block) in document
        .split("\n## ")
        .skip(1)
        .map(|part| part.split_once('\n').unwrap())
    {
        let sql = block
            .split("```sql\n")
            .nth(1)
            .and_then(|rest| rest.split("```").next());
        let sql = sql.unwrap_or_else(|| panic!("no query for {question}"));
        let rows = database.query(&sql.replace("demo-p256", "queried"));
        // These return rows here; the others ask for events that did not happen.
        let answered = [
            "Who failed last night?",
            "What is failing now, since when, and why?",
            "What expires next?",
            "Which issuers are slowest?",
            "How does a list grow?",
            "What happened around a number?",
            "Why are CRLs refused?",
            "Who asks for refreshes?",
            "How busy was each hour?",
            "How large is the table?",
        ];
        assert!(
            !answered.contains(&question) || !rows.is_empty(),
            "{question}"
        );
    }
}

async fn answers_report_the_d1_rows_that_they_read(world: Arc<Shared>) {
    for _ in 0..4 {
        refresh(&world, "costly", 200).await;
    }
    let cost = async |path: &str| -> u32 {
        let rows = header(&operate(&world, path).await, "d1-rows-read");
        rows.parse().unwrap_or(0)
    };
    let one = cost("/v1/events?issuer=costly&limit=1").await;
    assert!((1..10).contains(&one), "{one}");
    assert!(cost("/v1/events?issuer=costly").await > one);
    assert!(cost("/dashboard").await > 0);
    assert_eq!(cost("/v1/openapi.json").await, 0);
}

async fn with_d1_down_calls_that_need_no_table_work_and_the_rest_answer_503(world: Arc<Shared>) {
    let edge = Start::new(&world.origin.url()).start().await;
    let database = edge.database();
    assert_eq!(edge.refresh("outage").await.status(), 200);
    let tables = ["crl_generation_events", "crl_status"];
    for table in tables {
        database.execute(&format!("ALTER TABLE {table} RENAME TO lost_{table}"));
    }

    for path in ["/v1/issuers", "/v1/events", "/metrics", "/dashboard"] {
        let answer = edge.operate(Method::GET, path).await;
        assert!(!header(&answer, "retry-after").is_empty(), "{path}");
        assert_eq!(code_of(answer, 503).await, "events_unavailable", "{path}");
    }
    let refreshed = json(edge.refresh("outage").await, 200).await;
    let trust = edge.trust("outage", &"0".repeat(64)).await;
    assert_eq!(code_of(trust, 409).await, "no_certificate_waiting");
    let issuer = json(edge.operate(Method::GET, "/v1/issuers/outage").await, 200).await;
    assert_eq!(issuer["crls"][0]["state"], "fresh");
    assert_eq!(issuer["events_owed"], 1);
    assert_eq!(issuer["recent_events"], refreshed["events"]);
    let page = async |path: &str| {
        let request = edge.request(Method::GET, path).bearer_auth(OPERATOR_TOKEN);
        let answer = request.header("accept", "text/html").send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let (status, home) = page("/dashboard?id=out").await;
    assert_eq!(status, 503);
    assert!(
        home.contains(r#"href="/dashboard/issuers/outage""#),
        "{home}"
    );
    assert!(!home.contains("/dashboard/issuers/good"), "{home}");
    let (status, own) = page("/dashboard/issuers/outage").await;
    assert_eq!(status, 200);
    assert!(own.contains("(D1) cannot be read"), "{own}");

    for table in tables {
        database.execute(&format!("ALTER TABLE lost_{table} RENAME TO {table}"));
    }
    assert_eq!(edge.refresh("outage").await.status(), 200);
    let list = json(edge.operate(Method::GET, "/v1/issuers").await, 200).await;
    let issuer = array(&list["issuers"])
        .iter()
        .find(|issuer| issuer["id"] == "outage")
        .unwrap();
    assert_eq!(array(&issuer["recent_events"]).len(), 3);
    assert_eq!(issuer["events_owed"], 0);
}

async fn head_is_get_without_the_body(world: Arc<Shared>) {
    for path in ["/v1/issuers", "/v1/events", "/metrics"] {
        let answer = world.edge.operate(Method::HEAD, path).await;
        assert_eq!(answer.status(), 200, "{path}");
        assert_eq!(header(&answer, "cache-control"), "no-store");
        assert_eq!(answer.bytes().await.unwrap().len(), 0, "{path}");
    }
}

/// Refreshes an issuer and returns the events of the answer.
async fn refresh(world: &Shared, issuer: &str, status: u16) -> Vec<Value> {
    let answer = json(world.edge.refresh(issuer).await, status).await;
    array(&answer["events"]).clone()
}

async fn operate(world: &Shared, path: &str) -> Response {
    world.edge.operate(Method::GET, path).await
}

async fn json(response: Response, status: u16) -> Value {
    let (found, text) = (response.status(), response.text().await.unwrap());
    assert_eq!(found, StatusCode::from_u16(status).unwrap(), "{text}");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// The `code` of a problem document.
async fn code_of(response: Response, status: u16) -> String {
    assert_eq!(
        header(&response, "content-type"),
        "application/problem+json"
    );
    json(response, status).await["code"]
        .as_str()
        .unwrap()
        .to_owned()
}

fn array(value: &Value) -> &Vec<Value> {
    value
        .as_array()
        .unwrap_or_else(|| panic!("no array: {value}"))
}

fn header(response: &Response, name: &str) -> String {
    let value = response.headers().get(name);
    value.map_or_else(String::new, |value| value.to_str().unwrap().to_owned())
}

suite!(
    Shared;
    every_call_requires_the_right_token,
    every_call_with_every_kind_of_token,
    no_call_takes_a_token_over_plain_http_unless_the_host_is_this_machine,
    a_session_ends_with_its_token,
    what_clients_got_is_in_the_metrics,
    with_no_token_set_every_call_answers_503,
    a_wrong_setting_stops_nothing_that_does_not_need_it,
    every_issuer_is_listed_even_if_it_was_never_requested,
    issuers_are_paged_by_id,
    a_refused_crl_is_a_502_that_says_why,
    event_pages_stay_stable_while_events_are_added,
    events_are_available_as_json_ndjson_and_csv,
    a_changed_certificate_waits_until_it_is_trusted,
    who_did_what_is_recorded,
    no_action_is_lost_while_d1_is_down,
    events_that_d1_refuses_are_in_the_metrics,
    prometheus_accepts_the_metrics,
    prometheus_scrapes_open_metrics,
    every_alert_fires_when_it_should,
    every_documented_query_runs_on_the_tables_that_the_worker_wrote,
    answers_report_the_d1_rows_that_they_read,
    with_d1_down_calls_that_need_no_table_work_and_the_rest_answer_503,
    head_is_get_without_the_body,
);
