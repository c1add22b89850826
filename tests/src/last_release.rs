//! A state folder that the last release wrote: KV, D1 and the Durable Objects. The example
//! `last_release` writes it; its certificates are in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, UNIX_EPOCH};

use origin_api::{Crl, Der, Issuer};

use crate::certificate_authority::{change_extensions, issuing_distribution_point, revoked, time};
use crate::database::Database;
use crate::{CertificateAuthority, TestOrigin, program};

/// The issuers. [`crl`] makes their CRLs:
///
/// - `kept` has published the CRL numbers 1 and 2.
/// - `refused` has published 1, and was then refused what is no CRL.
/// - `rekeyed` has published 1, and has another certificate now, which is not trusted yet.
/// - `owing` has published 1 and 2; D1 did not take the event of its last refresh.
/// - `sharded` has published 1 and 2 of shard-0 and shard-1 instead of a full CRL.
/// - `gone` has published 1, and is no longer listed.
/// - `failing` has failed at first, and then published 2.
pub const ISSUERS: [&str; 7] = [
    "kept", "refused", "rekeyed", "owing", "sharded", "gone", "failing",
];

/// A CRL that is valid from 2025 to 2049 and lists this many certificates, with the distribution
/// point that [`register`] gives a shard.
#[must_use]
pub fn crl(ca: &CertificateAuthority, name: &str, number: u64, entries: u32) -> Vec<u8> {
    let since_epoch = |seconds| time(UNIX_EPOCH + Duration::from_secs(seconds));
    ca.crl_with(number, |tbs| {
        tbs.this_update = since_epoch(1_735_689_600 + number);
        tbs.next_update = Some(since_epoch(2_500_000_000));
        tbs.revoked_certificates = (entries > 0).then(|| {
            let mut revoked = revoked(entries);
            for entry in &mut revoked {
                entry.revocation_date = since_epoch(1_735_000_000);
            }
            revoked
        });
        if name != "full" {
            let scope = issuing_distribution_point(&url_of(name));
            change_extensions(tbs, |_| true, [scope]);
        }
    })
}

/// Registers an issuer with this certificate and the CRLs of this state.
pub fn register(origin: &TestOrigin, id: &str, certificate: Vec<u8>) {
    let names: &[&str] = match id {
        "sharded" => &["shard-0", "shard-1"],
        _ => &["full"],
    };
    let crls = names.iter().map(|name| Crl {
        name: name.parse().expect("a CRL name"),
        distribution_point: (*name != "full").then(|| url_of(name)),
    });
    origin.register(Issuer {
        id: id.parse().expect("an issuer id"),
        certificate: Der(certificate),
        crls: crls.collect(),
    });
}

fn url_of(name: &str) -> String {
    format!("http://crl.example/{name}.crl")
}

/// The certificate of an issuer, as it was when the state was written: a CA's own changes with
/// time.
#[must_use]
pub fn certificate(state: &Path, id: &str) -> Vec<u8> {
    fs::read(certificate_file(state, id)).expect("a certificate")
}

/// Keeps a certificate in the state folder.
pub fn keep_certificate(state: &Path, id: &str, certificate: &[u8]) {
    let file = certificate_file(state, id);
    fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
    fs::write(file, certificate).expect("a file");
}

fn certificate_file(state: &Path, id: &str) -> PathBuf {
    state.join("certificates").join(format!("{id}.der"))
}

/// Packs KV, D1 and the objects of a state folder into the archive, without write-ahead logs.
pub fn pack(state: &Path) {
    let members = ["v3/kv", "v3/d1", "v3/do"];
    for member in members {
        merge_logs(&state.join(member));
    }
    let options = ["--create", "--sort=name", "--owner=0", "--group=0"];
    tar(state, &options, &[&members[..], &["certificates"]].concat());
}

fn merge_logs(folder: &Path) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            merge_logs(&path);
        } else if path
            .extension()
            .is_some_and(|extension| extension == "sqlite")
        {
            // Closing the last connection removes the log.
            Database::in_file(&path).execute("PRAGMA wal_checkpoint(TRUNCATE)");
        }
    }
}

/// Unpacks the archive into a state folder.
pub fn unpack(state: &Path) {
    tar(state, &["--extract"], &[]);
}

fn tar(state: &Path, what: &[&str], members: &[&str]) {
    let archive = program::workspace().join("tests/fixtures/last-release.tar.gz");
    let done = Command::new("tar")
        .args(what)
        .arg("--gzip")
        .arg("--file")
        .arg(archive)
        .arg("--directory")
        .arg(state)
        .args(members)
        .status();
    assert!(done.is_ok_and(|status| status.success()), "tar failed");
}
