//! Certificate signing requests (PKCS#10, RFC 2986): who asks shows that the key is theirs.

use der::referenced::OwnedToRef;
use der::{Decode, DecodePem, Encode};
use rsa::Pkcs1v15Sign;
use rsa::signature::Verifier;
use rsa::signature::hazmat::PrehashVerifier;
use sha2::{Digest, Sha256, Sha384, Sha512};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::name::Name;
use x509_cert::request::{CertReq, ExtensionReq};
use x509_cert::spki::SubjectPublicKeyInfoOwned;

use super::certificate::{CertificateError, is_pem};

/// What is taken from a request: the name, the key and the DNS names; the issuer decides the rest.
#[derive(Clone, Debug)]
pub struct Request {
    /// The name asked for.
    pub subject: Name,
    /// The key to be certified.
    pub public_key: SubjectPublicKeyInfoOwned,
    /// The DNS names asked for.
    pub dns_names: Vec<String>,
}

impl Request {
    /// Reads a request, in PEM or DER, and verifies that it is signed with the key that it names.
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
        verify(&request).ok_or(CertificateError::RequestSignature)?;
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

/// `None` if the signature is wrong, or made in a way that is not supported.
fn verify(request: &CertReq) -> Option<()> {
    use der::oid::db::rfc5912 as oids;
    let message = request.info.to_der().ok()?;
    let signature = request.signature.raw_bytes();
    let key = || request.info.public_key.owned_to_ref();
    let rsa = |scheme, hash: &[u8]| {
        rsa::PublicKey::try_from(key())
            .ok()?
            .verify(scheme, hash, signature)
            .ok()
    };
    match request.algorithm.oid {
        oids::SHA_256_WITH_RSA_ENCRYPTION => {
            rsa(Pkcs1v15Sign::new::<Sha256>(), &Sha256::digest(&message))
        }
        oids::SHA_384_WITH_RSA_ENCRYPTION => {
            rsa(Pkcs1v15Sign::new::<Sha384>(), &Sha384::digest(&message))
        }
        oids::SHA_512_WITH_RSA_ENCRYPTION => {
            rsa(Pkcs1v15Sign::new::<Sha512>(), &Sha512::digest(&message))
        }
        oids::ECDSA_WITH_SHA_256 => verify_ecdsa(request, &Sha256::digest(&message)),
        oids::ECDSA_WITH_SHA_384 => verify_ecdsa(request, &Sha384::digest(&message)),
        oids::ECDSA_WITH_SHA_512 => verify_ecdsa(request, &Sha512::digest(&message)),
        der::oid::db::rfc8410::ID_ED_25519 => {
            let key = ed25519_dalek::VerifyingKey::try_from(key()).ok()?;
            key.verify(
                &message,
                &ed25519_dalek::Signature::from_slice(signature).ok()?,
            )
            .ok()
        }
        _ => None,
    }
}

/// On whichever curve the key is: any hash may go with any curve.
fn verify_ecdsa(request: &CertReq, hash: &[u8]) -> Option<()> {
    let signature = request.signature.raw_bytes();
    let key = || request.info.public_key.owned_to_ref();
    if let Ok(key) = p256::ecdsa::VerifyingKey::try_from(key()) {
        return key
            .verify_prehash(hash, &p256::ecdsa::Signature::from_der(signature).ok()?)
            .ok();
    }
    let key = p384::ecdsa::VerifyingKey::try_from(key()).ok()?;
    key.verify_prehash(hash, &p384::ecdsa::Signature::from_der(signature).ok()?)
        .ok()
}
