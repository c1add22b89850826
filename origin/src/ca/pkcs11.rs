//! Keys in a PKCS#11 token: they sign there, and never leave it. A URI names the key (RFC 7512).

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::types::AuthPin;
use der::asn1::{Any, BitString, ObjectIdentifier, OctetString};
use der::{Decode, Encode};
use rsa::BoxedUint;
use sha2::{Digest, Sha256, Sha384};
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};

use super::key_kind::KeyKind;

/// Where a key is:
/// `pkcs11:token=CRL;object=web?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=/etc/crl-origin/pin`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pkcs11Uri {
    token: String,
    object: String,
    module: PathBuf,
    pin_source: PathBuf,
}

/// What can go wrong with a key in a token.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Pkcs11Error {
    /// Not a URI of the form that is needed.
    #[error(
        "a key's URI is pkcs11:token=…;object=…?module-path=…&pin-source=… (RFC 7512), and {0} is missing or wrong"
    )]
    Uri(&'static str),
    /// The PIN cannot be read.
    #[error("cannot read the PIN from {path}: {source}")]
    Pin {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// No such token or key, or more than one.
    #[error("there is not exactly one {0}")]
    NotOne(&'static str),
    /// RSA of 2048, 3072 or 4096 bits, P-256 and P-384 are supported.
    #[error("the token's key is neither RSA of 2048, 3072 or 4096 bits nor on P-256 or P-384")]
    Unsupported,
    /// What the token gave cannot be read.
    #[error("the token's answer cannot be read: {0}")]
    Answer(String),
    /// The token, or its module.
    #[error("PKCS#11: {0}")]
    Token(#[from] Error),
}

impl From<der::Error> for Pkcs11Error {
    fn from(error: der::Error) -> Self {
        Self::Answer(error.to_string())
    }
}

impl FromStr for Pkcs11Uri {
    type Err = Pkcs11Error;

    fn from_str(uri: &str) -> Result<Self, Pkcs11Error> {
        let rest = uri
            .strip_prefix("pkcs11:")
            .ok_or(Pkcs11Error::Uri("pkcs11:"))?;
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let find = |part: &str, separator: char, name: &'static str| {
            let mut pairs = part
                .split(separator)
                .filter_map(|pair| pair.split_once('='));
            let value = pairs
                .find(|(key, _)| *key == name)
                .and_then(|(_, value)| percent_decode(value));
            value.ok_or(Pkcs11Error::Uri(name))
        };
        let pin_source = find(query, '&', "pin-source")?;
        Ok(Self {
            token: find(path, ';', "token")?,
            object: find(path, ';', "object")?,
            module: find(query, '&', "module-path")?.into(),
            pin_source: pin_source
                .strip_prefix("file:")
                .unwrap_or(&pin_source)
                .into(),
        })
    }
}

fn percent_decode(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).ok()
}

/// A private key in a token.
pub struct Pkcs11Key {
    session: Mutex<Session>,
    key: ObjectHandle,
    public: SubjectPublicKeyInfoOwned,
    kind: KeyKind,
}

impl Pkcs11Key {
    /// Logs in to the token and finds the key, and its public half beside it.
    ///
    /// # Errors
    /// [`Pkcs11Error`].
    pub fn open(uri: &Pkcs11Uri) -> Result<Self, Pkcs11Error> {
        let session = log_in(uri)?;
        let find = |class, what| {
            let found = session.find_objects(&[
                Attribute::Class(class),
                Attribute::Label(uri.object.clone().into()),
            ])?;
            match found[..] {
                [object] => Ok(object),
                _ => Err(Pkcs11Error::NotOne(what)),
            }
        };
        let key = find(
            ObjectClass::PRIVATE_KEY,
            "private key of that label in the token",
        )?;
        let public = find(
            ObjectClass::PUBLIC_KEY,
            "public key of that label in the token",
        )?;
        let (public, kind) = read_public_key(&session, public)?;
        Ok(Self {
            session: Mutex::new(session),
            key,
            public,
            kind,
        })
    }

    /// The public half.
    #[must_use]
    pub fn public_key(&self) -> &SubjectPublicKeyInfoOwned {
        &self.public
    }

    /// Which kind of key it is.
    #[must_use]
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// Signs a message that lies in parts. It is hashed here, and the hash signed in the token.
    ///
    /// # Errors
    /// [`Pkcs11Error::Token`].
    pub fn sign(&self, parts: &[&[u8]]) -> Result<Vec<u8>, Pkcs11Error> {
        let session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let not_ecdsa = |error: p256::ecdsa::Error| Pkcs11Error::Answer(error.to_string());
        match self.kind {
            KeyKind::P256 => {
                let signature =
                    session.sign(&Mechanism::Ecdsa, self.key, &hash::<Sha256>(parts))?;
                Ok(p256::ecdsa::Signature::from_slice(&signature)
                    .map_err(not_ecdsa)?
                    .to_der()
                    .as_bytes()
                    .to_vec())
            }
            KeyKind::P384 => {
                let signature =
                    session.sign(&Mechanism::Ecdsa, self.key, &hash::<Sha384>(parts))?;
                Ok(p384::ecdsa::Signature::from_slice(&signature)
                    .map_err(not_ecdsa)?
                    .to_der()
                    .as_bytes()
                    .to_vec())
            }
            KeyKind::Rsa2048 | KeyKind::Rsa3072 | KeyKind::Rsa4096 => {
                // RFC 8017, section 9.2: the token pads, and is given the DigestInfo of SHA-256.
                let mut digest_info = SHA256_DIGEST_INFO.to_vec();
                digest_info.extend(hash::<Sha256>(parts));
                Ok(session.sign(&Mechanism::RsaPkcs, self.key, &digest_info)?)
            }
            KeyKind::Ed25519 => Err(Pkcs11Error::Unsupported),
        }
    }
}

/// `SEQUENCE { SEQUENCE { sha256, NULL }, OCTET STRING of 32 }`, up to the hash (RFC 8017, section
/// 9.2, note 1).
const SHA256_DIGEST_INFO: [u8; 19] = [
    0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05,
    0x00, 0x04, 0x20,
];

fn hash<D: Digest>(parts: &[&[u8]]) -> Vec<u8> {
    let mut hash = D::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().to_vec()
}

fn log_in(uri: &Pkcs11Uri) -> Result<Session, Pkcs11Error> {
    let module = Pkcs11::new(&uri.module)?;
    match module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        // Another issuer's key is in the same module.
        Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
        Err(error) => return Err(error.into()),
    }
    let slots = module.get_slots_with_initialized_token()?;
    let mut slots = slots.into_iter().filter(|slot| {
        let token = module.get_token_info(*slot);
        token.is_ok_and(|token| token.label().trim_end() == uri.token)
    });
    let (Some(slot), None) = (slots.next(), slots.next()) else {
        return Err(Pkcs11Error::NotOne("token of that label"));
    };
    let pin = std::fs::read_to_string(&uri.pin_source).map_err(|source| Pkcs11Error::Pin {
        path: uri.pin_source.clone(),
        source,
    })?;
    let session = module.open_ro_session(slot)?;
    match session.login(UserType::User, Some(&AuthPin::new(pin.trim().into()))) {
        Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(session),
        Err(error) => Err(error.into()),
    }
}

