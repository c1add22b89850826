//! Agreement with other implementations: we read what they read, accept what they accept as signed,
//! and write what they verify.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "what tests make is small"
)]

mod common;
#[path = "common/oracle.rs"]
mod oracle;

use std::path::Path;
use std::time::UNIX_EPOCH;

use crl::{
    Algorithm, CrlKind, CrlNumber, Digest, Issuer, IssuingDistributionPoint, Reason, Requirements,
    Revocation, Serial, Template, UnixTime,
};
use rustls_pki_types::CertificateDer;

use common::{Ca, HOUR, NOW, complete, verify};
use oracle::run_openssl;

const URL: &str = "http://crl.example.com/shard-0.crl";

/// Every oracle reads what we read. webpki refuses delta CRLs.
fn all_agree(der: &[u8], delta: bool) {
    let ours = oracle::ours(der).unwrap();
    assert_eq!(oracle::x509_cert(der).unwrap(), ours);
    assert_eq!(oracle::x509_parser(der).unwrap(), ours);
    if delta {
        assert_eq!(oracle::webpki(der), Err(webpki::Error::UnsupportedDeltaCrl));
    } else {
        assert_eq!(oracle::webpki(der).unwrap(), ours.entries);
    }
    if let Some(openssl) = oracle::openssl(der) {
        assert_eq!(openssl, ours);
    }
}

/// Entries of every reason, with and without an invalidity date.
fn all_reasons(serials: &[[u8; 9]]) -> Vec<Revocation<'_>> {
    let date = UnixTime(NOW.0 - 999 * HOUR);
    serials
        .iter()
        .enumerate()
        .map(|(n, serial)| Revocation {
            serial: Serial::from_be_bytes(&serial[n % 8..]),
            date: UnixTime(date.0 + n as i64),
            reason: Reason::ALL[n % 10],
            invalidity_date: (n % 3 == 0).then_some(UnixTime(date.0 - n as i64 * HOUR)),
        })
        .collect()
}

fn serials(count: u64) -> Vec<[u8; 9]> {
    (0..count)
        .map(|n| {
            let mut serial = [(n * 37) as u8; 9];
            serial[1..].copy_from_slice(&(n.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1).to_be_bytes());
            serial
        })
        .collect()
}

#[test]
fn openssls_crls_are_read_alike() {
    for crl in OPENSSL {
        all_agree(crl, false);
        assert_eq!(oracle::ours(crl).unwrap().entries.len(), 8);
    }
}

const OPENSSL: [&[u8]; 6] = [
    include_bytes!("data/openssl-rsa2048.crl"),
    include_bytes!("data/openssl-rsa-pss.crl"),
    include_bytes!("data/openssl-p256.crl"),
    include_bytes!("data/openssl-p384.crl"),
    include_bytes!("data/openssl-p521.crl"),
    include_bytes!("data/openssl-ed25519.crl"),
];

#[test]
fn our_crls_are_read_alike() {
    let serials = serials(300);
    let revocations = all_reasons(&serials);
    let changes: [fn(&mut Template); 6] = [
        |_| {},
        |template| template.authority_key_id = None,
        |template| template.number = CrlNumber::from_be_bytes(&[0xff; 20]).unwrap(),
        |template| {
            template.issuing_distribution_point = Some(IssuingDistributionPoint::from_url(URL));
        },
        |template| template.freshest_crl = vec![URL.into()],
        |template| template.base_number = Some(CrlNumber::from(5)),
    ];
    for ca in [Ca::p256(), Ca::p384(), Ca::ed25519()] {
        for change in changes {
            let mut template = ca.template();
            change(&mut template);
            for count in [0, 1, 2, 300] {
                let crl = ca.sign(&template, &revocations[..count]);
                all_agree(&crl, template.base_number.is_some());
            }
        }
    }
}

