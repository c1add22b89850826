//! Certificate signing requests (PKCS#10, RFC 2986). The signature proves possession of the key.

use der::{Decode, DecodePem, Encode};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::name::Name;
use x509_cert::request::{CertReq, ExtensionReq};
use x509_cert::spki::SubjectPublicKeyInfoOwned;

use super::certificate::{CertificateError, is_pem};
use super::signature::verifies;

/// What a certificate takes from a request: name, key and DNS names. The issuer decides the rest.
#[derive(Clone, Debug)]
pub struct Request {
    /// The requested name.
    pub subject: Name,
    /// The key to certify.
    pub public_key: SubjectPublicKeyInfoOwned,
    /// The requested DNS names.
    pub dns_names: Vec<String>,
}

impl Request {
    /// Reads a request in PEM or DER, and verifies its signature with its own public key.
    ///
    /// # Errors
    /// [`CertificateError::Request`], [`CertificateError::RequestSignature`].
    pub fn from_pem_or_der(bytes: &[u8]) -> Result<Self, CertificateError> {
        let request = if is_pem(bytes) {
            CertReq::from_pem(bytes)
        } else {
            CertReq::from_der(bytes)
        }
        .map_err(CertificateError::Request)?;
        let message = request.info.to_der().map_err(CertificateError::Request)?;
        let (key, signature) = (&request.info.public_key, request.signature.raw_bytes());
        if !verifies(key, &request.algorithm, &message, signature) {
            return Err(CertificateError::RequestSignature);
        }
        let dns_names = dns_names(&request);
        Ok(Self {
            subject: request.info.subject,
            public_key: request.info.public_key,
            dns_names,
        })
    }
}

fn dns_names(request: &CertReq) -> Vec<String> {
    request
        .info
        .attributes
        .iter()
        .filter(|attribute| attribute.oid == der::oid::db::rfc5912::ID_EXTENSION_REQ)
        .flat_map(|attribute| attribute.values.iter())
        .filter_map(|value| value.decode_as::<ExtensionReq>().ok())
        .flat_map(|extensions| extensions.0)
        .filter(|extension| extension.extn_id == der::oid::db::rfc5280::ID_CE_SUBJECT_ALT_NAME)
        .filter_map(|extension| SubjectAltName::from_der(extension.extn_value.as_bytes()).ok())
        .flat_map(|names| names.0)
        .filter_map(|name| match name {
            GeneralName::DnsName(name) => Some(name.to_string()),
            _ => None,
        })
        .collect()
}
