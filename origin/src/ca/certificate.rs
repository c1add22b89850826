//! Certificates: an issuer's own, and those that it issues (RFC 5280, section 4).

use std::str::FromStr;
use std::time::Duration;

use crl::UnixTime;
use der::asn1::{Ia5String, OctetString};
use der::referenced::OwnedToRef;
use der::{DateTime, Decode, DecodePem, Encode};
use x509_cert::Certificate;
use x509_cert::builder::profile::BuilderProfile;
use x509_cert::builder::{self, Builder, CertificateBuilder};
use x509_cert::certificate::TbsCertificate;
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::crl::CrlDistributionPoints;
use x509_cert::ext::pkix::crl::dp::DistributionPoint;
use x509_cert::ext::pkix::name::{DistributionPointName, GeneralName};
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, KeyUsages,
    SubjectAltName, SubjectKeyIdentifier,
};
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::{SubjectPublicKeyInfoOwned, SubjectPublicKeyInfoRef};
use x509_cert::time::{Time, Validity};

use super::builder::{BuilderKey, Signature};
use super::key::{KeyError, PrivateKey};
use super::serial::{Serial, SerialError};
use super::signature::verifies;
use crate::random::{NoRandomness, RandomSource};

/// Why a certificate cannot be read or made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// Not a certificate in DER or PEM.
    #[error("not an X.509 certificate, in DER or PEM: {0}")]
    Malformed(der::Error),
    /// Not a distinguished name in the form of RFC 4514.
    #[error("not a distinguished name such as \"CN=Example CA,O=Example,C=DE\": {0}")]
    Subject(der::Error),
    /// Not a DNS name.
    #[error("{0:?} is not a DNS name in ASCII")]
    DnsName(String),
    /// A distribution point that is not ASCII.
    #[error("{0:?} is not a URL in ASCII")]
    Url(String),
    /// Not a certificate signing request.
    #[error("not a certificate signing request (PKCS#10), in DER or PEM: {0}")]
    Request(der::Error),
    /// The request's signature does not verify with the request's public key.
    #[error("the request's signature does not verify with its own public key")]
    RequestSignature,
    /// A validity that X.509 cannot express.
    #[error("a validity must end after it begins, and before the year 10000")]
    Validity,
    /// The certificate's serial number is not acceptable.
    #[error("the certificate's serial number: {0}")]
    Serial(#[from] SerialError),
    /// There is no randomness for the serial number.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
    /// An edge cannot verify CRLs with the certificate's key.
    #[error("the certificate cannot verify CRLs: {0}")]
    Verifier(#[from] crl::IssuerError),
    /// The certificate's key usage lacks cRLSign.
    #[error(
        "the certificate's key usage does not allow to sign CRLs (RFC 5280, section 4.2.1.3): \
         give the certificate of the key that signs them, or have it issued anew with cRLSign"
    )]
    NoCrlSign,
    /// The key failed.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The certificate could not be encoded.
    #[error("cannot build the certificate: {0}")]
    Build(builder::Error),
}

impl From<builder::Error> for CertificateError {
    fn from(error: builder::Error) -> Self {
        Self::Build(error)
    }
}

impl From<der::Error> for CertificateError {
    fn from(error: der::Error) -> Self {
        Self::Build(builder::Error::Asn1(error))
    }
}

/// Makes a self-signed certificate that may sign certificates and CRLs.
///
/// # Errors
/// [`CertificateError`]: an impossible validity, or a failing key.
pub fn self_sign(
    key: &PrivateKey,
    subject: &Name,
    not_before: UnixTime,
    validity: Duration,
    random: &dyn RandomSource,
) -> Result<Certificate, CertificateError> {
    let profile = Names {
        issuer: subject.clone(),
        subject: subject.clone(),
    };
    let public = key.public_key()?;
    let mut builder = new_builder(profile, not_before, validity, &public, random)?;
    let own_id = key_identifier(&public)?;
    add_authority_extensions(&mut builder, &own_id)?;
    Ok(builder.build::<_, Signature>(&BuilderKey::new(key)?)?)
}

/// Makes the certificate of a subordinate CA, signed with the issuer's `key`. It has no DNS names.
///
/// # Errors
/// [`CertificateError`]: an impossible validity, or a failing key.
pub fn sign_authority(
    issuer: &Certificate,
    key: &PrivateKey,
    authority: &Certified,
    random: &dyn RandomSource,
) -> Result<Certificate, CertificateError> {
    let names = Names {
        issuer: issuer.tbs_certificate().subject().clone(),
        subject: authority.subject.clone(),
    };
    let public = &authority.public_key;
    let (not_before, validity) = (authority.not_before, authority.validity);
    let mut builder = new_builder(names, not_before, validity, public, random)?;
    add_authority_extensions(&mut builder, &key_identifier(public)?)?;
    add_issuer_extensions(&mut builder, issuer, &authority.distribution_points)?;
    Ok(builder.build::<_, Signature>(&BuilderKey::new(key)?)?)
}

