//! A real OpenBao server: it issues and revokes, and its CRL is passed on.

mod harness;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use end_to_end::{OpenBao, Skipped};
use serde_json::Value;

use harness::{Origin, Server, header, json, number, serials};

/// What the origin needs.
const POLICY: &str = r#"path "pki/crl/rotate" { capabilities = ["read"] }
path "pki/config/crl" { capabilities = ["read"] }"#;

/// `None`, and a line that says so, where OpenBao is not installed.
fn bao() -> Option<OpenBao> {
    OpenBao::start()
        .map_err(|Skipped(why)| println!("skipped: {why}"))
        .ok()
}

#[test]
fn openbaos_crl_is_fetched_and_rotated() {
    let Some(bao) = bao() else { return };
    let origin = Origin::new();
    bao.mount("pki");
    let _ = bao.root("pki", "root");
    let write = |path: &str, pairs: &[&str]| bao.run(&[&["write", path], pairs].concat());
    let _ = bao.run(&["auth", "enable", "approle"]);
    write("sys/policies/acl/crl", &[&format!("policy={POLICY}")]);
    write("auth/approle/role/origin", &["token_policies=crl"]);
    let role_id = bao.run(&["read", "auth/approle/role/origin/role-id"]);
    let role_id = role_id["role_id"].as_str().unwrap().to_owned();
    let secret = bao.run(&["write", "-force", "auth/approle/role/origin/secret-id"]);
    let secret_file = origin.path("secret-id");
    std::fs::write(&secret_file, secret["secret_id"].as_str().unwrap()).unwrap();
    // Relative to where the command runs; the service may run elsewhere.
    let login = ["--role-id", &role_id, "--secret-id-file", "secret-id"];
    let connect = [
        "issuer",
        "connect",
        "openbao",
        "bao",
        "--address",
        bao.url(),
        "--issuer-ref",
        "root",
    ];
    origin.run(&[&connect[..], &login[..]].concat());

    let elsewhere = origin.path("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    let server = origin.serve_in(&elsewhere);
    let mut first = server.crl("bao", "full", None);
    assert_eq!(first.status(), 200);
    let tag = header(&first, "etag").to_owned();
    let first = first.body_mut().read_to_vec().unwrap();
    assert_eq!(server.crl("bao", "full", Some(&tag)).status(), 304);
    let again = server
        .crl("bao", "full", None)
        .body_mut()
        .read_to_vec()
        .unwrap();
    assert!(
        number(&again) > number(&first),
        "asked for, a new one is made"
    );

    let (_, serial) = bao.issue("pki", "a.example");
    write("pki/revoke", &[&format!("serial_number={serial}")]);
    let mut revoked = server.crl("bao", "full", Some(&tag));
    assert_eq!(revoked.status(), 200);
    let revoked = revoked.body_mut().read_to_vec().unwrap();
    assert_eq!(serials(&revoked), [serial.replace(':', "")]);

    // Another login is taken, and another issuer is not.
    let token = bao.token_file();
    let set = [
        "issuer",
        "set",
        "bao",
        "--address",
        bao.url(),
        "--token-file",
        token.to_str().unwrap(),
    ];
    origin.run(&set);
    assert_eq!(server.crl("bao", "full", None).status(), 200);
    let _ = bao.root("pki", "other");
    let (_, complaint) = origin.fail(&[&set[..], &["--issuer-ref", "other"]].concat());
    assert!(complaint.contains("is not that of"), "{complaint}");
}

#[test]
fn the_issuers_of_openbao_are_listed() {
    let Some(bao) = bao() else { return };
    let origin = Origin::new();
    bao.mount("ca");
    for name in ["one", "two"] {
        let _ = bao.root("ca", name);
    }
    let token = bao.token_file();
    let discover = [
        "issuer",
        "discover",
        "--address",
        bao.url(),
        "--mount",
        "ca",
        "--token-file",
        token.to_str().unwrap(),
        "--json",
    ];
    let mut names: Vec<String> = origin
        .run(&discover)
        .lines()
        .map(|line| {
            serde_json::from_str::<Value>(line).unwrap()["name"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    names.sort();
    assert_eq!(names, ["one", "two"]);
}

/// An engine with a root, in front of which an origin is to stand.
struct Connected {
    origin: Origin,
    bao: OpenBao,
}

impl Connected {
    /// `None` where OpenBao is not installed.
    fn new() -> Option<Self> {
        let bao = bao()?;
        bao.mount("pki");
        let _ = bao.root("pki", "root");
        let origin = Origin::new();
        Some(Self { origin, bao })
    }

    fn write(&self, path: &str, pairs: &[&str]) {
        let _ = self.bao.run(&[&["write", path], pairs].concat());
    }

    /// A file with a token of that policy.
    fn token(&self, policy: &str) -> PathBuf {
        self.write("sys/policies/acl/front", &[&format!("policy={policy}")]);
        let root = std::fs::read_to_string(self.bao.token_file()).unwrap();
        let create = harness::agent()
            .post(format!("{}/v1/auth/token/create", self.bao.url()))
            .header("X-Vault-Token", root.trim());
        let policies = serde_json::json!({"policies": ["front"]});
        let created = json(&mut create.send_json(&policies).unwrap());
        let path = self.origin.path("token");
        std::fs::write(&path, created["auth"]["client_token"].as_str().unwrap()).unwrap();
        path
    }

    fn connect_arguments(address: &str, token: &std::path::Path) -> Vec<String> {
        let token = token.to_str().unwrap();
        [
            "issuer",
            "connect",
            "openbao",
            "bao",
            "--issuer-ref",
            "root",
        ]
        .into_iter()
        .chain(["--address", address, "--token-file", token])
        .map(str::to_owned)
        .collect()
    }

    fn connect(&self, address: &str, token: &std::path::Path) {
        let arguments = Self::connect_arguments(address, token);
        self.origin
            .run(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    }

    fn fail_to_connect(&self, token: &std::path::Path) -> String {
        let arguments = Self::connect_arguments(self.bao.url(), token);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        self.origin.fail(&arguments).1
    }

    /// Issues a certificate and revokes it; its serial number as a CRL has it.
    fn revoke(&self) -> String {
        let (_, serial) = self.bao.issue("pki", "a.example");
        self.write("pki/revoke", &[&format!("serial_number={serial}")]);
        serial.replace(':', "")
    }
}

/// A CRL and its tag.
fn fetch(server: &Server, held: Option<&str>) -> (String, Vec<u8>) {
    let mut response = server.crl("bao", "full", held);
    assert_eq!(response.status(), 200);
    let tag = header(&response, "etag").to_owned();
    (tag, response.body_mut().read_to_vec().unwrap())
}

#[test]
fn a_revocation_is_listed_although_the_engine_rebuilds_by_schedule() {
    let Some(connected) = Connected::new() else {
        return;
    };
    connected.write("pki/config/crl", &["auto_rebuild=true"]);
    let token = connected.token(POLICY);
    connected.connect(connected.bao.url(), &token);
    let server = connected.origin.serve();
    let (tag, _) = fetch(&server, None);
    let serial = connected.revoke();
    let (tag, crl) = fetch(&server, Some(&tag));
    assert_eq!(serials(&crl), [serial]);
    // Each look rotates the engine's CRL. That alone is no news.
    assert_eq!(server.crl("bao", "full", Some(&tag)).status(), 304);
    assert_eq!(server.crl("bao", "full", Some(&tag)).status(), 304);
}

#[test]
fn an_engine_that_lists_nothing_is_refused() {
    let Some(connected) = Connected::new() else {
        return;
    };
    let token = connected.token(POLICY);
    connected.connect(connected.bao.url(), &token);
    let server = connected.origin.serve();
    let serial = connected.revoke();
    let (tag, crl) = fetch(&server, None);
    assert_eq!(serials(&crl), [serial]);
    assert_eq!(server.crl("bao", "full", Some(&tag)).status(), 304);
    connected.write("pki/config/crl", &["disable=true"]);
    for mut response in [
        server.crl("bao", "full", Some(&tag)),
        server.crl("bao", "full", None),
        server.new_crl("bao", "full", &tag),
    ] {
        assert_eq!(response.status(), 502);
        assert_eq!(json(&mut response)["code"], "upstream_crl_disabled");
    }
    let metrics = server.get("/metrics").body_mut().read_to_string().unwrap();
    let changed = r#"crl_origin_issuer_config_changed_seconds{issuer="bao"}"#;
    let failing = r#"crl_origin_issuer_failing{issuer="bao",code="upstream_crl_disabled"} 1"#;
    for line in [changed, failing] {
        assert!(metrics.contains(line), "no {line} in {metrics}");
    }
    let another = Connected {
        origin: Origin::new(),
        bao: connected.bao,
    };
    let complaint = another.fail_to_connect(&token);
    assert!(complaint.contains("disable=false"), "{complaint}");
}

#[test]
fn a_token_that_may_not_read_the_configuration_is_refused_with_the_policy_that_it_needs() {
    let Some(connected) = Connected::new() else {
        return;
    };
    let token = connected.token(r#"path "pki/crl/rotate" { capabilities = ["read"] }"#);
    let complaint = connected.fail_to_connect(&token);
    assert!(
        complaint.contains(r#"path "pki/config/crl" { capabilities = ["read"] }"#),
        "{complaint}"
    );
}

#[test]
fn a_list_that_is_valid_is_passed_on_although_it_cannot_be_rotated() {
    let Some(connected) = Connected::new() else {
        return;
    };
    let token = connected.token(r#"path "pki/config/crl" { capabilities = ["read"] }"#);
    connected.connect(connected.bao.url(), &token);
    let server = connected.origin.serve();
    let (tag, _) = fetch(&server, None);
    assert_eq!(server.crl("bao", "full", Some(&tag)).status(), 304);
    // Who has it and wants another one must hear that there is none.
    assert_eq!(server.new_crl("bao", "full", &tag).status(), 502);
    let serial = connected.revoke();
    assert_eq!(serials(&fetch(&server, Some(&tag)).1), [serial]);
    let metrics = server.get("/metrics").body_mut().read_to_string().unwrap();
    let counted = r#"crl_origin_issuer_call_failures_total{issuer="bao",code="rotate_failed"}"#;
    assert!(metrics.contains(counted), "{metrics}");
}

/// A standby of the engine: what it has of the CRL lags behind.
#[derive(Default)]
struct Standby {
    /// How many more times the CRL is answered as it was.
    lag: usize,
    last: Vec<u8>,
}

impl Standby {
    fn start(of: &str) -> (Arc<Mutex<Self>>, String) {
        let active = of.strip_prefix("http://").unwrap().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let standby = Arc::new(Mutex::new(Self::default()));
        let server = Arc::clone(&standby);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                server.lock().unwrap().forward(stream.unwrap(), &active);
            }
        });
        (standby, url)
    }

    fn forward(&mut self, mut stream: TcpStream, active: &str) {
        let mut request = [0; 8192];
        let length = stream.read(&mut request).unwrap_or_default();
        let request = String::from_utf8_lossy(&request[..length]).into_owned();
        let is_crl = request.starts_with("GET /v1/pki/issuer/root/crl/der ");
        if is_crl && self.lag > 0 {
            self.lag -= 1;
            let _ = stream.write_all(&self.last);
            return;
        }
        let mut upstream = TcpStream::connect(active).unwrap();
        let request = request.replacen("\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1);
        upstream.write_all(request.as_bytes()).unwrap();
        let mut response = Vec::new();
        let _ = upstream.read_to_end(&mut response);
        let _ = stream.write_all(&response);
        if is_crl {
            self.last = response;
        }
    }
}

#[test]
fn a_standby_that_lags_is_waited_for_and_not_believed() {
    let Some(connected) = Connected::new() else {
        return;
    };
    let (standby, address) = Standby::start(connected.bao.url());
    let token = connected.token(POLICY);
    connected.connect(&address, &token);
    let server = connected.origin.serve();
    let (tag, first) = fetch(&server, None);
    let serial = connected.revoke();
    standby.lock().unwrap().lag = 4;
    let mut forced = server.new_crl("bao", "full", &tag);
    assert_eq!(forced.status(), 200);
    let forced = forced.body_mut().read_to_vec().unwrap();
    assert!(number(&forced) > number(&first));
    assert_eq!(serials(&forced), [serial]);
    // One that never catches up: not "unchanged", but an error that is to be asked again.
    standby.lock().unwrap().lag = usize::MAX;
    let mut stuck = server.new_crl("bao", "full", &tag);
    assert_eq!(stuck.status(), 503);
    assert!(!header(&stuck, "retry-after").is_empty());
    assert_eq!(json(&mut stuck)["code"], "upstream_behind");
}
