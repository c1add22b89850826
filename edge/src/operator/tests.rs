//! The handlers over the platform's twin: what each call answers, and what if a part fails.

mod access;

use std::rc::Rc;
use std::time::Duration;

use futures_executor::block_on;
use futures_util::TryStreamExt as _;
use origin_api::CrlName;
use serde_json::Value;

use super::testing::platform::{CAUSE, Part, Platform, TestRequest};
use super::testing::settings;
use super::{Ports as _, Reply, Request as _, answer};
use crate::actions::Act;
use crate::config::Settings;
use crate::events::Outcome;
use crate::http::{Answer, Body, Method};
use crate::object_calls::RegistryObject as _;
use crate::refresh::testing::head;
use crate::refresh::{BodyId, ChangesPage, ChangesPlace, CrlState, Current};
use crate::routes::{Handler, route};
use crate::tables::testing::event;
use crate::url;

const TOKEN: &str = "operator-token-0001";
const HOOK: &str = "hook-token-00000001";

const VIEWER: &str = "viewer-token-000001";

fn tokens() -> Rc<Settings> {
    Rc::new(settings(&[
        ("OPERATOR_TOKEN", &format!("ann:{TOKEN}")),
        ("VIEWER_TOKEN", VIEWER),
        ("HOOK_TOKEN", HOOK),
    ]))
}

fn send(platform: &Rc<Platform>, request: &TestRequest) -> Reply {
    send_with(&tokens(), platform, request)
}

fn send_with(settings: &Rc<Settings>, platform: &Rc<Platform>, request: &TestRequest) -> Reply {
    let (platform, settings) = (Rc::clone(platform), Rc::clone(settings));
    let found = match route(request.method(), url::path(request.url())) {
        Ok((_, Handler::Operator(found))) => Ok(found),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error),
    };
    block_on(answer(platform, settings, request, found))
}

/// As [`send`], for an answer that is in memory.
fn ask(platform: &Rc<Platform>, request: &TestRequest) -> Answer {
    match send(platform, request) {
        Reply::Answer(answer) => answer,
        Reply::Stream { .. } | Reply::Held(_) => panic!("not in memory"),
    }
}

fn call(method: &'static str, path: &str) -> TestRequest {
    TestRequest::new(method, path).header("authorization", format!("Bearer {TOKEN}"))
}

fn text(answer: &Answer) -> &str {
    match &answer.body {
        Body::Text(text) => text,
        other => panic!("{other:?}"),
    }
}

fn json(answer: &Answer) -> Value {
    serde_json::from_str(text(answer)).unwrap_or_else(|error| panic!("{error}: {}", text(answer)))
}

fn code(answer: &Answer) -> (u16, String) {
    let code = json(answer)["code"].as_str().unwrap_or_default().to_owned();
    (answer.status, code)
}

fn add_events(platform: &Platform, count: u64) {
    for number in 0..count {
        platform.tables.add_event(&(
            format!("018bcfe5-6800-7000-8000-{number:012x}"),
            "a".to_owned(),
            "published".to_owned(),
            format!("2026-01-01T00:{:02}:{:02}.000Z", number / 60, number % 60),
        ));
    }
}

const CALLS: [(&str, &str); 13] = [
    ("GET", "/v1/issuers"),
    ("GET", "/v1/issuers/a"),
    ("POST", "/v1/issuers/a/refresh"),
    ("POST", "/v1/issuers/a/trust"),
    ("POST", "/v1/refresh"),
    ("DELETE", "/v1/issuers/b"),
    ("DELETE", "/v1/issuers/a/crls/delta"),
    ("POST", "/v1/registry/confirm"),
    ("GET", "/v1/refresh"),
    ("GET", "/v1/events"),
    ("GET", "/v1/actions"),
    ("GET", "/metrics"),
    ("GET", "/v1/openapi.json"),
];

#[test]
fn without_a_token_no_call_reaches_the_platform() {
    let platform = Platform::new();
    platform.certificate_waits(b"new");
    for (method, path) in CALLS {
        for request in [
            TestRequest::new(method, path),
            TestRequest::new(method, path).header("authorization", "Bearer guess"),
        ] {
            let answer = ask(&platform, &request);
            assert_eq!(code(&answer), (401, "unauthorized".to_owned()), "{path}");
        }
    }
    let hook = TestRequest::new("POST", "/v1/issuers/a/trust");
    let hook = hook.header("authorization", format!("Bearer {HOOK}"));
    assert_eq!(code(&ask(&platform, &hook)).1, "token_not_allowed");
    assert!(platform.done.borrow().is_empty());
}

#[test]
fn what_the_origin_lists_is_not_retired_and_what_it_does_not_list_is() {
    let platform = Platform::new();
    let listed = ask(&platform, &call("DELETE", "/v1/issuers/a"));
    assert_eq!(code(&listed), (409, "still_listed".to_owned()));
    let unknown = ask(&platform, &call("DELETE", "/v1/issuers/nobody"));
    assert_eq!(code(&unknown), (404, "unknown_issuer".to_owned()));
    let retired = ask(&platform, &call("DELETE", "/v1/issuers/a/crls/delta"));
    assert_eq!(json(&retired)["retired"], serde_json::json!(["delta"]));
    assert_eq!(*platform.done.borrow(), ["retires delta of a"]);
    let act = |target: &str| ("retire".to_owned(), "ann".to_owned(), target.to_owned());
    assert!(
        actions(&platform).contains(&act("a")),
        "{:?}",
        actions(&platform)
    );
}

#[test]
fn an_operator_confirms_that_the_registry_shrank_if_it_did() {
    let platform = Platform::new();
    let confirm = call("POST", "/v1/registry/confirm");
    let nothing = ask(&platform, &confirm);
    assert_eq!(code(&nothing), (409, "registry_not_shrunk".to_owned()));
    platform.registry_shrinks(15);
    let metrics = ask(&platform, &call("GET", "/metrics"));
    assert!(text(&metrics).contains("crl_edge_registry_vanished_issuers 15"));
    assert_eq!(json(&ask(&platform, &confirm))["gone"], 15);
}

