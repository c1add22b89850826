//! Imports can be tried out and undone.

mod harness;

use serde_json::Value;

use harness::{Origin, serials};

fn json(text: &str) -> Value {
    serde_json::from_str(text.lines().next().unwrap()).unwrap()
}

#[test]
fn a_dry_run_changes_nothing() {
    let origin = Origin::new();
    origin.issuer("ca", "p256");
    std::fs::write(origin.path("list.csv"), "serial\n0a\n0b\n").unwrap();
    let shown = origin.run(&["import", "ca", "list.csv", "--dry-run", "--json"]);
    assert_eq!(
        (&json(&shown)["revoked"], &json(&shown)["import"]),
        (&2.into(), &Value::Null)
    );
    assert!(serials(&origin.crl("ca", "full").1).is_empty());
    assert!(origin.run(&["imports", "ca", "--json"]).is_empty());
}

#[test]
fn an_import_of_many_lines_is_undone() {
    let origin = Origin::new();
    origin.issuer("ca", "p256");
    origin.write_list(11_000);
    let id = json(&origin.run(&["import", "ca", "list.csv", "--json"]))["import"].to_string();
    origin.run(&["revoke", "ca", "1000", "--reason", "keyCompromise"]);
    let undo = ["undo", "ca", &id, "--json"];
    for arguments in [&[&undo[..], &["--dry-run"]].concat()[..], &undo] {
        let undone = json(&origin.run(arguments));
        assert_eq!(
            (&undone["undone"], &undone["changed_since"]),
            (&10_999.into(), &1.into())
        );
    }
    assert_eq!(serials(&origin.crl("ca", "full").1), ["1000"]);
}

#[test]
fn an_import_is_undone_but_for_what_changed_since() {
    let origin = Origin::new();
    let create = [
        "issuer",
        "create",
        "ca",
        "--distribution-point",
        "http://crl.example/ca.crl",
    ];
    origin.run(&[&create[..], &["--delta", "http://crl.example/d.crl"]].concat());
    origin.run(&["revoke", "ca", "0a", "--reason", "superseded"]);
    let lines = "serial,reason\n0a,keyCompromise\n0b,\n0c,certificateHold\n";
    std::fs::write(origin.path("list.csv"), lines).unwrap();
    let id = json(&origin.run(&["import", "ca", "list.csv", "--json"]))["import"].to_string();
    assert_eq!(serials(&origin.crl("ca", "full").1), ["0a", "0b", "0c"]);
    origin.run(&["revoke", "ca", "0c", "--reason", "keyCompromise"]);
    let undo = ["undo", "ca", &id, "--json"];
    for arguments in [&[&undo[..], &["--dry-run"]].concat()[..], &undo] {
        let undone = json(&origin.run(arguments));
        assert_eq!(
            (&undone["undone"], &undone["changed_since"]),
            (&2.into(), &1.into())
        );
    }
    assert_eq!(serials(&origin.crl("ca", "full").1), ["0a", "0c"]);
    // A delta takes off what relying parties have seen on a full CRL.
    let (path, _) = origin.crl("ca", "delta");
    let shown = origin.run(&["crl", "show", path.to_str().unwrap(), "--entries"]);
    let removed = shown.lines().find(|line| line.starts_with("0b")).unwrap();
    assert!(removed.contains("removeFromCRL"), "{shown}");
    // Its reason is what it was before.
    assert!(
        origin
            .run(&["revoke", "ca", "0a", "--reason", "superseded"])
            .contains("already")
    );
    assert_eq!(origin.fail(&undo).0, 3, "it is undone already");
    assert_eq!(
        json(&origin.run(&["imports", "ca", "--json"]))["changes"],
        3
    );
}
