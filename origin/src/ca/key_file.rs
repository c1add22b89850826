//! Private keys in files, in the forms that OpenSSL writes: PKCS#8 (RFC 5958), PKCS#1 (RFC 8017)
//! and SEC1 (RFC 5915), in PEM or DER, encrypted or not.

use aes::{Aes128, Aes192, Aes256};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockCipherDecrypt, BlockModeDecrypt, KeyIvInit, KeySizeUser};
use der::asn1::{Any, ObjectIdentifier, OctetStringRef};
use der::{Decode, Encode};
use des::TdesEde3;
use md5::{Digest, Md5};
use pkcs8::{AlgorithmIdentifierRef, EncryptedPrivateKeyInfoRef, PrivateKeyInfoRef};
use sec1::{EcParameters, EcPrivateKey};
use zeroize::Zeroizing;

use super::{KeyError, PrivateKey};
use crate::hex;

/// Why a file is not a private key that can be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// Not a private key in DER or PEM.
    #[error(
        "not a private key in PEM or DER; expected PRIVATE KEY, ENCRYPTED PRIVATE KEY, RSA PRIVATE KEY or EC PRIVATE KEY"
    )]
    NotAKey,
    /// It is encrypted, and no passphrase was given.
    #[error("the key is encrypted, and no passphrase was given")]
    PassphraseMissing,
    /// The passphrase is not the key's.
    #[error("the passphrase does not decrypt the key")]
    PassphraseWrong,
    /// It is encrypted in a way that is not supported.
    #[error(
        "the key is encrypted with {0}, which is not supported; `openssl pkcs8 -topk8` encrypts it anew"
    )]
    Encryption(String),
    /// It is an elliptic curve key that does not name its curve.
    #[error("the key does not name its curve; `openssl pkcs8 -topk8 -param_enc named_curve` does")]
    Curve,
    /// It is of a kind that is not supported.
    #[error(transparent)]
    Key(#[from] KeyError),
}

type Secret = Zeroizing<Vec<u8>>;

impl PrivateKey {
    /// Reads a key from the contents of a file.
    ///
    /// # Errors
    /// [`KeyFileError`].
    pub fn from_file(file: &[u8], passphrase: Option<&str>) -> Result<Self, KeyFileError> {
        // DER begins with the tag of a SEQUENCE.
        if file.first() == Some(&0x30) {
            return from_der(file, passphrase);
        }
        let text = str::from_utf8(file).map_err(|_| KeyFileError::NotAKey)?;
        let block = Pem::find(text).ok_or(KeyFileError::NotAKey)?;
        let der = block.decrypt(passphrase)?;
        match block.label {
            "RSA PRIVATE KEY" => from_pkcs1(&der),
            "EC PRIVATE KEY" => from_sec1(&der),
            _ => from_der(&der, passphrase),
        }
    }
}

fn from_der(der: &[u8], passphrase: Option<&str>) -> Result<PrivateKey, KeyFileError> {
    if let Ok(sealed) = EncryptedPrivateKeyInfoRef::try_from(der) {
        let passphrase = passphrase.ok_or(KeyFileError::PassphraseMissing)?;
        let plain = sealed
            .decrypt(passphrase)
            .map_err(|_| KeyFileError::PassphraseWrong)?;
        return Ok(PrivateKey::from_pkcs8_der(plain.as_bytes())?);
    }
    if PrivateKeyInfoRef::try_from(der).is_ok() {
        return Ok(PrivateKey::from_pkcs8_der(der)?);
    }
    if EcPrivateKey::from_der(der).is_ok() {
        return from_sec1(der);
    }
    from_pkcs1(der)
}

/// Wraps an `RSAPrivateKey` in PKCS#8.
fn from_pkcs1(der: &[u8]) -> Result<PrivateKey, KeyFileError> {
    let oid = der::oid::db::rfc5912::RSA_ENCRYPTION;
    wrap(oid, &Any::null(), der)
}

/// Wraps an `ECPrivateKey` in PKCS#8, which names the curve beside the key.
fn from_sec1(der: &[u8]) -> Result<PrivateKey, KeyFileError> {
    let key = EcPrivateKey::from_der(der).map_err(|_| KeyFileError::NotAKey)?;
    let Some(EcParameters::NamedCurve(curve)) = key.parameters else {
        return Err(KeyFileError::Curve);
    };
    let oid = der::oid::db::rfc5912::ID_EC_PUBLIC_KEY;
    wrap(oid, &Any::from(curve), der)
}

