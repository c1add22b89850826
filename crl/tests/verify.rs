//! Every rule of `verify`, broken one at a time by CRLs that are right in everything else.

#![allow(clippy::cast_possible_truncation, reason = "what tests make is small")]

mod common;

use std::time::Duration;

use crl::{
    Algorithm, Coverage, CrlKind, CrlNumber, Digest, DistinguishedName, Examination, Extension,
    FindingKind, Issuer, IssuingDistributionPoint, Limits, Reason, Reasons, Refusal, Requirements,
    Revocation, RustCrypto, Serial, Template, UnixTime, Verification,
};

use common::{Ca, HOUR, NOW, complete, examine, second_pass, verify};

const URL: &str = "http://crl.example.com/shard-0.crl";

fn code(result: Result<impl Sized, Refusal>) -> &'static str {
    result.map_or_else(|refusal| refusal.code(), |_| "verified")
}

#[test]
fn a_crl_that_keeps_every_rule_is_verified() {
    for ca in [Ca::p256(), Ca::p384(), Ca::ed25519()] {
        let crl = ca.crl(|_| {});
        let verified = verify(&crl, &complete(&ca.issuer)).unwrap();
        assert_eq!(verified.number(), CrlNumber::from(7));
        assert_eq!(verified.this_update(), UnixTime(NOW.0 - HOUR));
        assert_eq!(verified.next_update(), UnixTime(NOW.0 + 23 * HOUR));
        assert_eq!(verified.crl(), examine(&crl).crl());
    }
}

#[test]
fn clock_skew_counts_for_this_update_and_not_for_next_update() {
    let ca = Ca::p256();
    let crl = examine(&ca.crl(|_| {}));
    let judge = |now: i64| {
        let requirements = Requirements {
            now: UnixTime(now),
            clock_skew: Duration::from_secs(60),
            ..complete(&ca.issuer)
        };
        code(crl::verify(&crl, &requirements))
    };
    let (this_update, next_update) = (NOW.0 - HOUR, NOW.0 + 23 * HOUR);
    assert_eq!(judge(this_update - 61), "not_yet_valid");
    assert_eq!(judge(this_update - 60), "verified");
    assert_eq!(judge(next_update - 1), "verified");
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
    let refusal = verify(&another_name, &complete(&ca.issuer)).unwrap_err();
    assert_eq!(refusal.code(), "wrong_issuer");
    assert!(
        refusal
            .to_string()
            .starts_with("the CRL's issuer is \"CN=Root\", not ")
    );
    // The same name with another key, with and without a key identifier.
    assert_eq!(
        code(verify(&other.crl(|_| {}), &complete(&ca.issuer))),
        "wrong_issuer"
    );
    let silent = other.crl(|template| template.authority_key_id = None);
    assert_eq!(
        code(verify(&silent, &complete(&ca.issuer))),
        "bad_signature"
    );
    let no_key_id = ca.crl(|template| template.authority_key_id = None);
    assert_eq!(code(verify(&no_key_id, &complete(&ca.issuer))), "verified");
}