#[test]
fn rcgens_crls_are_read_alike() {
    let date = rcgen::date_time_ymd(2026, 11, 23);
    for ca in [Ca::p256(), Ca::p384(), Ca::ed25519()] {
        for scope in [
            None,
            Some(None),
            Some(Some(rcgen::CrlScope::UserCertsOnly)),
            Some(Some(rcgen::CrlScope::CaCertsOnly)),
        ] {
            let params = rcgen::CertificateRevocationListParams {
                this_update: date,
                next_update: rcgen::date_time_ymd(2050, 1, 1),
                crl_number: rcgen::SerialNumber::from(1234u64),
                issuing_distribution_point: scope.map(|scope| rcgen::CrlIssuingDistributionPoint {
                    distribution_point: rcgen::CrlDistributionPoint {
                        uris: vec![URL.into()],
                    },
                    scope,
                }),
                revoked_certs: RCGEN_REASONS
                    .iter()
                    .enumerate()
                    .map(|(n, reason)| rcgen::RevokedCertParams {
                        serial_number: rcgen::SerialNumber::from(n as u64 + 120),
                        revocation_time: date,
                        reason_code: *reason,
                        invalidity_date: (n % 2 == 0).then_some(date),
                    })
                    .collect(),
                key_identifier_method: rcgen::KeyIdMethod::Sha256,
            };
            let issuer = rcgen::Issuer::from_params(&ca.params, &ca.key);
            let crl = params.signed_by(&issuer).unwrap();
            all_agree(crl.der(), false);
            let requirements = Requirements {
                distribution_point: Some(URL),
                now: UnixTime(date.unix_timestamp()),
                ..complete(&ca.issuer)
            };
            verify(crl.der(), &requirements).unwrap();
        }
    }
}

const RCGEN_REASONS: [Option<rcgen::RevocationReason>; 11] = [
    None,
    Some(rcgen::RevocationReason::Unspecified),
    Some(rcgen::RevocationReason::KeyCompromise),
    Some(rcgen::RevocationReason::CaCompromise),
    Some(rcgen::RevocationReason::AffiliationChanged),
    Some(rcgen::RevocationReason::Superseded),
    Some(rcgen::RevocationReason::CessationOfOperation),
    Some(rcgen::RevocationReason::CertificateHold),
    Some(rcgen::RevocationReason::RemoveFromCrl),
    Some(rcgen::RevocationReason::PrivilegeWithdrawn),
    Some(rcgen::RevocationReason::AaCompromise),
];

/// What webpki says of a certificate of the CA, with that CRL.
fn webpki_verifies(now: UnixTime, ca: &[u8], leaf: &[u8], crl: &[u8]) -> Result<(), webpki::Error> {
    let (ca, leaf) = (CertificateDer::from(ca), CertificateDer::from(leaf));
    let anchor = webpki::anchor_from_trusted_cert(&ca).unwrap();
    let leaf = webpki::EndEntityCert::try_from(&leaf).unwrap();
    let crl = webpki::CertRevocationList::from(webpki::BorrowedCertRevocationList::from_der(crl)?);
    let crls = [&crl];
    let revocation = webpki::RevocationOptionsBuilder::new(&crls)
        .unwrap()
        .build();
    leaf.verify_for_usage(
        webpki::ALL_VERIFICATION_ALGS,
        &[anchor],
        &[],
        rustls_pki_types::UnixTime::since_unix_epoch(std::time::Duration::from_secs(
            u64::try_from(now.0).unwrap(),
        )),
        webpki::KeyUsage::server_auth(),
        Some(revocation),
        None,
    )
    .map(|_| ())
}

#[test]
fn webpki_accepts_as_signed_what_we_accept() {
    for ca in [Ca::p256(), Ca::p384(), Ca::ed25519()] {
        let leaf = |serial: u8| {
            let key = rcgen::KeyPair::generate().unwrap();
            let mut params = rcgen::CertificateParams::new(vec!["example.com".into()]).unwrap();
            params.serial_number = Some(rcgen::SerialNumber::from_slice(&[serial]));
            let issuer = rcgen::Issuer::from_params(&ca.params, &ca.key);
            params.signed_by(&key, &issuer).unwrap().der().to_vec()
        };
        let crl = ca.crl(|_| {}); // lists number 1
        let judge = |crl: &[u8], serial| webpki_verifies(NOW, &ca.certificate, &leaf(serial), crl);
        assert_eq!(judge(&crl, 2), Ok(()));
        assert_eq!(judge(&crl, 1), Err(webpki::Error::CertRevoked));
        assert!(verify(&crl, &complete(&ca.issuer)).is_ok());
        for place in [200, crl.len() - 3] {
            let mut changed = crl.clone();
            changed[place] ^= 1;
            assert!(judge(&changed, 2).is_err());
            if oracle::ours(&changed).is_ok() {
                assert!(verify(&changed, &complete(&ca.issuer)).is_err());
            }
        }
    }
}

/// A CA whose key and certificates OpenSSL made, in files.
struct OpensslCa {
    folder: tempfile::TempDir,
    certificate: Vec<u8>,
    issuer: Issuer,
    /// OpenSSL's certificates begin when they are made.
    now: UnixTime,
}

