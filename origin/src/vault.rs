//! Private keys at rest: PKCS#8, encrypted if a passphrase is set (RFC 8018: PBES2 with scrypt and
//! AES-256).

use std::fmt;

use pkcs8::{EncryptedPrivateKeyInfoRef, PrivateKeyInfoRef};
use zeroize::Zeroizing;

use crate::ca::{KeyError, PrivateKey};
use crate::random::{RandomSource, Rng};

/// Why a key cannot be stored or read back.
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
    /// The key itself is unusable.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// Encrypts and decrypts private keys.
#[derive(Default)]
pub struct Vault {
    passphrase: Option<Zeroizing<String>>,
}

impl Vault {
    /// A vault that encrypts under the passphrase; without one it stores keys in plain PKCS#8.
    #[must_use]
    pub fn new(passphrase: Option<Zeroizing<String>>) -> Self {
        Self { passphrase }
    }

    /// The key in its stored form.
    ///
    /// # Errors
    /// [`VaultError::Encrypt`].
    pub fn seal(
        &self,
        key: &PrivateKey,
        random: &dyn RandomSource,
    ) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let plain = key.to_pkcs8_der()?;
        let Some(passphrase) = &self.passphrase else {
            return Ok(Zeroizing::new(plain.as_bytes().to_vec()));
        };
        let info = PrivateKeyInfoRef::try_from(plain.as_bytes()).map_err(VaultError::Encrypt)?;
        let sealed = info
            .encrypt_with_rng(&mut Rng(random), passphrase.as_bytes())
            .map_err(VaultError::Encrypt)?;
        Ok(Zeroizing::new(sealed.as_bytes().to_vec()))
    }

    /// Reads a stored key. One that was stored without a passphrase needs none.
    ///
    /// # Errors
    /// [`VaultError::PassphraseMissing`], [`VaultError::PassphraseWrong`], [`VaultError::Key`].
    pub fn open(&self, stored: &[u8]) -> Result<PrivateKey, VaultError> {
        let Ok(sealed) = EncryptedPrivateKeyInfoRef::try_from(stored) else {
            return Ok(PrivateKey::from_pkcs8_der(stored)?);
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
    use crate::random::SystemRandom;

    fn vault(passphrase: &str) -> Vault {
        Vault::new(Some(Zeroizing::new(passphrase.to_owned())))
    }

    #[test]
    fn a_sealed_key_opens_with_its_passphrase_alone() {
        let key = PrivateKey::generate(KeyKind::P256, &SystemRandom).unwrap();
        let sealed = vault("correct horse").seal(&key, &SystemRandom).unwrap();
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
        let key = PrivateKey::generate(KeyKind::Ed25519, &SystemRandom).unwrap();
        let kept = Vault::default().seal(&key, &SystemRandom).unwrap();
        assert!(vault("new").open(&kept).is_ok());
    }
}
