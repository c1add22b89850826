//! Private keys: generating, reading, writing, and signing with them.

use std::fmt;

use der::asn1::Any;
use der::pem::LineEnding;
use p256::ecdsa as p256;
use p384::ecdsa as p384;
use pkcs8::{DecodePrivateKey, EncodePrivateKey, SecretDocument};
use rsa::Generate;
use rsa::pkcs1v15::SigningKey as RsaKey;
use rsa::signature::{self, Keypair, MultipartSigner, SignatureEncoding};
use rsa::traits::PublicKeyParts;
use sha2::Sha256;
use x509_cert::spki::{
    AlgorithmIdentifierOwned, DynSignatureAlgorithmIdentifier, SubjectPublicKeyInfoOwned,
};
use zeroize::Zeroizing;

use super::key_kind::{KeyKind, KeyKindError};
use super::pkcs11::{Pkcs11Error, Pkcs11Key};
use crate::random::{NoRandomness, RandomSource, Rng};

/// Why a private key cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// No such kind of key.
    #[error(transparent)]
    UnknownKind(#[from] KeyKindError),
    /// The key could not be generated.
    #[error("cannot generate the key: {0}")]
    Generate(String),
    /// No randomness to generate the key from.
    #[error("cannot generate the key: {0}")]
    Randomness(#[from] NoRandomness),
    /// Neither PKCS#8 nor of a supported algorithm.
    #[error(
        "not a PKCS#8 private key of a supported kind (RSA of 2048, 3072 or 4096 bits, P-256, P-384, Ed25519); `openssl pkcs8 -topk8` makes PKCS#8 of others"
    )]
    Unsupported,
    /// An encoding failed.
    #[error("cannot encode the key: {0}")]
    Encode(String),
    /// The key cannot leave its PKCS#11 token.
    #[error("the key cannot leave its PKCS#11 token")]
    InToken,
    /// A PKCS#11 token failed.
    #[error(transparent)]
    Token(#[from] Pkcs11Error),
    /// Signing failed.
    #[error("cannot sign: {0}")]
    Sign(#[from] signature::Error),
}

/// A private key that signs certificates and CRLs. Dropping it erases it from memory.
pub enum PrivateKey {
    /// RSA, PKCS#1 v1.5, SHA-256.
    Rsa(Box<RsaKey<Sha256>>),
    /// ECDSA, P-256, SHA-256.
    P256(p256::SigningKey),
    /// ECDSA, P-384, SHA-384.
    P384(p384::SigningKey),
    /// Ed25519.
    Ed25519(ed25519_dalek::SigningKey),
    /// In a PKCS#11 token.
    Token(Box<Pkcs11Key>),
}

impl PrivateKey {
    /// Generates a key.
    ///
    /// # Errors
    /// [`KeyError::Randomness`], [`KeyError::Generate`].
    pub fn generate(kind: KeyKind, random: &dyn RandomSource) -> Result<Self, KeyError> {
        let mut rng = Rng(random);
        let rsa = |rng: &mut Rng<'_>, bits| {
            let key = rsa::PrivateKey::new(rng, bits);
            key.map(|key| Self::Rsa(Box::new(RsaKey::new(key))))
                .map_err(|error| KeyError::Generate(error.to_string()))
        };
        Ok(match kind {
            KeyKind::Rsa2048 => rsa(&mut rng, 2048)?,
            KeyKind::Rsa3072 => rsa(&mut rng, 3072)?,
            KeyKind::Rsa4096 => rsa(&mut rng, 4096)?,
            KeyKind::P256 => Self::P256(p256::SigningKey::try_generate_from_rng(&mut rng)?),
            KeyKind::P384 => Self::P384(p384::SigningKey::try_generate_from_rng(&mut rng)?),
            KeyKind::Ed25519 => {
                let mut seed = Zeroizing::new([0_u8; 32]);
                random.fill(seed.as_mut())?;
                Self::Ed25519(ed25519_dalek::SigningKey::from_bytes(&seed))
            }
        })
    }

    /// Reads a key from PKCS#8 DER (RFC 5958).
    ///
    /// # Errors
    /// [`KeyError::Unsupported`] for any other encoding, algorithm or size.
    pub fn from_pkcs8_der(der: &[u8]) -> Result<Self, KeyError> {
        let key = if let Ok(key) = rsa::PrivateKey::from_pkcs8_der(der) {
            Self::Rsa(Box::new(RsaKey::new(key)))
        } else if let Ok(key) = p256::SigningKey::from_pkcs8_der(der) {
            Self::P256(key)
        } else if let Ok(key) = p384::SigningKey::from_pkcs8_der(der) {
            Self::P384(key)
        } else if let Ok(key) = ed25519_dalek::SigningKey::from_pkcs8_der(der) {
            Self::Ed25519(key)
        } else {
            return Err(KeyError::Unsupported);
        };
        key.kind().map(|_| key)
    }

    /// Opens a key in a PKCS#11 token, by its URI (RFC 7512).
    ///
    /// # Errors
    /// [`KeyError::Token`].
    pub fn in_token(uri: &str) -> Result<Self, KeyError> {
        Ok(Self::Token(Box::new(Pkcs11Key::open(&uri.parse()?)?)))
    }

    /// Writes the key as PKCS#8 DER (RFC 5958), unencrypted.
    ///
    /// # Errors
    /// [`KeyError::Encode`].
    pub fn to_pkcs8_der(&self) -> Result<SecretDocument, KeyError> {
        match self {
            Self::Rsa(key) => key.to_pkcs8_der(),
            Self::P256(key) => key.to_pkcs8_der(),
            Self::P384(key) => key.to_pkcs8_der(),
            Self::Ed25519(key) => key.to_pkcs8_der(),
            Self::Token(_) => return Err(KeyError::InToken),
        }
        .map_err(|error| KeyError::Encode(error.to_string()))
    }

    /// Writes the key as PKCS#8 PEM (RFC 7468), unencrypted.
    ///
    /// # Errors
    /// [`KeyError::Encode`].
    pub fn to_pem(&self) -> Result<Zeroizing<String>, KeyError> {
        let der = self.to_pkcs8_der()?;
        der.to_pem("PRIVATE KEY", LineEnding::LF)
            .map_err(|error| KeyError::Encode(error.to_string()))
    }

    /// The kind of the key.
    ///
    /// # Errors
    /// [`KeyError::Unsupported`] for an RSA key of another size.
    pub fn kind(&self) -> Result<KeyKind, KeyError> {
        match self {
            Self::Rsa(key) => match key.as_ref().as_ref().n().bit_width() {
                2048 => Ok(KeyKind::Rsa2048),
                3072 => Ok(KeyKind::Rsa3072),
                4096 => Ok(KeyKind::Rsa4096),
                _ => Err(KeyError::Unsupported),
            },
            Self::P256(_) => Ok(KeyKind::P256),
            Self::P384(_) => Ok(KeyKind::P384),
            Self::Ed25519(_) => Ok(KeyKind::Ed25519),
            Self::Token(key) => Ok(key.kind()),
        }
    }

    /// The public key.
    ///
    /// # Errors
    /// [`KeyError::Encode`].
    pub fn public_key(&self) -> Result<SubjectPublicKeyInfoOwned, KeyError> {
        match self {
            Self::Rsa(key) => SubjectPublicKeyInfoOwned::from_key(&key.verifying_key()),
            Self::P256(key) => SubjectPublicKeyInfoOwned::from_key(key.verifying_key()),
            Self::P384(key) => SubjectPublicKeyInfoOwned::from_key(key.verifying_key()),
            Self::Ed25519(key) => SubjectPublicKeyInfoOwned::from_key(&key.verifying_key()),
            Self::Token(key) => Ok(key.public_key().clone()),
        }
        .map_err(|error| KeyError::Encode(error.to_string()))
    }

    /// The algorithm that [`sign`](Self::sign) signs with.
    ///
    /// # Errors
    /// [`KeyError::Encode`].
    pub fn algorithm(&self) -> Result<AlgorithmIdentifierOwned, KeyError> {
        match self {
            Self::Rsa(key) => key.signature_algorithm_identifier(),
            Self::P256(key) => key.signature_algorithm_identifier(),
            Self::P384(key) => key.signature_algorithm_identifier(),
            Self::Ed25519(key) => key.signature_algorithm_identifier(),
            Self::Token(key) => return token_algorithm(key.kind()),
        }
        .map_err(|error| KeyError::Encode(error.to_string()))
    }

    /// Signs the concatenation of `parts` without copying them together. The signature is encoded
    /// as in an X.509 signature BIT STRING.
    ///
    /// # Errors
    /// [`KeyError::Sign`].
    pub fn sign(&self, parts: &[&[u8]]) -> Result<Vec<u8>, KeyError> {
        Ok(match self {
            Self::Rsa(key) => key.try_multipart_sign(parts)?.to_vec(),
            Self::P256(key) => {
                let signature: p256::Signature = key.try_multipart_sign(parts)?;
                signature.to_der().to_vec()
            }
            Self::P384(key) => {
                let signature: p384::Signature = key.try_multipart_sign(parts)?;
                signature.to_der().to_vec()
            }
            Self::Ed25519(key) => key.try_multipart_sign(parts)?.to_vec(),
            Self::Token(key) => key.sign(parts)?,
        })
    }
}

