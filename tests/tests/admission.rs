//! Every error code of admission, provoked one at a time: the operator's answer and one event carry
//! it, and clients are still served the CRL that was valid.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use der::asn1::{Null, Uint};
use der::oid::ObjectIdentifier;
use der::{Any, Encode};
use end_to_end::certificate_authority::{
    change_extensions, extension, issuing_distribution_point, revoked, time,
};
use end_to_end::suite::Suite;
use end_to_end::test_origin::sha256;
use end_to_end::{Answer, CertificateAuthority, Edge, Start, TestOrigin, World};
use x509_cert::Version;
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::{BaseCrlNumber, CrlNumber};
use x509_cert::spki::AlgorithmIdentifierOwned;

struct Shared {
    origin: TestOrigin,
    edge: Edge,
}

impl World for Shared {
    async fn start() -> Self {
        let origin = TestOrigin::start().await;
        for case in &CASES {
            register(&origin, &CertificateAuthority::new(case.code));
        }
        let edge = Start::new(&origin.url())
            .var("MAX_CRL_BYTES", "4096")
            // Without tolerance, so that a CRL that expired half a minute ago counts as expired.
            .var("CLOCK_SKEW_SECONDS", "0")
            .var("ORIGIN_TIMEOUT_MS", "5000")
            .start()
            .await;
        Self { origin, edge }
    }

    fn log(&self) -> String {
        self.edge.log()
    }
}

fn register(origin: &TestOrigin, ca: &CertificateAuthority) {
    let point = "http://crl.example/full.crl";
    origin.register_full(ca.id(), ca.certificate(), Some(point));
}

/// An answer that is refused after CRL number 10 was published.
struct Case {
    code: &'static str,
    answer: fn(&CertificateAuthority) -> Answer,
}

static CASES: [Case; 25] = [
    Case {
        code: "malformed",
        answer: |ca| Answer::crl(ca.crl(11).split_at(100).0.to_vec()),
    },
    Case {
        code: "trailing_data",
        answer: |ca| Answer::crl([ca.crl(11), vec![0]].concat()),
    },
    Case {
        code: "too_large",
        answer: |ca| crl(ca, |tbs| tbs.revoked_certificates = Some(revoked(200))),
    },
    Case {
        code: "unsupported_version",
        answer: |ca| crl(ca, |tbs| tbs.version = Version::V3),
    },
    Case {
        code: "algorithm_mismatch",
        answer: |ca| {
            Answer::crl(ca.forged_crl(11, |crl| {
                crl.signature_algorithm = algorithm(ECDSA_WITH_SHA384);
            }))
        },
    },
    Case {
        code: "unsupported_algorithm",
        answer: |ca| crl(ca, |tbs| tbs.signature = algorithm(ECDSA_WITH_SHA1)),
    },
    Case {
        code: "wrong_issuer",
        answer: |ca| crl(ca, |tbs| tbs.issuer = "CN=Somebody else".parse().unwrap()),
    },
    Case {
        code: "bad_signature",
        answer: |ca| {
            Answer::crl(ca.forged_crl(11, |crl| {
                crl.tbs_cert_list.revoked_certificates = Some(revoked(1));
            }))
        },
    },
    Case {
        code: "next_update_missing",
        answer: |ca| crl(ca, |tbs| tbs.next_update = None),
    },
    Case {
        code: "not_yet_valid",
        answer: |ca| {
            crl(ca, |tbs| {
                tbs.this_update = time(SystemTime::now() + Duration::from_hours(1));
                tbs.next_update = Some(time(SystemTime::now() + Duration::from_hours(2)));
            })
        },
    },
    Case {
        code: "expired",
        answer: |ca| {
            crl(ca, |tbs| {
                tbs.next_update = Some(time(SystemTime::now() - Duration::from_secs(30)));
            })
        },
    },
    Case {
        code: "number_missing",
        answer: |ca| without_number(ca, None),
    },
    Case {
        code: "number_too_long",
        answer: |ca| {
            without_number(
                ca,
                Some(extension(&CrlNumber(Uint::new(&[1; 21]).unwrap()))),
            )
        },
    },
    Case {
        code: "number_regressed",
        answer: |ca| Answer::crl(ca.crl(9)),
    },
    Case {
        code: "number_reused",
        answer: |ca| Answer::crl(ca.crl_of(10, 1)),
    },
    Case {
        code: "this_update_regressed",
        answer: |ca| {
            crl(ca, |tbs| {
                tbs.this_update = time(SystemTime::now() - Duration::from_hours(1));
            })
        },
    },
    Case {
        code: "watermark_regressed",
        answer: |ca| Answer::crl(ca.crl(11)).header("Revocation-Watermark", "41"),
    },
    Case {
        code: "wrong_distribution_point",
        answer: |ca| {
            extended(
                ca,
                issuing_distribution_point("http://crl.example/another.crl"),
            )
        },
    },
    Case {
        code: "wrong_scope",
        answer: |ca| extended(ca, extension(&BaseCrlNumber(Uint::new(&[10]).unwrap()))),
    },
    Case {
        code: "unknown_critical_extension",
        answer: |ca| {
            let unknown = Extension {
                extn_id: ObjectIdentifier::new_unwrap("1.3.6.1.4.1.32473.1"),
                critical: true,
                extn_value: der::asn1::OctetString::new(Null.to_der().unwrap()).unwrap(),
            };
            extended(ca, unknown)
        },
    },
    Case {
        code: "origin_unreachable",
        answer: |_| Answer::closed(),
    },
    Case {
        code: "origin_timeout",
        answer: |_| Answer::never(),
    },
    Case {
        code: "origin_status",
        answer: |_| Answer::status(500),
    },
    Case {
        code: "origin_truncated",
        answer: |ca| Answer::crl(ca.crl(11)).cut_after(100),
    },
    Case {
        code: "wrong_content_type",
        answer: |ca| Answer::crl(ca.crl(11)).header("Content-Type", "text/html"),
    },
];