fn wrap(oid: ObjectIdentifier, parameters: &Any, der: &[u8]) -> Result<PrivateKey, KeyFileError> {
    let algorithm = AlgorithmIdentifierRef {
        oid,
        parameters: Some(parameters.into()),
    };
    let key = OctetStringRef::new(der).map_err(|_| KeyFileError::NotAKey)?;
    let pkcs8 = PrivateKeyInfoRef::new(algorithm, key)
        .to_der()
        .map(Zeroizing::new)
        .map_err(|_| KeyFileError::NotAKey)?;
    Ok(PrivateKey::from_pkcs8_der(&pkcs8)?)
}

/// A block of PEM, perhaps encrypted as OpenSSL's traditional form is (RFC 1421, section 4.6).
struct Pem<'a> {
    label: &'a str,
    /// The cipher and its IV in hexadecimal, if it is encrypted.
    encryption: Option<(&'a str, &'a str)>,
    contents: Secret,
}

impl<'a> Pem<'a> {
    /// The first private key in a text. OpenSSL writes other blocks, such as EC PARAMETERS, and
    /// explanations before it.
    fn find(text: &'a str) -> Option<Self> {
        let mut lines = text.lines().map(str::trim_end);
        let label = lines.find_map(|line| {
            let label = line.strip_prefix("-----BEGIN ")?.strip_suffix("-----")?;
            label.ends_with("PRIVATE KEY").then_some(label)
        })?;
        let mut encryption = None;
        let mut base64 = Zeroizing::new(String::new());
        for line in lines {
            if line.starts_with("-----END ") {
                let contents = Zeroizing::new(STANDARD.decode(base64.as_bytes()).ok()?);
                return Some(Self {
                    label,
                    encryption,
                    contents,
                });
            }
            match line.split_once(": ") {
                Some(("DEK-Info", value)) => encryption = Some(value.split_once(',')?),
                Some(_) => {}
                None => base64.push_str(line.trim()),
            }
        }
        None
    }

    fn decrypt(&self, passphrase: Option<&str>) -> Result<Secret, KeyFileError> {
        let Some((cipher, iv)) = self.encryption else {
            return Ok(self.contents.clone());
        };
        let passphrase = passphrase
            .ok_or(KeyFileError::PassphraseMissing)?
            .as_bytes();
        let plain = match cipher {
            "AES-128-CBC" => decrypt::<Aes128, 16>(passphrase, iv, &self.contents),
            "AES-192-CBC" => decrypt::<Aes192, 16>(passphrase, iv, &self.contents),
            "AES-256-CBC" => decrypt::<Aes256, 16>(passphrase, iv, &self.contents),
            "DES-EDE3-CBC" => decrypt::<TdesEde3, 8>(passphrase, iv, &self.contents),
            other => return Err(KeyFileError::Encryption(other.to_owned())),
        };
        // A wrong passphrase passes the padding's check once in 256 times.
        plain
            .filter(|plain| plain.first() == Some(&0x30))
            .ok_or(KeyFileError::PassphraseWrong)
    }
}

/// Decrypts with a block cipher. Its blocks, and so its IVs, have `IV` octets.
fn decrypt<C, const IV: usize>(passphrase: &[u8], iv: &str, contents: &[u8]) -> Option<Secret>
where
    cbc::Decryptor<C>: KeyIvInit + BlockModeDecrypt,
    C: BlockCipherDecrypt,
{
    let iv: [u8; IV] = hex::decode(&iv.to_ascii_lowercase())?;
    let key = derive_key(
        passphrase,
        *iv.first_chunk()?,
        cbc::Decryptor::<C>::key_size(),
    );
    let cipher = cbc::Decryptor::<C>::new_from_slices(&key, &iv).ok()?;
    let plain = cipher.decrypt_padded_vec::<Pkcs7>(contents).ok()?;
    Some(Zeroizing::new(plain))
}

/// `EVP_BytesToKey` with MD5 and one iteration. The salt is the first half of the IV.
fn derive_key(passphrase: &[u8], salt: [u8; 8], size: usize) -> Secret {
    let mut key = Zeroizing::new(Vec::new());
    let mut block = Vec::new();
    while key.len() < size {
        let mut hash = Md5::new();
        hash.update(&block);
        hash.update(passphrase);
        hash.update(salt);
        block = hash.finalize().to_vec();
        key.extend_from_slice(&block);
    }
    key.truncate(size);
    key
}