/// A token signs with the same algorithm as a key of that kind in the database.
fn token_algorithm(kind: KeyKind) -> Result<AlgorithmIdentifierOwned, KeyError> {
    let (oid, parameters) = match kind {
        KeyKind::Rsa2048 | KeyKind::Rsa3072 | KeyKind::Rsa4096 => (
            der::oid::db::rfc5912::SHA_256_WITH_RSA_ENCRYPTION,
            Some(Any::null()),
        ),
        KeyKind::P256 => (der::oid::db::rfc5912::ECDSA_WITH_SHA_256, None),
        KeyKind::P384 => (der::oid::db::rfc5912::ECDSA_WITH_SHA_384, None),
        KeyKind::Ed25519 => return Err(KeyError::Unsupported),
    };
    Ok(AlgorithmIdentifierOwned { oid, parameters })
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SystemRandom;

    #[test]
    fn a_key_survives_pkcs8() {
        for kind in [KeyKind::P256, KeyKind::P384, KeyKind::Ed25519] {
            let key = PrivateKey::generate(kind, &SystemRandom).unwrap();
            let again = PrivateKey::from_pkcs8_der(key.to_pkcs8_der().unwrap().as_bytes()).unwrap();
            assert_eq!(again.kind().unwrap(), kind);
            assert_eq!(again.public_key().unwrap(), key.public_key().unwrap());
        }
    }

    #[test]
    fn parts_are_signed_as_the_whole_is() {
        let key = PrivateKey::generate(KeyKind::Ed25519, &SystemRandom).unwrap();
        assert_eq!(
            key.sign(&[b"one ", b"", b"message"]).unwrap(),
            key.sign(&[b"one message"]).unwrap()
        );
        assert_ne!(
            key.sign(&[b"one message"]).unwrap(),
            key.sign(&[b"one massage"]).unwrap()
        );
    }
}
