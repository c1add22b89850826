//! Every rule of admission, broken one at a time by CRLs that are right in all else.

#![allow(clippy::cast_possible_truncation, reason = "what tests make is small")]

mod common;

use std::time::Duration;

use common::{Ca, HOUR, NOW, admit, examine, expected, second_pass};
use crl::{
    Admission, Algorithm, CrlNumber, Digest, DistinguishedName, Examination, Expected, Held,
    Issuer, Limits, Policy, Refusal, RustCrypto, Scope, UnixTime, issuing_distribution_point,
};

const URL: &str = "http://crl.example.com/shard-0.crl";

fn code(result: Result<impl Sized, Refusal>) -> &'static str {
    result.map_or_else(|refusal| refusal.code(), |_| "admitted")
}

fn held() -> Held {
    Held {
        number: CrlNumber::from(6),
        this_update: UnixTime(NOW.0 - 2 * HOUR),
        watermark: Some(10),
        sha256: [2; 32],
    }
}

fn admit_after(
    ca: &Ca,
    crl: &[u8],
    expected: &Expected<'_>,
    held: &Held,
) -> Result<Admission, Refusal> {
    crl::admit(
        &examine(crl),
        &ca.issuer,
        expected,
        Some(held),
        &Policy::default(),
        NOW,
    )
}

#[test]
fn a_crl_that_keeps_every_rule_is_admitted() {
    for ca in [Ca::p256(), Ca::p384(), Ca::ed25519()] {
        let crl = ca.crl(|_| {});
        let admitted = admit(&crl, &ca.issuer, &expected()).unwrap();
        assert_eq!(admitted.number(), CrlNumber::from(7));
        assert_eq!(admitted.this_update(), UnixTime(NOW.0 - HOUR));
        assert_eq!(admitted.next_update(), UnixTime(NOW.0 + 23 * HOUR));
        assert_eq!(admitted.crl(), examine(&crl).crl());
    }
}

#[test]
fn the_number_must_grow() {
    let ca = Ca::p256();
    let crl = ca.crl(|_| {});
    let judge = |number: u64| {
        let number = CrlNumber::from(number);
        admit_after(&ca, &crl, &expected(), &Held { number, ..held() })
    };
    assert_eq!(code(judge(6)), "admitted");
    assert_eq!(code(judge(7)), "number_reused");
    let refusal = judge(8).unwrap_err();
    assert_eq!(refusal.code(), "number_regressed");
    assert_eq!(
        refusal.to_string(),
        "CRLNumber 7 is not greater than 8, the one being served (RFC 5280 §5.2.3)"
    );
}

#[test]
fn the_same_bytes_again_are_unchanged_while_they_are_valid() {
    let ca = Ca::p256();
    let crl = examine(&ca.crl(|_| {}));
    let same = Held {
        number: CrlNumber::from(7),
        sha256: expected().sha256,
        ..held()
    };
    let judge = |now| {
        let policy = Policy::default();
        crl::admit(&crl, &ca.issuer, &expected(), Some(&same), &policy, now)
    };
    assert!(matches!(judge(NOW), Ok(Admission::Unchanged)));
    assert_eq!(code(judge(UnixTime(NOW.0 + 24 * HOUR))), "expired");
}

#[test]
fn this_update_and_watermark_must_not_go_back() {
    let ca = Ca::p256();
    let crl = ca.crl(|_| {});
    let later = Held {
        this_update: UnixTime(NOW.0 - HOUR + 1),
        ..held()
    };
    assert_eq!(
        code(admit_after(&ca, &crl, &expected(), &later)),
        "this_update_regressed"
    );
    let judge = |watermark| {
        let expected = Expected {
            watermark,
            ..expected()
        };
        code(admit_after(&ca, &crl, &expected, &held()))
    };
    assert_eq!(judge(None), "admitted");
    assert_eq!(judge(Some(10)), "admitted");
    assert_eq!(judge(Some(9)), "watermark_regressed");
}

#[test]
fn clock_skew_counts_for_this_update_and_not_for_next_update() {
    let ca = Ca::p256();
    let crl = examine(&ca.crl(|_| {}));
    let judge = |now: i64| {
        let policy = Policy {
            clock_skew: Duration::from_mins(1),
        };
        code(crl::admit(
            &crl,
            &ca.issuer,
            &expected(),
            None,
            &policy,
            UnixTime(now),
        ))
    };
    let (this_update, next_update) = (NOW.0 - HOUR, NOW.0 + 23 * HOUR);
    assert_eq!(judge(this_update - 61), "not_yet_valid");
    assert_eq!(judge(this_update - 60), "admitted");
    assert_eq!(judge(next_update - 1), "admitted");
    assert_eq!(judge(next_update), "expired");
    assert_eq!(judge(i64::MIN), "not_yet_valid");
    assert_eq!(judge(i64::MAX), "expired");
}

