//! A certificate authority: keys and certificates by rcgen, CRLs by the writer.

use crl::{
    Algorithm, CrlNumber, Digest, Issuer, IssuingDistributionPoint, Reason, Revocation, Serial,
    Template, UnixTime,
};
use origin_api::{Crl, CrlName, Der, IssuerId};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, SigningKey};

use super::HOUR;
use crate::time::Timestamp;

/// An issuer with its key.
pub(crate) struct Ca {
    key: KeyPair,
    algorithm: Algorithm,
    certificate: Der,
    issuer: Issuer,
}

impl Ca {
    pub(crate) fn p256() -> Self {
        Self::new(
            &rcgen::PKCS_ECDSA_P256_SHA256,
            Algorithm::Ecdsa(Digest::Sha256),
        )
    }

    pub(crate) fn ed25519() -> Self {
        Self::new(&rcgen::PKCS_ED25519, Algorithm::Ed25519)
    }

    fn new(scheme: &'static rcgen::SignatureAlgorithm, algorithm: Algorithm) -> Self {
        let key = KeyPair::generate_for(scheme).unwrap();
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, "Test CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap().der().to_vec();
        Self {
            issuer: Issuer::from_der(&certificate).unwrap(),
            certificate: Der(certificate),
            key,
            algorithm,
        }
    }

    /// The origin's record of this issuer.
    pub(crate) fn record(&self, id: &IssuerId, names: &[CrlName]) -> origin_api::Issuer {
        origin_api::Issuer {
            id: id.clone(),
            certificate: self.certificate.clone(),
            crls: names
                .iter()
                .map(|name| Crl {
                    name: *name,
                    distribution_point: Some(point(*name)),
                })
                .collect(),
        }
    }

    /// What a CRL made at `made` and valid for ten hours says.
    pub(crate) fn template(&self, name: CrlName, number: u64, made: Timestamp) -> Template {
        Template {
            authority_key_id: self.issuer.subject_key_id().map(<[u8]>::to_vec),
            issuing_distribution_point: matches!(name, CrlName::Shard(_))
                .then(|| IssuingDistributionPoint::from_url(point(name))),
            base_number: (name == CrlName::Delta).then(|| CrlNumber::from(1)),
            ..Template::new(
                self.issuer.subject().clone(),
                self.algorithm.identifier().unwrap(),
                CrlNumber::from(number),
                made.as_unix_time()..made.after(10 * HOUR).as_unix_time(),
            )
        }
    }

    /// A CRL by `template` that revokes `entries` certificates.
    pub(crate) fn sign(&self, template: &Template, entries: u32) -> Vec<u8> {
        self.sign_serials(template, 1..=entries)
    }

    pub(crate) fn sign_serials(
        &self,
        template: &Template,
        serials: impl IntoIterator<Item = u32>,
    ) -> Vec<u8> {
        self.sign_revoked(template, Reason::Unspecified, serials)
    }

    /// A CRL that revokes these certificates for this reason.
    pub(crate) fn sign_revoked(
        &self,
        template: &Template,
        reason: Reason,
        serials: impl IntoIterator<Item = u32>,
    ) -> Vec<u8> {
        let serials: Vec<_> = serials.into_iter().map(u32::to_be_bytes).collect();
        let revocations = serials.iter().map(|serial| Revocation {
            serial: Serial::from_be_bytes(serial),
            date: UnixTime(1_700_000_000),
            reason,
            invalidity_date: None,
        });
        template
            .sign(revocations, |tbs| self.key.sign(tbs))
            .unwrap()
    }

    /// A complete CRL that revokes three certificates.
    pub(crate) fn crl(&self, number: u64, made: Timestamp) -> Vec<u8> {
        self.sign(&self.template(CrlName::Full, number, made), 3)
    }
}

fn point(name: CrlName) -> String {
    format!("http://crl.example.com/{name}.crl")
}