impl OpensslCa {
    /// `None` if there is no OpenSSL.
    fn new(genpkey: &[&str]) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let (key, certificate, leaf) = (file("key.pem"), file("ca.pem"), file("leaf.pem"));
        run(&[&["genpkey"], genpkey, &["-out", &key]].concat())?;
        let config = file("req.cnf");
        std::fs::write(&config, "[req]\ndistinguished_name=dn\n[dn]\n").unwrap();
        run(&[
            "req",
            "-x509",
            "-new",
            "-config",
            &config,
            "-key",
            &key,
            "-out",
            &certificate,
            "-days",
            "7300",
            "-subj",
            "/O=Example/CN=OpenSSL CA",
            "-addext",
            "basicConstraints=critical,CA:TRUE",
            "-addext",
            "keyUsage=critical,keyCertSign,cRLSign",
            "-addext",
            "subjectKeyIdentifier=hash",
        ])?;
        std::fs::write(file("leaf.cnf"), "subjectAltName=DNS:example.com\n").unwrap();
        let leaf_key = file("leaf.key");
        run(&[
            "genpkey",
            "-algorithm",
            "EC",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-out",
            &leaf_key,
        ])?;
        let leaf_request = file("leaf.csr");
        run(&[
            "req",
            "-new",
            "-config",
            &config,
            "-key",
            &leaf_key,
            "-subj",
            "/CN=leaf",
            "-out",
            &leaf_request,
        ])?;
        run(&[
            "x509",
            "-req",
            "-in",
            &leaf_request,
            "-CA",
            &certificate,
            "-CAkey",
            &key,
            "-set_serial",
            "77",
            "-days",
            "7300",
            "-extfile",
            &file("leaf.cnf"),
            "-out",
            &leaf,
        ])?;
        let certificate = run(&["x509", "-in", &certificate, "-outform", "DER"])?;
        Some(Self {
            issuer: Issuer::from_der(&certificate).unwrap(),
            certificate,
            folder,
            now: UnixTime(i64::try_from(UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap()),
        })
    }

    fn requirements(&self) -> Requirements<'_> {
        Requirements {
            now: self.now,
            ..complete(&self.issuer)
        }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// A CRL by our writer, signed by OpenSSL.
    fn crl(&self, algorithm: Algorithm, serials: &[u8]) -> Vec<u8> {
        let template = Template {
            authority_key_id: self.issuer.subject_key_id().map(<[u8]>::to_vec),
            ..Template::new(
                self.issuer.subject().clone(),
                algorithm.identifier().unwrap(),
                CrlNumber::from(1),
                UnixTime(self.now.0 - HOUR)..UnixTime(self.now.0 + HOUR),
            )
        };
        let revocations = serials.chunks(1).map(|serial| Revocation {
            serial: Serial::from_be_bytes(serial),
            date: UnixTime(self.now.0 - 2 * HOUR),
            reason: Reason::Superseded,
            invalidity_date: None,
        });
        template
            .sign(revocations, |tbs| {
                self.sign(algorithm, tbs).ok_or("no openssl")
            })
            .unwrap()
    }

    fn sign(&self, algorithm: Algorithm, message: &[u8]) -> Option<Vec<u8>> {
        let digest = |digest| match digest {
            Digest::Sha256 => "-sha256",
            Digest::Sha384 => "-sha384",
            Digest::Sha512 => "-sha512",
        };
        let key = self.path("key.pem");
        match algorithm {
            Algorithm::RsaPkcs1(hash) | Algorithm::Ecdsa(hash) => {
                run_with(&["dgst", digest(hash), "-sign", &key], message)
            }
            Algorithm::RsaPss {
                digest: hash,
                salt_length,
            } => {
                let salt = format!("rsa_pss_saltlen:{salt_length}");
                let pss = ["-sigopt", "rsa_padding_mode:pss", "-sigopt", &salt];
                run_with(
                    &[&["dgst", digest(hash)], &pss[..], &["-sign", &key]].concat(),
                    message,
                )
            }
            Algorithm::Ed25519 => {
                let file = self.path("message");
                std::fs::write(&file, message).unwrap();
                run(&["pkeyutl", "-sign", "-rawin", "-inkey", &key, "-in", &file])
            }
        }
    }

