//! `backup`, `restore` and `recover` keep modes and the journal right, and survive `kill -9`.

mod harness;

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Stdio;

use harness::{Origin, serials};

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn listed(origin: &Origin) -> Vec<String> {
    serials(&origin.crl("ca", "full").1)
}

#[test]
fn a_backup_is_private_and_complete_while_the_service_runs() {
    let origin = Origin::new();
    origin.issuer("ca", "p256");
    let server = origin.serve();
    // In the write-ahead log, and not in the file yet.
    let revocation = serde_json::json!({"serial": "0a"});
    assert_eq!(
        server
            .post("/v1/issuers/ca/revocations", &revocation)
            .status(),
        201
    );
    std::fs::write(origin.path("copy.db"), "an older backup").unwrap();
    std::fs::set_permissions(origin.path("copy.db"), PermissionsExt::from_mode(0o644)).unwrap();
    origin.run(&["backup", "copy.db"]);
    assert_eq!(mode(&origin.path("copy.db")), 0o600);
    let (code, complaint) = origin.fail(&["restore", "copy.db"]);
    assert!(
        code == 1 && complaint.contains("stop `crl-origin serve`"),
        "{complaint}"
    );
    drop(server);
    origin.run(&["revoke", "ca", "0b"]);
    origin.run(&["restore", "copy.db"]);
    assert_eq!(mode(&origin.path("origin.db")), 0o600);
    assert!(!origin.path("origin.db-wal").exists());
    assert_eq!(listed(&origin), ["0a"]);
    // The file that was there is kept, with what its journal held.
    std::fs::rename(
        origin.path("origin.db.before-restore"),
        origin.path("origin.db"),
    )
    .unwrap();
    assert_eq!(listed(&origin), ["0a", "0b"]);
}

#[test]
fn only_a_database_of_the_origin_is_restored() {
    let origin = Origin::new();
    origin.issuer("ca", "p256");
    origin.run(&["revoke", "ca", "0a"]);
    std::fs::write(
        origin.path("text"),
        "not a database, but longer than a header of one",
    )
    .unwrap();
    std::fs::write(origin.path("empty"), "").unwrap();
    let whole = std::fs::read(origin.path("origin.db")).unwrap();
    std::fs::write(origin.path("half"), &whole[..whole.len() / 2]).unwrap();
    for file in ["text", "empty", "half"] {
        let (_, complaint) = origin.fail(&["restore", file]);
        assert!(
            complaint.contains("not an intact database"),
            "{file}: {complaint}"
        );
    }
    assert!(origin.fail(&["restore", "missing"]).1.contains("missing"));
    assert!(
        origin
            .fail(&["restore", "origin.db"])
            .1
            .contains("the database itself")
    );
    assert_eq!(listed(&origin), ["0a"]);
}

/// Runs a command and kills it with SIGKILL at a point.
fn killed(origin: &Origin, arguments: &[&str], point: &str) {
    let mut command = origin.command(arguments);
    command
        .env("CRL_ORIGIN_PAUSE_AT", point)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stderr.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert_eq!(line, "paused\n", "{point}");
    child.kill().unwrap();
    let status = child.wait().unwrap();
    assert_eq!(status.signal(), Some(9), "{point}: {status}");
}

#[test]
fn a_killed_backup_leaves_the_older_one_or_the_new_one() {
    for (point, is_new) in [
        ("copy: begun", false),
        ("copy: written", false),
        ("backup: copied", false),
        ("backup: renamed", true),
    ] {
        let origin = Origin::new();
        origin.issuer("ca", "p256");
        origin.run(&["backup", "copy.db"]);
        let before = std::fs::read(origin.path("copy.db")).unwrap();
        origin.run(&["revoke", "ca", "0a"]);
        killed(&origin, &["backup", "copy.db"], point);
        let is_same = std::fs::read(origin.path("copy.db")).unwrap() == before;
        assert_eq!(is_same, !is_new, "{point}");
        assert_eq!(listed(&origin), ["0a"], "{point}: the database itself");
        origin.run(&["backup", "copy.db"]);
        origin.run(&["restore", "copy.db"]);
        assert_eq!(listed(&origin), ["0a"], "{point}");
    }
}

#[test]
fn a_killed_restore_leaves_the_old_database_or_the_new_one() {
    for (point, is_restored) in [
        ("copy: begun", false),
        ("copy: written", false),
        ("restore: copied", false),
        ("restore: journal emptied", false),
        ("restore: older file removed", false),
        ("restore: old file kept", false),
        ("restore: renamed", true),
    ] {
        let origin = Origin::new();
        origin.issuer("ca", "p256");
        origin.run(&["backup", "copy.db"]);
        origin.run(&["revoke", "ca", "0a"]);
        killed(&origin, &["restore", "copy.db"], point);
        let expected: &[&str] = if is_restored { &[] } else { &["0a"] };
        assert_eq!(listed(&origin), expected, "{point}");
        origin.run(&["restore", "copy.db"]);
        assert!(listed(&origin).is_empty(), "{point}");
    }
}

#[test]
fn a_killed_recovery_of_many_entries_is_repeated() {
    const MANY: usize = 7_000;
    let origin = Origin::new();
    origin.issuer("ca", "p256");
    origin.run(&["backup", "copy.db"]);
    origin.write_list(MANY);
    origin.run(&["import", "ca", "list.csv"]);
    let (path, _) = origin.crl("ca", "full");
    std::fs::copy(path, origin.path("served.crl")).unwrap();
    origin.run(&["restore", "copy.db"]);
    let recover = ["recover", "ca", "served.crl"];
    killed(&origin, &recover, "recover: step");
    let printed = origin.run(&recover);
    assert!(
        printed.starts_with("2000 recovered, 5000 already"),
        "{printed}"
    );
    assert_eq!(listed(&origin).len(), MANY);
}

#[test]
fn a_killed_recovery_leaves_all_of_it_or_nothing_and_can_be_repeated() {
    for (point, is_recovered) in [
        ("recover: entries", false),
        ("recover: entry", false),
        ("recover: records", false),
        ("recover: commit", false),
        ("recover: committed", true),
    ] {
        let origin = Origin::new();
        origin.issuer("ca", "p256");
        origin.run(&["backup", "copy.db"]);
        origin.run(&["revoke", "ca", "0a"]);
        origin.run(&["revoke", "ca", "0b"]);
        let (path, _) = origin.crl("ca", "full");
        std::fs::copy(path, origin.path("served.crl")).unwrap();
        origin.run(&["restore", "copy.db"]);
        let recover = ["recover", "ca", "served.crl"];
        killed(&origin, &recover, point);
        let expected: &[&str] = if is_recovered { &["0a", "0b"] } else { &[] };
        assert_eq!(listed(&origin), expected, "{point}");
        origin.run(&recover);
        assert_eq!(listed(&origin), ["0a", "0b"], "{point}");
        assert!(origin.run(&recover).starts_with("0 recovered, 2 already"));
    }
}