/// What an issuer certifies.
#[derive(Clone, Debug)]
pub struct Certified {
    /// Its subject.
    pub subject: Name,
    /// Its public key.
    pub public_key: SubjectPublicKeyInfoOwned,
    /// Its DNS names.
    pub dns_names: Vec<String>,
    /// The URLs of the CRL on which its revocation would be listed.
    pub distribution_points: Vec<String>,
    /// When it begins.
    pub not_before: UnixTime,
    /// How long it lasts.
    pub validity: Duration,
}

/// Issues a certificate for TLS servers and clients.
///
/// # Errors
/// [`CertificateError`]: names that are not ASCII, an impossible validity, or a failing key.
pub fn issue(
    issuer: &Certificate,
    key: &PrivateKey,
    leaf: &Certified,
    random: &dyn RandomSource,
) -> Result<Certificate, CertificateError> {
    let names = Names {
        issuer: issuer.tbs_certificate().subject().clone(),
        subject: leaf.subject.clone(),
    };
    let mut builder = new_builder(
        names,
        leaf.not_before,
        leaf.validity,
        &leaf.public_key,
        random,
    )?;
    builder.add_extension(&BasicConstraints {
        ca: false,
        path_len_constraint: None,
    })?;
    builder.add_extension(&KeyUsage(KeyUsages::DigitalSignature.into()))?;
    builder.add_extension(&ExtendedKeyUsage(vec![
        der::oid::db::rfc5280::ID_KP_SERVER_AUTH,
        der::oid::db::rfc5280::ID_KP_CLIENT_AUTH,
    ]))?;
    builder.add_extension(&key_identifier(&leaf.public_key)?)?;
    if !leaf.dns_names.is_empty() {
        let names = leaf
            .dns_names
            .iter()
            .map(|name| dns_name(name))
            .collect::<Result<_, _>>()?;
        builder.add_extension(&SubjectAltName(names))?;
    }
    add_issuer_extensions(&mut builder, issuer, &leaf.distribution_points)?;
    Ok(builder.build::<_, Signature>(&BuilderKey::new(key)?)?)
}

/// Reads a distinguished name from its text form (RFC 4514): `CN=Example CA,O=Example,C=DE`.
///
/// # Errors
/// [`CertificateError::Subject`].
pub fn parse_subject(text: &str) -> Result<Name, CertificateError> {
    Name::from_str(text).map_err(CertificateError::Subject)
}

/// Reads one certificate, in PEM or DER.
///
/// # Errors
/// [`CertificateError::Malformed`].
pub fn certificate_from_pem_or_der(bytes: &[u8]) -> Result<Certificate, CertificateError> {
    if is_pem(bytes) {
        Certificate::from_pem(bytes)
    } else {
        Certificate::from_der(bytes)
    }
    .map_err(CertificateError::Malformed)
}

/// Reads one certificate in DER, or any number in PEM.
///
/// # Errors
/// [`CertificateError::Malformed`].
pub fn certificates_from_pem_or_der(bytes: &[u8]) -> Result<Vec<Certificate>, CertificateError> {
    if is_pem(bytes) {
        Certificate::load_pem_chain(bytes)
    } else {
        Certificate::from_der(bytes).map(|certificate| vec![certificate])
    }
    .map_err(CertificateError::Malformed)
}

/// Checks that an edge can verify CRLs with this certificate (DER).
///
/// # Errors
/// [`CertificateError::Verifier`], [`CertificateError::NoCrlSign`].
pub fn check_verifier(certificate: &[u8]) -> Result<(), CertificateError> {
    if crl::Issuer::from_der(certificate)?.may_sign_crls() {
        Ok(())
    } else {
        Err(CertificateError::NoCrlSign)
    }
}

/// Whether the certificate names the issuer and its signature verifies with the issuer's key.
#[must_use]
pub fn is_issued_by(certificate: &Certificate, issuer: &Certificate) -> bool {
    let (tbs, parent) = (certificate.tbs_certificate(), issuer.tbs_certificate());
    let Ok(message) = tbs.to_der() else {
        return false;
    };
    tbs.issuer() == parent.subject()
        && verifies(
            parent.subject_public_key_info(),
            certificate.signature_algorithm(),
            &message,
            certificate.signature().raw_bytes(),
        )
}

/// When a certificate expires.
#[must_use]
pub fn not_after(certificate: &Certificate) -> UnixTime {
    let not_after = certificate.tbs_certificate().validity().not_after;
    UnixTime(not_after.to_unix_duration().as_secs().cast_signed())
}

