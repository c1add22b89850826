//! What is slow or stuck holds up its own issuer alone.

mod harness;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use harness::{Origin, Server, header, json, openssl};

const PATIENCE: Duration = Duration::from_secs(30);

/// Where distributions put the module.
const SOFTHSM: &str = "/usr/lib/softhsm/libsofthsm2.so";

/// A HSM hangs: here the PIN is read from a pipe that nobody writes to, which is as far as the
/// origin gets.
#[cfg(unix)]
#[test]
fn a_hsm_that_hangs_holds_up_its_own_issuer_alone() {
    if !Path::new(SOFTHSM).exists() {
        return println!("skipped: SoftHSM2 is not installed");
    }
    let origin = Origin::new();
    let tokens = origin.path("tokens");
    std::fs::create_dir(&tokens).unwrap();
    let configuration = origin.path("softhsm2.conf");
    let text = format!("directories.tokendir = {}\n", tokens.display());
    std::fs::write(&configuration, text).unwrap();
    let run = |program: &str, line: &str| {
        let mut command = Command::new(program);
        command
            .args(line.split(' '))
            .env("SOFTHSM2_CONF", &configuration)
            .current_dir(origin.path("."));
        let output = command.output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{line}: {error}");
    };
    run(
        "softhsm2-util",
        "--init-token --free --label crls --so-pin 5678 --pin 1234",
    );
    for (id, name) in ["01", "02"].into_iter().zip(["works", "hangs"]) {
        let make =
            format!("genpkey -out {name}.key -algorithm EC -pkeyopt ec_paramgen_curve:P-256");
        if openssl(&origin.path("."), &make.split(' ').collect::<Vec<_>>()).is_none() {
            return;
        }
        let import =
            format!("--import {name}.key --token crls --label {name} --id {id} --pin 1234");
        run("softhsm2-util", &import);
        let pin = origin.path(&format!("{name}.pin"));
        std::fs::write(&pin, "1234\n").unwrap();
        let pin = pin.display();
        let uri = format!("pkcs11:token=crls;object={name}?module-path={SOFTHSM}&pin-source={pin}");
        let mut create = origin.command(&["issuer", "create", name, "--pkcs11", &uri]);
        let created = create.env("SOFTHSM2_CONF", &configuration).output();
        assert!(created.unwrap().status.success());
    }
    origin.issuer("local", "p256");
    let pin = origin.path("hangs.pin");
    std::fs::remove_file(&pin).unwrap();
    run("mkfifo", "hangs.pin");
    let mut service = origin.service(&[]);
    service.env("SOFTHSM2_CONF", &configuration);
    let server = Origin::start(service);

    let stuck = format!("{}/v1/issuers/hangs", server.url);
    let certificate = serde_json::json!({"subject": "CN=a", "dns_names": ["a.example"]});
    for number in 0..8 {
        let (stuck, certificate) = (stuck.clone(), certificate.clone());
        // Those that make a CRL, and those that issue a certificate.
        std::thread::spawn(move || {
            let post = |path: &str| {
                harness::agent()
                    .post(format!("{stuck}{path}"))
                    .header("Authorization", "Bearer secret")
            };
            let _ = if number % 2 == 0 {
                post("/crls/full").send_empty()
            } else {
                post("/certificates").send_json(&certificate)
            };
        });
    }
    shows(
        &server,
        "crl_origin_issuer_calls_running{issuer=\"hangs\"} 4",
    );
    shows(
        &server,
        "crl_origin_issuer_calls_waiting{issuer=\"hangs\"} 4",
    );
    for issuer in ["works", "local"] {
        for _ in 0..4 {
            assert_eq!(server.crl(issuer, "full", None).status(), 200, "{issuer}");
        }
        let revocation = serde_json::json!({"serial": "0a"});
        let path = format!("/v1/issuers/{issuer}/revocations");
        assert_eq!(server.post(&path, &revocation).status(), 201);
    }
    // Those that wait get a 503 with Retry-After.
    let mut late = server.crl("hangs", "full", None);
    assert_eq!(late.status(), 503);
    assert!(!header(&late, "retry-after").is_empty());
    assert_eq!(json(&mut late)["code"], "issuer_busy");
}

#[test]
fn a_busy_database_is_to_be_asked_again() {
    let origin = Origin::new();
    origin.issuer("ca", "p256");
    let server = origin.serve();
    let other = Connection::open(origin.path("origin.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let revocation = serde_json::json!({"serial": "0a"});
    let path = "/v1/issuers/ca/revocations";
    let mut busy = server.post(path, &revocation);
    assert_eq!(busy.status(), 503);
    assert_eq!(header(&busy, "retry-after"), "2");
    assert_eq!(json(&mut busy)["code"], "storage_busy");
    // Reading is not held up.
    assert_eq!(server.get("/v1/issuers/ca").status(), 200);
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(server.post(path, &revocation).status(), 201);
}

/// Waits until the metrics have this line.
fn shows(server: &Server, line: &str) {
    let started = Instant::now();
    loop {
        let metrics = server.get("/metrics").body_mut().read_to_string().unwrap();
        if metrics.lines().any(|found| found == line) {
            return;
        }
        assert!(started.elapsed() < PATIENCE, "no {line} in {metrics}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
