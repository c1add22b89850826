//! How long it takes to make a CRL, beside `openssl ca -gencrl` on the same entries; how fast
//! revocations come in.
//!
//! `cargo xtask bench origin`. Figures are wall-clock time; of what is repeated, the median.
//! "hashes" is what the two SHA-256 of a CRL take, one for its signature and one for its name, and
//! nothing else.

use std::fs::File;
use std::hint::black_box;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crl::Reason;
use crl_origin::ca::Serial;
use crl_origin::clock::{Clock, SystemClock};
use crl_origin::origin::{Caller, CrlAnswer, Origin};
use crl_origin::random::SystemRandom;
use crl_origin::revocation::{NamedList, RevocationRequest};
use crl_origin::vault::Vault;
use origin_api::{CrlName, IssuerId};
use sha2::{Digest, Sha256};

fn main() {
    println!(
        "{:>9}  {:>12}  {:>9}  {:>12}  {:>9}  {:>12}  {:>14}",
        "entries", "import", "cold", "one more", "hashes", "revocations", "openssl"
    );
    for entries in [1_000, 100_000, 1_000_000] {
        let folder = tempfile::tempdir().unwrap();
        measure(folder.path(), entries);
    }
    if let Some(memory) = peak_memory() {
        println!("memory, at most, but for the imports: {memory}");
    }
}

fn measure(folder: &Path, entries: u32) {
    write_index(&folder.join("index.txt"), entries);
    run(folder, &["issuer", "create", "ca", "--key", "p256"]);
    let (import, ()) = time(|| run(folder, &["import", "ca", "index.txt"]));

    let id: IssuerId = "ca".parse().unwrap();
    let origin = Origin::open(
        &folder.join("origin.db"),
        Vault::default(),
        Arc::new(SystemRandom),
    )
    .unwrap();
    let make = || match origin
        .make_crl(&id, CrlName::Full, &Caller::default(), SystemClock.now())
        .unwrap()
    {
        CrlAnswer::Crl(crl) => crl,
        other => panic!("{other:?}"),
    };
    let (cold, crl) = time(make);
    assert_eq!(crl.entries, u64::from(entries));
    let hashes = median(|| {
        for _ in 0..2 {
            let mut hash = Sha256::new();
            crl.parts.iter().for_each(|part| hash.update(part));
            black_box(hash.finalize());
        }
    });
    drop(crl);
    let mut serial = 0_u32;
    let mut revoke = || {
        serial += 1;
        let serial = Serial::from_be_bytes(&serial.to_be_bytes()).unwrap();
        let reason = Reason::Superseded;
        let request = RevocationRequest {
            serial,
            reason,
            revoked_at: None,
            invalidity_date: None,
            not_after: None,
            list: NamedList::Unknown,
            certificate: None,
        };
        origin.revoke(&id, &request, SystemClock.now()).unwrap();
    };
    let one_more = median(|| {
        revoke();
        drop(make());
    });
    let (revocations, ()) = time(|| (0..500).for_each(|_| revoke()));

    println!(
        "{entries:>9}  {:>10.0}/s  {:>6.0} ms  {:>9.0} ms  {:>6.0} ms  {:>10.0}/s  {:>14}",
        f64::from(entries) / import.as_secs_f64(),
        milliseconds(cold),
        milliseconds(one_more),
        milliseconds(hashes),
        500.0 / revocations.as_secs_f64(),
        openssl(folder).map_or_else(
            || "not installed".to_owned(),
            |time| format!("{:.0} ms", milliseconds(time))
        ),
    );
}

/// Revoked certificates with serial numbers of 16 octets in no order, as CAs give them.
fn write_index(path: &Path, entries: u32) {
    let mut index = BufWriter::new(File::create(path).unwrap());
    let mut state = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835_u128;
    for n in 0..entries {
        state = state.wrapping_mul(0xda94_2042_e4dd_58b5).wrapping_add(1);
        let serial = (state >> 2) | 1 << 125;
        writeln!(
            index,
            "R\t361123120000Z\t260101000000Z,superseded\t{serial:032X}\tunknown\t/CN=host-{n}"
        )
        .unwrap();
    }
    index.flush().unwrap();
}

/// `openssl ca -gencrl` on the same index; `None` where OpenSSL is not installed.
fn openssl(folder: &Path) -> Option<Duration> {
    const CONFIGURATION: &str = "[ca]\ndefault_ca = demo\n[demo]\ndatabase = index.txt\ncrlnumber = crlnumber\n\
                                 default_md = sha256\ndefault_crl_days = 7\n";
    std::fs::write(folder.join("ca.cnf"), CONFIGURATION).unwrap();
    std::fs::write(folder.join("crlnumber"), "01\n").unwrap();
    let openssl = |line: &str| {
        let mut command = Command::new("openssl");
        command
            .args(line.split(' '))
            .current_dir(folder)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    openssl("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -subj /CN=CA")
        .then(|| time(|| assert!(openssl("ca -config ca.cnf -gencrl -keyfile ca.key -cert ca.pem -out openssl.crl"))).0)
}

fn run(folder: &Path, arguments: &[&str]) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_crl-origin"));
    command
        .args(arguments)
        .arg("--database")
        .arg(folder.join("origin.db"))
        .current_dir(folder);
    assert!(
        command.stdout(Stdio::null()).status().unwrap().success(),
        "{arguments:?}"
    );
}

/// Of nine times.
fn median(mut f: impl FnMut()) -> Duration {
    let mut times: Vec<Duration> = (0..9).map(|_| time(&mut f).0).collect();
    times.sort_unstable();
    times[times.len() / 2]
}

fn time<T>(f: impl FnOnce() -> T) -> (Duration, T) {
    let started = Instant::now();
    let value = f();
    (started.elapsed(), value)
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// The most memory that this process had, if the system says so.
fn peak_memory() -> Option<String> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().to_owned())
}
