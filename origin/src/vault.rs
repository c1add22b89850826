//! Private keys at rest: PKCS#8, encrypted under a passphrase where there is one (RFC 8018: PBES2 with scrypt and AES-256).

use std::fmt;

use pkcs8::{EncryptedPrivateKeyInfoRef, PrivateKeyInfoRef};
use zeroize::Zeroizing;

use crate::ca::{KeyError, PrivateKey};

/// What can go wrong when a key is kept or read back.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VaultError {
    /// The key is encrypted, and no passphrase was given.
    #[error("the issuer's key is encrypted: give --passphrase-file, or ORIGIN_PASSPHRASE")]
    PassphraseMissing,
    /// The passphrase does not open the key.
    #[error("the passphrase does not open the issuer's key")]
    PassphraseWrong,
    /// The key could not be encrypted.
    #[error("cannot encrypt the key: {0}")]
    Encrypt(pkcs8::Error),
    /// The key itself is at fault.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// Encrypts and decrypts private keys.
#[derive(Default)]
pub struct Vault {
    passphrase: Option<Zeroizing<String>>,
}

impl Vault {
    /// A vault that encrypts under the passphrase, or not at all without one.
    #[must_use]
    pub fn new(passphrase: Option<Zeroizing<String>>) -> Self {
        Self { passphrase }
    }

    /// The key as it is to be kept.
    ///
    /// # Errors
    /// [`VaultError::Encrypt`].
    pub fn seal(&self, key: &PrivateKey) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let plain = key.to_pkcs8_der()?;
        let Some(passphrase) = &self.passphrase else {
            return Ok(Zeroizing::new(plain.as_bytes().to_vec()));
        };
        let info = PrivateKeyInfoRef::try_from(plain.as_bytes()).map_err(VaultError::Encrypt)?;
        let sealed = info
            .encrypt(passphrase.as_bytes())
            .map_err(VaultError::Encrypt)?;
        Ok(Zeroizing::new(sealed.as_bytes().to_vec()))
    }

    /// The key that was kept. One that was kept before there was a passphrase is read as it is.
    ///
    /// # Errors
    /// [`VaultError::PassphraseMissing`], [`VaultError::PassphraseWrong`], [`VaultError::Key`].
    pub fn open(&self, kept: &[u8]) -> Result<PrivateKey, VaultError> {
        let Ok(sealed) = EncryptedPrivateKeyInfoRef::try_from(kept) else {
            return Ok(PrivateKey::from_pkcs8_der(kept)?);
        };
        let passphrase = self
            .passphrase
            .as_ref()
            .ok_or(VaultError::PassphraseMissing)?;
        let plain = sealed
            .decrypt(passphrase.as_bytes())
            .map_err(|_| VaultError::PassphraseWrong)?;
        Ok(PrivateKey::from_pkcs8_der(plain.as_bytes())?)
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Vault(encrypting: {})", self.passphrase.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ca::KeyKind;

    fn vault(passphrase: &str) -> Vault {
        Vault::new(Some(Zeroizing::new(passphrase.to_owned())))
    }

    #[test]
    fn a_sealed_key_opens_with_its_passphrase_alone() {
        let key = PrivateKey::generate(KeyKind::P256).unwrap();
        let sealed = vault("correct horse").seal(&key).unwrap();
        let opened = vault("correct horse").open(&sealed).unwrap();
        assert_eq!(opened.public_key().unwrap(), key.public_key().unwrap());
        assert!(matches!(
            vault("battery staple").open(&sealed),
            Err(VaultError::PassphraseWrong)
        ));
        assert!(matches!(
            Vault::default().open(&sealed),
            Err(VaultError::PassphraseMissing)
        ));
    }

    #[test]
    fn a_key_from_before_there_was_a_passphrase_still_opens() {
        let key = PrivateKey::generate(KeyKind::Ed25519).unwrap();
        let kept = Vault::default().seal(&key).unwrap();
        assert!(vault("new").open(&kept).is_ok());
    }
}
