//! The operations of the origin, which the HTTP API and the command line share: every rule that
//! needs the database is enforced here.
//!
//! Calls block on the database. The current time and the source of randomness are arguments.

mod caller;
mod certificates;
mod crls;
mod departures;
mod draft;
mod entry_cache;
mod error;
mod expiry;
mod imports;
mod issuers;
mod lookup;
mod recovery;
mod renewal;
mod retention;
mod revocations;
mod setup;
mod token_error;
mod tokens;

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::ca::PrivateKey;
use crate::random::RandomSource;
use crate::store::issuers::{IssuerNumber, StoredKey};
use crate::store::{Store, StoreError};
use crate::vault::Vault;

pub use caller::{Caller, HeldCrl};
pub use certificates::{IssuedCertificate, NewCertificate, Subject};
pub use crls::{CrlAnswer, IssuedCrl};
pub use departures::{Cause, Departure};
pub use draft::MadeCrl;
pub use error::{Fault, OriginError};
pub use imports::Undone;
pub use issuers::{ConnectedIssuer, NewIssuer, NewKey, SignedBy};
pub use recovery::{Evidence, Recovery, ServedCrl};
pub use revocations::{BatchFault, BatchResult, Revoked};
pub use setup::{Changes, ListChange, Setup};
pub use token_error::TokenError;
pub use tokens::NewToken;

/// An opened key: decrypting one is slow by design. The lock is held while it is opened.
type KeySlot = Mutex<Option<Arc<PrivateKey>>>;

/// The origin over one database.
pub struct Origin {
    store: Store,
    vault: Vault,
    random: Arc<dyn RandomSource>,
    keys: Mutex<HashMap<IssuerNumber, Arc<KeySlot>>>,
    entries: entry_cache::EntryCache,
}

impl Origin {
    /// Opens the database; creates it if it is missing.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open(
        database: &Path,
        vault: Vault,
        random: Arc<dyn RandomSource>,
    ) -> Result<Self, StoreError> {
        Ok(Self {
            store: Store::open(database)?,
            vault,
            random,
            keys: Mutex::default(),
            entries: entry_cache::EntryCache::default(),
        })
    }

    /// Opens the private key of an issuer, which [`lookup::stored_key`] read. A PKCS#11 token may
    /// take its time, or hang: other issuers do not wait for it, and no snapshot of the database is
    /// open.
    fn open_key(
        &self,
        issuer: IssuerNumber,
        stored: &StoredKey,
    ) -> Result<Arc<PrivateKey>, OriginError> {
        let slot = Arc::clone(self.keys().entry(issuer).or_default());
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = &*slot {
            return Ok(Arc::clone(key));
        }
        let key = Arc::new(match stored {
            StoredKey::Pkcs8(der) => self.vault.open(der)?,
            StoredKey::Pkcs11(uri) => PrivateKey::in_token(uri)?,
        });
        *slot = Some(Arc::clone(&key));
        Ok(key)
    }

    /// Opens the key anew on its next use. A PKCS#11 token that was restarted has lost the session.
    fn forget_key(&self, issuer: IssuerNumber) {
        self.keys().remove(&issuer);
    }

    fn keys(&self) -> MutexGuard<'_, HashMap<IssuerNumber, Arc<KeySlot>>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
