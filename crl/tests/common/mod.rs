//! A certificate authority for tests: keys and certificates by rcgen, CRLs by the writer.
#![allow(dead_code, reason = "each test program uses a part of it")]

use crl::{
    Algorithm, CrlKind, CrlNumber, Digest, Examination, Examined, Issuer, Limits, Reason, Refusal,
    Requirements, Revocation, RustCrypto, SecondPass, Serial, Template, UnixTime, Verification,
    Verified,
};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, KeyUsagePurpose, SigningKey,
};

/// The time of these tests.
pub(crate) const NOW: UnixTime = UnixTime(1_800_000_000);
pub(crate) const HOUR: i64 = 3600;

pub(crate) struct Ca {
    pub(crate) key: KeyPair,
    pub(crate) params: CertificateParams,
    pub(crate) certificate: Vec<u8>,
    pub(crate) issuer: Issuer,
    pub(crate) algorithm: Algorithm,
}

impl Ca {
    pub(crate) fn p256() -> Self {
        Self::new(
            &rcgen::PKCS_ECDSA_P256_SHA256,
            Algorithm::Ecdsa(Digest::Sha256),
            |_| {},
        )
    }

    pub(crate) fn p384() -> Self {
        Self::new(
            &rcgen::PKCS_ECDSA_P384_SHA384,
            Algorithm::Ecdsa(Digest::Sha384),
            |_| {},
        )
    }

    pub(crate) fn ed25519() -> Self {
        Self::new(&rcgen::PKCS_ED25519, Algorithm::Ed25519, |_| {})
    }

    pub(crate) fn new(
        key: &'static rcgen::SignatureAlgorithm,
        algorithm: Algorithm,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Self {
        Self::with_key(KeyPair::generate_for(key).unwrap(), algorithm, change)
    }

    pub(crate) fn with_key(
        key: KeyPair,
        algorithm: Algorithm,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Self {
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, "Test CA");
        params
            .distinguished_name
            .push(DnType::OrganizationName, "Example");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        change(&mut params);
        let certificate = params.self_signed(&key).unwrap().der().to_vec();
        Self {
            issuer: Issuer::from_der(&certificate).unwrap(),
            key,
            params,
            certificate,
            algorithm,
        }
    }

    /// A complete CRL, number 7, made an hour ago and valid for a day.
    pub(crate) fn template(&self) -> Template {
        Template {
            authority_key_id: self.issuer.subject_key_id().map(<[u8]>::to_vec),
            ..Template::new(
                self.issuer.subject().clone(),
                self.algorithm.identifier().unwrap(),
                CrlNumber::from(7),
                UnixTime(NOW.0 - HOUR)..UnixTime(NOW.0 + 23 * HOUR),
            )
        }
    }

    pub(crate) fn sign(&self, template: &Template, revocations: &[Revocation<'_>]) -> Vec<u8> {
        template
            .sign(revocations.iter().copied(), |tbs| self.key.sign(tbs))
            .unwrap()
    }

    /// A CRL by the template, changed, with three entries.
    pub(crate) fn crl(&self, change: impl FnOnce(&mut Template)) -> Vec<u8> {
        let mut template = self.template();
        change(&mut template);
        self.sign(&template, &revocations())
    }
}

/// Three, of every kind.
pub(crate) fn revocations() -> [Revocation<'static>; 3] {
    let date = UnixTime(NOW.0 - 1000 * HOUR);
    [
        Revocation {
            serial: Serial::from_be_bytes(&[1]),
            date,
            reason: Reason::Unspecified,
            invalidity_date: None,
        },
        Revocation {
            serial: Serial::from_be_bytes(&[0x80; 16]),
            date,
            reason: Reason::KeyCompromise,
            invalidity_date: Some(UnixTime(date.0 - HOUR)),
        },
        Revocation {
            serial: Serial::from_be_bytes(&[0x7f; 20]),
            date,
            reason: Reason::Superseded,
            invalidity_date: None,
        },
    ]
}

/// A complete CRL of the issuer, now, without a known URL.
pub(crate) fn complete(issuer: &Issuer) -> Requirements<'_> {
    Requirements::new(issuer, CrlKind::Full, NOW)
}

pub(crate) fn examine(crl: &[u8]) -> Examined<RustCrypto> {
    let mut examination = Examination::<RustCrypto>::new(Limits::default());
    examination.push(crl).unwrap();
    examination.finish().unwrap()
}

/// Verifies a CRL, with a second pass if it needs one.
pub(crate) fn verify(crl: &[u8], requirements: &Requirements<'_>) -> Result<Verified, Refusal> {
    match crl::verify(&examine(crl), requirements)? {
        Verification::Verified(verified) => Ok(verified),
        Verification::NeedsSecondPass(pass) => second_pass(pass, crl.chunks(100)),
    }
}

pub(crate) fn second_pass<'a>(
    mut pass: SecondPass,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Verified, Refusal> {
    for piece in pieces {
        pass.push(piece);
    }
    pass.finish()
}
