//! Real and deliberately odd CRLs: NIST's PKITS, those of pyca/cryptography, and Amazon's. Each is
//! judged as RFC 5280 says; where that is not "verified", the table says why. OpenSSL judges the
//! signatures, too.

#[path = "common/oracle.rs"]
mod oracle;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use crl::{CrlKind, Examination, Issuer, Limits, Requirements, RustCrypto, UnixTime, Verification};

/// The folder of the Python package `cryptography-vectors`; `None` without it, which is printed.
fn vectors() -> Option<PathBuf> {
    const SCRIPT: &str = "import cryptography_vectors; print(cryptography_vectors.__path__[0])";
    let output = Command::new("python3").args(["-c", SCRIPT]).output();
    let output = output.ok().filter(|output| output.status.success());
    let Some(output) = output else {
        println!("skipped: cryptography-vectors: the Python package is not installed");
        return None;
    };
    let folder = String::from_utf8(output.stdout).unwrap();
    Some(Path::new(folder.trim()).join("x509"))
}

fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    let read = |file: std::fs::DirEntry| {
        let name = file.file_name().into_string().unwrap();
        (name, std::fs::read(file.path()).unwrap())
    };
    files
        .filter(|file| file.path().is_file())
        .map(read)
        .collect()
}

/// [`judge_at`] its thisUpdate.
fn judge<'a>(
    der: &[u8],
    kind: CrlKind,
    certificates: &'a BTreeMap<String, Vec<u8>>,
) -> (&'static str, Option<&'a [u8]>) {
    judge_at(None, der, kind, certificates)
}

/// The code of what is wrong with a CRL by the certificate that fits it best; and the certificate.
fn judge_at<'a>(
    now: Option<UnixTime>,
    der: &[u8],
    kind: CrlKind,
    certificates: &'a BTreeMap<String, Vec<u8>>,
) -> (&'static str, Option<&'a [u8]>) {
    let mut examination = Examination::<RustCrypto>::new(Limits::default());
    if let Err(error) = examination.push(der) {
        return (error.code(), None);
    }
    let examined = match examination.finish() {
        Ok(examined) => examined,
        Err(error) => return (error.code(), None),
    };
    let crl = examined.crl();
    let mut verdict: (&str, Option<&[u8]>) = ("no certificate", None);
    for certificate in certificates.values() {
        let Ok(issuer) = Issuer::from_der(certificate) else {
            continue;
        };
        if !crl.header.issuer.matches(issuer.subject()) {
            continue;
        }
        let now = now.unwrap_or(crl.header.this_update);
        let requirements = Requirements::new(&issuer, kind, now);
        match crl::verify(&examined, &requirements) {
            Ok(Verification::Verified(_)) => return ("verified", Some(certificate)),
            Ok(Verification::NeedsSecondPass(_)) => panic!("neither suite has Ed25519"),
            Err(refusal) => verdict = (refusal.code(), Some(certificate)),
        }
    }
    verdict
}

/// What PKITS has that is not verified; everything else is. Sections are PKITS's own.
const PKITS: [(&str, &str, &str); 27] = [
    // 4.4.4: the signature is damaged in its count of unused bits, which is 1.
    ("BadCRLSignatureCACRL.crl", "malformed", "bad"),
    // 4.4.5: no certificate has the issuer's name.
    ("BadCRLIssuerNameCACRL.crl", "no certificate", "-"),
    // 4.4.7: another CA's list among two.
    ("TwoCRLsCABadCRL.crl", "no certificate", "-"),
    // 4.1.4 and 4.1.5: DSA is not supported.
    ("DSACACRL.crl", "no certificate", "-"),
    ("DSAParametersInheritedCACRL.crl", "no certificate", "-"),
    // 4.4.8 to 4.4.10: OpenSSL checks the signature alone here. `verify -crl_check` refuses these.
    (
        "UnknownCRLEntryExtensionCACRL.crl",
        "unknown_critical_extension",
        "good",
    ),
    (
        "UnknownCRLExtensionCACRL.crl",
        "unknown_critical_extension",
        "good",
    ),
    // 4.7.4 and 4.7.5: the key may not sign CRLs.
    (
        "keyUsageCriticalcRLSignFalseCACRL.crl",
        "wrong_issuer",
        "good",
    ),
    (
        "keyUsageNotCriticalcRLSignFalseCACRL.crl",
        "wrong_issuer",
        "good",
    ),
    // 4.14.14: attribute certificates alone.
    ("onlyContainsAttributeCertsCACRL.crl", "wrong_scope", "good"),
    // 4.14.15 to 4.14.21: for some reasons only. RFC 5280 combines them with others; a list that is
    // to be the complete one must not be like that.
    ("onlySomeReasonsCA1compromiseCRL.crl", "wrong_scope", "good"),
    (
        "onlySomeReasonsCA1otherreasonsCRL.crl",
        "wrong_scope",
        "good",
    ),
    ("onlySomeReasonsCA2CRL1.crl", "wrong_scope", "good"),
    ("onlySomeReasonsCA2CRL2.crl", "wrong_scope", "good"),
    ("onlySomeReasonsCA3compromiseCRL.crl", "wrong_scope", "good"),
    (
        "onlySomeReasonsCA3otherreasonsCRL.crl",
        "wrong_scope",
        "good",
    ),
    ("onlySomeReasonsCA4compromiseCRL.crl", "wrong_scope", "good"),
    (
        "onlySomeReasonsCA4otherreasonsCRL.crl",
        "wrong_scope",
        "good",
    ),
    // 4.14.22 to 4.14.35: RFC 5280 allows indirect CRLs. They are not supported here.
    ("indirectCRLCA1CRL.crl", "wrong_scope", "good"),
    ("indirectCRLCA3cRLIssuerCRL.crl", "wrong_scope", "good"),
    ("indirectCRLCA4cRLIssuerCRL.crl", "wrong_scope", "good"),
    ("indirectCRLCA5CRL.crl", "wrong_scope", "good"),
    // 4.15.1: a delta in the place of the complete list.
    ("deltaCRLIndicatorNoBaseCACRL.crl", "wrong_scope", "good"),
    // 4.4.11 to 4.4.13 are verified here, at their thisUpdate, and expired today.
    ("OldCRLnextUpdateCACRL.crl", "verified", "good"),
    ("pre2000CRLnextUpdateCACRL.crl", "verified", "good"),
    ("GeneralizedTimeCRLnextUpdateCACRL.crl", "verified", "good"),
    // 4.4.14 to 4.4.18: negative and long serial numbers.
    ("NegativeSerialNumberCACRL.crl", "verified", "good"),
];

