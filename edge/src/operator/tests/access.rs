//! Identities of Cloudflare Access, with keys made here: what each opens, and what proves nothing.

use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::json;

use super::*;
use crate::operator::testing::access::{
    AUDIENCE, CURRENT, NEXT, TEAM_URL, encode, key_set, person, service, signed,
};
use crate::tables::testing::NOW;

const CERTS: &str = "reads https://team.cloudflareaccess.com/cdn-cgi/access/certs";

fn behind_access() -> Rc<Settings> {
    Rc::new(settings(&[
        ("OPERATOR_TOKEN", &format!("ann:{TOKEN}")),
        ("VIEWER_TOKEN", VIEWER),
        ("ACCESS_TEAM_URL", TEAM_URL),
        ("ACCESS_AUDIENCE", AUDIENCE),
        ("ACCESS_OPERATORS", "ann@example.com 7c9a.access"),
        ("ACCESS_VIEWERS", "@example.com 5b1d.access"),
    ]))
}

/// A platform on which Access publishes its current key.
fn platform() -> Rc<Platform> {
    let platform = Platform::new();
    *platform.key_set.borrow_mut() = Some(key_set(&[CURRENT]));
    platform
}

fn with(request: TestRequest, jwt: &str) -> TestRequest {
    request.header("cf-access-jwt-assertion", jwt)
}

fn send_to(platform: &Rc<Platform>, request: &TestRequest) -> Answer {
    match send_with(&behind_access(), platform, request) {
        Reply::Answer(answer) => answer,
        Reply::Stream { .. } | Reply::Held(_) => panic!("not in memory"),
    }
}

fn reads(platform: &Platform) -> usize {
    let done = platform.done.borrow();
    done.iter().filter(|done| *done == CERTS).count()
}