#[test]
fn a_certificate_must_allow_its_key_to_sign_crls() {
    let key = &rcgen::PKCS_ECDSA_P256_SHA256;
    let algorithm = Algorithm::Ecdsa(Digest::Sha256);
    let ca = Ca::new(key, algorithm, |params| {
        params.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign];
    });
    assert_eq!(
        code(verify(&ca.crl(|_| {}), &complete(&ca.issuer))),
        "wrong_issuer"
    );
    let ca = Ca::new(key, algorithm, |params| params.key_usages.clear());
    assert_eq!(
        code(verify(&ca.crl(|_| {}), &complete(&ca.issuer))),
        "verified"
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
            code(verify(&other_date, &complete(&ca.issuer))),
            "bad_signature"
        );
        for place in crl.len() - signature.len()..crl.len() {
            let mut other_signature = crl.clone();
            other_signature[place] ^= 1;
            assert_eq!(
                code(verify(&other_signature, &complete(&ca.issuer))),
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
        let refusal = verify(&crl, &complete(&p256.issuer)).unwrap_err();
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
        code(verify(&crl, &complete(&ed25519.issuer))),
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
    let refusal = verify(&outer, &complete(&ca.issuer)).unwrap_err();
    assert_eq!(refusal.code(), "algorithm_mismatch");
    let mut both = outer.clone();
    both[places[0] + 9] = 3; // SHA-384
    assert_eq!(code(verify(&both, &complete(&ca.issuer))), "bad_signature");
    both[places[0] + 9] = 1; // SHA-224
    both[places[1] + 9] = 1;
    assert_eq!(
        code(verify(&both, &complete(&ca.issuer))),
        "unsupported_algorithm"
    );
}

#[test]
fn a_delta_is_refused_unless_one_is_required() {
    let ca = Ca::p256();
    let full = ca.crl(|_| {});
    let delta = ca.crl(|template| template.base_number = Some(CrlNumber::from(3)));
    let judge = |crl: &[u8], kind| {
        let requirements = Requirements {
            kind,
            ..complete(&ca.issuer)
        };
        code(verify(crl, &requirements))
    };
    assert_eq!(judge(&full, CrlKind::Delta), "wrong_scope");
    assert_eq!(judge(&delta, CrlKind::Delta), "verified");
    assert_eq!(judge(&delta, CrlKind::Full), "wrong_scope");
    assert_eq!(judge(&delta, CrlKind::Shard), "wrong_scope");
}

#[test]
fn a_scope_that_misleads_is_refused() {
    let ca = Ca::p256();
    let judge = |kind, change: fn(&mut IssuingDistributionPoint)| {
        let mut point = IssuingDistributionPoint::from_url(URL);
        change(&mut point);
        // The writer refuses some of these, so they are written as an extension of no known form.
        let crl = ca.crl(|template| template.extra_extensions = vec![idp(&point)]);
        let requirements = Requirements {
            kind,
            ..complete(&ca.issuer)
        };
        code(verify(&crl, &requirements))
    };
    let (full, shard) = (CrlKind::Full, CrlKind::Shard);
    assert_eq!(judge(full, |_| {}), "verified");
    assert_eq!(judge(full, |idp| idp.is_indirect = true), "wrong_scope");
    assert_eq!(
        judge(full, |idp| idp.only_attribute_certificates = true),
        "wrong_scope"
    );
    assert_eq!(
        judge(full, |idp| idp.only_user_certificates = true),
        "verified"
    );
    let both: fn(&mut IssuingDistributionPoint) = |idp| {
        idp.only_user_certificates = true;
        idp.only_ca_certificates = true;
    };
    assert_eq!(judge(full, both), "wrong_scope");
    assert_eq!(judge(shard, both), "wrong_scope");
    let empty: fn(&mut IssuingDistributionPoint) = |idp| idp.distribution_point = None;
    assert_eq!(judge(full, empty), "wrong_scope");
    let some_reasons: fn(&mut IssuingDistributionPoint) =
        |idp| idp.only_some_reasons = Some(Reasons::of(&[Reason::CaCompromise]));
    assert_eq!(judge(full, some_reasons), "wrong_scope");
    assert_eq!(judge(shard, some_reasons), "verified");
}

/// An issuing distribution point as an extension, also one that RFC 5280 forbids.
fn idp(point: &IssuingDistributionPoint) -> Extension {
    let part = |tag: u8, contents: &[u8]| [&[tag, contents.len() as u8], contents].concat();
    let mut fields = Vec::new();
    for url in point.distribution_point.iter().flatten() {
        fields.append(&mut part(0xa0, &part(0xa0, &part(0x86, url.as_bytes()))));
    }
    for (tag, flag) in [
        (0x81, point.only_user_certificates),
        (0x82, point.only_ca_certificates),
    ] {
        fields.append(&mut if flag { part(tag, &[0xff]) } else { vec![] });
    }
    if point.only_some_reasons.is_some() {
        fields.append(&mut part(0x83, &[5, 0x20])); // cACompromise
    }
    for (tag, flag) in [
        (0x84, point.is_indirect),
        (0x85, point.only_attribute_certificates),
    ] {
        fields.append(&mut if flag { part(tag, &[0xff]) } else { vec![] });
    }
    Extension {
        oid: der::asn1::ObjectIdentifier::new_unwrap("2.5.29.28"),
        critical: true,
        value: part(0x30, &fields),
    }
}

#[test]
fn a_delta_says_what_it_can_be_combined_with() {
    let ca = Ca::p256();
    let delta = |change: &dyn Fn(&mut Template)| {
        let crl = ca.crl(|template| change(template));
        let requirements = Requirements {
            kind: CrlKind::Delta,
            ..complete(&ca.issuer)
        };
        code(verify(&crl, &requirements))
    };
    let indicator = |base: u8, freshest: bool| {
        let extension = |oid, value: &[u8]| Extension {
            oid: der::asn1::ObjectIdentifier::new_unwrap(oid),
            critical: oid == "2.5.29.27",
            value: value.to_vec(),
        };
        let mut extensions = vec![extension("2.5.29.27", &[2, 1, base])];
        if freshest {
            let points = b"\x30\x09\x30\x07\xa0\x05\xa0\x03\x86\x01x";
            extensions.push(extension("2.5.29.46", points));
        }
        delta(&move |template| template.extra_extensions = extensions.clone())
    };
    assert_eq!(indicator(7, false), "verified");
    assert_eq!(indicator(8, false), "delta_base");
    assert_eq!(indicator(3, true), "wrong_scope");
}

#[test]
fn the_distribution_point_must_be_the_one_that_is_required() {
    let ca = Ca::p256();
    let none = ca.crl(|_| {});
    let crl_for = |url: &str| {
        let point = IssuingDistributionPoint::from_url(url);
        ca.crl(|template| template.issuing_distribution_point = Some(point))
    };
    let (here, elsewhere) = (crl_for(URL), crl_for("http://crl.example.com/shard-1.crl"));
    let unlimited = IssuingDistributionPoint {
        only_user_certificates: true,
        ..IssuingDistributionPoint::default()
    };
    let unlimited = ca.crl(|template| template.issuing_distribution_point = Some(unlimited));
    let judge = |crl: &[u8], kind, distribution_point| {
        let requirements = Requirements {
            kind,
            distribution_point,
            ..complete(&ca.issuer)
        };
        code(verify(crl, &requirements))
    };
    for (crl, kind, url, code) in [
        (&here, CrlKind::Shard, Some(URL), "verified"),
        (&here, CrlKind::Full, Some(URL), "verified"),
        (&here, CrlKind::Full, None, "verified"),
        (&here, CrlKind::Shard, None, "verified"),
        (
            &elsewhere,
            CrlKind::Shard,
            Some(URL),
            "wrong_distribution_point",
        ),
        (
            &elsewhere,
            CrlKind::Full,
            Some(URL),
            "wrong_distribution_point",
        ),
        (&none, CrlKind::Full, Some(URL), "verified"),
        (&none, CrlKind::Shard, Some(URL), "wrong_distribution_point"),
        (&none, CrlKind::Shard, None, "wrong_distribution_point"),
        (&unlimited, CrlKind::Full, Some(URL), "verified"),
        (
            &unlimited,
            CrlKind::Shard,
            Some(URL),
            "wrong_distribution_point",
        ),
    ] {
        assert_eq!(judge(crl, kind, url), code, "{kind:?} {url:?}");
    }
}

/// A CRL of `ca` with some bytes of its tbsCertList replaced by as many others; signed again.
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
fn a_number_is_required() {
    let ca = Ca::p256();
    // CRLNumber becomes an unknown extension of the same length.
    let number = b"\x06\x03\x55\x1d\x14";
    let no_number = resigned(&ca, number, b"\x06\x03\x55\x1d\x63");
    assert_eq!(
        code(verify(&no_number, &complete(&ca.issuer))),
        "number_missing"
    );
    // An entry's reason becomes an unknown one, not critical; nothing is wrong with it.
    let unknown = resigned(&ca, b"\x06\x03\x55\x1d\x15", b"\x06\x03\x55\x1d\x63");
    assert_eq!(code(verify(&unknown, &complete(&ca.issuer))), "verified");
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
        code(verify(&indirect, &complete(&ca.issuer))),
        "wrong_scope"
    );
}