#[test]
fn pkits() {
    let Some(vectors) = vectors() else { return };
    let folder = vectors.join("PKITS_data");
    let certificates = files(&folder.join("certs"));
    let table: BTreeMap<_, _> = PKITS.iter().map(|row| (row.0, (row.1, row.2))).collect();
    let crls = files(&folder.join("crls"));
    assert!(crls.len() > 170);
    for name in table.keys() {
        assert!(crls.contains_key(*name), "{name}");
    }
    for (name, der) in &crls {
        let kind = if name.ends_with("deltaCRL.crl") {
            CrlKind::Delta
        } else {
            CrlKind::Full
        };
        let (verdict, certificate) = judge(der, kind, &certificates);
        let expected = table.get(name.as_str()).copied();
        let (code, openssl) = expected.unwrap_or(("verified", "good"));
        assert_eq!(verdict, code, "{name}");
        let fallback = || certificates[&name.replace("CRL.crl", "Cert.crt")].as_slice();
        match openssl {
            "-" => {}
            openssl => match openssl_verifies(der, certificate.unwrap_or_else(fallback)) {
                None => return,
                Some(is_good) => assert_eq!(is_good, openssl == "good", "{name}"),
            },
        }
    }
}

/// Whether `openssl crl` finds the signature good; `None` without OpenSSL.
fn openssl_verifies(der: &[u8], certificate: &[u8]) -> Option<bool> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("certificate.pem");
    let path = path.to_str().unwrap();
    oracle::run_openssl(&["x509", "-inform", "DER", "-out", path], certificate)?;
    let arguments = [
        "crl", "-inform", "DER", "-noout", "-verify", "-CAfile", path,
    ];
    let output = oracle::run_openssl(&arguments, der)?;
    Some(String::from_utf8_lossy(&output.stderr).contains("verify OK"))
}

/// The CRLs of pyca/cryptography: the code of what is wrong with the encoding, or how many entries
/// are read. OpenSSL reads all of them except those of which the row says so.
const PYCA: [(&str, Result<u64, &str>, bool); 27] = [
    ("crl_all_reasons.pem", Ok(12), true),
    ("crl_almost_10k.pem", Ok(9999), true),
    // Version 2 is written as 1; this one has 9.
    ("crl_bad_version.pem", Err("unsupported_version"), true),
    ("crl_delta_crl_indicator.pem", Ok(0), true),
    // RFC 5280, section 4.2: OpenSSL looks for duplicates when it uses an extension.
    ("crl_dup_entry_ext.pem", Err("malformed"), true),
    ("crl_empty.pem", Ok(0), true),
    ("crl_empty_no_sequence.der", Ok(0), true),
    ("crl_ian_aia_aki.pem", Ok(0), true),
    ("crl_idp_fullname_indirect_crl.pem", Ok(0), true),
    ("crl_idp_fullname_only.pem", Ok(0), true),
    ("crl_idp_fullname_only_aa.pem", Ok(0), true),
    ("crl_idp_fullname_only_user.pem", Ok(0), true),
    ("crl_idp_only_ca.pem", Ok(0), true),
    ("crl_idp_reasons_only.pem", Ok(0), true),
    ("crl_idp_relative_user_all_reasons.pem", Ok(0), true),
    ("crl_idp_relativename_only.pem", Ok(0), true),
    // The algorithms differ: `verify` refuses that.
    ("crl_inner_outer_mismatch.der", Ok(0), true),
    // The certificate issuer is not GeneralNames: OpenSSL does not decode it when it reads.
    (
        "crl_inval_cert_issuer_entry_ext.pem",
        Err("malformed"),
        true,
    ),
    // RFC 5280, section 4.1.2.5.2: no fractional seconds.
    (
        "crl_inval_date_fractional_seconds.der",
        Err("malformed"),
        true,
    ),
    // RFC 5280, section 4.1.2.5.1: seconds must be there.
    ("crl_invalid_time.der", Err("malformed"), true),
    // A `<` in a PrintableString: names are compared, and nothing else is done with them.
    ("crl_issuer_invalid_printable_string.der", Ok(1), true),
    // `verify` refuses both the algorithm and the extension.
    ("crl_md2_unknown_crit_entry_ext.pem", Ok(1), true),
    ("crl_no_next_update.pem", Ok(0), true),
    ("crl_unrecognized_extension.der", Ok(0), true),
    // RFC 5280, section 5.3.1: the reason is 7, or none that is defined.
    ("crl_unsupported_reason.pem", Err("malformed"), true),
    ("invalid_signature_crl.pem", Ok(0), true),
    ("valid_signature_crl.pem", Ok(0), true),
];

