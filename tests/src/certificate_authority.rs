//! A CA for tests, built on x509-cert, that signs correct CRLs and any kind of incorrect one.
//! It does not use this project's writer, so that reader and writer cannot be wrong together.

use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use der::asn1::{Any, BitString, GeneralizedTime, Ia5String, UtcTime};
use der::oid::db::rfc5280::ID_CE_ISSUING_DISTRIBUTION_POINT;
use der::oid::{AssociatedOid, ObjectIdentifier};
use der::referenced::OwnedToRef;
use der::{Decode, Encode, Sequence, Tag};
use origin_api::{Crl, Der, Issuer};
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{DerSignature, Signature, SigningKey};
use sha2::{Digest, Sha256};
use x509_cert::builder::profile::cabf::Root;
use x509_cert::builder::{Builder, CertificateBuilder};
use x509_cert::crl::{CertificateList, RevokedCert, TbsCertList};
use x509_cert::ext::pkix::name::{DistributionPointName, GeneralName};
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, CrlNumber, CrlReason, IssuingDistributionPoint,
};
use x509_cert::ext::{Criticality, Extension, Extensions, ToExtension};
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::{
    AlgorithmIdentifierOwned, DynSignatureAlgorithmIdentifier, SubjectPublicKeyInfo,
};
use x509_cert::time::{Time, Validity};
use x509_cert::{Certificate, Version};

/// An issuer's name and P-256 key, the same for the same id and generation.
#[derive(Clone)]
pub struct CertificateAuthority {
    id: String,
    key: SigningKey,
    certificate: Certificate,
}

impl CertificateAuthority {
    /// The CA named `id`. The key is derived from the id.
    #[must_use]
    pub fn new(id: &str) -> Self {
        Self::with_key(id, id)
    }

    /// A CA with the same id and name but another key, as after a compromise.
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

    /// The issuer id that an origin registers it under.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The CA's certificate, in DER.
    #[must_use]
    pub fn certificate(&self) -> Vec<u8> {
        self.certificate.to_der().expect("a certificate encodes")
    }

    /// An empty CRL with this number, in DER; issued a minute ago and valid for an hour.
    #[must_use]
    pub fn crl(&self, number: u64) -> Vec<u8> {
        self.crl_with(number, |_| ())
    }

    /// [`Self::crl`], changed before it is signed.
    #[must_use]
    pub fn crl_with(&self, number: u64, change: impl FnOnce(&mut TbsCertList)) -> Vec<u8> {
        let mut tbs = self.tbs(number);
        change(&mut tbs);
        self.sign(tbs).to_der().expect("a CRL encodes")
    }

    /// [`Self::crl_with`], for the distribution point that [`Self::record`] gives a CRL of this
    /// name.
    #[must_use]
    pub fn scoped_crl(
        &self,
        name: &str,
        number: u64,
        change: impl FnOnce(&mut TbsCertList),
    ) -> Vec<u8> {
        self.crl_with(number, |tbs| {
            let scope = issuing_distribution_point(&self.distribution_point(name));
            change_extensions(tbs, |_| true, [scope]);
            change(tbs);
        })
    }

    /// What an origin lists of the CA, with CRLs of these names and their distribution points.
    #[must_use]
    pub fn record<N: AsRef<str>>(&self, names: &[N]) -> Issuer {
        let crls = names.iter().map(|name| Crl {
            name: name.as_ref().parse().expect("a CRL name"),
            distribution_point: Some(self.distribution_point(name.as_ref())),
        });
        Issuer {
            id: self.id.parse().expect("an issuer id"),
            certificate: Der(self.certificate()),
            crls: crls.collect(),
        }
    }

    fn distribution_point(&self, name: &str) -> String {
        format!("http://crl.example.com/{}/{name}.crl", self.id)
    }

    /// A CRL with the entries of [`revoked`], whatever their number: encoding each by x509-cert
    /// would take a minute for half a million, without optimisation.
    #[must_use]
    pub fn crl_of(&self, number: u64, count: u32) -> Vec<u8> {
        let entry = revoked(1).to_der().expect("an entry encodes");
        let entry = Any::from_der(&entry).expect("a list of one");
        let entry = entry.value();
        let serial = entry
            .windows(SERIAL_PREFIX.len())
            .position(|octets| octets == SERIAL_PREFIX)
            .expect("its serial number")
            + SERIAL_PREFIX.len();
        let mut entries = entry.repeat(count as usize);
        for (entry, number) in entries.chunks_exact_mut(entry.len()).zip(1..=count) {
            entry[serial..serial + 4].copy_from_slice(&number.to_be_bytes());
        }
        let tbs = self.tbs(number);
        let tbs = EncodedEntries {
            version: tbs.version,
            signature: tbs.signature,
            issuer: tbs.issuer,
            this_update: tbs.this_update,
            next_update: tbs.next_update,
            revoked_certificates: Any::new(Tag::Sequence, entries).expect("a list"),
            crl_extensions: tbs.crl_extensions,
        };
        let encoded = tbs.to_der().expect("a CRL encodes");
        let signed = [
            &encoded[..],
            &tbs.signature.to_der().expect("an algorithm encodes"),
            &self
                .signature(&encoded)
                .to_der()
                .expect("a signature encodes"),
        ];
        let crl = Any::new(Tag::Sequence, signed.concat()).expect("a CRL");
        crl.to_der().expect("a CRL encodes")
    }

