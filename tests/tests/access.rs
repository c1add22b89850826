//! Identities of Cloudflare Access in place of tokens, with keys made here and a server of ours in
//! place of Access's.

use std::sync::Arc;

use end_to_end::access::{AUDIENCE, Team};
use end_to_end::edge::OPERATOR_TOKEN;
use end_to_end::suite::until;
use end_to_end::{Answer, CertificateAuthority, Edge, Start, TestOrigin, World, suite};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

const ISSUERS: [&str; 4] = ["acted", "forged", "foreign", "unread"];

struct Behind {
    origin: TestOrigin,
    team: Team,
    edge: Edge,
}

impl World for Behind {
    async fn start() -> Self {
        let origin = TestOrigin::start().await;
        for id in ISSUERS {
            origin.add(&CertificateAuthority::new(id));
        }
        let team = Team::start().await;
        let edge = behind(&origin, &team).start().await;
        Self { origin, team, edge }
    }

    fn log(&self) -> String {
        self.edge.log()
    }
}

fn behind(origin: &TestOrigin, team: &Team) -> Start {
    Start::new(&origin.url())
        .var("ACCESS_TEAM_URL", &team.url())
        .var("ACCESS_AUDIENCE", AUDIENCE)
        .var("ACCESS_OPERATORS", "ann@example.com 7c9a.access")
        .var("ACCESS_VIEWERS", "@example.com")
}

fn request(edge: &Edge, method: Method, path: &str, jwt: &str) -> RequestBuilder {
    edge.request(method, path)
        .header("Cf-Access-Jwt-Assertion", jwt)
}

/// The status of an answer, and its code if it is an error.
async fn sent(request: RequestBuilder) -> (u16, String) {
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    let text = answer.text().await.unwrap();
    let json: Value = serde_json::from_str(&text).unwrap_or_default();
    (status, json["code"].as_str().unwrap_or_default().to_owned())
}

fn refused(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

async fn an_identity_has_the_rights_that_the_settings_give_it(world: Arc<Behind>) {
    let (edge, team) = (&world.edge, &world.team);
    let mut service = team.person("");
    service["common_name"] = "7c9a.access".into();
    let service = team.sign(&json!({ "alg": "RS256", "kid": "key-1" }), &service);
    let refresh = "/v1/issuers/acted/refresh";
    for (jwt, reads, acts) in [
        (
            team.token("ann@example.com"),
            refused(200, ""),
            refused(200, ""),
        ),
        (service, refused(200, ""), refused(200, "")),
        (
            team.token("bob@example.com"),
            refused(200, ""),
            refused(401, "token_not_allowed"),
        ),
        (
            team.token("eve@evil.example"),
            refused(401, "access_refused"),
            refused(401, "access_refused"),
        ),
    ] {
        let read = request(edge, Method::GET, "/v1/issuers", &jwt);
        assert_eq!(sent(read).await, reads, "{jwt}");
        assert_eq!(
            sent(request(edge, Method::POST, refresh, &jwt)).await,
            acts,
            "{jwt}"
        );
    }
    let page = edge.operate(Method::GET, "/v1/actions").await;
    let page: Value = page.json().await.unwrap();
    let actions = page["actions"].as_array().unwrap().iter();
    let of = |name: &str| -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        actions
            .clone()
            .filter(|action| action["token_name"] == name)
            .map(|action| (text(&action["action"]), text(&action["role"])))
            .collect()
    };
    let row = |act: &str, role: &str| (act.to_owned(), role.to_owned());
    assert_eq!(of("access:ann@example.com"), [row("refresh", "operator")]);
    assert_eq!(of("access:7c9a.access"), [row("refresh", "operator")]);
    assert_eq!(
        of("access:eve@evil.example"),
        vec![row("refused_sign_in", ""); 2]
    );
    assert_eq!(of("access:bob@example.com"), []);
}

