//! The origin: what its callers, over HTTP and on the command line, can ask of it. They share every rule here.
//!
//! All calls block on the database. Each takes the present moment as an argument.

mod batch;
mod certificates;
mod crls;
mod draft;
mod error;
mod issuers;
mod memory;
mod revocations;
mod settings;
mod setup;
mod tokens;

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use origin_api::IssuerId;
use rusqlite::Connection;

use crate::ca::PrivateKey;
use crate::store::issuers::{self as issuer_rows, IssuerNumber, IssuerRow, KeptKey};
use crate::store::{Store, StoreError};
use crate::vault::Vault;

pub use batch::{BatchFault, BatchResult};
pub use certificates::{IssuedCertificate, NewCertificate, Subject};
pub use crls::{CrlAnswer, IssuedCrl, MadeCrl};
pub use error::{Fault, OriginError};
pub use issuers::{ConnectedIssuer, NewIssuer, NewKey, SignedBy};
pub use revocations::Revoked;
pub use settings::{Lists, NewList, SettingsError};
pub use setup::{Changes, ListChange, Setup};
pub use tokens::{NewToken, TokenError, token_hash};

/// The origin over one database.
pub struct Origin {
    store: Store,
    vault: Vault,
    /// Keys that were opened: decrypting one is slow on purpose.
    keys: Mutex<HashMap<IssuerNumber, Arc<PrivateKey>>>,
    memory: memory::Memory,
}

impl Origin {
    /// Opens the database, or makes it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open(database: &Path, vault: Vault) -> Result<Self, StoreError> {
        Ok(Self {
            store: Store::open(database)?,
            vault,
            keys: Mutex::default(),
            memory: memory::Memory::default(),
        })
    }

    /// The private key of a local issuer.
    fn key(&self, c: &Connection, issuer: &IssuerRow) -> Result<Arc<PrivateKey>, OriginError> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = keys.get(&issuer.number) {
            return Ok(Arc::clone(key));
        }
        let kept = issuer_rows::key(c, issuer.number)?
            .ok_or_else(|| OriginError::NoKey(issuer.id.clone()))?;
        let key = Arc::new(match kept {
            KeptKey::Here(pkcs8) => self.vault.open(&pkcs8)?,
            KeptKey::InToken(uri) => PrivateKey::in_token(&uri)?,
        });
        keys.insert(issuer.number, Arc::clone(&key));
        Ok(key)
    }

    /// Has a key that would not sign opened anew the next time: a token that was restarted knows nothing of the old session.
    fn forget_key(&self, issuer: IssuerNumber) {
        self.keys
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&issuer);
    }
}

fn find_issuer(c: &Connection, id: &IssuerId) -> Result<IssuerRow, OriginError> {
    issuer_rows::find(c, id)?.ok_or_else(|| OriginError::IssuerNotFound(id.clone()))
}
