//! Programs that were written by others take what is made here: webpki, and pkilint where it is
//! installed.

mod harness;

use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::pki_types::{CertificateDer, UnixTime};
use webpki::{
    EndEntityCert, Error, KeyUsage, OwnedCertRevocationList, RevocationCheckDepth,
    RevocationOptionsBuilder, anchor_from_trusted_cert,
};

use harness::Origin;

/// Whether webpki takes a certificate, given a CRL.
fn webpki(origin: &Origin, certificate: &str, crl: &[u8]) -> Result<(), Error> {
    let read = |name: &str| {
        let pem = std::fs::read(origin.path(name)).unwrap();
        CertificateDer::from(der::pem::decode_vec(&pem).unwrap().1)
    };
    let (authority, leaf) = (read("ca.pem"), read(certificate));
    let anchor = anchor_from_trusted_cert(&authority).unwrap();
    let crl = OwnedCertRevocationList::from_der(crl).unwrap().into();
    let crls = [&crl];
    let options = RevocationOptionsBuilder::new(&crls)
        .unwrap()
        .with_depth(RevocationCheckDepth::EndEntity)
        .build();
    let now: Duration = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    EndEntityCert::try_from(&leaf)
        .unwrap()
        .verify_for_usage(
            webpki::ALL_VERIFICATION_ALGS,
            &[anchor],
            &[],
            UnixTime::since_unix_epoch(now),
            KeyUsage::server_auth(),
            Some(options),
            None,
        )
        .map(drop)
}

#[test]
fn webpki_takes_full_lists_and_shards() {
    for kind in ["rsa-2048", "p256", "p384", "ed25519"] {
        let origin = Origin::new();
        let (full, shard) = ("http://crl.example/ca.crl", "http://crl.example/ca/0.crl");
        origin.run(&[
            "issuer",
            "create",
            "ca",
            "--key",
            kind,
            "--distribution-point",
            full,
            "--shard",
            shard,
        ]);
        std::fs::write(
            origin.path("ca.pem"),
            origin.run(&["issuer", "show", "ca", "--pem"]),
        )
        .unwrap();
        for name in ["good", "bad", "good0", "bad0"] {
            let out = format!("{name}.pem");
            let mut issue = vec![
                "cert",
                "issue",
                "ca",
                "--dns",
                name,
                "--out",
                &out,
                "--key-out",
                "key.pem",
            ];
            if name.ends_with('0') {
                issue.extend(["--shard", "0"]);
            }
            origin.run(&issue);
        }
        for name in ["bad.pem", "bad0.pem"] {
            origin.run(&[
                "revoke",
                "ca",
                "--certificate",
                name,
                "--reason",
                "keyCompromise",
            ]);
        }
        let (_, full) = origin.crl("ca", "full");
        let (_, shard) = origin.crl("ca", "shard-0");
        assert_eq!(webpki(&origin, "good.pem", &full), Ok(()), "{kind}");
        assert_eq!(
            webpki(&origin, "bad.pem", &full),
            Err(Error::CertRevoked),
            "{kind}"
        );
        assert_eq!(webpki(&origin, "good0.pem", &shard), Ok(()), "{kind}");
        assert_eq!(
            webpki(&origin, "bad0.pem", &shard),
            Err(Error::CertRevoked),
            "{kind}"
        );
        // A shard is silent about certificates that do not name it.
        assert_eq!(
            webpki(&origin, "good.pem", &shard),
            Err(Error::UnknownRevocationStatus),
            "{kind}"
        );
    }
}

#[test]
fn pkilint_finds_nothing_in_any_kind_of_list() {
    let origin = Origin::new();
    let points = [
        "http://crl.example/ca.crl",
        "http://crl.example/ca-delta.crl",
        "http://crl.example/ca/0.crl",
    ];
    let [full, delta, shard] = points;
    origin.run(&[
        "issuer",
        "create",
        "ca",
        "--distribution-point",
        full,
        "--delta",
        delta,
        "--shard",
        shard,
    ]);
    origin.run(&[
        "revoke",
        "ca",
        "0a",
        "--reason",
        "superseded",
        "--shard",
        "0",
    ]);
    origin.run(&[
        "revoke",
        "ca",
        "0b",
        "--reason",
        "keyCompromise",
        "--invalidity-date",
        "2026-01-01T00:00:00Z",
        "--no-shard",
    ]);
    origin.run(&["revoke", "ca", "0c", "--no-shard"]);
    for name in ["full", "delta", "shard-0"] {
        let (path, _) = origin.crl("ca", name);
        for profile in ["PKIX", "BR"] {
            let lint = [
                "lint",
                "--type",
                "CRL",
                "--profile",
                profile,
                "--severity",
                "WARNING",
            ];
            let output = match Command::new("lint_crl").args(lint).arg(&path).output() {
                Ok(output) => output,
                Err(error) => {
                    println!("skipped: lint_crl: {error}");
                    return;
                }
            };
            let findings = String::from_utf8_lossy(&output.stdout);
            assert!(
                output.status.success() && findings.trim().is_empty(),
                "{name}, {profile}: {findings}"
            );
        }
    }
}
