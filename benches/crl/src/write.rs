//! Writing, from revocations and from encoded entries with one more, beside rcgen and OpenSSL.

use std::fmt::Write as _;
use std::process::Command;

use rcgen::SigningKey as _;

use crate::inputs::{Input, revocation};
use crate::table::{Figure, Table, best, children_time};

pub(crate) fn measure(input: &Input, table: &mut Table) {
    let openssl = openssl(input);
    let rcgen = best(|| {
        rcgen_crl(input)
            .signed_by(&rcgen_issuer(input))
            .expect("a CRL")
    });
    let unit = Some(openssl.unwrap_or(rcgen).time);
    let mut row = |name, figure| table.row(input.count, name, figure, unit);
    row("openssl ca -gencrl", openssl);
    row("rcgen: sign, from its list of revocations", Some(rcgen));
    row(
        "crl: encode, hash and sign",
        Some(best(|| {
            let revocations = input.serials.iter().map(revocation);
            let sign = |tbs: &[u8]| input.key.sign(tbs);
            input.template.sign(revocations, sign).expect("a CRL")
        })),
    );
    // As the origin does: the entries are kept encoded, and one is appended.
    let mut entries = Vec::with_capacity(input.crl.len() + 64);
    for serial in &input.serials {
        revocation(serial).encode(&mut entries).expect("an entry");
    }
    let size = entries.len();
    row(
        "crl: one more entry, the others kept encoded",
        Some(best(|| {
            entries.truncate(size);
            revocation(&[0x55; 16])
                .encode(&mut entries)
                .expect("an entry");
            let tbs = input.template.tbs(entries.len() as u64).expect("a CRL");
            // ring signs a message and not a hash, so the message is assembled.
            let message = [tbs.before(), &entries, tbs.after()].concat();
            let signature = input.key.sign(&message).expect("a signature");
            tbs.seal(&signature).expect("a CRL").size
        })),
    );
}

fn rcgen_issuer(input: &Input) -> rcgen::Issuer<'_, &rcgen::KeyPair> {
    rcgen::Issuer::from_params(&input.params, &input.key)
}

fn rcgen_crl(input: &Input) -> rcgen::CertificateRevocationListParams {
    let time = |days| rcgen::date_time_ymd(2026, 11, days);
    let reasons = [
        rcgen::RevocationReason::KeyCompromise,
        rcgen::RevocationReason::CaCompromise,
        rcgen::RevocationReason::AffiliationChanged,
        rcgen::RevocationReason::Superseded,
        rcgen::RevocationReason::CessationOfOperation,
    ];
    rcgen::CertificateRevocationListParams {
        this_update: time(1),
        next_update: time(2),
        crl_number: rcgen::SerialNumber::from(1u64),
        issuing_distribution_point: None,
        revoked_certs: input
            .serials
            .iter()
            .map(|serial| rcgen::RevokedCertParams {
                serial_number: rcgen::SerialNumber::from_slice(serial),
                revocation_time: time(1),
                reason_code: Some(reasons[usize::from(serial[15]) % 5]),
                invalidity_date: None,
            })
            .collect(),
        key_identifier_method: rcgen::KeyIdMethod::Sha256,
    }
}

/// One run of `openssl ca -gencrl` over the same entries; `None` without OpenSSL, or if it would
/// take minutes.
fn openssl(input: &Input) -> Option<Figure> {
    if input.count > 1_000_000 || Command::new("openssl").arg("version").output().is_err() {
        return None;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let mut index = String::new();
    for serial in &input.serials {
        index.push_str("R\t350101000000Z\t261101000000Z,superseded\t");
        for octet in serial {
            write!(index, "{octet:02X}").expect("a string takes all");
        }
        index.push_str("\tunknown\t/CN=x\n");
    }
    let write = |name: &str, text: &str| std::fs::write(path(name), text).expect("a file");
    write("index.txt", &index);
    write("number", "1000\n");
    write(
        "ca.cnf",
        "[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\ncrlnumber=number\ndefault_md=sha256\n\
         default_crl_days=1\ncrl_extensions=e\n[e]\nauthorityKeyIdentifier=keyid:always\n",
    );
    std::fs::write(path("key.der"), input.key.serialize_der()).expect("a file");
    std::fs::write(path("ca.der"), &input.certificate).expect("a file");
    let run = |arguments: &[&str]| {
        let start = children_time();
        let output = Command::new("openssl")
            .args(arguments)
            .current_dir(folder.path())
            .output()
            .expect("openssl");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "openssl {arguments:?}: {error}");
        children_time().saturating_sub(start)
    };
    run(&[
        "pkey", "-inform", "DER", "-in", "key.der", "-out", "key.pem",
    ]);
    run(&["x509", "-inform", "DER", "-in", "ca.der", "-out", "ca.pem"]);
    let gencrl = [
        "ca", "-gencrl", "-config", "ca.cnf", "-keyfile", "key.pem", "-cert", "ca.pem", "-out",
        "crl.pem",
    ];
    let time = run(&gencrl);
    Some(Figure { time, peak: None })
}
