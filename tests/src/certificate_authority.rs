//! An authority made for tests, with x509-cert: it signs right CRLs, and wrong ones of any kind.
//! None of this project's own writer is in here, so that reader and writer cannot be wrong together.

use std::{
    str::FromStr,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use der::{
    Encode,
    asn1::{BitString, Ia5String, UtcTime},
    oid::{AssociatedOid, ObjectIdentifier, db::rfc5280::ID_CE_ISSUING_DISTRIBUTION_POINT},
    referenced::OwnedToRef,
};
use p256::ecdsa::{DerSignature, SigningKey, signature::Signer};
use sha2::{Digest, Sha256};
use x509_cert::{
    Certificate, Version,
    builder::{Builder, CertificateBuilder, profile::cabf::Root},
    crl::{CertificateList, RevokedCert, TbsCertList},
    ext::{
        Criticality, Extension, ToExtension,
        pkix::{
            AuthorityKeyIdentifier, CrlNumber, CrlReason, IssuingDistributionPoint,
            name::{DistributionPointName, GeneralName},
        },
    },
    name::Name,
    serial_number::SerialNumber,
    spki::{DynSignatureAlgorithmIdentifier, SubjectPublicKeyInfo},
    time::{Time, Validity},
};

/// An issuer's name and P-256 key, the same for the same id and generation.
#[derive(Clone)]
pub struct CertificateAuthority {
    id: String,
    key: SigningKey,
    certificate: Certificate,
}

impl CertificateAuthority {
    /// The authority that tests know as `id`.
    #[must_use]
    pub fn new(id: &str) -> Self {
        Self::with_key(id, id)
    }

    /// The same id and name with another key, as after a compromise.
    #[must_use]
    pub fn rekeyed(&self) -> Self {
        Self::with_key(&self.id, &format!("{} again", self.id))
    }

    fn with_key(id: &str, seed: &str) -> Self {
        let key = SigningKey::from_slice(&Sha256::digest(seed))
            .expect("a hash is a key, but for the most unlucky");
        let name = Name::from_str(&format!("CN={id},O=Tests,C=DE")).expect("a name");
        let public = SubjectPublicKeyInfo::from_key(key.verifying_key()).expect("a public key");
        let day = Duration::from_hours(24);
        let validity = Validity::new(
            time(SystemTime::now() - day),
            time(SystemTime::now() + 365 * day),
        );
        let profile = Root::new(false, name).expect("a root's profile");
        let certificate =
            CertificateBuilder::new(profile, SerialNumber::from(1_u32), validity, public)
                .and_then(|builder| builder.build::<_, DerSignature>(&key))
                .expect("a certificate");
        Self {
            id: id.to_owned(),
            key,
            certificate,
        }
    }

    /// The id under which an origin registers it.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its certificate, in DER.
    #[must_use]
    pub fn certificate(&self) -> Vec<u8> {
        self.certificate.to_der().expect("a certificate encodes")
    }

    /// An empty CRL with this number, made a minute ago and valid for an hour, in DER.
    #[must_use]
    pub fn crl(&self, number: u64) -> Vec<u8> {
        self.crl_with(number, |_| ())
    }

    /// The same, changed before it is signed.
    #[must_use]
    pub fn crl_with(&self, number: u64, change: impl FnOnce(&mut TbsCertList)) -> Vec<u8> {
        let mut tbs = self.tbs(number);
        change(&mut tbs);
        self.sign(tbs).to_der().expect("a CRL encodes")
    }

    /// The same, changed after it was signed.
    #[must_use]
    pub fn forged_crl(&self, number: u64, change: impl FnOnce(&mut CertificateList)) -> Vec<u8> {
        let mut crl = self.sign(self.tbs(number));
        change(&mut crl);
        crl.to_der().expect("a CRL encodes")
    }

    fn tbs(&self, number: u64) -> TbsCertList {
        let now = SystemTime::now();
        let subject = self.certificate.tbs_certificate().subject().clone();
        let key = self.certificate.tbs_certificate().subject_public_key_info();
        let authority =
            AuthorityKeyIdentifier::try_from(key.owned_to_ref()).expect("a key identifier");
        TbsCertList {
            version: Version::V2,
            signature: self
                .key
                .signature_algorithm_identifier()
                .expect("ECDSA with SHA-256"),
            issuer: subject,
            this_update: time(now - Duration::from_mins(1)),
            next_update: Some(time(now + Duration::from_hours(1))),
            revoked_certificates: None,
            crl_extensions: Some(vec![
                extension(&authority),
                extension(&CrlNumber::try_from(number).expect("a CRL number")),
            ]),
        }
    }

    fn sign(&self, tbs: TbsCertList) -> CertificateList {
        let signature: DerSignature = self.key.sign(&tbs.to_der().expect("a CRL encodes"));
        CertificateList {
            signature_algorithm: tbs.signature.clone(),
            signature: BitString::from_bytes(signature.as_bytes()).expect("a signature"),
            tbs_cert_list: tbs,
        }
    }
}

/// Revoked entries with serial numbers from 1 to `count` and a reason: 49 bytes each, as in the field.
#[must_use]
pub fn revoked(count: u32) -> Vec<RevokedCert> {
    let revocation_date = time(SystemTime::now() - Duration::from_hours(1));
    let reason = extension(&CrlReason::Superseded);
    (1..=count)
        .map(|serial| {
            // As long as serial numbers are in the field: 16 octets.
            let mut octets = [0x5a; 16];
            octets[12..].copy_from_slice(&serial.to_be_bytes());
            RevokedCert {
                serial_number: SerialNumber::new(&octets).expect("a serial number"),
                revocation_date,
                crl_entry_extensions: Some(vec![reason.clone()]),
            }
        })
        .collect()
}

/// A moment as CRLs of this half-century say it, in whole seconds.
#[must_use]
pub fn time(moment: SystemTime) -> Time {
    let since_epoch = moment.duration_since(UNIX_EPOCH).expect("after 1970");
    let seconds = Duration::from_secs(since_epoch.as_secs());
    UtcTime::from_unix_duration(seconds)
        .expect("before 2050")
        .into()
}

/// An extension, as critical as its kind is.
pub fn extension<T: Criticality + AssociatedOid + Encode>(value: &T) -> Extension {
    value
        .to_extension(&Name::default(), &[])
        .expect("an extension encodes")
}

/// The critical extension that says at which URL a CRL is the one to ask.
#[must_use]
pub fn issuing_distribution_point(url: &str) -> Extension {
    let name = GeneralName::UniformResourceIdentifier(Ia5String::new(url).expect("an ASCII URL"));
    let point = IssuingDistributionPoint {
        distribution_point: Some(DistributionPointName::FullName(vec![name])),
        only_contains_user_certs: false,
        only_contains_ca_certs: false,
        only_some_reasons: None,
        indirect_crl: false,
        only_contains_attribute_certs: false,
    };
    Extension {
        // x509-cert 0.3.0 has another extension's identifier for it.
        extn_id: ID_CE_ISSUING_DISTRIBUTION_POINT,
        ..extension(&point)
    }
}

/// Replaces the extensions of a CRL by those that `keep` wants, and adds more.
pub fn change_extensions(
    tbs: &mut TbsCertList,
    keep: impl Fn(ObjectIdentifier) -> bool,
    more: impl IntoIterator<Item = Extension>,
) {
    let mut extensions = tbs.crl_extensions.take().unwrap_or_default();
    extensions.retain(|extension| keep(extension.extn_id));
    extensions.extend(more);
    tbs.crl_extensions = Some(extensions);
}