    /// `openssl verify -crl_check` of the certificate with serial number 77, now.
    fn openssl_verifies(&self, crl: &[u8]) -> bool {
        let pem = run_with(&["crl", "-inform", "DER"], crl).unwrap();
        std::fs::write(self.path("crl.pem"), pem).unwrap();
        let (ca, crl, leaf) = (
            self.path("ca.pem"),
            self.path("crl.pem"),
            self.path("leaf.pem"),
        );
        let now = self.now.0.to_string();
        let arguments = [
            "verify",
            "-crl_check",
            "-attime",
            &now,
            "-CAfile",
            &ca,
            "-CRLfile",
            &crl,
            &leaf,
        ];
        run_openssl(&arguments, b"").unwrap().status.success()
    }
}

fn run(arguments: &[&str]) -> Option<Vec<u8>> {
    run_with(arguments, b"")
}

fn run_with(arguments: &[&str], input: &[u8]) -> Option<Vec<u8>> {
    let output = run_openssl(arguments, input)?;
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {arguments:?}: {error}");
    Some(output.stdout)
}

#[test]
fn openssl_and_webpki_verify_what_we_write_for_every_kind_of_key() {
    use Digest::{Sha256, Sha384, Sha512};
    type Kind<'a> = (&'a [&'a str], Vec<Algorithm>, fn(Algorithm) -> bool);
    let digests = [Sha256, Sha384, Sha512];
    let ecdsa = digests.map(Algorithm::Ecdsa);
    let pkcs1 = digests.map(Algorithm::RsaPkcs1);
    let pss = digests.map(Algorithm::rsa_pss);
    let curve = |curve| ["-algorithm", "EC", "-pkeyopt", curve];
    let rsa = ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"];
    let rsa_pss = ["-algorithm", "RSA-PSS", "-pkeyopt", "rsa_keygen_bits:2048"];
    let restricted = [
        &rsa_pss[..],
        &[
            "-pkeyopt",
            "rsa_pss_keygen_md:sha384",
            "-pkeyopt",
            "rsa_pss_keygen_mgf1_md:sha384",
        ],
        &["-pkeyopt", "rsa_pss_keygen_saltlen:48"],
    ]
    .concat();
    // Which of the algorithms webpki verifies, by its list for ring.
    let kinds: [Kind<'_>; 8] = [
        (&rsa, [pkcs1, pss].concat(), |_| true),
        (&rsa_pss, pss.to_vec(), |_| false),
        (&restricted, vec![Algorithm::rsa_pss(Sha384)], |_| false),
        (
            &curve("ec_paramgen_curve:P-256"),
            ecdsa.to_vec(),
            |algorithm| algorithm != Algorithm::Ecdsa(Sha512),
        ),
        (
            &curve("ec_paramgen_curve:P-384"),
            ecdsa.to_vec(),
            |algorithm| algorithm != Algorithm::Ecdsa(Sha512),
        ),
        (&curve("ec_paramgen_curve:P-521"), ecdsa.to_vec(), |_| false),
        (&["-algorithm", "ED25519"], vec![Algorithm::Ed25519], |_| {
            true
        }),
        (
            &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:3072"],
            pkcs1.to_vec(),
            |_| true,
        ),
    ];
    for (genpkey, algorithms, webpki) in kinds {
        let Some(ca) = OpensslCa::new(genpkey) else {
            return;
        };
        let leaf = run(&["x509", "-in", &ca.path("leaf.pem"), "-outform", "DER"]).unwrap();
        for algorithm in algorithms {
            for (serials, good) in [(&[1, 2][..], true), (&[76, 77, 78], false)] {
                let crl = ca.crl(algorithm, serials);
                assert_eq!(ca.openssl_verifies(&crl), good, "{genpkey:?} {algorithm}");
                verify(&crl, &ca.requirements()).unwrap();
                if webpki(algorithm) {
                    assert_eq!(
                        webpki_verifies(ca.now, &ca.certificate, &leaf, &crl).is_ok(),
                        good
                    );
                }
            }
        }
    }
}

#[test]
fn a_restricted_rsa_pss_key_takes_no_other_hash() {
    let Some(ca) = OpensslCa::new(&[
        "-algorithm",
        "RSA-PSS",
        "-pkeyopt",
        "rsa_keygen_bits:2048",
        "-pkeyopt",
        "rsa_pss_keygen_md:sha384",
        "-pkeyopt",
        "rsa_pss_keygen_mgf1_md:sha384",
        "-pkeyopt",
        "rsa_pss_keygen_saltlen:48",
    ]) else {
        return;
    };
    assert_eq!(ca.issuer.key_kind(), "RSA-PSS");
    let good = ca.crl(Algorithm::rsa_pss(Digest::Sha384), &[1]);
    assert!(verify(&good, &ca.requirements()).is_ok());
    // The signature does not count: the algorithm is refused before.
    for algorithm in [
        Algorithm::rsa_pss(Digest::Sha256),
        Algorithm::RsaPss {
            digest: Digest::Sha384,
            salt_length: 20,
        },
        Algorithm::RsaPkcs1(Digest::Sha384),
    ] {
        let template = Template {
            issuer: ca.issuer.subject().clone(),
            algorithm: algorithm.identifier().unwrap(),
            ..Ca::p256().template()
        };
        let template = Template {
            authority_key_id: None,
            ..template
        };
        let crl = template.sign([], |_| Ok::<_, ()>(vec![0; 256])).unwrap();
        let refusal = verify(&crl, &ca.requirements()).unwrap_err();
        assert!(matches!(
            refusal,
            crl::Refusal::BadSignature(crl::Unsigned::OtherKey { .. })
        ));
    }
}

#[test]
fn keys_that_are_too_small_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key.pem");
    let key = key.to_str().unwrap();
    for (genpkey, code) in [
        (
            &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"][..],
            "unsupported_algorithm",
        ),
        (
            &[
                "-algorithm",
                "EC",
                "-pkeyopt",
                "ec_paramgen_curve:secp224r1",
            ],
            "unsupported_algorithm",
        ),
        (&["-algorithm", "ED448"], "unsupported_algorithm"),
    ] {
        if run(&[&["genpkey"], genpkey, &["-out", key]].concat()).is_none() {
            return;
        }
        let config = folder.path().join("req.cnf");
        std::fs::write(&config, "[req]\ndistinguished_name=dn\n[dn]\n").unwrap();
        let certificate = run(&[
            "req",
            "-x509",
            "-new",
            "-config",
            path(&config),
            "-key",
            key,
            "-subj",
            "/CN=x",
            "-outform",
            "DER",
        ]);
        assert_eq!(
            Issuer::from_der(&certificate.unwrap()).unwrap_err().code(),
            code
        );
    }
    assert_eq!(Issuer::from_der(b"").unwrap_err().code(), "malformed");
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Every byte of a small CRL, replaced by every other value: if we still read it, others that read
/// it read the same, and it is not verified.
#[test]
fn every_change_of_one_byte_is_refused_or_read_alike() {
    let ca = Ca::p256();
    let point = || Some(IssuingDistributionPoint::from_url(URL));
    let crl = ca.crl(|template| template.issuing_distribution_point = point());
    let mut read = 0;
    for place in 0..crl.len() {
        let mut changed = crl.clone();
        for value in 0..=u8::MAX {
            changed[place] = value;
            let Ok(reading) = oracle::ours(&changed) else {
                continue;
            };
            read += 1;
            let others = [
                oracle::x509_cert(&changed).ok(),
                oracle::x509_parser(&changed),
            ];
            for other in others.into_iter().flatten() {
                // x509-parser leaves out what it cannot decode, and x509-cert knows no date before
                // 1970.
                if other.entries.len() == reading.entries.len() {
                    for (other, ours) in other.entries.iter().zip(&reading.entries) {
                        assert_eq!(other.serial, ours.serial);
                        assert_eq!(other.date, ours.date);
                    }
                }
            }
            if let Ok(entries) = oracle::webpki(&changed) {
                assert_eq!(entries, reading.entries, "octet {place} as {value:02x}");
            }
            // Checking a signature costs more than reading: a few values suffice.
            if value ^ crl[place] == 1 << (place % 8) {
                let judged = verify(&changed, &complete(&ca.issuer));
                assert!(judged.is_err(), "octet {place} as {value:02x}");
            }
        }
    }
    assert!(read > crl.len());
}

#[test]
fn a_scope_of_its_own_is_written_as_others_read_it() {
    let ca = Ca::p256();
    let crl = ca.crl(|template| {
        template.issuing_distribution_point = Some(IssuingDistributionPoint::from_url(URL));
        template.number = CrlNumber::from(9);
    });
    let requirements = Requirements {
        kind: CrlKind::Shard,
        distribution_point: Some(URL),
        ..complete(&ca.issuer)
    };
    verify(&crl, &requirements).unwrap();
    if let Some(output) = run_openssl(&["crl", "-inform", "DER", "-noout", "-text"], &crl) {
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains("X509v3 Issuing Distribution Point: critical"));
        assert!(text.contains(&format!("URI:{URL}")));
    }
}