#[test]
fn another_issuer_is_refused_by_name_and_by_key() {
    let (ca, other) = (Ca::p256(), Ca::p256());
    let another_name = ca.crl(|template| {
        template.issuer =
            DistinguishedName::from_der(b"\x30\x0f1\x0d0\x0b\x06\x03\x55\x04\x03\x13\x04Root")
                .unwrap();
    });
    let refusal = admit(&another_name, &ca.issuer, &expected()).unwrap_err();
    assert_eq!(refusal.code(), "wrong_issuer");
    assert!(
        refusal
            .to_string()
            .starts_with("the CRL's issuer is \"CN=Root\", not ")
    );
    // The same name, with another key, that says so, and that does not.
    assert_eq!(
        code(admit(&other.crl(|_| {}), &ca.issuer, &expected())),
        "wrong_issuer"
    );
    let silent = other.crl(|template| template.authority_key_id = None);
    assert_eq!(
        code(admit(&silent, &ca.issuer, &expected())),
        "bad_signature"
    );
    let no_key_id = ca.crl(|template| template.authority_key_id = None);
    assert_eq!(code(admit(&no_key_id, &ca.issuer, &expected())), "admitted");
}

#[test]
fn a_certificate_must_allow_to_sign_crls() {
    let key = &rcgen::PKCS_ECDSA_P256_SHA256;
    let algorithm = Algorithm::Ecdsa(Digest::Sha256);
    let ca = Ca::new(key, algorithm, |params| {
        params.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign];
    });
    assert_eq!(
        code(admit(&ca.crl(|_| {}), &ca.issuer, &expected())),
        "wrong_issuer"
    );
    let ca = Ca::new(key, algorithm, |params| params.key_usages.clear());
    assert_eq!(
        code(admit(&ca.crl(|_| {}), &ca.issuer, &expected())),
        "admitted"
    );
}

#[test]
fn a_signature_must_be_the_issuers_over_these_bytes() {
    for ca in [Ca::p256(), Ca::p384(), Ca::ed25519()] {
        let crl = ca.crl(|_| {});
        let signature = examine(&crl).crl().signature.clone();
        let mut other_date = crl.clone();
        let date = crl
            .windows(7)
            .position(|bytes| bytes.starts_with(b"\x17\x0d2"))
            .unwrap();
        other_date[date + 13] ^= 1;
        assert_eq!(
            code(admit(&other_date, &ca.issuer, &expected())),
            "bad_signature"
        );
        for place in crl.len() - signature.len()..crl.len() {
            let mut other_signature = crl.clone();
            other_signature[place] ^= 1;
            assert_eq!(
                code(admit(&other_signature, &ca.issuer, &expected())),
                "bad_signature"
            );
        }
    }
}

#[test]
fn key_and_algorithm_must_fit() {
    let (p256, ed25519) = (Ca::p256(), Ca::ed25519());
    for algorithm in [
        Algorithm::Ed25519,
        Algorithm::RsaPkcs1(Digest::Sha256),
        Algorithm::rsa_pss(Digest::Sha512),
    ] {
        let crl = p256.crl(|template| template.algorithm = algorithm.identifier().unwrap());
        let refusal = admit(&crl, &p256.issuer, &expected()).unwrap_err();
        assert_eq!(refusal.code(), "bad_signature");
        assert!(
            refusal
                .to_string()
                .ends_with("which the issuer's P-256 key does not make")
        );
    }
    let ecdsa = Algorithm::Ecdsa(Digest::Sha256).identifier().unwrap();
    let crl = ed25519.crl(|template| template.algorithm = ecdsa);
    assert_eq!(
        code(admit(&crl, &ed25519.issuer, &expected())),
        "bad_signature"
    );
}

