//! CRLs that the origin makes with a local key: whether a new one is needed, and the newest ones.

use std::sync::Arc;

use crl::{CrlNumber, UnixTime};
use origin_api::{CrlName, IssuerId, Timestamp};
use rusqlite::Connection;

use super::caller::{self, Caller, Note};
use super::draft::{Contents, Draft, MadeCrl, Next};
use super::lookup::{find_issuer, find_list, find_signing, lost, refuse_lost, scope, stored_key};
use super::{Origin, OriginError, retention};
use crate::ca::PrivateKey;
use crate::delta_entries::DeltaEntries;
use crate::entries::Entries;
use crate::store::issuers::{self as issuer_rows, IssuerNumber, IssuerRow};
use crate::store::lists::{self as list_rows, ListRow};
use crate::store::records::{self, RecordedCrl};
use crate::store::{expiry_clock, revocations as rows};

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
    /// Whether the issuer is in `state_lost`: an edge holds a newer CRL that the database does not
    /// know.
    pub is_lost: bool,
}

impl Origin {
    /// A new CRL of a list; or [`CrlAnswer::Unchanged`] if the CRL that the caller holds reflects
    /// every change and is not due.
    ///
    /// # Errors
    /// [`OriginError::IssuerNotFound`], [`OriginError::CrlNotFound`],
    /// [`OriginError::ManagedElsewhere`], [`OriginError::StateLost`], [`OriginError::Write`],
    /// [`OriginError::Store`].
    pub fn make_crl(
        &self,
        issuer: &IssuerId,
        name: CrlName,
        caller: &Caller,
        now: Timestamp,
    ) -> Result<CrlAnswer, OriginError> {
        let (number, key, is_current) = self.receive(issuer, name, caller, now)?;
        if is_current {
            return Ok(CrlAnswer::Unchanged);
        }
        let list = self.entries.list(number, name);
        let mut entries = list.lock();
        let drafted = match name {
            CrlName::Delta => {
                let contents = Contents::Changed(DeltaEntries::default());
                self.draft(issuer, number, name, &key, contents, now)?
            }
            CrlName::Full | CrlName::Shard(_) => {
                let drafted = self.draft(
                    issuer,
                    number,
                    name,
                    &key,
                    Contents::Listed(&mut entries),
                    now,
                );
                // They may reflect changes that were rolled back.
                drafted.inspect_err(|_| *entries = Entries::default())?
            }
        };
        let Some(draft) = drafted else {
            return Ok(CrlAnswer::Nothing);
        };
        let made = draft.sign().inspect_err(|_| self.forget_key(number))?;
        self.store.write(|tx| {
            list_rows::signed(tx, number, name, made.number, made.size, made.sha256)?;
            retention::forget_crls(tx, number, name)
        })?;
        self.entries.note(number, name, entries.size());
        Ok(CrlAnswer::Crl(made))
    }

    /// The next CRL, before it is signed; `None` for a delta without a base.
    fn draft(
        &self,
        issuer: &IssuerId,
        number: IssuerNumber,
        name: CrlName,
        key: &Arc<PrivateKey>,
        mut contents: Contents<'_>,
        now: Timestamp,
    ) -> Result<Option<Box<Draft>>, OriginError> {
        loop {
            contents.catch_up(&self.store, number, name, now)?;
            let next = self
                .store
                .write(|tx| Draft::next(tx, issuer, name, key, &mut contents, now))?;
            match next {
                Next::Draft(mut draft) => {
                    draft.take_entries(&contents);
                    return Ok(Some(draft));
                }
                Next::Again => {}
                Next::Nothing => return Ok(None),
            }
        }
    }

    /// Whether the database knows the CRL that the caller holds, if any.
    ///
    /// # Errors
    /// [`OriginError::IssuerNotFound`], [`OriginError::Store`].
    pub fn knows(
        &self,
        issuer: &IssuerId,
        name: CrlName,
        caller: &Caller,
    ) -> Result<bool, OriginError> {
        let Some(held) = &caller.held else {
            return Ok(true);
        };
        self.store.read(|conn| {
            let issuer = find_issuer(conn, issuer)?;
            Ok(records::find(conn, issuer.number, name, held.sha256)?.is_some())
        })
    }

    /// Records what the caller holds. Returns the issuer, its key, and whether the held CRL is
    /// current.
    fn receive(
        &self,
        id: &IssuerId,
        name: CrlName,
        caller: &Caller,
        now: Timestamp,
    ) -> Result<(IssuerNumber, Arc<PrivateKey>, bool), OriginError> {
        let (issuer, recorded, note) = self.store.read(|conn| {
            let issuer = find_signing(conn, id)?;
            let lists = list_rows::all(conn, issuer.number)?;
            find_list(&lists, &issuer, name)?;
            let (recorded, note) = caller::judge(conn, &issuer, name, caller, now)?;
            Ok::<_, OriginError>((issuer, recorded, note))
        })?;
        if note != Note::Nothing {
            self.store
                .write(|tx| caller::store(tx, &issuer, name, caller, recorded, &note, now))?;
        }
        let (stored, is_current) = self.store.read(|conn| {
            refuse_lost(conn, &issuer)?;
            let lists = list_rows::all(conn, issuer.number)?;
            let list = find_list(&lists, &issuer, name)?;
            let is_current = match recorded.filter(|_| !caller.renew) {
                Some(held) => is_current(conn, &issuer, list, held, now)?,
                None => false,
            };
            Ok::<_, OriginError>((stored_key(conn, &issuer)?, is_current))
        })?;
        let key = self.open_key(issuer.number, &stored)?;
        Ok((issuer.number, key, is_current))
    }

    /// Lets expiry follow the clock while no CRL is made. Call it several times an hour.
    ///
    /// # Errors
    /// [`OriginError::Store`].
    pub fn observe_clock(&self, now: Timestamp) -> Result<(), OriginError> {
        self.store
            .write(|tx| Ok(expiry_clock::observe(tx, now).map(drop)?))
    }

    /// The newest CRL of each list of each issuer.
    ///
    /// # Errors
    /// [`OriginError::Store`].
    pub fn newest_crls(&self) -> Result<Vec<IssuedCrl>, OriginError> {
        self.store.read(|conn| {
            let mut newest = Vec::new();
            for issuer in issuer_rows::page(conn, "", u32::MAX)? {
                let is_lost = lost(conn, &issuer)?.is_some();
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
                        is_lost,
                    });
                }
            }
            Ok(newest)
        })
    }
}

/// Whether a CRL on record reflects every change to the revocations and to the configuration, and
/// is not due.
fn is_current(
    conn: &Connection,
    issuer: &IssuerRow,
    list: &ListRow,
    held: RecordedCrl,
    now: Timestamp,
) -> Result<bool, OriginError> {
    if held.watermark < issuer.configured {
        return Ok(false);
    }
    let due = held.next_update.saturating_sub(list.config.overlap);
    let scope = scope(list.config.name);
    Ok(now.as_unix_time() < due
        && !rows::changed_since(conn, issuer.number, scope, held.watermark)?)
}