fn read_public_key(
    session: &Session,
    object: ObjectHandle,
) -> Result<(SubjectPublicKeyInfoOwned, KeyKind), Pkcs11Error> {
    let key_type = session.get_attributes(object, &[AttributeType::KeyType])?;
    match key_type[..] {
        [Attribute::KeyType(KeyType::EC)] => read_ec_key(session, object),
        [Attribute::KeyType(KeyType::RSA)] => read_rsa_key(session, object),
        _ => Err(Pkcs11Error::Unsupported),
    }
}

/// `CKA_EC_PARAMS` is the DER of the curve's name, `CKA_EC_POINT` the DER of an OCTET STRING with
/// the point (PKCS#11 v3.1, section 6.3.3).
fn read_ec_key(
    session: &Session,
    object: ObjectHandle,
) -> Result<(SubjectPublicKeyInfoOwned, KeyKind), Pkcs11Error> {
    let attributes =
        session.get_attributes(object, &[AttributeType::EcParams, AttributeType::EcPoint])?;
    let [Attribute::EcParams(curve), Attribute::EcPoint(point)] = &attributes[..] else {
        return Err(Pkcs11Error::Answer("no curve and point".to_owned()));
    };
    let curve = ObjectIdentifier::from_der(curve)?;
    let kind = match curve {
        der::oid::db::rfc5912::SECP_256_R_1 => KeyKind::P256,
        der::oid::db::rfc5912::SECP_384_R_1 => KeyKind::P384,
        _ => return Err(Pkcs11Error::Unsupported),
    };
    let point = OctetString::from_der(point)?;
    let algorithm = AlgorithmIdentifierOwned {
        oid: der::oid::db::rfc5912::ID_EC_PUBLIC_KEY,
        parameters: Some(Any::from_der(&curve.to_der()?)?),
    };
    let subject_public_key = BitString::from_bytes(point.as_bytes())?;
    Ok((
        SubjectPublicKeyInfoOwned {
            algorithm,
            subject_public_key,
        },
        kind,
    ))
}

