//! The examples, run as a stranger would: `cargo test` builds them, unless it is told which targets
//! to build.

mod common;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::{env, fs};

use crl::{Reason, Serial};
use rcgen::{CertificateParams, KeyPair, SerialNumber};
use tempfile::TempDir;

use common::{Ca, revocations};

/// Cargo puts examples beside the folder of the test programs.
fn example(name: &str) -> Command {
    let program = env::current_exe().unwrap();
    let profile = program.parent().and_then(Path::parent).unwrap();
    let program = profile.join("examples").join(name);
    assert!(
        program.exists(),
        "build it: cargo build --package crl --examples"
    );
    Command::new(program)
}

fn run(name: &str, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Output {
    example(name).args(arguments).output().unwrap()
}

fn printed(output: &Output) -> &str {
    str::from_utf8(&output.stdout).unwrap()
}

/// A CRL with the serial numbers 1, 255 and 70000, and its issuer's certificate.
fn write_crl(folder: &TempDir) -> [PathBuf; 2] {
    let [crl, issuer] = ["crl", "issuer"].map(|name| folder.path().join(name));
    let written = example("write_crl")
        .args([&crl, &issuer])
        .args(["1", "255", "70000"])
        .output()
        .unwrap();
    assert!(written.status.success(), "{written:?}");
    [crl, issuer]
}

#[test]
fn a_written_crl_is_streamed() {
    let folder = TempDir::new().unwrap();
    let [crl, issuer] = write_crl(&folder);
    let streamed = run("stream_file", [&crl, &issuer]);
    let lines: Vec<_> = printed(&streamed).lines().collect();
    let [first, "         3 superseded"] = lines[..] else {
        panic!("{streamed:?}");
    };
    assert!(first.starts_with("number 1, valid until 20"), "{first}");
    assert!(first.ends_with("Z, 3 entries"), "{first}");

    // A CRL of another issuer.
    let other = TempDir::new().unwrap();
    let [_, other_issuer] = write_crl(&other);
    let refused = run("stream_file", [&crl, &other_issuer]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert_eq!(printed(&refused), "");
}

#[test]
fn a_certificate_is_checked() {
    let folder = TempDir::new().unwrap();
    let [crl, issuer] = write_crl(&folder);
    let certificate = folder.path().join("certificate");
    let check = |serial: u64| {
        let mut params = CertificateParams::default();
        params.serial_number = Some(SerialNumber::from(serial));
        let signed = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        fs::write(&certificate, signed.der()).unwrap();
        run("check_certificate", [&crl, &certificate, &issuer])
    };
    let revoked = check(255);
    assert_eq!(revoked.status.code(), Some(1), "{revoked:?}");
    let line = printed(&revoked);
    assert!(line.starts_with("FF was revoked at 20"), "{line}");
    assert!(line.ends_with("Z: superseded\n"), "{line}");
    let good = check(254);
    assert_eq!(good.status.code(), Some(0), "{good:?}");
    assert_eq!(printed(&good), "FE is not revoked\n");

    fs::write(&crl, "<html>").unwrap();
    let unreadable = check(254);
    assert_eq!(unreadable.status.code(), Some(2), "{unreadable:?}");
    assert_eq!(printed(&unreadable), "");
}

#[test]
fn the_differences_of_two_files_are_shown() {
    let folder = TempDir::new().unwrap();
    let [earlier, later] = ["earlier", "later"].map(|name| folder.path().join(name));
    let ca = Ca::p256();
    let template = ca.template();
    let mut entries = revocations();
    fs::write(&earlier, ca.sign(&template, &entries)).unwrap();
    entries[0].reason = Reason::Superseded;
    entries[2].serial = Serial::from_be_bytes(&[9]);
    fs::write(&later, ca.sign(&template, &entries)).unwrap();
    let compared = run("diff_files", [&earlier, &later]);
    let mut lines: Vec<_> = printed(&compared).lines().collect();
    // The differences come in no particular order.
    lines.sort_unstable();
    let expected = [
        "! 01 2026-12-04T16:00:00Z Some(Superseded), was 2026-12-04T16:00:00Z None",
        "+ 09 2026-12-04T16:00:00Z",
        "- 7F7F7F7F7F7F7F7F7F7F7F7F7F7F7F7F7F7F7F7F 2026-12-04T16:00:00Z",
        "1 added, 1 removed, 1 changed",
    ];
    assert_eq!(lines, expected);
    let same = run("diff_files", [&earlier, &earlier]);
    assert_eq!(printed(&same), "the same contents\n");
}

#[test]
fn without_arguments_an_example_says_which_it_takes() {
    for (name, code) in [
        ("check_certificate", 2),
        ("diff_files", 1),
        ("stream_file", 1),
        ("write_crl", 1),
    ] {
        let output = run(name, [""; 0]);
        assert_eq!(output.status.code(), Some(code), "{name}");
        let usage = str::from_utf8(&output.stderr).unwrap();
        assert!(usage.starts_with(&format!("usage: {name} ")), "{usage}");
    }
}