    /// [`Self::crl`], changed after it was signed.
    #[must_use]
    pub fn forged_crl(&self, number: u64, change: impl FnOnce(&mut CertificateList)) -> Vec<u8> {
        let mut crl = self.sign(self.tbs(number));
        change(&mut crl);
        crl.to_der().expect("a CRL encodes")
    }

    /// A CRL of this CA with another valid signature over the same contents: of an ECDSA signature
    /// (r, s), (r, -s) is one, too.
    #[must_use]
    pub fn signed_again(crl: &[u8]) -> Vec<u8> {
        let mut crl: CertificateList = CertificateList::from_der(crl).expect("a CRL");
        let signature = DerSignature::try_from(crl.signature.raw_bytes()).expect("a signature");
        let signature = Signature::try_from(signature).expect("a signature");
        let (r, s) = signature.split_scalars();
        let other = Signature::from_scalars(r, -s)
            .expect("a signature")
            .to_der();
        crl.signature = BitString::from_bytes(other.as_bytes()).expect("a signature");
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
        CertificateList {
            signature_algorithm: tbs.signature.clone(),
            signature: self.signature(&tbs.to_der().expect("a CRL encodes")),
            tbs_cert_list: tbs,
        }
    }

    fn signature(&self, tbs: &[u8]) -> BitString {
        let signature: DerSignature = self.key.sign(tbs);
        BitString::from_bytes(signature.as_bytes()).expect("a signature")
    }
}

/// A `TBSCertList` with entries that are encoded already (RFC 5280, section 5.1).
#[derive(Sequence)]
struct EncodedEntries {
    version: Version,
    signature: AlgorithmIdentifierOwned,
    issuer: Name,
    this_update: Time,
    next_update: Option<Time>,
    revoked_certificates: Any,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    crl_extensions: Option<Extensions>,
}

/// How the serial numbers of [`revoked`] start; 4 octets follow. 16 octets, as public CAs use.
const SERIAL_PREFIX: [u8; 12] = [0x5a; 12];

/// Entries with serial numbers 1 to `count` and a reason code, 49 bytes each.
#[must_use]
pub fn revoked(count: u32) -> Vec<RevokedCert> {
    let revocation_date = time(SystemTime::now() - Duration::from_hours(1));
    let reason = extension(&CrlReason::Superseded);
    (1..=count)
        .map(|serial| {
            let octets = [&SERIAL_PREFIX[..], &serial.to_be_bytes()].concat();
            RevokedCert {
                serial_number: SerialNumber::new(&octets).expect("a serial number"),
                revocation_date,
                crl_entry_extensions: Some(vec![reason.clone()]),
            }
        })
        .collect()
}

/// A time in whole seconds: UTCTime until 2049, GeneralizedTime from then on (RFC 5280, section
/// 5.1.2.4).
#[must_use]
pub fn time(moment: SystemTime) -> Time {
    let since_epoch = moment.duration_since(UNIX_EPOCH).expect("after 1970");
    let seconds = Duration::from_secs(since_epoch.as_secs());
    let general = GeneralizedTime::from_unix_duration(seconds).expect("before 10000");
    UtcTime::from_unix_duration(seconds).map_or(Time::GeneralTime(general), Time::UtcTime)
}

/// An extension with the criticality that x509-cert gives its type.
pub fn extension<T: Criticality + AssociatedOid + Encode>(value: &T) -> Extension {
    value
        .to_extension(&Name::default(), &[])
        .expect("an extension encodes")
}

/// A critical issuing distribution point (RFC 5280, section 5.2.5) with one URL.
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
        // x509-cert 0.3.0 associates this type with another extension's OID.
        extn_id: ID_CE_ISSUING_DISTRIBUTION_POINT,
        ..extension(&point)
    }
}

/// Keeps the extensions for which `keep` returns true, and appends `more`.
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