fn read_rsa_key(
    session: &Session,
    object: ObjectHandle,
) -> Result<(SubjectPublicKeyInfoOwned, KeyKind), Pkcs11Error> {
    let attributes = session.get_attributes(
        object,
        &[AttributeType::Modulus, AttributeType::PublicExponent],
    )?;
    let [
        Attribute::Modulus(modulus),
        Attribute::PublicExponent(exponent),
    ] = &attributes[..]
    else {
        return Err(Pkcs11Error::Answer("no modulus and exponent".to_owned()));
    };
    let kind = match modulus.len() {
        256 => KeyKind::Rsa2048,
        384 => KeyKind::Rsa3072,
        512 => KeyKind::Rsa4096,
        _ => return Err(Pkcs11Error::Unsupported),
    };
    let number = BoxedUint::from_be_slice_vartime;
    let key = rsa::PublicKey::new(number(modulus), number(exponent))
        .map_err(|error| Pkcs11Error::Answer(error.to_string()))?;
    let public = SubjectPublicKeyInfoOwned::from_key(&key)
        .map_err(|error| Pkcs11Error::Answer(error.to_string()))?;
    Ok((public, kind))
}

impl fmt::Debug for Pkcs11Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pkcs11Key({})", self.kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_says_where_the_key_is() {
        let uri = "pkcs11:token=My%20CRLs;object=web?module-path=/usr/lib/p11.so&pin-source=file:/etc/pin";
        let read: Pkcs11Uri = uri.parse().unwrap();
        assert_eq!(
            (read.token.as_str(), read.object.as_str()),
            ("My CRLs", "web")
        );
        assert_eq!(
            (read.module, read.pin_source),
            ("/usr/lib/p11.so".into(), "/etc/pin".into())
        );
    }

    #[test]
    fn what_is_missing_is_named() {
        let missing = |uri: &str| uri.parse::<Pkcs11Uri>().unwrap_err().to_string();
        assert!(missing("file:///key").contains("and pkcs11: is missing"));
        assert!(missing("pkcs11:token=a;object=b").contains("and pin-source is missing"));
        assert!(
            missing("pkcs11:token=%zz;object=b?module-path=m&pin-source=p")
                .contains("and token is missing")
        );
    }
}
