//! CRLs of local issuers: what is due, the number, the bytes.
//!
//! One transaction decides everything about a CRL but its signature: its number, its times, its entries. So CRLs of one
//! list are made one after the other, whoever asks, and a number that was given out is never given out again.

use std::sync::Arc;

use bytes::Bytes;
use crl::{AlgorithmIdentifier, CrlNumber, DistinguishedName, Template, UnixTime};
use der::Encode;
use origin_api::{CrlName, IssuerId, Watermark};
use rusqlite::Connection;
use sha2::{Digest, Sha256};

use super::revocations::find_signing;
use super::{Origin, OriginError};
use crate::ca::{self, CertificateError, PrivateKey};
use crate::clock::Moment;
use crate::entries::Entries;
use crate::revocation;
use crate::sequence;
use crate::store::issuers::{self as issuer_rows, IssuerRow};
use crate::store::lists::{self as list_rows, IssuedRow, ListRow};
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

/// All that a CRL says, before it is signed.
struct Draft {
    key: Arc<PrivateKey>,
    next: IssuedRow,
    template: Template,
    entries: Vec<Bytes>,
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
        let drafted = self
            .store
            .write(|t| draft(t, issuer, name, key, &mut entries, now));
        // They may have followed changes that were rolled back.
        let drafted = drafted.inspect_err(|_| *entries = Entries::default())?;
        let Some(draft) = drafted else {
            return Ok(CrlAnswer::Nothing);
        };
        let made = draft.sign()?;
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

/// Decides on everything that the next CRL says; `None` if there can be none yet.
fn draft(
    c: &Connection,
    issuer: &IssuerId,
    name: CrlName,
    key: Arc<PrivateKey>,
    entries: &mut Entries,
    now: Moment,
) -> Result<Option<Draft>, OriginError> {
    let issuer = find_signing(c, issuer)?;
    let lists = list_rows::all(c, issuer.number)?;
    let list = find_list(&lists, &issuer, name)?;
    let base = match name {
        CrlName::Delta => {
            match list_rows::oldest_valid(c, issuer.number, CrlName::Full, now.time())? {
                Some(full) => Some(full),
                None => return Ok(None),
            }
        }
        CrlName::Full | CrlName::Shard(_) => None,
    };
    let watermark = drop_expired(c, &issuer, &lists, now)?;
    let (chunks, count) = if let Some(base) = &base {
        delta_entries(c, &issuer, base.watermark)?
    } else {
        entries.follow(c, issuer.number, scope(name), watermark)?;
        (entries.chunks(), entries.count())
    };
    let this_update = sequence::next_this_update(list.this_update, now);
    let numbers = lists
        .iter()
        .filter(|other| same_sequence(other.name, name))
        .filter_map(|list| list.number);
    let number = sequence::next_number(numbers.max(), now);
    let next = IssuedRow {
        number: number.ok_or_else(|| OriginError::NumbersUsedUp(issuer.id.clone()))?,
        this_update,
        next_update: this_update.saturating_add(list.validity),
        watermark,
        entries: count,
        size: None,
        sha256: None,
    };
    list_rows::reserve(c, issuer.number, name, &next)?;
    list_rows::forget_expired(c, issuer.number, name, now.time())?;
    let template = template(
        &issuer,
        &lists,
        list,
        &key,
        &next,
        base.map(|base| base.number),
    )?;
    Ok(Some(Draft {
        key,
        next,
        template,
        entries: chunks,
    }))
}

fn find_list<'a>(
    lists: &'a [ListRow],
    issuer: &IssuerRow,
    name: CrlName,
) -> Result<&'a ListRow, OriginError> {
    let found = lists.iter().find(|list| list.name == name);
    found.ok_or_else(|| OriginError::CrlNotFound(issuer.id.clone(), name))
}

impl Draft {
    fn sign(self) -> Result<MadeCrl, OriginError> {
        let entries_size = self.entries.iter().map(|chunk| chunk.len() as u64).sum();
        let tbs = self.template.tbs(entries_size)?;
        let mut parts = vec![Bytes::copy_from_slice(tbs.before())];
        parts.extend(self.entries);
        parts.push(Bytes::copy_from_slice(tbs.after()));
        let signature = self
            .key
            .sign(&parts.iter().map(Bytes::as_ref).collect::<Vec<_>>())?;
        let seal = tbs.seal(&signature)?;
        parts.insert(0, seal.prefix.into());
        parts.push(seal.suffix.into());
        let mut hash = Sha256::new();
        for part in &parts {
            hash.update(part);
        }
        let IssuedRow {
            number,
            this_update,
            next_update,
            watermark,
            entries,
            ..
        } = self.next;
        let sha256 = hash.finalize().into();
        Ok(MadeCrl {
            parts,
            size: seal.size,
            sha256,
            number,
            this_update,
            next_update,
            entries,
            watermark,
        })
    }
}