/// The URLs of a certificate's CRL distribution points (RFC 5280, section 4.2.1.13).
#[must_use]
pub fn distribution_points(certificate: &Certificate) -> Vec<String> {
    let extension = certificate
        .tbs_certificate()
        .get_extension::<CrlDistributionPoints>();
    let Ok(Some((_, CrlDistributionPoints(points)))) = extension else {
        return Vec::new();
    };
    let names = points
        .into_iter()
        .filter_map(|point| match point.distribution_point? {
            DistributionPointName::FullName(names) => Some(names),
            DistributionPointName::NameRelativeToCRLIssuer(_) => None,
        });
    names
        .flatten()
        .filter_map(|name| match name {
            GeneralName::UniformResourceIdentifier(url) => Some(url.to_string()),
            _ => None,
        })
        .collect()
}

/// The authority key identifier of what an issuer signs: the issuer's subject key identifier
/// (RFC 5280, section 4.2.1.1).
///
/// # Errors
/// If the certificate's public key cannot be encoded.
pub fn authority_key_id(issuer: &Certificate) -> Result<Vec<u8>, CertificateError> {
    let tbs = issuer.tbs_certificate();
    let own = tbs.get_extension::<SubjectKeyIdentifier>().ok().flatten();
    let id = match own {
        Some((_, id)) => id,
        None => key_identifier(tbs.subject_public_key_info())?,
    };
    Ok(id.0.into_bytes().into())
}

pub(super) fn is_pem(bytes: &[u8]) -> bool {
    // DER of a certificate or a request starts with the tag of a SEQUENCE.
    bytes.first() != Some(&0x30)
}

fn new_builder(
    names: Names,
    not_before: UnixTime,
    validity: Duration,
    public_key: &SubjectPublicKeyInfoOwned,
    random: &dyn RandomSource,
) -> Result<CertificateBuilder<Names>, CertificateError> {
    let not_after = not_before
        .checked_add(validity)
        .filter(|not_after| *not_after > not_before)
        .ok_or(CertificateError::Validity)?;
    let serial = SerialNumber::new(Serial::random(random)?.as_bytes())?;
    Ok(CertificateBuilder::new(
        names,
        serial,
        Validity::new(time(not_before)?, time(not_after)?),
        public_key.clone(),
    )?)
}

fn time(at: UnixTime) -> Result<Time, CertificateError> {
    let since_1970 = u64::try_from(at.0).map_err(|_| CertificateError::Validity)?;
    let date = DateTime::from_unix_duration(Duration::from_secs(since_1970))
        .map_err(|_| CertificateError::Validity)?;
    Ok(Time::from(date))
}

fn add_authority_extensions(
    builder: &mut CertificateBuilder<Names>,
    own_id: &SubjectKeyIdentifier,
) -> Result<(), CertificateError> {
    builder.add_extension(&BasicConstraints {
        ca: true,
        path_len_constraint: None,
    })?;
    builder.add_extension(&KeyUsage(KeyUsages::KeyCertSign | KeyUsages::CRLSign))?;
    builder.add_extension(own_id)?;
    Ok(())
}

fn add_issuer_extensions(
    builder: &mut CertificateBuilder<Names>,
    issuer: &Certificate,
    distribution_points: &[String],
) -> Result<(), CertificateError> {
    let key_identifier = Some(OctetString::new(authority_key_id(issuer)?)?);
    builder.add_extension(&AuthorityKeyIdentifier {
        key_identifier,
        ..AuthorityKeyIdentifier::default()
    })?;
    if !distribution_points.is_empty() {
        let points = distribution_points
            .iter()
            .map(|url| distribution_point(url))
            .collect::<Result<_, _>>()?;
        builder.add_extension(&CrlDistributionPoints(points))?;
    }
    Ok(())
}

fn key_identifier(
    public_key: &SubjectPublicKeyInfoOwned,
) -> Result<SubjectKeyIdentifier, CertificateError> {
    Ok(SubjectKeyIdentifier::try_from(public_key.owned_to_ref())?)
}

fn dns_name(name: &str) -> Result<GeneralName, CertificateError> {
    Ia5String::new(name)
        .map(GeneralName::DnsName)
        .map_err(|_| CertificateError::DnsName(name.to_owned()))
}

fn distribution_point(url: &str) -> Result<DistributionPoint, CertificateError> {
    let uri = Ia5String::new(url).map_err(|_| CertificateError::Url(url.to_owned()))?;
    let names = vec![GeneralName::UniformResourceIdentifier(uri)];
    Ok(DistributionPoint {
        distribution_point: Some(DistributionPointName::FullName(names)),
        reasons: None,
        crl_issuer: None,
    })
}

/// A builder profile that adds no extensions; the functions above add them explicitly.
struct Names {
    issuer: Name,
    subject: Name,
}

impl BuilderProfile for Names {
    fn get_issuer(&self, _: &Name) -> Name {
        self.issuer.clone()
    }

    fn get_subject(&self) -> Name {
        self.subject.clone()
    }

    fn build_extensions(
        &self,
        _: SubjectPublicKeyInfoRef<'_>,
        _: SubjectPublicKeyInfoRef<'_>,
        _: &TbsCertificate,
    ) -> builder::Result<Vec<Extension>> {
        Ok(Vec::new())
    }
}