async fn a_token_that_proves_nothing_opens_nothing(world: Arc<Behind>) {
    let (edge, team) = (&world.edge, &world.team);
    let ann = team.person("ann@example.com");
    let claims = |name: &str, value: Value| {
        let mut claims = ann.clone();
        claims[name] = value;
        team.sign(&json!({ "alg": "RS256", "kid": "key-1" }), &claims)
    };
    let right = team.token("ann@example.com");
    let mut altered = right.clone();
    let place = altered.len() - 10;
    let other = if altered.as_bytes()[place] == b'A' {
        "B"
    } else {
        "A"
    };
    altered.replace_range(place..=place, other);
    for forged in [
        team.sign(&json!({ "alg": "none", "kid": "key-1" }), &ann),
        team.sign(&json!({ "alg": "HS256", "kid": "key-1" }), &ann),
        team.forge(&json!({ "alg": "RS256", "kid": "key-1" }), &ann),
        team.forge(&json!({ "alg": "RS256", "kid": "key-2" }), &ann),
        claims("aud", json!(["another"])),
        claims("iss", "https://evil.cloudflareaccess.com".into()),
        claims("exp", 1_700_000_000.into()),
        claims("nbf", 4_000_000_000_u64.into()),
        altered,
        right.rsplit_once('.').unwrap().0.to_owned() + ".",
        "no JWT".to_owned(),
    ] {
        let refresh = "/v1/issuers/forged/refresh";
        let answer = sent(request(edge, Method::POST, refresh, &forged)).await;
        assert_eq!(answer, refused(401, "access_refused"), "{forged}");
        // A token of the settings counts, whatever is beside it.
        let token = request(edge, Method::GET, "/v1/issuers/forged", &forged);
        let answer = sent(token.bearer_auth(OPERATOR_TOKEN)).await;
        assert_eq!(answer, refused(200, ""), "{forged}");
    }
    assert!(world.origin.calls("forged").is_empty());
    for number in 0..30 {
        let header = json!({ "alg": "RS256", "kid": format!("made-up-{number}") });
        let made_up = team.forge(&header, &ann);
        let answer = sent(request(edge, Method::GET, "/v1/issuers", &made_up)).await;
        assert_eq!(answer, refused(401, "access_refused"));
    }
    // Once a minute in each isolate; the tests may take some.
    assert!((1..10).contains(&team.reads()), "{}", team.reads());
}

async fn no_other_site_has_a_browser_act(world: Arc<Behind>) {
    let (edge, jwt) = (&world.edge, world.team.token("ann@example.com"));
    let post = |path: &str| request(edge, Method::POST, path, &jwt);
    for (name, value) in [
        ("Origin", "https://evil.example"),
        ("Origin", "null"),
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Site", "same-site"),
    ] {
        for path in [
            "/v1/issuers/foreign/refresh",
            "/v1/refresh",
            "/v1/registry/confirm",
        ] {
            let answer = sent(post(path).header(name, value)).await;
            assert_eq!(
                answer,
                refused(403, "foreign_form"),
                "{path} {name}: {value}"
            );
        }
    }
    assert!(world.origin.calls("foreign").is_empty());
    let form = post("/dashboard/issuers/foreign/refresh").body("form_token=guess");
    assert_eq!(sent(form).await, refused(403, "foreign_form"));
    let own = post("/v1/issuers/foreign/refresh").header("Origin", edge.url(""));
    assert_eq!(sent(own).await, refused(200, ""));
}

async fn the_dashboard_needs_no_sign_in(world: Arc<Behind>) {
    let page = async |email: &str| {
        let jwt = world.team.token(email);
        let page = request(&world.edge, Method::GET, "/dashboard/issuers/acted", &jwt);
        let answer = page.header("Accept", "text/html").send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let (status, ann) = page("ann@example.com").await;
    assert_eq!(status, 200);
    assert!(ann.contains("Refresh now"), "{ann}");
    let (status, bob) = page("bob@example.com").await;
    assert_eq!(status, 200);
    assert!(!bob.contains("Refresh now"), "{bob}");
    let (status, eve) = page("eve@evil.example").await;
    assert_eq!(status, 401);
    assert!(eve.contains("/dashboard/sign-in"), "{eve}");
}

async fn keys_that_cannot_be_read_stop_no_token(world: Arc<Behind>) {
    let certs = format!("{}/cdn-cgi/access/certs", world.team.url());
    for answer in [
        Answer::status(302).header("Location", &certs),
        Answer::status(200).body(vec![b' '; 100_000]),
        Answer::never(),
    ] {
        let team = Team::start().await;
        let edge = behind(&world.origin, &team).start().await;
        let jwt = team.token("ann@example.com");
        team.answer(answer);
        let unread = request(&edge, Method::GET, "/v1/issuers", &jwt);
        assert_eq!(sent(unread).await, refused(503, "access_unavailable"));
        let token = request(&edge, Method::POST, "/v1/issuers/unread/refresh", &jwt);
        assert_eq!(
            sent(token.bearer_auth(OPERATOR_TOKEN)).await,
            refused(200, "")
        );
        assert_eq!(edge.get("/crl/unread.crl").await.status(), 200);
        assert_eq!(team.reads(), 1);
        until(async || edge.log().contains("the keys of Access cannot be read")).await;
    }
}

suite!(
    Behind;
    an_identity_has_the_rights_that_the_settings_give_it,
    a_token_that_proves_nothing_opens_nothing,
    no_other_site_has_a_browser_act,
    the_dashboard_needs_no_sign_in,
    keys_that_cannot_be_read_stop_no_token,
);