/// Whether who holds the CRL of that SHA-256 needs no other: it is the last one, says all there is, and is not due.
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
    let due = latest.next_update.saturating_sub(list.overlap);
    Ok(now.time() < due
        && !rows::changed_since(c, issuer.number, scope(list.name), latest.watermark)?)
}

/// Takes certificates off the list that have expired, once each CRL that names them was made after they did (RFC 5280,
/// section 3.3). Answers how far the revocations have come then.
fn drop_expired(
    c: &Connection,
    issuer: &IssuerRow,
    lists: &[ListRow],
    now: Moment,
) -> Result<Watermark, OriginError> {
    let mut told_at: Option<(UnixTime, Watermark)> = None;
    for list in lists.iter().filter(|list| list.name != CrlName::Delta) {
        let Some(latest) = list_rows::latest(c, issuer.number, list.name)? else {
            return Ok(issuer.watermark);
        };
        let so_far = told_at.unwrap_or((latest.this_update, latest.watermark));
        told_at = Some((
            so_far.0.min(latest.this_update),
            so_far.1.min(latest.watermark),
        ));
    }
    let Some((before, seen)) = told_at else {
        return Ok(issuer.watermark);
    };
    let watermark = sequence::next_watermark(issuer.watermark, now);
    if rows::expire(c, issuer.number, before, seen, watermark)? == 0 {
        return Ok(issuer.watermark);
    }
    issuer_rows::set_watermark(c, issuer.number, watermark)?;
    Ok(watermark)
}

/// What changed since the base (RFC 5280, section 5.2.4): what is listed with its entry, what is not with its removal.
fn delta_entries(
    c: &Connection,
    issuer: &IssuerRow,
    base: Watermark,
) -> Result<(Vec<Bytes>, u64), OriginError> {
    let (mut bytes, mut count, mut failure) = (Vec::new(), 0_u64, None);
    rows::changes(c, issuer.number, base, |row, entry| {
        count = count.saturating_add(1);
        match entry {
            Some(entry) => bytes.extend_from_slice(entry),
            None => match revocation::removal(&row) {
                Ok(removal) => bytes.extend(removal),
                Err(error) => failure = Some(error),
            },
        }
    })?;
    match failure {
        Some(error) => Err(error.into()),
        None => Ok((vec![bytes.into()], count)),
    }
}

fn template(
    issuer: &IssuerRow,
    lists: &[ListRow],
    list: &ListRow,
    key: &PrivateKey,
    next: &IssuedRow,
    base_number: Option<CrlNumber>,
) -> Result<Template, OriginError> {
    let certificate = issuer.parse_certificate()?;
    let algorithm = key.algorithm()?.to_der().map_err(CertificateError::from)?;
    let subject = certificate.tbs_certificate().subject();
    let delta = lists.iter().find(|other| other.name == CrlName::Delta);
    Ok(Template {
        issuer: DistinguishedName::try_from(subject).map_err(CertificateError::from)?,
        algorithm: AlgorithmIdentifier::from_der(&algorithm).map_err(CertificateError::from)?,
        this_update: next.this_update,
        next_update: next.next_update,
        number: next.number,
        authority_key_id: Some(ca::authority_key_id(&certificate)?),
        // A shard tells what it is limited to; a list of everything has no limit to tell (RFC 5280, section 5.2.5).
        issuing_distribution_point: match (list.name, &list.distribution_point) {
            (CrlName::Shard(_), Some(url)) => Some(crl::issuing_distribution_point(url)?),
            _ => None,
        },
        base_number,
        freshest_crl: match list.name {
            CrlName::Full => delta.and_then(|delta| delta.distribution_point.clone()),
            CrlName::Delta | CrlName::Shard(_) => None,
        },
    })
}

fn scope(name: CrlName) -> Scope {
    match name {
        CrlName::Full | CrlName::Delta => Scope::All,
        CrlName::Shard(number) => Scope::Shard(number),
    }
}

/// A complete CRL and the deltas to it share one sequence of numbers (RFC 5280, section 5.2.3).
fn same_sequence(one: CrlName, other: CrlName) -> bool {
    scope(one) == scope(other)
}
