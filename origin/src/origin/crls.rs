//! CRLs of issuers whose key is here: whether a new one is needed, and what was made.

use bytes::Bytes;
use crl::{CrlNumber, UnixTime};
use origin_api::{CrlName, IssuerId, Watermark};
use rusqlite::Connection;

use super::draft::Draft;
use super::revocations::find_signing;
use super::{Origin, OriginError};
use crate::clock::Moment;
use crate::entries::Entries;
use crate::store::issuers::{self as issuer_rows, IssuerRow};
use crate::store::lists::{self as list_rows, ListRow};
use crate::store::revocations::{self as rows, Scope};

/// The answer to who asks for a CRL.
#[derive(Clone, Debug)]
pub enum CrlAnswer {
    /// A CRL.
    Crl(MadeCrl),
    /// The one that the asker holds is current.
    Unchanged,
    /// There is none to publish.
    Nothing,
}

/// A CRL that was made.
#[derive(Clone, Debug)]
pub struct MadeCrl {
    /// Its DER, in parts.
    pub parts: Vec<Bytes>,
    /// Its length in bytes.
    pub size: u64,
    /// Its SHA-256.
    pub sha256: [u8; 32],
    /// Its number.
    pub number: CrlNumber,
    /// Its thisUpdate.
    pub this_update: UnixTime,
    /// Its nextUpdate.
    pub next_update: UnixTime,
    /// How many entries it has.
    pub entries: u64,
    /// How far the revocations had come.
    pub watermark: Watermark,
}

impl MadeCrl {
    /// The whole DER.
    #[must_use]
    pub fn to_der(&self) -> Vec<u8> {
        self.parts.concat()
    }
}

/// The newest CRL of a list, without its bytes.
#[derive(Clone, Debug)]
pub struct IssuedCrl {
    /// Whose.
    pub issuer: IssuerId,
    /// Which.
    pub name: CrlName,
    /// Its number.
    pub number: CrlNumber,
    /// Its thisUpdate.
    pub this_update: UnixTime,
    /// Its nextUpdate.
    pub next_update: UnixTime,
    /// How many entries it has.
    pub entries: u64,
    /// Its length in bytes.
    pub size: u64,
}

impl Origin {
    /// The current CRL of a list, made anew: always without `held`, and with it unless the CRL of that SHA-256 is still
    /// current, because nothing changed and the next one is not due.
    ///
    /// # Errors
    /// [`OriginError::IssuerNotFound`], [`OriginError::CrlNotFound`], [`OriginError::NoKey`], [`OriginError::Write`],
    /// [`OriginError::Store`].
    pub fn make_crl(
        &self,
        issuer: &IssuerId,
        name: CrlName,
        held: Option<[u8; 32]>,
        now: Moment,
    ) -> Result<CrlAnswer, OriginError> {
        let (number, key, is_held) = self.store.read(|c| {
            let issuer = find_signing(c, issuer)?;
            let lists = list_rows::all(c, issuer.number)?;
            let list = find_list(&lists, &issuer, name)?;
            let is_held = match held {
                Some(held) => is_current(c, &issuer, list, held, now)?,
                None => false,
            };
            Ok::<_, OriginError>((issuer.number, self.key(c, &issuer)?, is_held))
        })?;
        if is_held {
            return Ok(CrlAnswer::Unchanged);
        }
        let list = self.memory.list(number, name);
        let mut entries = list.lock();
        if name != CrlName::Delta {
            entries.read_ahead(&self.store, number, scope(name))?;
        }
        let drafted = self
            .store
            .write(|t| Draft::next(t, issuer, name, key, &mut entries, now));
        // They may have followed changes that were rolled back.
        let drafted = drafted.inspect_err(|_| *entries = Entries::default())?;
        let Some(draft) = drafted else {
            return Ok(CrlAnswer::Nothing);
        };
        let made = draft.sign().inspect_err(|_| self.forget_key(number))?;
        self.store
            .write(|t| list_rows::signed(t, number, name, made.number, made.size, made.sha256))?;
        self.memory.note(number, name, entries.size());
        Ok(CrlAnswer::Crl(made))
    }

    /// The newest CRL of each list, of all issuers.
    ///
    /// # Errors
    /// [`OriginError::Store`].
    pub fn newest_crls(&self) -> Result<Vec<IssuedCrl>, OriginError> {
        self.store.read(|c| {
            let mut newest = Vec::new();
            for issuer in issuer_rows::page(c, "", u32::MAX)? {
                for list in list_rows::all(c, issuer.number)? {
                    let Some(latest) = list_rows::latest(c, issuer.number, list.name)? else {
                        continue;
                    };
                    newest.push(IssuedCrl {
                        issuer: issuer.id.clone(),
                        name: list.name,
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

/// Whether who holds the CRL of that SHA-256 needs no other: it is the last one, says all there is, as the issuer is set up
/// now, and is not due.
fn is_current(
    c: &Connection,
    issuer: &IssuerRow,
    list: &ListRow,
    held: [u8; 32],
    now: Moment,
) -> Result<bool, OriginError> {
    let latest = list_rows::latest(c, issuer.number, list.name)?;
    let Some(latest) = latest.filter(|latest| latest.sha256 == Some(held)) else {
        return Ok(false);
    };
    if latest.watermark < issuer.configured {
        return Ok(false);
    }
    let due = latest.next_update.saturating_sub(list.overlap);
    Ok(now.time() < due
        && !rows::changed_since(c, issuer.number, scope(list.name), latest.watermark)?)
}

/// The list of that name.
pub(super) fn find_list<'a>(
    lists: &'a [ListRow],
    issuer: &IssuerRow,
    name: CrlName,
) -> Result<&'a ListRow, OriginError> {
    let found = lists.iter().find(|list| list.name == name);
    found.ok_or_else(|| OriginError::CrlNotFound(issuer.id.clone(), name))
}

/// What a list of that name covers.
pub(super) fn scope(name: CrlName) -> Scope {
    match name {
        CrlName::Full | CrlName::Delta => Scope::All,
        CrlName::Shard(number) => Scope::Shard(number),
    }
}