#[test]
fn algorithms_inside_and_outside_must_be_the_same_and_known() {
    let ca = Ca::p256();
    let crl = ca.crl(|_| {});
    let sha256 = b"\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02";
    let places: Vec<usize> = (0..crl.len())
        .filter(|at| crl[*at..].starts_with(sha256))
        .collect();
    let mut outer = crl.clone();
    outer[places[1] + 9] = 3;
    let refusal = admit(&outer, &ca.issuer, &expected()).unwrap_err();
    assert_eq!(refusal.code(), "algorithm_mismatch");
    let mut both = outer.clone();
    both[places[0] + 9] = 3; // SHA-384
    assert_eq!(code(admit(&both, &ca.issuer, &expected())), "bad_signature");
    both[places[0] + 9] = 1; // SHA-224
    both[places[1] + 9] = 1;
    assert_eq!(
        code(admit(&both, &ca.issuer, &expected())),
        "unsupported_algorithm"
    );
}

#[test]
fn a_delta_stands_where_a_delta_is_due() {
    let ca = Ca::p256();
    let full = ca.crl(|_| {});
    let delta = ca.crl(|template| template.base_number = Some(CrlNumber::from(3)));
    let judge = |crl: &[u8], scope| {
        let expected = Expected {
            scope,
            ..expected()
        };
        code(admit(crl, &ca.issuer, &expected))
    };
    assert_eq!(judge(&full, Scope::Delta), "wrong_scope");
    assert_eq!(judge(&delta, Scope::Delta), "admitted");
    assert_eq!(judge(&delta, Scope::Full), "wrong_scope");
    assert_eq!(judge(&delta, Scope::Shard), "wrong_scope");
}

#[test]
fn indirect_and_attribute_lists_are_refused() {
    let ca = Ca::p256();
    for (indirect, attribute, due) in [
        (true, false, "wrong_scope"),
        (false, true, "wrong_scope"),
        (false, false, "admitted"),
    ] {
        let mut point = issuing_distribution_point(URL).unwrap();
        point.indirect_crl = indirect;
        point.only_contains_attribute_certs = attribute;
        let crl = ca.crl(|template| template.issuing_distribution_point = Some(point));
        assert_eq!(code(admit(&crl, &ca.issuer, &expected())), due);
    }
}

#[test]
fn the_distribution_point_must_be_the_one_that_is_due() {
    let ca = Ca::p256();
    let none = ca.crl(|_| {});
    let crl_for = |url: &str| {
        let point = issuing_distribution_point(url).unwrap();
        ca.crl(|template| template.issuing_distribution_point = Some(point))
    };
    let (here, elsewhere) = (crl_for(URL), crl_for("http://crl.example.com/shard-1.crl"));
    let mut unlimited = issuing_distribution_point(URL).unwrap();
    unlimited.distribution_point = None;
    unlimited.only_contains_user_certs = true;
    let unlimited = ca.crl(|template| template.issuing_distribution_point = Some(unlimited));
    let judge = |crl: &[u8], scope, distribution_point| {
        code(admit(
            crl,
            &ca.issuer,
            &Expected {
                scope,
                distribution_point,
                ..expected()
            },
        ))
    };
    for (crl, scope, url, due) in [
        (&here, Scope::Shard, Some(URL), "admitted"),
        (&here, Scope::Full, Some(URL), "admitted"),
        (&here, Scope::Full, None, "admitted"),
        (&here, Scope::Shard, None, "admitted"),
        (
            &elsewhere,
            Scope::Shard,
            Some(URL),
            "wrong_distribution_point",
        ),
        (
            &elsewhere,
            Scope::Full,
            Some(URL),
            "wrong_distribution_point",
        ),
        (&none, Scope::Full, Some(URL), "admitted"),
        (&none, Scope::Shard, Some(URL), "wrong_distribution_point"),
        (&none, Scope::Shard, None, "wrong_distribution_point"),
        (&unlimited, Scope::Full, Some(URL), "admitted"),
        (
            &unlimited,
            Scope::Shard,
            Some(URL),
            "wrong_distribution_point",
        ),
    ] {
        assert_eq!(judge(crl, scope, url), due, "{scope:?} {url:?}");
    }
}

/// A CRL of `ca` with some bytes of its tbsCertList replaced by others of the same length; signed again.
fn resigned(ca: &Ca, from: &[u8], to: &[u8]) -> Vec<u8> {
    use rcgen::SigningKey;
    assert_eq!(from.len(), to.len());
    let crl = ca.crl(|_| {});
    let tbs = examine(&crl).crl().tbs.clone();
    let mut tbs = crl[tbs.start as usize..tbs.end as usize].to_vec();
    let place = tbs
        .windows(from.len())
        .position(|bytes| bytes == from)
        .unwrap();
    tbs[place..place + to.len()].copy_from_slice(to);
    let signature = ca.key.sign(&tbs).unwrap();
    let mut rest = ca.algorithm.identifier().unwrap().as_der().to_vec();
    rest.extend_from_slice(&[0x03, signature.len() as u8 + 1, 0]);
    rest.extend_from_slice(&signature);
    let length = (tbs.len() + rest.len()) as u16;
    let [high, low] = length.to_be_bytes();
    [&[0x30, 0x82, high, low], &tbs[..], &rest].concat()
}