#[test]
fn unknown_critical_extensions_are_refused() {
    let ca = Ca::p256();
    // The issuing distribution point, which is critical, becomes an unknown extension.
    let crl = ca.crl(|template| {
        template.issuing_distribution_point = Some(IssuingDistributionPoint::from_url(URL));
    });
    let known = b"\x06\x03\x55\x1d\x1c\x01\x01\xff";
    let place = crl
        .windows(known.len())
        .position(|bytes| bytes == known)
        .unwrap();
    let mut unknown = crl.clone();
    unknown[place + 4] = 0x63;
    let refusal = verify(&unknown, &complete(&ca.issuer)).unwrap_err();
    assert_eq!(refusal.code(), "unknown_critical_extension");
    assert_eq!(
        refusal.to_string(),
        "the critical extension 2.5.29.99 of the CRL is unknown (RFC 5280, section 5.2)"
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
    let refusal = verify(&crl, &complete(&ca.issuer)).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "the critical extension 2.5.29.99 of an entry is unknown (RFC 5280, section 5.3)"
    );
}

#[test]
fn version_and_next_update_are_required() {
    use rcgen::SigningKey;
    // By hand: the writer leaves out neither.
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
    assert_eq!(code(verify(&crl(&good), &complete(&ca.issuer))), "verified");
    assert_eq!(
        code(verify(&without(0), &complete(&ca.issuer))),
        "unsupported_version"
    );
    assert_eq!(
        code(verify(&without(4), &complete(&ca.issuer))),
        "next_update_missing"
    );
    assert_eq!(
        code(verify(&without(5), &complete(&ca.issuer))),
        "number_missing"
    );
}