#[test]
fn every_call_with_every_kind_of_identity() {
    for (claims, opens) in [
        (person("ann@example.com"), Opens::Everything),
        (person("ANN@Example.com"), Opens::Everything),
        (service("7c9a.access"), Opens::Everything),
        (person("bob@example.com"), Opens::Reading),
        (service("5b1d.access"), Opens::Reading),
        (
            person("eve@evil.example"),
            Opens::Nothing(401, "access_refused"),
        ),
        (
            service("f00d.access"),
            Opens::Nothing(401, "access_refused"),
        ),
        // A client certificate has its name where a service token has its id.
        (
            service("ann@example.com"),
            Opens::Nothing(401, "access_refused"),
        ),
    ] {
        let jwt = CURRENT.token(&claims);
        for (method, path) in CALLS {
            let platform = platform();
            let sha256 = platform.certificate_waits(b"new");
            platform.registry_shrinks(15);
            block_on(platform.request_job(event(1).id)).unwrap();
            let request = with(TestRequest::new(method, path), &jwt);
            let request = request.body(format!(r#"{{"sha256":"{sha256}"}}"#));
            let answer = send_to(&platform, &request);
            let line = format!("{claims}: {method} {path}");
            match opens {
                Opens::Nothing(status, expected) => {
                    assert_eq!(code(&answer), (status, expected.to_owned()), "{line}");
                }
                Opens::Reading if method != "GET" => {
                    let refused = (401, "token_not_allowed".to_owned());
                    assert_eq!(code(&answer), refused, "{line}");
                }
                _ => assert!(matches!(answer.status, 200 | 202), "{line}"),
            }
        }
    }
}

/// The claims of an operator with another value for one of them.
fn changed(name: &str, value: Value) -> String {
    let mut claims = person("ann@example.com");
    claims[name] = value;
    CURRENT.token(&claims)
}

/// The claims of an operator without one of them.
fn without(name: &str) -> String {
    let mut claims = person("ann@example.com");
    claims.as_object_mut().unwrap().remove(name);
    CURRENT.token(&claims)
}

/// A token that opens nothing, a part of the reason, and whether the keys were read to know.
type Forged = (String, &'static str, bool);

fn with_wrong_signatures() -> Vec<Forged> {
    const ALGORITHM: &str = "is not signed by RS256";
    const KEY: &str = "a key that the team does not publish";
    const SIGNATURE: &str = "the signature of its token is wrong";
    let good = person("ann@example.com");
    let header = |header: Value| CURRENT.sign(&header, &good);
    let right = CURRENT.token(&good);
    let (unsigned, signature) = right.rsplit_once('.').unwrap();
    let rs256 = json!({ "alg": "RS256", "kid": "key-1" });
    let other_claims = signed(&rs256, &person("bob@example.com"));
    // The mistake of libraries that take the algorithm from the token: a MAC keyed by the public
    // key, which everybody knows.
    let by_mac = {
        let signed = signed(&json!({ "alg": "HS256", "kid": "key-1" }), &good);
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(CURRENT.modulus().as_bytes()).unwrap();
        mac.update(signed.as_bytes());
        format!("{signed}.{}", encode(&mac.finalize().into_bytes()))
    };
    let none = json!({ "alg": "none", "kid": "key-1" });
    let critical = json!({ "alg": "RS256", "kid": "key-1", "crit": ["b64"], "b64": false });
    vec![
        (format!("{}.", signed(&none, &good)), ALGORITHM, false),
        (by_mac, ALGORITHM, false),
        (header(none), ALGORITHM, false),
        (
            header(json!({ "alg": "RS512", "kid": "key-1" })),
            ALGORITHM,
            false,
        ),
        (
            header(json!({ "alg": "rs256", "kid": "key-1" })),
            ALGORITHM,
            false,
        ),
        (header(json!({ "kid": "key-1" })), ALGORITHM, false),
        (header(critical), ALGORITHM, false),
        (header(json!({ "alg": "RS256" })), KEY, false),
        (NEXT.token(&good), KEY, true),
        (NEXT.named_as(CURRENT).token(&good), SIGNATURE, true),
        (format!("{unsigned}."), SIGNATURE, true),
        (format!("{other_claims}.{signature}"), SIGNATURE, true),
    ]
}

fn with_wrong_claims() -> Vec<Forged> {
    const TEAM: &str = "from another team";
    const APPLICATION: &str = "for another application";
    const IDENTITY: &str = "names neither";
    let seconds = NOW.as_unix_time().0;
    let long = format!("{}@example.com", "a".repeat(250));
    vec![
        (
            changed("iss", "https://evil.cloudflareaccess.com".into()),
            TEAM,
            false,
        ),
        (changed("iss", format!("{TEAM_URL}/").into()), TEAM, false),
        (without("iss"), TEAM, false),
        (changed("aud", json!(["another"])), APPLICATION, false),
        (changed("aud", json!([])), APPLICATION, false),
        (changed("aud", json!([[AUDIENCE]])), APPLICATION, false),
        (changed("aud", "another".into()), APPLICATION, false),
        (without("aud"), APPLICATION, false),
        (changed("exp", (seconds - 60).into()), "has expired", false),
        (changed("exp", i64::MIN.into()), "has expired", false),
        (changed("exp", "4102444800".into()), "has expired", false),
        (without("exp"), "has expired", false),
        (
            changed("nbf", (seconds + 61).into()),
            "is not valid yet",
            false,
        ),
        (changed("nbf", "0".into()), "is not valid yet", false),
        (without("email"), IDENTITY, true),
        (changed("email", "".into()), IDENTITY, true),
        (changed("email", "ann@example.com\n".into()), IDENTITY, true),
        (changed("email", json!(["ann@example.com"])), IDENTITY, true),
        (changed("email", long.into()), IDENTITY, true),
    ]
}

fn that_are_no_jwt() -> Vec<Forged> {
    let right = CURRENT.token(&person("ann@example.com"));
    let array = encode(b"[]");
    [
        String::new(),
        "..".to_owned(),
        right.replace('.', ""),
        format!("{right}.{array}"),
        format!("{right}, {right}"),
        format!("{right}="),
        format!("{array}.{array}."),
        changed("custom", "x".repeat(20_000).into()),
    ]
    .map(|token| (token, "is no JWT", false))
    .to_vec()
}

#[test]
fn a_token_that_proves_nothing_opens_nothing() {
    let forged = [
        with_wrong_signatures(),
        with_wrong_claims(),
        that_are_no_jwt(),
    ];
    for (token, reason, reads_keys) in forged.into_iter().flatten() {
        let platform = platform();
        let request = with(TestRequest::new("POST", "/v1/issuers/a/refresh"), &token);
        let answer = send_to(&platform, &request);
        let refused = (401, "access_refused".to_owned());
        assert_eq!(code(&answer), refused, "{reason}: {token}");
        let detail = json(&answer)["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(reason), "{detail}: {token}");
        // What is not for this application has no keys read.
        assert_eq!(reads(&platform) == 1, reads_keys, "{reason}: {token}");
        assert_eq!(platform.done.borrow().len(), reads(&platform), "{reason}");
        // Beside a token of the settings it does not matter.
        let request = request.header("authorization", format!("Bearer {TOKEN}"));
        assert_eq!(send_to(&platform, &request).status, 200);
    }
}

#[test]
fn clocks_may_be_a_minute_apart_and_the_audience_one_of_several() {
    let seconds = NOW.as_unix_time().0;
    for token in [
        changed("exp", (seconds - 59).into()),
        changed("nbf", (seconds + 60).into()),
        without("nbf"),
        changed("aud", AUDIENCE.into()),
        changed("aud", json!(["another", AUDIENCE])),
    ] {
        let request = with(TestRequest::new("GET", "/v1/issuers"), &token);
        assert_eq!(send_to(&platform(), &request).status, 200, "{token}");
    }
}

#[test]
fn keys_are_read_once_and_again_after_a_rotation() {
    let platform = platform();
    let ask = |key: crate::operator::testing::access::TeamKey| {
        let jwt = key.token(&person("ann@example.com"));
        send_to(
            &platform,
            &with(TestRequest::new("GET", "/v1/issuers"), &jwt),
        )
        .status
    };
    assert_eq!([ask(CURRENT), ask(CURRENT), ask(CURRENT)], [200; 3]);
    assert_eq!(reads(&platform), 1);
    *platform.key_set.borrow_mut() = Some(key_set(&[NEXT, CURRENT]));
    assert_eq!([ask(NEXT), ask(NEXT)], [401; 2]);
    platform.now.set(NOW.after(Duration::from_mins(1)));
    assert_eq!([ask(NEXT), ask(CURRENT)], [200; 2]);
    assert_eq!(reads(&platform), 2);
}

#[test]
fn keys_that_cannot_be_read_stop_no_token() {
    let jwt = CURRENT.token(&person("ann@example.com"));
    let request = || TestRequest::new("GET", "/v1/issuers");
    for (cause, published) in [
        (CAUSE, None),
        ("does not answer in time", None),
        ("no key set", Some("<html>")),
        ("no key set", Some(r#"{"keys":[]}"#)),
    ] {
        let platform = platform();
        *platform.key_set.borrow_mut() = published.map(str::to_owned);
        if cause == CAUSE {
            platform.fail(Part::AccessKeys);
        }
        for _ in 0..5 {
            let refused = send_to(&platform, &with(request(), &jwt));
            assert_eq!(code(&refused), (503, "access_unavailable".to_owned()));
            assert_eq!(refused.header("retry-after"), Some("10"));
            assert!(!text(&refused).contains(CAUSE));
            let token = request().header("authorization", format!("Bearer {TOKEN}"));
            assert_eq!(send_to(&platform, &with(token, &jwt)).status, 200);
        }
        assert_eq!(reads(&platform), 1, "{cause}");
        let log = platform.log.borrow();
        let logged = log[0]["cause"].as_str().unwrap();
        assert!(
            logged.contains(cause) && logged.contains(TEAM_URL),
            "{logged}"
        );
    }
}

#[test]
fn an_act_and_a_refusal_name_the_identity() {
    let platform = platform();
    for (claims, path) in [
        (person("ann@example.com"), "/v1/issuers/a/refresh"),
        (service("7c9a.access"), "/v1/issuers/b/refresh"),
        (person("eve@evil.example"), "/v1/issuers/a/refresh"),
    ] {
        let request = with(TestRequest::new("POST", path), &CURRENT.token(&claims));
        send_to(&platform, &request);
    }
    let mut recorded = actions(&platform);
    recorded.reverse();
    let row =
        |act: &str, name: &str, target: &str| (act.to_owned(), name.to_owned(), target.to_owned());
    assert_eq!(
        recorded,
        [
            row("refresh", "access:ann@example.com", "a"),
            row("refresh", "access:7c9a.access", "b"),
            row("refused_sign_in", "access:eve@evil.example", ""),
        ]
    );
    // The event of what was accepted says by whom.
    let sha256 = platform.certificate_waits(b"refused");
    platform.refused.set(Some(sha256));
    let accept = TestRequest::new("POST", "/v1/issuers/a/crls/full/accept")
        .body(format!(r#"{{"sha256":"{sha256}"}}"#));
    let jwt = CURRENT.token(&person("ann@example.com"));
    assert_eq!(send_to(&platform, &with(accept, &jwt)).status, 200);
    let done = platform.done.borrow();
    assert_eq!(
        done.last().unwrap(),
        "access:ann@example.com accepts full of a"
    );
}

#[test]
fn no_other_site_has_a_browser_act_with_an_identity() {
    let jwt = CURRENT.token(&person("ann@example.com"));
    for (method, path) in CALLS {
        for (name, value) in [
            ("origin", "https://evil.example"),
            ("origin", "null"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
        ] {
            let platform = platform();
            platform.registry_shrinks(15);
            let request = with(TestRequest::new(method, path), &jwt);
            let request = request.header("content-type", "text/plain");
            let answer = send_to(&platform, &request.header(name, value));
            if method == "GET" {
                assert_ne!(answer.status, 403, "{path}");
            } else {
                let refused = (403, "foreign_form".to_owned());
                assert_eq!(code(&answer), refused, "{method} {path} {name}");
                assert_eq!(*platform.done.borrow(), [CERTS], "{method} {path}");
                assert!(actions(&platform).is_empty());
            }
        }
    }
    // A page of this site, and a program.
    let own = with(TestRequest::new("POST", "/v1/issuers/a/refresh"), &jwt);
    assert_eq!(send_to(&platform(), &own).status, 200);
    let own = own.header("origin", "https://edge.example");
    let own = own.header("sec-fetch-site", "same-origin");
    assert_eq!(send_to(&platform(), &own).status, 200);
}

#[test]
fn an_identity_crosses_no_network_in_the_clear() {
    let jwt = CURRENT.token(&person("ann@example.com"));
    for path in ["/v1/issuers", "/dashboard"] {
        let request = with(TestRequest::new("GET", path), &jwt).at("http://edge.example");
        let answer = send_to(&platform(), &request);
        assert_eq!(code(&answer), (403, "https_required".to_owned()), "{path}");
    }
}

#[test]
fn without_its_settings_access_opens_nothing() {
    let jwt = CURRENT.token(&person("ann@example.com"));
    let team = ("ACCESS_TEAM_URL", TEAM_URL);
    let audience = ("ACCESS_AUDIENCE", AUDIENCE);
    let token = ("OPERATOR_TOKEN", TOKEN);
    for (set, has_identity, expected) in [
        (vec![token], true, (401, "unauthorized")),
        (vec![], true, (503, "operator_token_not_set")),
        (vec![token, team], true, (503, "misconfigured")),
        (vec![token, audience], true, (503, "misconfigured")),
        // Nobody is listed.
        (vec![team, audience], true, (401, "access_refused")),
        (vec![team, audience], false, (401, "unauthorized")),
    ] {
        let settings = Rc::new(Settings::read(|name| {
            let mut set = set.iter();
            set.find_map(|(key, value)| (*key == name).then(|| (*value).to_owned()))
        }));
        let request = TestRequest::new("GET", "/v1/issuers");
        let request = if has_identity {
            with(request, &jwt)
        } else {
            request
        };
        let Reply::Answer(answer) = send_with(&settings, &platform(), &request) else {
            panic!("a stream")
        };
        let (status, expected) = expected;
        assert_eq!(code(&answer), (status, expected.to_owned()), "{set:?}");
    }
}

mod dashboard {
    use super::*;

    fn browse(method: &'static str, path: &str, claims: &Value) -> TestRequest {
        let request = TestRequest::new(method, path).header("accept", "text/html");
        with(request, &CURRENT.token(claims))
    }

    fn form_token(page: &Answer) -> String {
        let token = text(page).split("name=\"form_token\" value=\"").nth(1);
        token.unwrap().split('"').next().unwrap().to_owned()
    }

    #[test]
    fn an_identity_needs_no_sign_in_and_acts() {
        let platform = platform();
        let ann = person("ann@example.com");
        let home = send_to(&platform, &browse("GET", "/dashboard", &ann));
        assert_eq!((home.status, home.header("set-cookie")), (200, None));
        assert!(
            text(&home).contains("Refresh all issuers"),
            "{}",
            text(&home)
        );
        let form = browse("POST", "/dashboard/issuers/a/refresh", &ann)
            .header("origin", "https://edge.example")
            .header("sec-fetch-site", "same-origin")
            .body(format!("form_token={}", form_token(&home)));
        assert_eq!(send_to(&platform, &form).status, 303);
        let refreshed = platform.done.borrow().last().cloned();
        assert_eq!(refreshed.as_deref(), Some("operator refreshes all of a"));
        let page = send_to(&platform, &browse("GET", "/dashboard/actions", &ann));
        assert!(text(&page).contains("access:ann@example.com (operator)"));
        // Access ends its session, not this edge.
        let sign_out = browse("POST", "/dashboard/sign-out", &ann);
        let sign_out = sign_out.body(format!("form_token={}", form_token(&home)));
        let answer = send_to(&platform, &sign_out);
        assert_eq!(answer.header("location"), Some("/cdn-cgi/access/logout"));
    }

    #[test]
    fn a_viewer_reads_every_page_and_sends_no_form() {
        let platform = platform();
        let bob = person("bob@example.com");
        let own = send_to(&platform, &browse("GET", "/dashboard/issuers/a", &bob));
        assert_eq!(own.status, 200);
        assert!(!text(&own).contains("Refresh now"));
        let form = browse("POST", "/dashboard/issuers/a/refresh", &bob);
        let form = form.body(format!("form_token={}", form_token(&own)));
        assert_eq!(send_to(&platform, &form).status, 401);
        assert_eq!(*platform.done.borrow(), [CERTS]);
    }

    #[test]
    fn a_form_from_elsewhere_does_nothing() {
        let platform = platform();
        let (ann, bob) = (person("ann@example.com"), person("bob@example.com"));
        let token_of =
            |claims: &Value| form_token(&send_to(&platform, &browse("GET", "/dashboard", claims)));
        let (own, other) = (token_of(&ann), token_of(&bob));
        let form = |token: &str| {
            browse("POST", "/dashboard/issuers/a/refresh", &ann).body(format!("form_token={token}"))
        };
        for forged in [
            form(""),
            form("guess"),
            // A token that somebody else's page has.
            form(&other),
            form(&own).header("origin", "https://evil.example"),
            form(&own).header("origin", "null"),
            form(&own).header("sec-fetch-site", "cross-site"),
            browse("POST", "/dashboard/issuers/a/refresh", &ann),
        ] {
            assert_eq!(send_to(&platform, &forged).status, 403, "{forged:?}");
        }
        assert_eq!(*platform.done.borrow(), [CERTS]);
    }

    #[test]
    fn who_is_refused_reads_why_and_may_sign_in_with_a_token() {
        let platform = platform();
        let eve = person("eve@evil.example");
        let refused = send_to(&platform, &browse("GET", "/dashboard", &eve));
        assert_eq!(refused.status, 401);
        let page = text(&refused);
        assert!(page.contains("eve@evil.example is in neither"), "{page}");
        assert!(page.contains(r#"href="/dashboard/sign-in""#), "{page}");
        let form = send_to(&platform, &browse("GET", "/dashboard/sign-in", &eve));
        assert_eq!(form.status, 200);
        let sign_in = browse("POST", "/dashboard/sign-in", &eve).body(format!("token={VIEWER}"));
        let signed_in = send_to(&platform, &sign_in);
        let cookie = signed_in.header("set-cookie").unwrap();
        let cookie = cookie.split(';').next().unwrap();
        let home = browse("GET", "/dashboard", &eve).header("cookie", cookie);
        assert_eq!(send_to(&platform, &home).status, 200);
        // Without the keys of Access too.
        platform.fail(Part::AccessKeys);
        platform.now.set(NOW.after(Duration::from_hours(25)));
        let later = {
            let mut claims = person("ann@example.com");
            claims["exp"] = (NOW.as_unix_time().0 + 100_000).into();
            browse("GET", "/dashboard", &claims)
        };
        let unchecked = send_to(&platform, &later);
        assert_eq!(unchecked.status, 503);
        assert!(text(&unchecked).contains(r#"href="/dashboard/sign-in""#));
    }

    #[test]
    fn without_tokens_there_is_no_form_to_sign_in() {
        let settings = Rc::new(settings(&[
            ("ACCESS_TEAM_URL", TEAM_URL),
            ("ACCESS_AUDIENCE", AUDIENCE),
            ("ACCESS_OPERATORS", "ann@example.com"),
        ]));
        let get = |path: &str, email: &str| {
            let request = browse("GET", path, &person(email));
            match send_with(&settings, &platform(), &request) {
                Reply::Answer(answer) => answer,
                Reply::Stream { .. } | Reply::Held(_) => panic!("not in memory"),
            }
        };
        assert_eq!(get("/dashboard", "ann@example.com").status, 200);
        assert_eq!(get("/dashboard/sign-in", "ann@example.com").status, 503);
        let refused = get("/dashboard", "eve@evil.example");
        assert!(!text(&refused).contains("/dashboard/sign-in"));
    }
}