#[test]
fn pyca() {
    let Some(vectors) = vectors() else { return };
    let folder = vectors.join("custom");
    let mut crls = files(&folder);
    let is_crl = |name: &str| name.contains("crl") && !name.contains("cert.");
    crls.retain(|name, _| is_crl(name) && !name.starts_with("cdp_") && !name.starts_with("fresh"));
    let names: Vec<&str> = crls.keys().map(String::as_str).collect();
    assert_eq!(names, PYCA.map(|row| row.0));
    for (name, expected, openssl_reads) in PYCA {
        let file = &crls[name];
        let is_pem = file.starts_with(b"-----BEGIN");
        let form = if is_pem { "PEM" } else { "DER" };
        let arguments = ["crl", "-inform", form, "-outform", "DER"];
        let Some(output) = oracle::run_openssl(&arguments, file) else {
            return;
        };
        assert_eq!(output.status.success(), openssl_reads, "{name}");
        let der = if is_pem { &output.stdout } else { file };
        let read = crl::read(der, Limits::default(), &mut ());
        let read = read
            .map(|crl| crl.entry_count)
            .map_err(|error| error.code());
        assert_eq!(read, expected, "{name}");
    }
    // Both pairs have the same name, and each CRL its own certificate.
    for (name, code) in [("valid", "verified"), ("invalid", "bad_signature")] {
        let pem = |suffix: &str| {
            let path = folder.join(format!("{name}_signature_{suffix}.pem"));
            std::fs::read(path).unwrap()
        };
        let convert = |command: &str, file: &[u8]| {
            oracle::run_openssl(&[command, "-outform", "DER"], file).map(|output| output.stdout)
        };
        let (Some(crl), Some(certificate)) =
            (convert("crl", &pem("crl")), convert("x509", &pem("cert")))
        else {
            return;
        };
        let certificates = BTreeMap::from([(name.to_owned(), certificate)]);
        let (verdict, _) = judge(&crl, CrlKind::Full, &certificates);
        assert_eq!(verdict, code, "{name}");
    }
}

/// Amazon's lists that are not empty, and how many certificates each revokes: `openssl crl -text`
/// counts as many.
const AMAZON: [(&str, u64); 14] = [
    ("e2m02", 2),
    ("e2m03", 2),
    ("e3m02", 2),
    ("e3m03", 2),
    ("r2m01", 2),
    ("r2m02", 14_102),
    ("r2m03", 13_975),
    ("r4m01", 1),
    ("r4m03", 2),
    ("r4m04", 1),
    ("rootca1", 4),
    ("rootca2", 2),
    ("rootca3", 2),
    ("rootca4", 2),
];

#[test]
fn amazons_lists_are_verified_at_their_time_and_expired_after_it() {
    // The time of webpki's test, February 2025, for which they were downloaded.
    let at = UnixTime(1_740_304_936);
    let a_year_later = UnixTime(1_740_304_936 + 366 * 86_400);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/amazon");
    let (certificates, crls): (BTreeMap<_, _>, BTreeMap<_, _>) = files(&folder)
        .into_iter()
        .partition(|(name, _)| name.strip_suffix(".cer").is_some());
    let counts = BTreeMap::from(AMAZON);
    let mut judged = 0;
    for (name, der) in &crls {
        let Some(name) = name.strip_suffix(".crl") else {
            continue;
        };
        let (verdict, certificate) = judge_at(Some(at), der, CrlKind::Full, &certificates);
        assert_eq!(verdict, "verified", "{name}");
        let (later, _) = judge_at(Some(a_year_later), der, CrlKind::Full, &certificates);
        assert_eq!(later, "expired", "{name}");
        let crl = crl::read(der, Limits::default(), &mut ()).unwrap();
        let count = counts.get(name).copied().unwrap_or(0);
        assert_eq!(crl.entry_count, count, "{name}");
        if let Some(is_good) = openssl_verifies(der, certificate.unwrap()) {
            assert!(is_good, "{name}");
        }
        judged += 1;
    }
    assert_eq!(judged, 20);
}
