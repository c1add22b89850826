//! Every supported signature algorithm: the edge accepts a CRL that OpenSSL signed with it, and
//! refuses the same CRL with one bit changed.

use std::collections::BTreeMap;
use std::fs;
use std::process::ExitCode;
use std::sync::Arc;

use der::{Decode, DecodePem, Encode};
use end_to_end::suite::Suite;
use end_to_end::{Answer, Edge, OpensslAuthority, Skipped, Start, TestOrigin, World};
use x509_cert::Certificate;

struct Shared {
    origin: TestOrigin,
    edge: Edge,
    /// Keyed by the name of the case; empty if OpenSSL is not installed.
    authorities: Result<BTreeMap<&'static str, OpensslAuthority>, Skipped>,
}

impl World for Shared {
    async fn start() -> Self {
        let origin = TestOrigin::start().await;
        let authorities = CASES
            .iter()
            .chain([&OFF_ITS_CURVE])
            .map(|case| {
                let ca = OpensslAuthority::with_key(case.key, URL)?;
                let mut certificate = certificate(&ca);
                if case.name == OFF_ITS_CURVE.name {
                    leave_the_curve(&mut certificate);
                }
                origin.register_full(case.name, certificate, Some(URL));
                Ok((case.name, ca))
            })
            .collect();
        let edge = Start::new(&origin.url()).start().await;
        Self {
            origin,
            edge,
            authorities,
        }
    }

    fn log(&self) -> String {
        self.edge.log()
    }
}

const URL: &str = "http://crl.example/full.crl";

/// Arguments of `openssl req -newkey` and `openssl ca -gencrl`.
struct Case {
    name: &'static str,
    key: &'static str,
    options: &'static str,
}

const RSA: &str = "rsa:2048";
const RSA_PSS: &str = "rsa-pss -pkeyopt rsa_keygen_bits:2048";
const P256: &str = "ec -pkeyopt ec_paramgen_curve:P-256";
const P384: &str = "ec -pkeyopt ec_paramgen_curve:P-384";
const P521: &str = "ec -pkeyopt ec_paramgen_curve:P-521";

#[rustfmt::skip]
const CASES: [Case; 18] = [
    Case { name: "rsa_with_sha256", key: RSA, options: "-md sha256" },
    Case { name: "rsa_with_sha384", key: RSA, options: "-md sha384" },
    Case { name: "rsa_with_sha512", key: RSA, options: "-md sha512" },
    Case { name: "rsa_4096_with_sha256", key: "rsa:4096", options: "-md sha256" },
    Case { name: "pss_with_sha256", key: RSA, options: "-md sha256 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest" },
    Case { name: "pss_with_sha384", key: RSA, options: "-md sha384 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest" },
    Case { name: "pss_with_sha512", key: RSA, options: "-md sha512 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest" },
    Case { name: "pss_with_sha256_and_a_salt_of_20_octets", key: RSA, options: "-md sha256 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:20" },
    Case { name: "pss_without_salt", key: RSA, options: "-md sha256 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:0" },
    Case { name: "a_key_for_pss_alone", key: RSA_PSS, options: "-md sha256 -sigopt rsa_pss_saltlen:digest" },
    Case { name: "p256_with_sha256", key: P256, options: "-md sha256" },
    Case { name: "p256_with_sha512", key: P256, options: "-md sha512" },
    Case { name: "p384_with_sha384", key: P384, options: "-md sha384" },
    Case { name: "p384_with_sha256", key: P384, options: "-md sha256" },
    Case { name: "p521_with_sha512", key: P521, options: "-md sha512" },
    Case { name: "p521_with_sha256", key: P521, options: "-md sha256" },
    Case { name: "a_compressed_point", key: "ec -pkeyopt ec_paramgen_curve:P-256 -pkeyopt point-format:compressed", options: "-md sha256" },
    Case { name: "ed25519", key: "ed25519", options: "-md null" },
];

