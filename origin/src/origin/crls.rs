//! CRLs that the origin makes with a local key: whether a new one is needed, and the newest ones.

use crl::{CrlNumber, UnixTime};
use origin_api::{CrlName, IssuerId, Timestamp};
use rusqlite::Connection;

use super::draft::{Draft, MadeCrl};
use super::lookup::{find_list, find_signing, scope};
use super::{Origin, OriginError};
use crate::entries::Entries;
use crate::store::issuers::{self as issuer_rows, IssuerRow};
use crate::store::lists::{self as list_rows, ListRow};
use crate::store::revocations as rows;

/// The answer to a request for a CRL.
#[derive(Clone, Debug)]
pub enum CrlAnswer {
    /// A new CRL.
    Crl(MadeCrl),
    /// The CRL that the caller holds is current.
    Unchanged,
    /// There is no CRL to publish.
    Nothing,
}

/// What is recorded of the newest CRL of a list.
#[derive(Clone, Debug)]
pub struct IssuedCrl {
    /// Its issuer.
    pub issuer: IssuerId,
    /// Its name.
    pub name: CrlName,
    /// Its number.
    pub number: CrlNumber,
    /// Its thisUpdate.
    pub this_update: UnixTime,
    /// Its nextUpdate.
    pub next_update: UnixTime,
    /// Its number of entries.
    pub entries: u64,
    /// Its size in bytes.
    pub size: u64,
}

impl Origin {
    /// A new CRL of a list; or [`CrlAnswer::Unchanged`] if the CRL with SHA-256 `held` is the newest
    /// one, nothing has changed since, and the next one is not due.
    ///
    /// # Errors
    /// [`OriginError::IssuerNotFound`], [`OriginError::CrlNotFound`], [`OriginError::NoKey`], [`OriginError::Write`],
    /// [`OriginError::Store`].
    pub fn make_crl(
        &self,
        issuer: &IssuerId,
        name: CrlName,
        held: Option<[u8; 32]>,
        now: Timestamp,
    ) -> Result<CrlAnswer, OriginError> {
        let (number, key, is_held) = self.store.read(|conn| {
            let issuer = find_signing(conn, issuer)?;
            let lists = list_rows::all(conn, issuer.number)?;
            let list = find_list(&lists, &issuer, name)?;
            let is_held = match held {
                Some(held) => is_current(conn, &issuer, list, held, now)?,
                None => false,
            };
            Ok::<_, OriginError>((issuer.number, self.key(conn, &issuer)?, is_held))
        })?;
        if is_held {
            return Ok(CrlAnswer::Unchanged);
        }
        let list = self.entries.list(number, name);
        let mut entries = list.lock();
        if name != CrlName::Delta {
            entries.read_ahead(&self.store, number, scope(name))?;
        }
        let drafted = self
            .store
            .write(|tx| Draft::next(tx, issuer, name, key, &mut entries, now));
        // They may reflect changes that were rolled back.
        let drafted = drafted.inspect_err(|_| *entries = Entries::default())?;
        let Some(draft) = drafted else {
            return Ok(CrlAnswer::Nothing);
        };
        let made = draft.sign().inspect_err(|_| self.forget_key(number))?;
        self.store
            .write(|tx| list_rows::signed(tx, number, name, made.number, made.size, made.sha256))?;
        self.entries.note(number, name, entries.size());
        Ok(CrlAnswer::Crl(made))
    }

    /// The newest CRL of each list of each issuer.
    ///
    /// # Errors
    /// [`OriginError::Store`].
    pub fn newest_crls(&self) -> Result<Vec<IssuedCrl>, OriginError> {
        self.store.read(|conn| {
            let mut newest = Vec::new();
            for issuer in issuer_rows::page(conn, "", u32::MAX)? {
                for list in list_rows::all(conn, issuer.number)? {
                    let Some(latest) = list_rows::latest(conn, issuer.number, list.config.name)?
                    else {
                        continue;
                    };
                    newest.push(IssuedCrl {
                        issuer: issuer.id.clone(),
                        name: list.config.name,
                        number: latest.number,
                        this_update: latest.this_update,
                        next_update: latest.next_update,
                        entries: latest.entries,
                        size: latest.size.unwrap_or_default(),
                    });
                }
            }
            Ok(newest)
        })
    }
}

/// Whether the CRL with SHA-256 `held` is the newest, reflects every change to the revocations and to
/// the configuration, and is not due.
fn is_current(
    conn: &Connection,
    issuer: &IssuerRow,
    list: &ListRow,
    held: [u8; 32],
    now: Timestamp,
) -> Result<bool, OriginError> {
    let latest = list_rows::latest(conn, issuer.number, list.config.name)?;
    let Some(latest) = latest.filter(|latest| latest.sha256 == Some(held)) else {
        return Ok(false);
    };
    if latest.watermark < issuer.configured {
        return Ok(false);
    }
    let due = latest.next_update.saturating_sub(list.config.overlap);
    Ok(now.as_unix_time() < due
        && !rows::changed_since(
            conn,
            issuer.number,
            scope(list.config.name),
            latest.watermark,
        )?)
}
