//! A real OpenBao server: it issues and revokes, and its CRL is passed on.

mod harness;

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use harness::{Origin, agent, header, number, serials};
use serde_json::{Value, json};

/// A server in memory, ended with the test.
struct Bao {
    url: String,
    child: Child,
}

impl Drop for Bao {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Bao {
    /// `None`, and a line that says so, where OpenBao is not installed. `BAO` may say where it is.
    fn start(home: PathBuf) -> Option<Self> {
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let program = std::env::var("BAO").unwrap_or_else(|_| "bao".to_owned());
        let child = Command::new(&program)
            .args([
                "server",
                "-dev",
                "-dev-root-token-id=root",
                "-dev-no-store-token",
            ])
            .arg(format!("-dev-listen-address=127.0.0.1:{port}"))
            .env("HOME", home)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let child = match child {
            Ok(child) => child,
            Err(error) => {
                println!("skipped: {program}: {error}");
                return None;
            }
        };
        let bao = Self {
            url: format!("http://127.0.0.1:{port}"),
            child,
        };
        let is_up = || {
            agent()
                .get(format!("{}/v1/sys/health", bao.url))
                .call()
                .is_ok_and(|answer| answer.status() == 200)
        };
        for _ in 0..300 {
            if is_up() {
                return Some(bao);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("{program} does not start");
    }

    fn write(&self, path: &str, body: &Value) -> Value {
        let request = agent()
            .post(format!("{}/v1/{path}", self.url))
            .header("X-Vault-Token", "root");
        let mut answer = request.send_json(body).unwrap();
        assert!(
            answer.status().is_success(),
            "{path}: {:?}",
            answer.body_mut().read_to_string()
        );
        answer.body_mut().read_json().unwrap_or(Value::Null)
    }

    fn read(&self, path: &str) -> Value {
        let request = agent()
            .get(format!("{}/v1/{path}", self.url))
            .header("X-Vault-Token", "root");
        request.call().unwrap().body_mut().read_json().unwrap()
    }
}

#[test]
fn openbaos_crl_is_fetched_and_rotated() {
    let origin = Origin::new();
    let Some(bao) = Bao::start(origin.path("bao")) else {
        return;
    };
    bao.write("sys/mounts/pki", &json!({"type": "pki"}));
    bao.write(
        "pki/root/generate/internal",
        &json!({"common_name": "Bao Root", "issuer_name": "root", "key_type": "ec"}),
    );
    bao.write(
        "pki/roles/web",
        &json!({"allow_any_name": true, "key_type": "ec", "max_ttl": "72h"}),
    );
    bao.write("sys/auth/approle", &json!({"type": "approle"}));
    bao.write(
        "sys/policies/acl/crl",
        &json!({"policy": r#"path "pki/crl/rotate" { capabilities = ["read"] }"#}),
    );
    bao.write(
        "auth/approle/role/origin",
        &json!({"token_policies": "crl"}),
    );
    let role_id = bao.read("auth/approle/role/origin/role-id")["data"]["role_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let secret = bao.write("auth/approle/role/origin/secret-id", &json!({}));
    let secret_file = origin.path("secret-id");
    std::fs::write(&secret_file, secret["data"]["secret_id"].as_str().unwrap()).unwrap();
    let login = [
        "--role-id",
        &role_id,
        "--secret-id-file",
        secret_file.to_str().unwrap(),
    ];
    let connect = [
        "issuer",
        "connect",
        "openbao",
        "bao",
        "--address",
        &bao.url,
        "--issuer-ref",
        "root",
    ];
    origin.run(&[&connect[..], &login[..]].concat());

    let server = origin.serve();
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

    let issued = bao.write("pki/issue/web", &json!({"common_name": "a.example"}));
    let serial = issued["data"]["serial_number"].as_str().unwrap();
    bao.write("pki/revoke", &json!({"serial_number": serial}));
    let mut revoked = server.crl("bao", "full", Some(&tag));
    assert_eq!(revoked.status(), 200);
    let revoked = revoked.body_mut().read_to_vec().unwrap();
    assert_eq!(serials(&revoked), [serial.replace(':', "")]);
}

#[test]
fn the_issuers_of_openbao_are_listed() {
    let origin = Origin::new();
    let Some(bao) = Bao::start(origin.path("bao")) else {
        return;
    };
    bao.write("sys/mounts/ca", &json!({"type": "pki"}));
    for name in ["one", "two"] {
        bao.write(
            "ca/root/generate/internal",
            &json!({"common_name": name, "issuer_name": name, "key_type": "ec"}),
        );
    }
    std::fs::write(origin.path("token"), "root\n").unwrap();
    let discover = [
        "issuer",
        "discover",
        "--address",
        &bao.url,
        "--mount",
        "ca",
        "--token-file",
        "token",
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
