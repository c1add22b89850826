//! What the next CRL says: its number, its times, its entries.
//!
//! All of it is decided in one transaction, and the signature made after that. So CRLs of one list are made one after the other,
//! whoever asks, and a number that was given out is never given out again.

use std::sync::Arc;

use bytes::Bytes;
use crl::{AlgorithmIdentifier, CrlNumber, DistinguishedName, Template, UnixTime};
use der::Encode;
use origin_api::{CrlName, IssuerId, Watermark};
use rusqlite::Connection;
use sha2::{Digest, Sha256};

use super::OriginError;
use super::crls::{MadeCrl, find_list, scope};
use super::revocations::find_signing;
use crate::ca::{self, CertificateError, PrivateKey};
use crate::clock::Moment;
use crate::entries::Entries;
use crate::revocation;
use crate::sequence;
use crate::store::issuers::{self as issuer_rows, IssuerRow};
use crate::store::lists::{self as list_rows, IssuedRow, ListRow};
use crate::store::revocations as rows;

/// All that a CRL says, before it is signed.
pub(super) struct Draft {
    key: Arc<PrivateKey>,
    next: IssuedRow,
    template: Template,
    entries: Vec<Bytes>,
}

impl Draft {
    /// Decides on everything that the next CRL says; `None` if there can be none yet.
    pub(super) fn next(
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

    /// Signs it.
    pub(super) fn sign(self) -> Result<MadeCrl, OriginError> {
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
    let Some((told_at, seen)) = told_at else {
        return Ok(issuer.watermark);
    };
    // A CRL from when the clock was ahead tells nothing about what has expired.
    let before = told_at.min(now.time());
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

/// A complete CRL and the deltas to it share one sequence of numbers (RFC 5280, section 5.2.3).
fn same_sequence(one: CrlName, other: CrlName) -> bool {
    scope(one) == scope(other)
}