const OFF_ITS_CURVE: Case = Case {
    name: "off_its_curve",
    key: P256,
    options: "-md sha256",
};

async fn is_verified(world: Arc<Shared>, case: &'static Case) -> Result<(), Skipped> {
    let ca = world.authority(case)?;
    let good = ca.crl(case.options);
    assert_eq!(world.refresh(case, &good).await, Ok(()));

    let next = ca.crl(case.options);
    for (what, at) in [
        ("the CRLNumber", crl_number(&next)),
        ("the signature", next.len() - 1),
    ] {
        let mut changed = next.clone();
        changed[at] ^= 4;
        let refused = world.refresh(case, &changed).await;
        assert_eq!(refused, Err("bad_signature".to_owned()), "{what}");
    }
    assert_eq!(world.refresh(case, &next).await, Ok(()));
    Ok(())
}

async fn a_key_off_its_curve_verifies_nothing(world: Arc<Shared>) -> Result<(), Skipped> {
    let ca = world.authority(&OFF_ITS_CURVE)?;
    let crl = ca.crl(OFF_ITS_CURVE.options);

    let refused = world.refresh(&OFF_ITS_CURVE, &crl).await;

    assert_eq!(refused, Err("bad_signature".to_owned()));
    let database = world.edge.database();
    let event = database.event_when(OFF_ITS_CURVE.name, |_| true).await;
    let error = event.error.unwrap_or_default();
    assert!(error.contains("not a point on its curve"), "{error}");
    Ok(())
}

impl Shared {
    fn authority(&self, case: &Case) -> Result<&OpensslAuthority, Skipped> {
        match &self.authorities {
            Ok(authorities) => Ok(&authorities[case.name]),
            Err(Skipped(why)) => Err(Skipped(why.clone())),
        }
    }

    /// Refreshes with this CRL. Returns the error code if the edge refuses it.
    async fn refresh(&self, case: &Case, crl: &[u8]) -> Result<(), String> {
        self.origin.answer(case.name, Answer::crl(crl.to_vec()));
        let answer = self.edge.refresh(case.name).await;
        let status = answer.status();
        let body: serde_json::Value = answer.json().await.unwrap();
        let event = &body["events"][0];
        if let Some(code) = event["error_code"].as_str() {
            return Err(code.to_owned());
        }
        let outcome = event["outcome"].as_str();
        assert_eq!((status.as_u16(), outcome), (200, Some("published")));
        Ok(())
    }
}

/// The CA's certificate, in DER.
fn certificate(ca: &OpensslAuthority) -> Vec<u8> {
    let pem = fs::read(ca.certificate()).expect("a certificate");
    Certificate::from_pem(pem)
        .and_then(|certificate| certificate.to_der())
        .expect("a certificate")
}

/// Changes the public key of a certificate to a point that is not on the curve.
fn leave_the_curve(certificate: &mut [u8]) {
    let read = Certificate::from_der(certificate).expect("a certificate");
    let key = &read
        .tbs_certificate()
        .subject_public_key_info()
        .subject_public_key;
    let point = key.raw_bytes();
    let mut places = certificate.windows(point.len());
    let start = places.position(|place| place == point).expect("the key");
    certificate[start + point.len() - 1] ^= 1;
}

/// The offset of the CRLNumber's value.
fn crl_number(crl: &[u8]) -> usize {
    let extension = [0x55, 0x1d, 0x14, 0x04, 0x03, 0x02, 0x01];
    let mut places = crl.windows(extension.len());
    places
        .position(|place| place == extension)
        .expect("a number")
        + extension.len()
}

fn main() -> ExitCode {
    let mut suite = Suite::<Shared>::default();
    for case in &CASES {
        suite.add(&format!("{}_is_verified", case.name), move |world| {
            is_verified(world, case)
        });
    }
    suite.add(
        "a_key_off_its_curve_verifies_nothing",
        a_key_off_its_curve_verifies_nothing,
    );
    suite.run()
}