/// Which calls a token opens: those that read, the refresh of one issuer, the other actions.
#[derive(Clone, Copy)]
enum Opens {
    Everything,
    Reading,
    OneRefresh,
    Nothing(u16, &'static str),
}

const UNAUTHORIZED: Opens = Opens::Nothing(401, "unauthorized");
const MISCONFIGURED: Opens = Opens::Nothing(503, "misconfigured");
const OPERATORS: &str = "ann:operator-token-0001 operator-token-0002";
const VIEWERS: &str = "viewer-token-0001";
const HOOKS: &str = "ca:hook-token-00000001";

/// The settings of operators, viewers and hooks; a token that is shown; and what it opens.
const TOKENS: [(&str, [&str; 3], &str, Opens); 15] = [
    (
        "right",
        [OPERATORS, VIEWERS, HOOKS],
        "operator-token-0001",
        Opens::Everything,
    ),
    (
        "right, the other",
        [OPERATORS, VIEWERS, HOOKS],
        "operator-token-0002",
        Opens::Everything,
    ),
    (
        "right",
        [OPERATORS, VIEWERS, HOOKS],
        "viewer-token-0001",
        Opens::Reading,
    ),
    (
        "right",
        [OPERATORS, VIEWERS, HOOKS],
        "hook-token-00000001",
        Opens::OneRefresh,
    ),
    (
        "wrong",
        [OPERATORS, VIEWERS, HOOKS],
        "operator-token-0003",
        UNAUTHORIZED,
    ),
    ("none", [OPERATORS, VIEWERS, HOOKS], "", UNAUTHORIZED),
    (
        "with its name",
        [OPERATORS, VIEWERS, HOOKS],
        "ann:operator-token-0001",
        UNAUTHORIZED,
    ),
    (
        "rotated",
        ["operator-token-0002", VIEWERS, HOOKS],
        "operator-token-0001",
        UNAUTHORIZED,
    ),
    (
        "no operator's",
        ["", VIEWERS, HOOKS],
        "viewer-token-0001",
        Opens::Reading,
    ),
    (
        "no operator's",
        ["", VIEWERS, HOOKS],
        "operator-token-0001",
        UNAUTHORIZED,
    ),
    (
        "no token",
        ["", "", ""],
        "x",
        Opens::Nothing(503, "operator_token_not_set"),
    ),
    ("short", ["short", VIEWERS, HOOKS], "short", MISCONFIGURED),
    (
        "another is short",
        [OPERATORS, "short", HOOKS],
        "operator-token-0001",
        Opens::Everything,
    ),
    (
        "doubled",
        [OPERATORS, "operator-token-0001", HOOKS],
        "operator-token-0001",
        MISCONFIGURED,
    ),
    (
        "another is doubled",
        [OPERATORS, "operator-token-0001", HOOKS],
        "hook-token-00000001",
        Opens::OneRefresh,
    ),
];

#[test]
fn every_call_with_every_kind_of_token() {
    for (title, [operator, viewer, hook], token, opens) in TOKENS {
        let settings = Rc::new(Settings::read(|name| match name {
            "OPERATOR_TOKEN" => Some(operator.to_owned()),
            "VIEWER_TOKEN" => Some(viewer.to_owned()),
            "HOOK_TOKEN" => Some(hook.to_owned()),
            _ => None,
        }));
        for (method, path) in CALLS {
            let platform = Platform::new();
            let sha256 = platform.certificate_waits(b"new");
            platform.registry_shrinks(15);
            block_on(platform.request_job(event(1).id)).unwrap();
            let request = TestRequest::new(method, path)
                .header("authorization", format!("Bearer {token}"))
                .body(format!(r#"{{"sha256":"{sha256}"}}"#));
            let reply = send_with(&settings, &platform, &request);
            let Reply::Answer(reply) = reply else {
                panic!("a stream")
            };
            let is_open = match opens {
                Opens::Everything => true,
                Opens::Reading => method == "GET",
                Opens::OneRefresh => path == "/v1/issuers/a/refresh",
                Opens::Nothing(..) => false,
            };
            let line = format!("{title}: {token} {method} {path}");
            match opens {
                _ if is_open => assert!(matches!(reply.status, 200 | 202), "{line}"),
                Opens::Nothing(status, expected) => {
                    assert_eq!(code(&reply), (status, expected.to_owned()), "{line}");
                }
                _ => assert_eq!(
                    code(&reply),
                    (401, "token_not_allowed".to_owned()),
                    "{line}"
                ),
            }
        }
    }
}

#[test]
fn tokens_are_taken_over_https_alone() {
    let platform = Platform::new();
    for (method, path) in CALLS.into_iter().chain([
        ("GET", "/dashboard"),
        ("GET", "/dashboard/sign-in"),
        ("POST", "/dashboard/sign-in"),
        ("POST", "/dashboard/issuers/a/refresh"),
    ]) {
        let answer = ask(&platform, &call(method, path).at("http://edge.example"));
        assert_eq!(code(&answer), (403, "https_required".to_owned()), "{path}");
    }
    assert!(platform.done.borrow().is_empty());
    let local = call("GET", "/v1/issuers").at("http://127.0.0.1:8787");
    assert_eq!(ask(&platform, &local).status, 200);
    let style = TestRequest::new("GET", "/dashboard/style.css").at("http://edge.example");
    assert_eq!(ask(&platform, &style).status, 200);
}

/// What `GET /v1/actions` says: the act, the token's name and the target, newest first.
fn actions(platform: &Rc<Platform>) -> Vec<(String, String, String)> {
    let page = json(&ask(platform, &call("GET", "/v1/actions")));
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let actions = page["actions"].as_array().unwrap().iter();
    actions
        .map(|action| {
            assert!(action["at"].as_str().unwrap().ends_with('Z'));
            (
                text(&action["action"]),
                text(&action["token_name"]),
                text(&action["issuer_id"]) + &text(&action["sha256"]),
            )
        })
        .collect()
}

#[test]
fn every_act_is_recorded_with_who_did_it_and_to_what() {
    let platform = Platform::new();
    let sha256 = platform.certificate_waits(b"new");
    let trust = name(
        "/v1/issuers/a/trust",
        &format!(r#"{{"sha256":"{sha256}"}}"#),
    );
    let hook = TestRequest::new("POST", "/v1/issuers/a/refresh");
    for request in [
        call("POST", "/v1/issuers/a/refresh?name=delta"),
        hook.header("authorization", format!("Bearer {HOOK}")),
        trust.header("cf-connecting-ip", "203.0.113.77"),
        call("POST", "/v1/refresh"),
        // What is refused before it is tried leaves nothing.
        call("POST", "/v1/issuers/nobody/refresh"),
        call("GET", "/v1/issuers"),
    ] {
        let _ = ask(&platform, &request);
    }
    let mut recorded = actions(&platform);
    recorded.reverse();
    let act = |act: &str, target: &str| (act.to_owned(), "ann".to_owned(), target.to_owned());
    assert_eq!(
        recorded,
        [
            act("refresh", "a"),
            act("trust", &format!("a{sha256}")),
            act("refresh_all", ""),
        ]
    );
    let page = json(&ask(&platform, &call("GET", "/v1/actions?limit=2")));
    assert_eq!(page["actions"][1]["address"], "203.0.113.0/24");
    let cursor = page["next_cursor"].as_str().unwrap();
    let rest = ask(
        &platform,
        &call("GET", &format!("/v1/actions?cursor={cursor}")),
    );
    assert_eq!(json(&rest)["actions"][0]["crl_name"], "delta");
    assert_eq!(json(&rest)["next_cursor"], Value::Null);
}

#[test]
fn every_kind_of_act_is_recorded() {
    let platform = Platform::new();
    let sha256 = platform.certificate_waits(b"new");
    platform.refused.set(Some(sha256));
    platform.registry_shrinks(15);
    let named = format!(r#"{{"sha256":"{sha256}"}}"#);
    let sign_in =
        |token: &str| TestRequest::new("POST", "/dashboard/sign-in").body(format!("token={token}"));
    for request in [
        name("/v1/issuers/a/trust", &named),
        name("/v1/issuers/a/crls/full/accept", &named),
        call("POST", "/v1/issuers/a/refresh"),
        call("POST", "/v1/refresh"),
        call("DELETE", "/v1/issuers/a/crls/delta"),
        call("POST", "/v1/registry/confirm"),
        sign_in(VIEWER),
        sign_in("guess"),
    ] {
        let _ = ask(&platform, &request);
    }
    let page = json(&ask(&platform, &call("GET", "/v1/actions")));
    let rows = page["actions"].as_array().unwrap().iter().rev();
    let rows: Vec<_> = rows
        .map(|row| ["action", "role", "crl_name", "sha256"].map(|column| row[column].clone()))
        .collect();
    let (operator, sha256) = (Value::from("operator"), Value::from(sha256.to_string()));
    let row = |act: Act, role: &Value, name: Value, sha256: &Value| {
        [act.as_str().into(), role.clone(), name, sha256.clone()]
    };
    let none = Value::Null;
    let expected = [
        row(Act::Trust, &operator, none.clone(), &sha256),
        row(Act::Accept, &operator, "full".into(), &sha256),
        row(Act::Refresh, &operator, none.clone(), &none),
        row(Act::RefreshAll, &operator, none.clone(), &none),
        row(Act::Retire, &operator, "delta".into(), &none),
        row(Act::ConfirmRegistry, &operator, none.clone(), &none),
        row(Act::SignIn, &"viewer".into(), none.clone(), &none),
        row(Act::RefusedSignIn, &none, none.clone(), &none),
    ];
    assert_eq!(rows, expected);
    assert_eq!(expected.len(), Act::ALL.len());
}

#[test]
fn an_act_that_cannot_be_recorded_is_not_done() {
    let platform = Platform::new();
    let sha256 = platform.certificate_waits(b"new");
    platform.fail(Part::Actions);
    for path in [
        "/v1/issuers/a/refresh",
        "/v1/issuers/a/trust",
        "/v1/refresh",
    ] {
        let answer = ask(
            &platform,
            &name(path, &format!(r#"{{"sha256":"{sha256}"}}"#)),
        );
        assert_eq!(answer.status, 500, "{path}");
    }
    assert!(platform.done.borrow().is_empty());
}

#[test]
fn a_refresh_of_all_issuers_is_a_job_that_has_the_id_of_its_action() {
    let platform = Platform::new();
    let none = ask(&platform, &call("GET", "/v1/refresh"));
    assert_eq!(code(&none), (404, "no_refresh_job".to_owned()));
    let begun = ask(&platform, &call("POST", "/v1/refresh"));
    assert_eq!(begun.status, 202);
    assert_eq!(begun.header("location"), Some("/v1/refresh"));
    let progress = ask(&platform, &call("GET", "/v1/refresh"));
    assert_eq!(json(&progress), json(&begun));
    let actions = ask(&platform, &call("GET", "/v1/actions"));
    assert_eq!(json(&actions)["actions"][0]["id"], json(&begun)["id"]);
}

#[test]
fn a_part_that_fails_is_a_stable_code_outside_and_a_cause_in_the_log() {
    for (part, expected) in [
        (
            Part::Registry,
            [
                503, 503, 503, 503, 503, 503, 503, 503, 503, 200, 200, 503, 200,
            ],
        ),
        (
            Part::Objects,
            [
                200, 500, 500, 500, 202, 500, 500, 200, 404, 200, 200, 200, 200,
            ],
        ),
        (
            Part::Tables,
            [
                503, 200, 200, 200, 202, 200, 200, 200, 404, 503, 503, 503, 200,
            ],
        ),
    ] {
        for ((method, path), status) in CALLS.into_iter().zip(expected) {
            let platform = Platform::new();
            let sha256 = platform.certificate_waits(b"new");
            platform.registry_shrinks(15);
            platform.fail(part);
            let body = format!(r#"{{"sha256":"{sha256}"}}"#);
            let answer = ask(&platform, &call(method, path).body(body));
            assert_eq!(answer.status, status, "{part:?} {path}");
            assert!(!text(&answer).contains(CAUSE), "{path}");
            let log = platform.log.borrow();
            if matches!(status, 200 | 202 | 404) {
                // An issuer is shown without D1; the log still says that D1 failed.
                continue;
            }
            assert_eq!(log.len(), 1, "{part:?} {path}: {log:?}");
            assert_eq!(
                (&log[0]["level"], &log[0]["cause"]),
                (&"error".into(), &CAUSE.into())
            );
            let expected_code = match (part, status) {
                (Part::Registry, _) => "registry_unavailable",
                (Part::Tables, _) => "events_unavailable",
                _ => "internal",
            };
            assert_eq!(code(&answer).1, expected_code, "{path}");
            let retry_after = answer.header("retry-after");
            assert_eq!(retry_after.is_some(), status == 503, "{path}");
        }
    }
}

#[test]
fn a_refresh_names_its_crl_its_caller_and_how_it_ended() {
    let platform = Platform::new();
    let answer = ask(&platform, &call("POST", "/v1/issuers/a/refresh?name=delta"));
    assert_eq!(answer.status, 200);
    assert_eq!(json(&answer)["events"][0]["crl_name"], "delta");
    let hook = TestRequest::new("POST", "/v1/issuers/a/refresh");
    let hook = hook.header("authorization", format!("Bearer {HOOK}"));
    assert_eq!(json(&ask(&platform, &hook))["events"][0]["trigger"], "hook");
    platform.outcome.set(Outcome::Rejected);
    let refused = ask(&platform, &call("POST", "/v1/issuers/b/refresh"));
    assert_eq!(refused.status, 502);
    assert_eq!(
        *platform.done.borrow(),
        [
            "operator refreshes delta of a",
            "hook refreshes all of a",
            "operator refreshes all of b"
        ]
    );
    for (path, expected) in [
        ("/v1/issuers/nobody/refresh", "unknown_issuer"),
        ("/v1/issuers/b/refresh?name=delta", "unknown_crl"),
        ("/v1/issuers/nobody/trust", "unknown_issuer"),
    ] {
        let body = format!(r#"{{"sha256":"{}"}}"#, "0".repeat(64));
        let answer = ask(&platform, &name(path, &body));
        assert_eq!(code(&answer), (404, expected.to_owned()), "{path}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{path}");
    }
    assert_eq!(platform.done.borrow().len(), 3);
}

/// The call that names a certificate, or anything else by its SHA-256.
fn name(path: &str, body: &str) -> TestRequest {
    call("POST", path).body(body)
}

#[test]
fn trust_pins_the_certificate_that_it_names_and_no_other() {
    let platform = Platform::new();
    let trust = |platform, body: &str| ask(platform, &name("/v1/issuers/a/trust", body));
    let compared = platform.certificate_waits(b"compared");
    let names_it = format!(r#"{{"sha256":"{compared}"}}"#);
    // The origin shows another one before the operator has called.
    let other = platform.certificate_waits(b"other");
    let answer = trust(&platform, &names_it);
    assert_eq!(code(&answer), (409, "certificate_mismatch".to_owned()));
    assert!(text(&answer).contains(&other.to_string()));
    for body in [
        String::new(),
        "{}".to_owned(),
        format!("\"{other}\""),
        format!(r#"{{"sha256":"{other}","all":true}}"#),
        r#"{"sha256":"00ff"}"#.to_owned(),
        format!(r#"{{"sha256":"{other}"{}}}"#, " ".repeat(5000)),
    ] {
        let answer = trust(&platform, &body);
        assert_eq!(code(&answer), (400, "bad_parameter".to_owned()), "{body}");
    }
    assert_eq!(
        ask(&platform, &call("POST", "/v1/issuers/a/trust")).status,
        400
    );
    assert!(platform.done.borrow().is_empty());

    platform.certificate_waits(b"compared");
    assert_eq!(trust(&platform, &names_it).status, 200);
    let done = format!("trusts {compared} at a");
    assert_eq!(*platform.done.borrow(), [done]);
    *platform.waiting.borrow_mut() = None;
    let answer = trust(&platform, &names_it);
    assert_eq!(code(&answer), (409, "no_certificate_waiting".to_owned()));
}

#[test]
fn an_issuer_has_the_events_of_its_outbox_also_without_d1() {
    let platform = Platform::new();
    add_events(&platform, 3);
    let events = |platform| {
        let issuer = json(&ask(platform, &call("GET", "/v1/issuers/a")));
        assert_eq!(issuer["events_owed"], 1);
        issuer["recent_events"].as_array().unwrap().len()
    };
    assert_eq!(events(&platform), 4);
    platform.fail(Part::Tables);
    assert_eq!(events(&platform), 1);
}

#[test]
fn metrics_report_the_events_that_d1_refuses() {
    let platform = Platform::new();
    platform.pending.set(7);
    let metrics = ask(&platform, &call("GET", "/metrics"));
    assert!(text(&metrics).contains("\ncrl_edge_events_owed 7\n"));
}

#[test]
fn a_stream_has_every_event_and_each_once() {
    let platform = Platform::new();
    add_events(&platform, 2500);
    for (accept, limit, lines) in [
        ("application/x-ndjson", "", 2500),
        ("application/x-ndjson", "?limit=1500", 1500),
        ("text/csv", "", 2501),
    ] {
        let request = call("GET", &format!("/v1/events{limit}")).header("accept", accept);
        let Reply::Stream { headers, chunks } = send(&platform, &request) else {
            panic!("no stream")
        };
        assert!(headers.contains(&("Cache-Control", "no-store".into())));
        let chunks: Vec<String> = block_on(chunks.try_collect()).unwrap();
        let text = chunks.concat();
        let mut all: Vec<_> = text.lines().collect();
        assert_eq!(all.len(), lines, "{accept}");
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), lines, "{accept}");
    }
}

#[test]
fn the_export_of_a_month_has_each_event_once_while_events_are_added() {
    const EVENTS: u64 = 10_000;
    let platform = Platform::new();
    let month = crate::tables::testing::NOW;
    let add = |number: u64, at: Duration| {
        platform.tables.add_event(&(
            format!("018bcfe5-6800-7000-8000-{number:012x}"),
            "a".to_owned(),
            "published".to_owned(),
            month.after(at).to_string(),
        ));
    };
    let step = Duration::from_hours(31 * 24) / u32::try_from(EVENTS).unwrap();
    for number in 0..EVENTS {
        add(number, step * u32::try_from(number).unwrap());
    }
    let path = "/v1/events?since=2026-01-01T00:00:00Z&until=2026-02-01T00:00:00Z";
    let request = call("GET", path).header("accept", "application/x-ndjson");
    let Reply::Stream { chunks, .. } = send(&platform, &request) else {
        panic!("no stream")
    };
    let (mut ids, mut largest, mut count) = (Vec::new(), 0, 0);
    let mut chunks = chunks;
    while let Some(chunk) = block_on(chunks.try_next()).unwrap() {
        largest = largest.max(chunk.len());
        count += 1;
        for line in chunk.lines() {
            let event: Value = serde_json::from_str(line).unwrap();
            ids.push(event["id"].as_str().unwrap().to_owned());
        }
        // A page is read when it is wanted: nothing of the rest is in memory.
        assert!(platform.rows_read() <= 1000 * (count + 1), "{count}");
        // Others go on meanwhile: newer ones, and ones from between two pages.
        add(EVENTS * count, Duration::from_hours(31 * 24 - 1));
        add(EVENTS * count + 1, step * 9_500);
    }
    let listed: std::collections::BTreeSet<_> = ids.iter().collect();
    assert_eq!(listed.len(), ids.len(), "none twice");
    let id = |number: u64| format!("018bcfe5-6800-7000-8000-{number:012x}");
    assert!((0..EVENTS).all(|number| listed.contains(&id(number))));
    assert!(ids.len() < 10_100, "{}", ids.len());
    assert!(largest < 1000 * 1000, "{largest} bytes in a piece");
    assert!(count >= 10, "{count}");
}

#[test]
fn a_stream_says_that_d1_is_down_or_breaks() {
    let ndjson = || call("GET", "/v1/events").header("accept", "application/x-ndjson");
    let platform = Platform::new();
    add_events(&platform, 2500);
    platform.fail_tables_after(0);
    assert_eq!(ask(&platform, &ndjson()).status, 503);
    // The status is sent with the first page: what fails later can only break the body.
    platform.fail_tables_after(1);
    let Reply::Stream { chunks, .. } = send(&platform, &ndjson()) else {
        panic!("no stream")
    };
    let broken: Result<Vec<String>, String> = block_on(chunks.try_collect());
    assert_eq!(broken, Err(CAUSE.to_owned()));
}

/// Two pages of changes, the second of the CRL held.
fn with_changes() -> Rc<Platform> {
    let platform = Platform::new();
    let place = |after: u64| ChangesPlace {
        after: after.into(),
        piece: 0,
    };
    let page = |number: u64, lines: &str, next| ChangesPage {
        held: 9.into(),
        number: number.into(),
        this_update: crate::tables::testing::NOW,
        lines: lines.to_owned(),
        next,
    };
    let lines = "+ 0a 1700000000 keyCompromise\n- 0b 1700000000 -\n";
    *platform.changes.borrow_mut() = vec![
        (place(7), page(8, lines, Some(place(8)))),
        (place(8), page(9, "~ 0a 1700000001 superseded\n", None)),
        (place(9), page(9, "", None)),
    ];
    platform
}

#[test]
fn changes_come_in_three_formats() {
    let platform = with_changes();
    let read = |accept: &str, since: u64| {
        let path = format!("/v1/issuers/a/crls/full/changes?since={since}");
        let Reply::Stream { chunks, .. } =
            send(&platform, &call("GET", &path).header("accept", accept))
        else {
            panic!("no stream")
        };
        let chunks: Vec<String> = block_on(chunks.try_collect()).unwrap();
        chunks.concat()
    };
    let made = crate::tables::testing::NOW.to_string();
    let row = |number, change, serial, date, reason| {
        serde_json::json!({
            "crl_number": number, "this_update": made, "change": change, "serial": serial,
            "revocation_date": date, "reason": reason,
        })
    };
    let date = "2023-11-14T22:13:20.000Z";
    let rows = serde_json::json!([
        row("8", "added", "0a", date, Some("keyCompromise")),
        row("8", "removed", "0b", date, None),
        row(
            "9",
            "changed",
            "0a",
            "2023-11-14T22:13:21.000Z",
            Some("superseded")
        ),
    ]);
    let json: Value = serde_json::from_str(&read("application/json", 7)).unwrap();
    let expected = serde_json::json!({ "since": "7", "crl_number": "9", "changes": rows });
    assert_eq!(json, expected);
    let ndjson = read("application/x-ndjson", 7);
    let lines: Vec<Value> = ndjson
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(Value::from(lines), rows);
    let csv = read("text/csv", 7);
    let first = format!("8,{made},added,0a,{date},keyCompromise");
    assert_eq!(csv.lines().nth(1), Some(first.as_str()));
    assert_eq!(csv.lines().count(), 4);
    let none: Value = serde_json::from_str(&read("application/json", 9)).unwrap();
    assert_eq!(none["changes"], Value::Array(Vec::new()));
}

#[test]
fn changes_that_are_not_kept_are_gone() {
    let platform = with_changes();
    let path = "/v1/issuers/a/crls/full/changes?since=6";
    let answer = ask(&platform, &call("GET", path));
    assert_eq!(answer.status, 410);
    assert!(text(&answer).contains("only those since number 7"));
    let unlisted = path.replace("full", "shard-3");
    assert_eq!(ask(&platform, &call("GET", &unlisted)).status, 404);
    // Those that were forgotten while they were sent can only break the body.
    platform.changes.borrow_mut().remove(1);
    let Reply::Stream { chunks, .. } = send(&platform, &call("GET", &path.replace('6', "7")))
    else {
        panic!("no stream")
    };
    assert!(block_on(chunks.try_collect::<Vec<String>>()).is_err());
}

#[test]
fn what_is_held_is_read_by_viewers_and_for_issuers_that_are_listed() {
    let platform = Platform::new();
    for method in ["GET", "HEAD"] {
        let request = TestRequest::new(method, "/v1/issuers/a/crls/shard-3")
            .header("authorization", format!("Bearer {VIEWER}"));
        let Reply::Held(wanted) = send(&platform, &request) else {
            panic!("another reply")
        };
        assert_eq!(Some(wanted.method), Method::parse(method));
        assert_eq!(wanted.issuer.as_str(), "a");
        assert_eq!(wanted.name, CrlName::Shard(3));
    }
    let unknown = ask(&platform, &call("GET", "/v1/issuers/unknown/crls/full"));
    assert_eq!(code(&unknown), (404, "unknown_issuer".to_owned()));
    let hook = TestRequest::new("GET", "/v1/issuers/a/crls/full")
        .header("authorization", format!("Bearer {HOOK}"));
    assert_eq!(code(&ask(&platform, &hook)).1, "token_not_allowed");
}

#[test]
fn head_has_the_headers_of_get_and_no_body() {
    let platform = Platform::new();
    add_events(&platform, 2);
    for accept in ["application/json", "text/csv"] {
        let get = send(
            &platform,
            &call("GET", "/v1/events").header("accept", accept),
        );
        let get = match get {
            Reply::Answer(answer) => answer.headers,
            Reply::Stream { headers, .. } => headers,
            Reply::Held(_) => panic!("another call"),
        };
        let head = ask(
            &platform,
            &call("HEAD", "/v1/events").header("accept", accept),
        );
        let names = |headers: &crate::http::Headers| {
            headers.iter().map(|(name, _)| *name).collect::<Vec<_>>()
        };
        assert_eq!((head.status, &head.body), (200, &Body::None));
        assert_eq!(names(&head.headers), names(&get));
        assert!(head.header("d1-rows-read").is_some());
    }
}

mod dashboard {
    use super::*;

    fn browse(method: &'static str, path: &str) -> TestRequest {
        TestRequest::new(method, path).header("accept", "text/html")
    }

    fn location(answer: &Answer) -> &str {
        assert_eq!(answer.status, 303, "{answer:?}");
        answer.header("location").unwrap()
    }

    fn sign_in(platform: &Rc<Platform>, token: &str) -> Answer {
        let form = browse("POST", "/dashboard/sign-in").body(format!("token={token}"));
        ask(platform, &form.header("origin", "https://edge.example"))
    }

    /// The session's cookie and the token of its forms.
    fn session(platform: &Rc<Platform>) -> (String, String) {
        session_of(platform, TOKEN)
    }

    fn session_of(platform: &Rc<Platform>, token: &str) -> (String, String) {
        let answer = sign_in(platform, token);
        assert_eq!(location(&answer), "/dashboard");
        let cookie = answer.header("set-cookie").unwrap();
        let cookie = cookie.split(';').next().unwrap().to_owned();
        let home = ask(
            platform,
            &browse("GET", "/dashboard").header("cookie", &cookie),
        );
        assert_eq!(home.status, 200);
        let form_token = text(&home).split("name=\"form_token\" value=\"").nth(1);
        let form_token = form_token.unwrap().split('"').next().unwrap().to_owned();
        (cookie, form_token)
    }

    #[test]
    fn who_is_not_signed_in_is_sent_to_the_form_and_then_on() {
        let platform = Platform::new();
        for (path, to) in [
            ("/dashboard", "/dashboard/sign-in"),
            (
                "/dashboard/events?outcome=failed",
                "/dashboard/sign-in?to=%2Fdashboard%2Fevents%3Foutcome%3Dfailed",
            ),
        ] {
            assert_eq!(location(&ask(&platform, &browse("GET", path))), to);
        }
        let action = ask(&platform, &browse("POST", "/dashboard/issuers/a/trust"));
        let to = "/dashboard/sign-in?to=%2Fdashboard%2Fissuers%2Fa";
        assert_eq!(location(&action), to);
        let refused = sign_in(&platform, "guess");
        assert_eq!(location(&refused), "/dashboard/sign-in?refused=1");
        assert_eq!(refused.header("set-cookie"), None);
        let program = TestRequest::new("GET", "/dashboard");
        assert_eq!(
            code(&ask(&platform, &program)),
            (401, "unauthorized".to_owned())
        );
    }

    #[test]
    fn a_button_acts_and_shows_what_it_led_to() {
        let platform = Platform::new();
        let sha256 = platform.certificate_waits(b"new");
        let (cookie, form_token) = session(&platform);
        for (action, done) in [
            ("refresh", "operator refreshes all of a".to_owned()),
            ("trust", format!("trusts {sha256} at a")),
        ] {
            let form = browse("POST", &format!("/dashboard/issuers/a/{action}"))
                .header("cookie", &cookie)
                .header("origin", "https://edge.example")
                .body(format!("form_token={form_token}&sha256={sha256}"));
            let answer = ask(&platform, &form);
            let id = "018bcfe5-6800-7000-8000-000000000009";
            let shown = format!("/dashboard/issuers/a?done=~{id}");
            assert_eq!(location(&answer), shown);
            assert_eq!(platform.done.borrow_mut().pop(), Some(done));
        }
    }

    #[test]
    fn a_sign_in_is_recorded_and_a_refused_one_is_slow() {
        let platform = Platform::new();
        let before = platform.now.get();
        assert_eq!(location(&sign_in(&platform, TOKEN)), "/dashboard");
        assert_eq!(platform.now.get(), before);
        sign_in(&platform, "guess");
        assert!(platform.now.get() > before);
        let recorded = actions(&platform);
        let row = |act: &str, name: &str| (act.to_owned(), name.to_owned(), String::new());
        assert_eq!(
            recorded,
            [row("refused_sign_in", ""), row("sign_in", "ann")]
        );
        let (cookie, _) = session(&platform);
        let page = ask(
            &platform,
            &browse("GET", "/dashboard/actions").header("cookie", cookie),
        );
        assert!(text(&page).contains("refused sign in"), "{}", text(&page));
        assert!(text(&page).contains("ann (operator)"), "{}", text(&page));
    }

    #[test]
    fn however_many_wrong_tokens_wait_a_right_one_gets_in_at_once() {
        let platform = Platform::new();
        while let Some(pause) = platform.memory().guesses.reserve("", platform.now.get()) {
            assert!(pause.as_secs() <= 30);
        }
        let guess = sign_in(&platform, "guess");
        assert_eq!(guess.status, 429);
        assert_eq!(guess.header("retry-after"), Some("30"));
        let before = platform.now.get();
        assert_eq!(location(&sign_in(&platform, TOKEN)), "/dashboard");
        assert_eq!(platform.now.get(), before);
        // A guess from another network has its usual second.
        let other = browse("POST", "/dashboard/sign-in").body("token=guess");
        let other = other.header("cf-connecting-ip", "203.0.113.77");
        assert_eq!(ask(&platform, &other).status, 303);
        assert_eq!(platform.now.get(), before.after(Duration::from_secs(1)));
    }

    #[test]
    fn a_viewer_reads_every_page_and_sends_no_form() {
        let platform = Platform::new();
        let (cookie, form_token) = session_of(&platform, VIEWER);
        let own = ask(
            &platform,
            &browse("GET", "/dashboard/issuers/a").header("cookie", &cookie),
        );
        assert_eq!(own.status, 200);
        assert!(!text(&own).contains("Refresh now"));
        for action in ["refresh", "trust"] {
            let form = browse("POST", &format!("/dashboard/issuers/a/{action}"))
                .header("cookie", &cookie)
                .body(format!("form_token={form_token}&sha256={}", "0".repeat(64)));
            assert_eq!(ask(&platform, &form).status, 401, "{action}");
        }
        assert!(platform.done.borrow().is_empty());
        let sign_out = browse("POST", "/dashboard/sign-out").header("cookie", &cookie);
        let sign_out = sign_out.body(format!("form_token={form_token}"));
        assert_eq!(location(&ask(&platform, &sign_out)), "/dashboard/sign-in");
        let hook = sign_in(&platform, HOOK);
        assert_eq!(location(&hook), "/dashboard/sign-in?refused=1");
    }

    #[test]
    fn a_form_from_elsewhere_does_nothing() {
        let platform = Platform::new();
        let (cookie, form_token) = session(&platform);
        let form = |token: &str, origin: &str| {
            browse("POST", "/dashboard/issuers/a/refresh")
                .header("cookie", &cookie)
                .header("origin", origin)
                .body(format!("form_token={token}"))
        };
        let long = "x".repeat(5000);
        for forged in [
            form("guess", "https://edge.example"),
            form("", "https://edge.example"),
            form(&form_token, "https://evil.example"),
            form(&long, "https://edge.example"),
            // Trust names what it trusts.
            browse("POST", "/dashboard/issuers/a/trust")
                .header("cookie", &cookie)
                .header("origin", "https://edge.example")
                .body(format!("form_token={form_token}")),
            // A token in a header is not a session.
            call("POST", "/dashboard/issuers/a/refresh").body(format!("form_token={form_token}")),
        ] {
            let answer = ask(&platform, &forged);
            assert_eq!(answer.status, 403, "{forged:?}");
        }
        assert!(platform.done.borrow().is_empty());
    }

    /// A platform with objects that hold a shard that the origin no longer lists.
    fn with_a_withdrawn_shard() -> Rc<Platform> {
        let platform = Platform::new();
        let current = Current {
            head: head(7),
            body: BodyId(1),
            pieces: 1,
            coverage: None,
        };
        let crl = CrlState {
            current: Some(current),
            ..CrlState::default()
        };
        *platform.crls.borrow_mut() = vec![(CrlName::Shard(1), crl)];
        platform
    }

    #[test]
    fn an_operator_sees_what_retiring_removes_before_it_is_removed() {
        let platform = with_a_withdrawn_shard();
        let (cookie, form_token) = session(&platform);
        let get = |path: &str| ask(&platform, &browse("GET", path).header("cookie", &cookie));
        let own = get("/dashboard/issuers/b");
        let path = "/dashboard/issuers/b/crls/shard-1/retire";
        assert!(text(&own).contains(path), "{}", text(&own));
        let shown = get(path);
        assert_eq!(shown.status, 200);
        for fact in ["shard-1", "1.0 kB", &"5a".repeat(32), "2023-11-21 22:13:20"] {
            assert!(text(&shown).contains(fact), "{fact}: {}", text(&shown));
        }
        assert!(text(&shown).contains(">Retire shard-1 of b</button>"));
        assert!(platform.done.borrow().is_empty());
        let form = browse("POST", path).header("cookie", &cookie);
        let retired = ask(&platform, &form.body(format!("form_token={form_token}")));
        assert_eq!(retired.status, 200);
        assert!(text(&retired).contains(r#"role="status""#));
        assert_eq!(*platform.done.borrow(), ["retires shard-1 of b"]);
        assert!(actions(&platform).contains(&("retire".into(), "ann".into(), "b".into())));
    }

    #[test]
    fn an_issuer_that_is_gone_is_retired_as_a_whole_and_another_is_not() {
        let platform = with_a_withdrawn_shard();
        let (cookie, _) = session(&platform);
        let get = |path: &str| ask(&platform, &browse("GET", path).header("cookie", &cookie));
        for refused in [
            "/dashboard/issuers/b/retire",
            "/dashboard/issuers/b/crls/full/retire",
        ] {
            assert_eq!(get(refused).status, 409, "{refused}");
        }
        assert_eq!(get("/dashboard/issuers/nobody/retire").status, 404);
        platform.b_is_gone.set(true);
        let own = get("/dashboard/issuers/b");
        assert!(text(&own).contains(r#"href="/dashboard/issuers/b/retire""#));
        let shown = get("/dashboard/issuers/b/retire");
        assert!(text(&shown).contains("Retire shard-1 of b</button>"));
    }

    #[test]
    fn a_viewer_sees_what_would_be_removed_and_cannot_remove_it() {
        let platform = with_a_withdrawn_shard();
        let (cookie, form_token) = session_of(&platform, VIEWER);
        let path = "/dashboard/issuers/b/crls/shard-1/retire";
        let shown = ask(&platform, &browse("GET", path).header("cookie", &cookie));
        assert!(text(&shown).contains("shard-1"));
        assert!(!text(&shown).contains("<button class=\"danger\""));
        let own = browse("GET", "/dashboard/issuers/b").header("cookie", &cookie);
        assert!(!text(&ask(&platform, &own)).contains("retire"));
        let form = browse("POST", path).header("cookie", &cookie);
        let refused = ask(&platform, &form.body(format!("form_token={form_token}")));
        assert_eq!(refused.status, 401);
        let foreign = ask(&platform, &browse("POST", path).header("cookie", &cookie));
        assert_eq!(foreign.status, 403);
        assert!(platform.done.borrow().is_empty());
    }

    #[test]
    fn the_page_of_changes_begins_with_the_oldest_that_is_kept() {
        let platform = with_changes();
        let (cookie, _) = session_of(&platform, VIEWER);
        let get = |query: &str| {
            let path = format!("/dashboard/issuers/a/crls/full/changes{query}");
            ask(&platform, &browse("GET", &path).header("cookie", &cookie))
        };
        let rows = |answer: &Answer| text(answer).matches("<code>").count();
        for query in ["", "?since=7"] {
            let all = get(query);
            assert_eq!((all.status, rows(&all)), (200, 3), "{query}");
            assert!(text(&all).contains("Changes since number 7"), "{query}");
        }
        assert_eq!(rows(&get("?since=8")), 1);
        assert!(text(&get("?since=9")).contains("No CRL since number 9"));
        let forgotten = get("?since=6");
        assert!(text(&forgotten).contains("since number 6 are not kept"));
        assert!(text(&forgotten).contains("changes?since=7"));
        assert_eq!(get("?since=x").status, 400);
        platform.changes.borrow_mut().clear();
        assert!(text(&get("")).contains("are not kept"));
    }

    #[test]
    fn many_changes_are_shown_in_pages_and_each_once() {
        let platform = Platform::new();
        let lines = |count: usize| {
            let line = |serial| format!("+ {serial:04x} 1700000000 -\n");
            (0..count).map(line).collect::<String>()
        };
        let place = |after: u64, piece| ChangesPlace {
            after: after.into(),
            piece,
        };
        let page = |lines, next| ChangesPage {
            held: 8.into(),
            number: 8.into(),
            this_update: crate::tables::testing::NOW,
            lines,
            next,
        };
        *platform.changes.borrow_mut() = vec![
            (place(7, 0), page(lines(700), Some(place(7, 1)))),
            (place(7, 1), page(lines(800), None)),
        ];
        let (cookie, _) = session(&platform);
        let mut address = "/dashboard/issuers/a/crls/full/changes".to_owned();
        let mut counts = Vec::new();
        loop {
            let request = browse("GET", &address).header("cookie", &cookie);
            let page = ask(&platform, &request);
            counts.push(text(&page).matches("<code>").count());
            let next = text(&page).split("rel=\"next\" href=\"").nth(1);
            let Some(next) = next else { break };
            address = next.split('"').next().unwrap().replace("&amp;", "&");
        }
        assert_eq!(counts, [500, 500, 500]);
    }

    #[test]
    fn without_d1_the_first_page_leads_to_the_issuers_own_pages() {
        let platform = Platform::new();
        let (cookie, _) = session(&platform);
        platform.fail(Part::Tables);
        let home = ask(
            &platform,
            &browse("GET", "/dashboard?id=b").header("cookie", &cookie),
        );
        assert_eq!(home.status, 503);
        assert!(home.header("retry-after").is_some());
        assert!(text(&home).contains("href=\"/dashboard/issuers/b\""));
        assert!(!text(&home).contains("href=\"/dashboard/issuers/a\""));
        let own = ask(
            &platform,
            &browse("GET", "/dashboard/issuers/b").header("cookie", &cookie),
        );
        assert_eq!(own.status, 200);
        assert!(text(&own).contains("(D1) cannot be read"));
    }

    #[test]
    fn without_random_bytes_nobody_is_signed_in() {
        let platform = Platform::new();
        platform.fail(Part::Random);
        let answer = sign_in(&platform, TOKEN);
        assert_eq!((answer.status, answer.header("set-cookie")), (500, None));
        assert!(!text(&answer).contains(CAUSE));
    }
}