const ECDSA_WITH_SHA1: &str = "1.2.840.10045.4.1";
const ECDSA_WITH_SHA384: &str = "1.2.840.10045.4.3.3";

async fn is_refused(world: Arc<Shared>, case: &'static Case) {
    let Case { code, answer } = case;
    let ca = CertificateAuthority::new(code);
    let good = publish_number_10(&world, &ca).await;

    world.origin.answer(code, answer(&ca));
    let refreshed = world.edge.refresh(code).await;

    assert_eq!(refreshed.status(), 502);
    let body: serde_json::Value = refreshed.json().await.unwrap();
    assert_eq!(body["events"][0]["error_code"], *code, "{body}");
    assert_reported_and_harmless(&world, code, &good).await;
}

async fn issuer_changed_is_refused_until_it_is_trusted(world: Arc<Shared>) {
    let code = "issuer_changed";
    let ca = CertificateAuthority::new(code);
    register(&world.origin, &ca);
    world.origin.answer(code, Answer::crl(ca.crl(9)));
    until_served(&world, code).await;
    let good = publish_number_10(&world, &ca).await;

    let rekeyed = ca.rekeyed();
    register(&world.origin, &rekeyed);
    let newer = rekeyed.crl(11);
    world.origin.answer(code, Answer::crl(newer.clone()));
    let refreshed = world.edge.refresh(code).await;
    assert_eq!(refreshed.status(), 502);
    let body: serde_json::Value = refreshed.json().await.unwrap();
    assert_eq!(body["events"][0]["error_code"], code, "{body}");
    assert_reported_and_harmless(&world, code, &good).await;

    let trusted = world
        .edge
        .trust(code, &sha256(&rekeyed.certificate()))
        .await;
    assert!(trusted.status().is_success(), "{}", trusted.status());
    assert_eq!(world.edge.refresh(code).await.status(), 200);
    assert_eq!(served(&world, code).await, newer);
}

/// Publishes a valid CRL with number 10 and watermark 42.
async fn publish_number_10(world: &Shared, ca: &CertificateAuthority) -> Vec<u8> {
    let good = ca.crl(10);
    world.origin.answer(
        ca.id(),
        Answer::crl(good.clone()).header("Revocation-Watermark", "42"),
    );
    assert_eq!(world.edge.refresh(ca.id()).await.status(), 200);
    assert_eq!(served(world, ca.id()).await, good);
    good
}

async fn assert_reported_and_harmless(world: &Shared, code: &str, good: &[u8]) {
    let event = world
        .edge
        .database()
        .event_when(code, |event| !event.succeeded)
        .await;
    let outcome = if code.starts_with("origin_") || code == "wrong_content_type" {
        "failed"
    } else {
        "rejected"
    };
    assert_eq!(
        (event.outcome.as_str(), event.error_code.as_deref()),
        (outcome, Some(code)),
        "{event:?}"
    );
    assert!(
        event.error.is_some_and(|error| error.len() > 10),
        "an event says why, in words"
    );
    assert_eq!(served(world, code).await, good);
}

async fn until_served(world: &Shared, issuer: &str) {
    for _ in 0..50 {
        if world.edge.get(&format!("/crl/{issuer}.crl")).await.status() == 200 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{issuer} is not served within five seconds of its registration");
}

async fn served(world: &Shared, issuer: &str) -> Vec<u8> {
    let response = world.edge.get(&format!("/crl/{issuer}.crl")).await;
    assert_eq!(response.status(), 200);
    response.bytes().await.unwrap().to_vec()
}

fn crl(ca: &CertificateAuthority, change: impl FnOnce(&mut x509_cert::crl::TbsCertList)) -> Answer {
    Answer::crl(ca.crl_with(11, change))
}

fn extended(ca: &CertificateAuthority, more: Extension) -> Answer {
    crl(ca, |tbs| change_extensions(tbs, |_| true, [more]))
}

fn without_number(ca: &CertificateAuthority, instead: Option<Extension>) -> Answer {
    const CRL_NUMBER: ObjectIdentifier = der::oid::db::rfc5280::ID_CE_CRL_NUMBER;
    crl(ca, |tbs| {
        change_extensions(tbs, |id| id != CRL_NUMBER, instead);
    })
}

fn algorithm(oid: &str) -> AlgorithmIdentifierOwned {
    AlgorithmIdentifierOwned {
        oid: ObjectIdentifier::new_unwrap(oid),
        parameters: None::<Any>,
    }
}

fn main() -> ExitCode {
    let mut suite = Suite::<Shared>::default();
    for case in &CASES {
        suite.add(&format!("{}_is_refused", case.code), move |world| {
            is_refused(world, case)
        });
    }
    suite.add(
        "issuer_changed_is_refused_until_it_is_trusted",
        issuer_changed_is_refused_until_it_is_trusted,
    );
    suite.run()
}
