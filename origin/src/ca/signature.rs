//! Verifies signatures of requests and certificates.

use der::oid::db::{rfc5912, rfc8410};
use der::referenced::OwnedToRef;
use rsa::Pkcs1v15Sign;
use rsa::signature::Verifier;
use rsa::signature::hazmat::PrehashVerifier;
use sha2::{Digest, Sha256, Sha384, Sha512};
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};

/// Whether the signature verifies: RSA PKCS#1 v1.5, ECDSA on P-256 or P-384 with SHA-256, SHA-384
/// or SHA-512, or Ed25519. Other algorithms do not.
pub(super) fn verifies(
    key: &SubjectPublicKeyInfoOwned,
    algorithm: &AlgorithmIdentifierOwned,
    message: &[u8],
    signature: &[u8],
) -> bool {
    let rsa = |scheme, hash: &[u8]| {
        rsa::PublicKey::try_from(key.owned_to_ref())
            .is_ok_and(|key| key.verify(scheme, hash, signature).is_ok())
    };
    match algorithm.oid {
        rfc5912::SHA_256_WITH_RSA_ENCRYPTION => {
            rsa(Pkcs1v15Sign::new::<Sha256>(), &Sha256::digest(message))
        }
        rfc5912::SHA_384_WITH_RSA_ENCRYPTION => {
            rsa(Pkcs1v15Sign::new::<Sha384>(), &Sha384::digest(message))
        }
        rfc5912::SHA_512_WITH_RSA_ENCRYPTION => {
            rsa(Pkcs1v15Sign::new::<Sha512>(), &Sha512::digest(message))
        }
        rfc5912::ECDSA_WITH_SHA_256 => ecdsa_verifies(key, &Sha256::digest(message), signature),
        rfc5912::ECDSA_WITH_SHA_384 => ecdsa_verifies(key, &Sha384::digest(message), signature),
        rfc5912::ECDSA_WITH_SHA_512 => ecdsa_verifies(key, &Sha512::digest(message), signature),
        rfc8410::ID_ED_25519 => ed25519_verifies(key, message, signature).is_some(),
        _ => false,
    }
}

/// Any hash may be used with either curve.
fn ecdsa_verifies(key: &SubjectPublicKeyInfoOwned, hash: &[u8], signature: &[u8]) -> bool {
    if let Ok(key) = p256::ecdsa::VerifyingKey::try_from(key.owned_to_ref()) {
        return p256::ecdsa::Signature::from_der(signature)
            .is_ok_and(|signature| key.verify_prehash(hash, &signature).is_ok());
    }
    let Ok(key) = p384::ecdsa::VerifyingKey::try_from(key.owned_to_ref()) else {
        return false;
    };
    p384::ecdsa::Signature::from_der(signature)
        .is_ok_and(|signature| key.verify_prehash(hash, &signature).is_ok())
}

fn ed25519_verifies(
    key: &SubjectPublicKeyInfoOwned,
    message: &[u8],
    signature: &[u8],
) -> Option<()> {
    let key = ed25519_dalek::VerifyingKey::try_from(key.owned_to_ref()).ok()?;
    let signature = ed25519_dalek::Signature::from_slice(signature).ok()?;
    key.verify(message, &signature).ok()
}