#[test]
fn what_must_be_there_must_be_there() {
    let ca = Ca::p256();
    // CRLNumber becomes an unknown extension of the same length.
    let number = b"\x06\x03\x55\x1d\x14";
    let no_number = resigned(&ca, number, b"\x06\x03\x55\x1d\x63");
    assert_eq!(
        code(admit(&no_number, &ca.issuer, &expected())),
        "number_missing"
    );
    // An entry's reason becomes an unknown one, not critical; nothing is wrong with it.
    let unknown = resigned(&ca, b"\x06\x03\x55\x1d\x15", b"\x06\x03\x55\x1d\x63");
    assert_eq!(code(admit(&unknown, &ca.issuer, &expected())), "admitted");
}

#[test]
fn an_entry_of_another_issuers_certificate_makes_a_list_indirect() {
    let ca = Ca::p256();
    // An invalidity date becomes a certificate issuer: a dNSName of what was the date.
    let indirect = resigned(
        &ca,
        b"\x55\x1d\x18\x04\x11\x18\x0f20",
        b"\x55\x1d\x1d\x04\x11\x30\x0f\x82\x0d",
    );
    assert!(examine(&indirect).crl().has_certificate_issuer);
    assert_eq!(
        code(admit(&indirect, &ca.issuer, &expected())),
        "wrong_scope"
    );
}

#[test]
fn unknown_critical_extensions_are_refused() {
    let ca = Ca::p256();
    // The issuing distribution point, which is critical, becomes an unknown extension.
    let crl = ca.crl(|template| {
        template.issuing_distribution_point = Some(issuing_distribution_point(URL).unwrap());
    });
    let known = b"\x06\x03\x55\x1d\x1c\x01\x01\xff";
    let place = crl
        .windows(known.len())
        .position(|bytes| bytes == known)
        .unwrap();
    let mut unknown = crl.clone();
    unknown[place + 4] = 0x63;
    let refusal = admit(&unknown, &ca.issuer, &expected()).unwrap_err();
    assert_eq!(refusal.code(), "unknown_critical_extension");
    assert_eq!(
        refusal.to_string(),
        "the critical extension 2.5.29.99 of the CRL is unknown (RFC 5280 §5.2)"
    );
    // An invalidity date, 26 octets, becomes a critical extension of the same size.
    let known = b"\x30\x18\x06\x03\x55\x1d\x18\x04\x11\x18\x0f";
    let critical = b"\x30\x18\x06\x03\x55\x1d\x63\x01\x01\xff\x04";
    let mut crl = ca.crl(|_| {});
    let place = crl
        .windows(known.len())
        .position(|bytes| bytes == known)
        .unwrap();
    crl[place..place + critical.len()].copy_from_slice(critical);
    crl[place + critical.len()] = 26 - 12;
    let refusal = admit(&crl, &ca.issuer, &expected()).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "the critical extension 2.5.29.99 of an entry is unknown (RFC 5280 §5.3)"
    );
}

