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
mod revocations;
mod setup;
mod tokens;

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;

use crate::ca::PrivateKey;
use crate::random::RandomSource;
use crate::store::issuers::{self as issuer_rows, IssuerNumber, IssuerRow, StoredKey};
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
pub use recovery::{Recovery, ServedCrl};
pub use revocations::{BatchFault, BatchResult, Revoked, UnknownShard};
pub use setup::{Changes, ListChange, Setup};
pub use tokens::{NewToken, TokenError};

/// The origin over one database.
pub struct Origin {
    store: Store,
    vault: Vault,
    random: Arc<dyn RandomSource>,
    /// Opened keys: decrypting one is slow by design.
    keys: Mutex<HashMap<IssuerNumber, Arc<PrivateKey>>>,
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

    /// The private key of an issuer.
    fn key(&self, conn: &Connection, issuer: &IssuerRow) -> Result<Arc<PrivateKey>, OriginError> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = keys.get(&issuer.number) {
            return Ok(Arc::clone(key));
        }
        let stored = issuer_rows::key(conn, issuer.number)?
            .ok_or_else(|| OriginError::NoKey(issuer.id.clone()))?;
        let key = Arc::new(match stored {
            StoredKey::Pkcs8(der) => self.vault.open(&der)?,
            StoredKey::Pkcs11(uri) => PrivateKey::in_token(&uri)?,
        });
        keys.insert(issuer.number, Arc::clone(&key));
        Ok(key)
    }

    /// Opens the key anew on its next use. A PKCS#11 token that was restarted has lost the session.
    fn forget_key(&self, issuer: IssuerNumber) {
        self.keys
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&issuer);
    }
}
