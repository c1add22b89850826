//! The next CRL of a list: its number, times and entries, and its signature.
//!
//! The contents are decided in one transaction, and signed after it. So concurrent makings of a
//! list, in any process, are serialized, and no number is used twice.

use std::sync::Arc;

use bytes::Bytes;
use crl::{
    AlgorithmIdentifier, CrlNumber, DistinguishedName, Extension, IssuingDistributionPoint,
    Template, UnixTime,
};
use der::Encode;
use der::asn1::ObjectIdentifier;
use origin_api::{CrlName, IssuerId, Timestamp, Watermark};
use rusqlite::Connection;
use sha2::{Digest, Sha256};

use super::lookup::{find_list, find_signing, refuse_lost, scope};
use super::{OriginError, expiry};
use crate::ca::{self, CertificateError, PrivateKey};
use crate::entries::Entries;
use crate::list_config::ListConfig;
use crate::sequence;
use crate::store::issuers::IssuerRow;
use crate::store::lists::{self as list_rows, ListRow, MadeRow};
use crate::store::revocations as rows;

/// A signed CRL.
#[derive(Clone, Debug)]
pub struct MadeCrl {
    /// Its DER, in parts that share the cached entries.
    pub parts: Vec<Bytes>,
    /// Its size in bytes.
    pub size: u64,
    /// Its SHA-256.
    pub sha256: [u8; 32],
    /// Its number.
    pub number: CrlNumber,
    /// Its thisUpdate.
    pub this_update: UnixTime,
    /// Its nextUpdate.
    pub next_update: UnixTime,
    /// Its number of entries.
    pub entries: u64,
    /// The issuer's watermark that it reflects.
    pub watermark: Watermark,
}

impl MadeCrl {
    /// The whole DER.
    #[must_use]
    pub fn to_der(&self) -> Vec<u8> {
        self.parts.concat()
    }
}

/// The contents of a CRL, before it is signed.
pub(super) struct Draft {
    key: Arc<PrivateKey>,
    next: MadeRow,
    template: Template,
    entries: Vec<Bytes>,
}

impl Draft {
    /// Decides the contents of the next CRL, and uses up its number. `None` for a delta without a
    /// base.
    pub(super) fn next(
        conn: &Connection,
        issuer: &IssuerId,
        name: CrlName,
        key: Arc<PrivateKey>,
        entries: &mut Entries,
        now: Timestamp,
    ) -> Result<Option<Draft>, OriginError> {
        let issuer = find_signing(conn, issuer)?;
        refuse_lost(conn, &issuer)?;
        let lists = list_rows::all(conn, issuer.number)?;
        let list = find_list(&lists, &issuer, name)?;
        let base = match name {
            CrlName::Delta => {
                let now = now.as_unix_time();
                match list_rows::oldest_valid(conn, issuer.number, CrlName::Full, now)? {
                    Some(base) => Some(base),
                    None => return Ok(None),
                }
            }
            CrlName::Full | CrlName::Shard(_) => None,
        };
        let watermark = expiry::follow_clock(conn, &issuer, &lists, now)?;
        let (chunks, count) = if let Some((_, watermark)) = base {
            delta_entries(conn, &issuer, watermark)?
        } else {
            entries.follow(conn, issuer.number, scope(name), watermark)?;
            (entries.chunks(), entries.count())
        };
        let this_update = sequence::next_this_update(list.this_update, now);
        let numbers = lists
            .iter()
            .filter(|other| same_sequence(other.config.name, name))
            .filter_map(|list| list.number);
        let number = sequence::next_number(numbers.max(), now);
        let next = MadeRow {
            number: number.ok_or_else(|| OriginError::NumbersUsedUp(issuer.id.clone()))?,
            this_update,
            next_update: this_update.saturating_add(list.config.validity),
            watermark,
            entries: count,
            size: None,
            sha256: None,
        };
        list_rows::reserve(conn, issuer.number, name, &next)?;
        let template = template(
            &issuer,
            &lists,
            &list.config,
            &key,
            &next,
            base.map(|(number, _)| number),
        )?;
        Ok(Some(Draft {
            key,
            next,
            template,
            entries: chunks,
        }))
    }

    /// Signs the CRL.
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
        let MadeRow {
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

/// What changed since the base (RFC 5280, section 5.2.4): entries, and removals of what left.
fn delta_entries(
    conn: &Connection,
    issuer: &IssuerRow,
    base: Watermark,
) -> Result<(Vec<Bytes>, u64), OriginError> {
    let (mut bytes, mut count, mut failure) = (Vec::new(), 0_u64, None);
    rows::changes(conn, issuer.number, base, |row, entry| {
        count = count.saturating_add(1);
        match entry {
            Some(entry) => bytes.extend_from_slice(entry),
            None => match row.removal() {
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
    list: &ListConfig,
    key: &PrivateKey,
    next: &MadeRow,
    base_number: Option<CrlNumber>,
) -> Result<Template, OriginError> {
    let certificate = issuer.parse_certificate()?;
    let algorithm = key.algorithm()?.to_der().map_err(CertificateError::from)?;
    let subject = certificate.tbs_certificate().subject();
    let delta = lists
        .iter()
        .find(|other| other.config.name == CrlName::Delta);
    Ok(Template {
        authority_key_id: Some(ca::authority_key_id(&certificate)?),
        // A shard states its scope; a full CRL covers everything (RFC 5280, section 5.2.5).
        issuing_distribution_point: match (list.name, &list.distribution_point) {
            (CrlName::Shard(_), Some(url)) => Some(IssuingDistributionPoint::from_url(url)),
            _ => None,
        },
        base_number,
        freshest_crl: match list.name {
            CrlName::Full => delta
                .and_then(|delta| delta.config.distribution_point.clone())
                .into_iter()
                .collect(),
            CrlName::Delta | CrlName::Shard(_) => Vec::new(),
        },
        extra_extensions: issuer
            .keeps_expired_since
            .map(expired_certs_on_crl)
            .into_iter()
            .collect(),
        ..Template::new(
            DistinguishedName::try_from(subject).map_err(CertificateError::from)?,
            AlgorithmIdentifier::from_der(&algorithm).map_err(CertificateError::from)?,
            next.number,
            next.this_update..next.next_update,
        )
    })
}

/// expiredCertsOnCRL (X.509, section 9.5.2.12): the CRL lists certificates that expired since then.
fn expired_certs_on_crl(since: UnixTime) -> Extension {
    const ID_CE_EXPIRED_CERTS_ON_CRL: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.60");
    // A GeneralizedTime, YYYYMMDDHHMMSSZ, from RFC 3339.
    let digits: String = since
        .to_string()
        .chars()
        .filter(char::is_ascii_digit)
        .collect();
    let mut value = vec![0x18, 0x0f];
    value.extend_from_slice(digits.as_bytes());
    value.push(b'Z');
    Extension {
        oid: ID_CE_EXPIRED_CERTS_ON_CRL,
        critical: false,
        value,
    }
}

/// A full CRL and its deltas share one sequence of numbers (RFC 5280, section 5.2.3).
fn same_sequence(one: CrlName, other: CrlName) -> bool {
    scope(one) == scope(other)
}