#[test]
fn version_and_next_update_are_required() {
    use rcgen::SigningKey;
    // By hand, as the writer makes neither.
    let ca = Ca::p256();
    let algorithm = ca.algorithm.identifier().unwrap();
    let sequence = |tag: u8, parts: &[&[u8]]| {
        let contents = parts.concat();
        let [high, low] = (contents.len() as u16).to_be_bytes();
        let head = match contents.len() {
            0..0x80 => vec![tag, low],
            0x80..0x100 => vec![tag, 0x81, low],
            _ => vec![tag, 0x82, high, low],
        };
        [head, contents].concat()
    };
    let crl = |parts: &[&[u8]]| {
        let tbs = sequence(0x30, parts);
        let signature = ca.key.sign(&tbs).unwrap();
        let signature = sequence(0x03, &[&[0], &signature]);
        sequence(0x30, &[&tbs, algorithm.as_der(), &signature])
    };
    let (version, issuer) = (b"\x02\x01\x01", ca.issuer.subject().as_der());
    let (this_update, next_update) = (b"\x17\x0d270101000000Z", b"\x17\x0d280101000000Z");
    let number = b"\xa0\x0e\x30\x0c\x30\x0a\x06\x03\x55\x1d\x14\x04\x03\x02\x01\x07";
    let good: [&[u8]; 6] = [
        version,
        algorithm.as_der(),
        issuer,
        this_update,
        next_update,
        number,
    ];
    let without = |field: usize| {
        let mut parts = good.to_vec();
        parts.remove(field);
        crl(&parts)
    };
    assert_eq!(
        code(admit(&crl(&good), &ca.issuer, &expected())),
        "admitted"
    );
    assert_eq!(
        code(admit(&without(0), &ca.issuer, &expected())),
        "unsupported_version"
    );
    assert_eq!(
        code(admit(&without(4), &ca.issuer, &expected())),
        "next_update_missing"
    );
    assert_eq!(
        code(admit(&without(5), &ca.issuer, &expected())),
        "number_missing"
    );
}

#[test]
fn an_ed25519_signature_needs_the_bytes_again() {
    let ca = Ca::ed25519();
    let crl = ca.crl(|_| {});
    let begin = || match crl::admit(
        &examine(&crl),
        &ca.issuer,
        &expected(),
        None,
        &Policy::default(),
        NOW,
    ) {
        Ok(Admission::NeedsSecondPass(pass)) => pass,
        other => panic!("{other:?}"),
    };
    for size in 1..=crl.len() {
        assert_eq!(code(second_pass(begin(), crl.chunks(size))), "admitted");
    }
    assert_eq!(
        code(second_pass(begin(), [&crl[..crl.len() - 1]])),
        "bad_signature"
    );
    assert_eq!(
        code(second_pass(begin(), [&crl[..], b"x"])),
        "bad_signature"
    );
    assert_eq!(code(second_pass(begin(), [])), "bad_signature");
    // Another CRL of the same issuer, as large, and signed: not what was examined.
    let other = ca.crl(|template| template.number = CrlNumber::from(8));
    assert_eq!(other.len(), crl.len());
    assert_eq!(code(second_pass(begin(), [&other[..]])), "bad_signature");
}

/// CRLs that OpenSSL made and signed, of every kind of key.
#[test]
fn what_openssl_signed_is_admitted() {
    for (kind, certificate, crl) in OPENSSL {
        let issuer = Issuer::from_der(certificate).unwrap();
        assert_eq!(issuer.key_kind(), kind);
        let mut examination = Examination::<RustCrypto>::new(Limits::default());
        examination.push(crl).unwrap();
        let examined = examination.finish().unwrap();
        let now = examined.crl().header.this_update;
        let judge = |examined, issuer: &Issuer| {
            let policy = Policy::default();
            crl::admit(examined, issuer, &expected(), None, &policy, now)
        };
        match judge(&examined, &issuer).unwrap() {
            Admission::Admitted(_) => {}
            Admission::NeedsSecondPass(pass) => {
                assert_eq!(code(second_pass(pass, [crl])), "admitted");
            }
            Admission::Unchanged => panic!("nothing was held"),
        }
        for (other, certificate, _) in OPENSSL {
            if other != kind {
                let other = Issuer::from_der(certificate).unwrap();
                assert_eq!(code(judge(&examined, &other)), "wrong_issuer");
            }
        }
    }
}

const OPENSSL: [(&str, &[u8], &[u8]); 6] = [
    (
        "RSA",
        include_bytes!("data/openssl-rsa2048.cer"),
        include_bytes!("data/openssl-rsa2048.crl"),
    ),
    (
        "RSA",
        include_bytes!("data/openssl-rsa-pss.cer"),
        include_bytes!("data/openssl-rsa-pss.crl"),
    ),
    (
        "P-256",
        include_bytes!("data/openssl-p256.cer"),
        include_bytes!("data/openssl-p256.crl"),
    ),
    (
        "P-384",
        include_bytes!("data/openssl-p384.cer"),
        include_bytes!("data/openssl-p384.crl"),
    ),
    (
        "P-521",
        include_bytes!("data/openssl-p521.cer"),
        include_bytes!("data/openssl-p521.crl"),
    ),
    (
        "Ed25519",
        include_bytes!("data/openssl-ed25519.cer"),
        include_bytes!("data/openssl-ed25519.crl"),
    ),
];
