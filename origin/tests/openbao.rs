//! A real OpenBao server: it issues and revokes, and its CRL is passed on.

mod harness;

use end_to_end::{OpenBao, Skipped};
use harness::{Origin, header, number, serials};
use serde_json::Value;

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
    let policy = r#"policy=path "pki/crl/rotate" { capabilities = ["read"] }"#;
    write("sys/policies/acl/crl", &[policy]);
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