#[test]
fn an_ed25519_signature_needs_the_bytes_again() {
    let ca = Ca::ed25519();
    let crl = ca.crl(|_| {});
    let begin = || match crl::verify(&examine(&crl), &complete(&ca.issuer)) {
        Ok(Verification::NeedsSecondPass(pass)) => pass,
        other => panic!("{other:?}"),
    };
    for size in 1..=crl.len() {
        assert_eq!(code(second_pass(begin(), crl.chunks(size))), "verified");
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
    // Another signed CRL of the same issuer and size is not what was examined.
    let other = ca.crl(|template| template.number = CrlNumber::from(8));
    assert_eq!(other.len(), crl.len());
    assert_eq!(code(second_pass(begin(), [&other[..]])), "bad_signature");
}

/// CRLs that OpenSSL made and signed, of every kind of key.
#[test]
fn what_openssl_signed_is_verified() {
    for (kind, certificate, crl) in OPENSSL {
        let issuer = Issuer::from_der(certificate).unwrap();
        assert_eq!(issuer.key_kind(), kind);
        let mut examination = Examination::<RustCrypto>::new(Limits::default());
        examination.push(crl).unwrap();
        let examined = examination.finish().unwrap();
        let now = examined.crl().header.this_update;
        let judge = |examined, issuer: &Issuer| {
            crl::verify(examined, &Requirements::new(issuer, CrlKind::Full, now))
        };
        match judge(&examined, &issuer).unwrap() {
            Verification::Verified(_) => {}
            Verification::NeedsSecondPass(pass) => {
                assert_eq!(code(second_pass(pass, [crl])), "verified");
            }
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

#[test]
fn a_crl_of_version_1_is_refused_by_its_version() {
    use rcgen::SigningKey;
    // Neither a version nor extensions: everything else would be missing, too.
    let ca = Ca::p256();
    let algorithm = ca.algorithm.identifier().unwrap();
    let part = |tag: u8, contents: &[u8]| {
        let [high, low] = (contents.len() as u16).to_be_bytes();
        match contents.len() {
            0..0x80 => [&[tag, low], contents].concat(),
            0x80..0x100 => [&[tag, 0x81, low], contents].concat(),
            _ => [&[tag, 0x82, high, low], contents].concat(),
        }
    };
    let fields = [
        algorithm.as_der(),
        ca.issuer.subject().as_der(),
        b"\x17\x0d270101000000Z\x17\x0d280101000000Z",
        b"\x30\x14\x30\x12\x02\x01\x01\x17\x0d240102030405Z",
    ];
    let tbs = part(0x30, &fields.concat());
    let signature = part(0x03, &[&[0][..], &ca.key.sign(&tbs).unwrap()].concat());
    let crl = part(0x30, &[&tbs, algorithm.as_der(), &signature].concat());
    assert_eq!(
        code(verify(&crl, &complete(&ca.issuer))),
        "unsupported_version"
    );
    let found = crl::find(&crl, Serial::from_be_bytes(&[1])).unwrap();
    assert!(matches!(found, crl::Status::Revoked(_)));
}

#[test]
fn a_name_and_a_key_are_enough_for_an_issuer() {
    use rcgen::PublicKeyData;
    let ca = Ca::p256();
    let spki = ca.key.subject_public_key_info();
    let subject = ca.issuer.subject().clone();
    let anchor = Issuer::from_name_and_key(subject.clone(), &spki).unwrap();
    let crl = ca.crl(|_| {});
    assert_eq!(code(verify(&crl, &complete(&anchor))), "verified");
    let other = Ca::p256();
    let other = Issuer::from_name_and_key(subject.clone(), &other.key.subject_public_key_info());
    let other = other.unwrap();
    assert_eq!(code(verify(&crl, &complete(&other))), "bad_signature");
    let error = Issuer::from_name_and_key(subject, b"").unwrap_err();
    assert_eq!(error.code(), "malformed");
}

/// What makers write and relying parties accept: found, with how often and an example, and refused
/// by choice.
#[test]
fn oddities_are_findings_or_refused_by_choice() {
    let ca = Ca::p256();
    let find = |crl: &[u8]| -> Vec<(FindingKind, u64, Option<String>)> {
        let verified = verify(crl, &complete(&ca.issuer)).unwrap();
        let strict = Requirements {
            strict: true,
            ..complete(&ca.issuer)
        };
        let findings = verified.findings();
        let due = findings
            .first()
            .map_or("verified", |first| first.kind.code());
        assert_eq!(code(verify(crl, &strict)), due);
        let parts = |finding: &crl::Finding| (finding.kind, finding.count, finding.example.clone());
        findings.iter().map(parts).collect()
    };
    let plain = ca.crl(|_| {});
    assert_eq!(find(&plain), []);

    let no_key_id = ca.crl(|template| template.authority_key_id = None);
    assert_eq!(find(&no_key_id), [(FindingKind::KeyIdMissing, 1, None)]);

    let mut point = idp(&IssuingDistributionPoint::from_url(URL));
    point.critical = false;
    let not_critical = ca.crl(|template| template.extra_extensions = vec![point]);
    assert_eq!(
        find(&not_critical),
        [(FindingKind::IdpNotCritical, 1, None)]
    );

    // "Test CA" in another case.
    let other_case = resigned(&ca, b"Test CA", b"TEST ca");
    let [(FindingKind::NameNotIdentical, 1, Some(name))] = &find(&other_case)[..] else {
        panic!();
    };
    assert!(name.contains("CN=TEST ca"), "{name}");

    // keyCompromise becomes unspecified.
    let reason = b"\x06\x03\x55\x1d\x15\x04\x03\x0a\x01";
    let unspecified = resigned(
        &ca,
        &[&reason[..], &[1]].concat(),
        &[&reason[..], &[0]].concat(),
    );
    let serial = Some("80".repeat(16));
    assert_eq!(
        find(&unspecified),
        [(FindingKind::UnspecifiedReason, 1, serial)]
    );

    let mut entries = common::revocations();
    entries[1].date = UnixTime(NOW.0 - HOUR + 1);
    entries[2].date = UnixTime(NOW.0 - HOUR);
    let future = ca.sign(&ca.template(), &entries);
    let serial = Some("80".repeat(16));
    assert_eq!(
        find(&future),
        [(FindingKind::RevocationInFuture, 1, serial)]
    );

    // thisUpdate, nextUpdate and an entry's date as pyOpenSSL and others wrote them.
    let generalized = with_generalized_times(&ca);
    let example = Some("thisUpdate".into());
    assert_eq!(
        find(&generalized),
        [(FindingKind::GeneralizedTime, 5, example)]
    );
    let found = crl::find(&generalized, Serial::from_be_bytes(&[1])).unwrap();
    assert!(matches!(found, crl::Status::Revoked(_)));
}

/// A CRL of `ca` whose `UTCTimes` are all written as GeneralizedTime.
fn with_generalized_times(ca: &Ca) -> Vec<u8> {
    use rcgen::SigningKey;
    let crl = ca.crl(|_| {});
    let tbs = examine(&crl).crl().tbs.clone();
    let tbs = rewrite(&crl[tbs.start as usize..tbs.end as usize]);
    let signature = ca.key.sign(&tbs).unwrap();
    let mut contents = tbs;
    contents.extend_from_slice(ca.algorithm.identifier().unwrap().as_der());
    contents.extend_from_slice(&[0x03, signature.len() as u8 + 1, 0]);
    contents.extend_from_slice(&signature);
    [&element_head(0x30, contents.len())[..], &contents].concat()
}

fn element_head(tag: u8, length: usize) -> Vec<u8> {
    let [high, low] = (length as u16).to_be_bytes();
    match length {
        0..0x80 => vec![tag, low],
        0x80..0x100 => vec![tag, 0x81, low],
        _ => vec![tag, 0x82, high, low],
    }
}

/// Writes every UTCTime in some elements as a GeneralizedTime.
fn rewrite(mut elements: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let [tag, length, rest @ ..] = elements {
        let (size, rest) = match length {
            0x81 => (usize::from(rest[0]), &rest[1..]),
            0x82 => (usize::from(rest[0]) << 8 | usize::from(rest[1]), &rest[2..]),
            short => (usize::from(*short), rest),
        };
        let (contents, rest) = rest.split_at(size);
        let (tag, contents) = match tag {
            0x17 => (0x18, [b"20", contents].concat()),
            0x30 => (0x30, rewrite(contents)),
            other => (*other, contents.to_vec()),
        };
        out.extend(element_head(tag, contents.len()));
        out.extend(contents);
        elements = rest;
    }
    out
}

#[test]
fn what_is_covered_is_part_of_an_edition() {
    let ca = Ca::p256();
    let users = IssuingDistributionPoint {
        only_user_certificates: true,
        ..IssuingDistributionPoint::default()
    };
    let edition = |crl: &[u8], sha256| {
        verify(crl, &complete(&ca.issuer))
            .unwrap()
            .edition([sha256; 32])
    };
    let held = edition(&ca.crl(|_| {}), 1);
    assert_eq!(held.coverage, Some(Coverage::ALL));
    let narrower = ca.crl(|template| {
        template.number = CrlNumber::from(8);
        template.issuing_distribution_point = Some(users);
    });
    let conflict = crl::supersedes(&edition(&narrower, 2), &held).unwrap_err();
    assert_eq!(conflict.code(), "scope_changed");
}

/// What a relying party must not read out of a CRL: see `Status`.
#[test]
fn a_lookup_does_not_mislead() {
    use crl::Status;
    let ca = Ca::p256();
    let find = |crl: &[u8], serial: &[u8]| crl::find(crl, Serial::from_be_bytes(serial)).unwrap();
    let plain = ca.crl(|_| {});
    assert!(matches!(find(&plain, &[1]), Status::Revoked(_)));
    assert_eq!(find(&plain, &[2]), Status::NotListed);

    let critical = ca.crl(|template| {
        template.extra_extensions = vec![Extension {
            oid: der::asn1::ObjectIdentifier::new_unwrap("2.5.29.99"),
            critical: true,
            value: vec![],
        }];
    });
    let Status::Unusable { oid, listed } = find(&critical, &[1]) else {
        panic!();
    };
    assert_eq!(oid.to_string(), "2.5.29.99");
    assert!(listed.is_some());
    assert!(matches!(
        find(&critical, &[2]),
        Status::Unusable { listed: None, .. }
    ));

    let template = Template {
        base_number: Some(CrlNumber::from(3)),
        ..ca.template()
    };
    let mut entries = common::revocations();
    entries[0].reason = Reason::RemoveFromCrl;
    let delta = ca.sign(&template, &entries);
    assert!(matches!(find(&delta, &[1]), Status::Removed(_)));
    let Status::NotListedInPart(scope) = find(&delta, &[2]) else {
        panic!();
    };
    assert_eq!(scope.base, Some(CrlNumber::from(3)));

    let shard = ca.crl(|template| {
        template.issuing_distribution_point = Some(IssuingDistributionPoint::from_url(URL));
    });
    let Status::NotListedInPart(scope) = find(&shard, &[2]) else {
        panic!();
    };
    assert_eq!(
        scope.distribution_point.as_deref(),
        Some(&[URL.to_owned()][..])
    );
    assert!(matches!(find(&shard, &[1]), Status::Revoked(_)));

    // Number 0x8080… is positive here; the negative INTEGER of these octets is another number.
    let negative = Serial::from_integer(&[0x80; 16]).unwrap();
    assert_eq!(crl::find(&plain, negative).unwrap(), Status::NotListed);
    let negative = Revocation {
        serial: negative,
        ..common::revocations()[0]
    };
    let listed = ca.sign(&ca.template(), &[negative]);
    assert!(matches!(
        crl::find(&listed, negative.serial),
        Ok(Status::Revoked(_))
    ));
    assert_eq!(find(&listed, &[0x80; 16]), Status::NotListed);
}
