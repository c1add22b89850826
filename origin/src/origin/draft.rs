//! The next CRL of a list: its number, times and entries, and its signature.
//!
//! The contents are decided in one transaction, and signed after it. So concurrent makings of a
//! list, in any process, are serialized, and no number is used twice. The transaction is short:
//! most entries are read before it, on a snapshot ([`Contents::catch_up`]).

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
use crate::delta_entries::DeltaEntries;
use crate::entries::Entries;
use crate::list_config::ListConfig;
use crate::sequence;
use crate::store::issuers::{IssuerNumber, IssuerRow};
use crate::store::lists::{self as list_rows, ListRow, MadeRow};
use crate::store::{Store, StoreError};

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

/// The entries of a list that is about to be made.
pub(super) enum Contents<'a> {
    /// All of a scope, for a full CRL or a shard.
    Listed(&'a mut Entries),
    /// What changed since a base.
    Changed(DeltaEntries),
}

impl Contents<'_> {
    /// Reads the entries, apart from what changes in the meantime, without blocking writers.
    pub(super) fn catch_up(
        &mut self,
        store: &Store,
        issuer: IssuerNumber,
        name: CrlName,
        now: Timestamp,
    ) -> Result<(), OriginError> {
        match self {
            Self::Listed(entries) => Ok(entries.catch_up(store, issuer, scope(name))?),
            Self::Changed(entries) => {
                let Some((_, base)) = store.read(|conn| base(conn, issuer, now))? else {
                    return Ok(());
                };
                if base != entries.base() {
                    *entries = DeltaEntries::new(base);
                }
                Ok(entries.catch_up(store, issuer)?)
            }
        }
    }

    /// Reads the rest.
    fn complete(
        &mut self,
        conn: &Connection,
        issuer: IssuerNumber,
        name: CrlName,
        watermark: Watermark,
        now: Timestamp,
    ) -> Result<Completed, OriginError> {
        match self {
            Self::Listed(entries) => {
                entries.follow(conn, issuer, scope(name), watermark)?;
                Ok(Completed::Whole)
            }
            Self::Changed(entries) => {
                let Some((number, base)) = base(conn, issuer, now)? else {
                    return Ok(Completed::NoBase);
                };
                if base != entries.base() {
                    *entries = DeltaEntries::new(base);
                }
                entries.follow(conn, issuer, watermark)?;
                Ok(Completed::Delta(number))
            }
        }
    }

    fn count(&self) -> u64 {
        match self {
            Self::Listed(entries) => entries.count(),
            Self::Changed(entries) => entries.count(),
        }
    }

    /// Their bytes, in order.
    fn chunks(&self) -> Vec<Bytes> {
        match self {
            Self::Listed(entries) => entries.chunks(),
            Self::Changed(entries) => vec![entries.chunk()],
        }
    }
}

/// Contents that lack nothing.
enum Completed {
    /// Those of a full CRL or a shard.
    Whole,
    /// Those of a delta to this base.
    Delta(CrlNumber),
    /// A delta has no base.
    NoBase,
}

/// The oldest full CRL that a relying party may hold: a delta fits it and every later one.
fn base(
    conn: &Connection,
    issuer: IssuerNumber,
    now: Timestamp,
) -> Result<Option<(CrlNumber, Watermark)>, StoreError> {
    list_rows::oldest_valid(conn, issuer, CrlName::Full, now.as_unix_time())
}

/// The result of a transaction that was to decide the contents of a CRL.
pub(super) enum Next {
    /// They are decided, and the number is used up.
    Draft(Box<Draft>),
    /// Many entries expired, or returned. Read them, and try again.
    Again,
    /// A delta without a base.
    Nothing,
}

/// The contents of a CRL, before it is signed.
pub(super) struct Draft {
    key: Arc<PrivateKey>,
    next: MadeRow,
    template: Template,
    entries: Vec<Bytes>,
}

/// How many entries may expire in the transaction that lists the others.
const FEW: usize = 100;

impl Draft {
    /// Decides the contents of the next CRL, and uses up its number.
    pub(super) fn next(
        conn: &Connection,
        issuer: &IssuerId,
        name: CrlName,
        key: &Arc<PrivateKey>,
        contents: &mut Contents<'_>,
        now: Timestamp,
    ) -> Result<Next, OriginError> {
        let issuer = find_signing(conn, issuer)?;
        refuse_lost(conn, &issuer)?;
        let lists = list_rows::all(conn, issuer.number)?;
        let list = find_list(&lists, &issuer, name)?;
        let (watermark, changed) = expiry::follow_clock(conn, &issuer, &lists, now)?;
        if changed > FEW {
            return Ok(Next::Again);
        }
        let base = match contents.complete(conn, issuer.number, name, watermark, now)? {
            Completed::Whole => None,
            Completed::Delta(base) => Some(base),
            Completed::NoBase => return Ok(Next::Nothing),
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
            entries: contents.count(),
            size: None,
            sha256: None,
        };
        list_rows::reserve(conn, issuer.number, name, &next)?;
        let template = template(&issuer, &lists, &list.config, key, &next, base)?;
        Ok(Next::Draft(Box::new(Draft {
            key: Arc::clone(key),
            next,
            template,
            entries: Vec::new(),
        })))
    }

    /// Takes the entries over: after the transaction, as copying those of a delta takes time.
    pub(super) fn take_entries(&mut self, contents: &Contents<'_>) {
        self.entries = contents.chunks();
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
