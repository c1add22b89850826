//! Recovers an issuer after its database was restored from a backup, from the CRLs that edges still
//! serve.

use std::collections::{BTreeMap, BTreeSet};

use crl::{CrlNumber, UnixTime};
use origin_api::{CrlName, IssuerId, Timestamp, Watermark};
use rusqlite::Connection;

use super::lookup::{find_list, find_signing};
use super::{Origin, OriginError, caller};
use crate::ca::Serial;
use crate::revocation::{
    self, CertificateFacts, Decision, NamedList, RevocationRequest, RevokedCertificate,
};
use crate::store::issuers::{self as issuer_rows, IssuerRow};
use crate::store::records::{self, AdoptedCrl, UnknownCrl};
use crate::store::{certificates, lists, revocations as rows};
use crate::{pause, sequence};

/// What an issuer is recovered from.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// The CRLs that edges serve.
    pub served: Vec<ServedCrl>,
    /// Facts of certificates that the operator has.
    pub certificates: BTreeMap<Serial, CertificateFacts>,
    /// The list of an entry if nothing else says which one its certificate names.
    pub otherwise: NamedList,
}

/// A CRL that an edge serves. The caller has verified its signature.
#[derive(Clone, Debug)]
pub struct ServedCrl {
    /// What is recorded of it.
    pub crl: AdoptedCrl,
    /// The number of its base if it is a delta.
    pub base_number: Option<CrlNumber>,
    /// Its entries, without removeFromCRL.
    pub entries: Vec<RevocationRequest>,
}

/// The result of a recovery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// The number of certificates that are on the CRL again.
    pub recovered: u64,
    /// The number of entries that were listed already.
    pub known: u64,
    /// The watermark now.
    pub watermark: Watermark,
    /// The CRLs that edges hold and that are still missing. While there are any, the issuer makes
    /// no CRL.
    pub missing: Vec<(CrlName, CrlNumber)>,
}

impl Origin {
    /// Takes over the entries, numbers and hashes of the CRLs that edges serve, and raises the
    /// numbers and the watermark above theirs.
    ///
    /// Up to 5,000 entries are one transaction. More are taken over in several, so that other
    /// writers do not wait for long, and the last one ends `state_lost`. Repeat it after a crash:
    /// what has been taken over stays.
    ///
    /// # Errors
    /// [`OriginError::IssuerNotFound`], [`OriginError::ManagedElsewhere`],
    /// [`OriginError::CrlNotFound`], [`OriginError::ShardUnknown`], [`OriginError::Store`].
    pub fn recover(
        &self,
        issuer: &IssuerId,
        evidence: &Evidence,
        now: Timestamp,
    ) -> Result<Recovery, OriginError> {
        let assignments = self.store.read(|conn| {
            let issuer = find_signing(conn, issuer)?;
            let placement = Placement::new(conn, &issuer, evidence)?;
            placement.of_entries(conn, &issuer, &evidence.served)
        })?;
        let entries: Vec<_> = evidence
            .served
            .iter()
            .flat_map(|served| &served.entries)
            .map(|entry| {
                let assignment = assignments.get(&entry.serial).copied();
                (entry, assignment.unwrap_or_default())
            })
            .collect();
        let (mut rest, mut counts) = (&entries[..], Counts::default());
        while rest.len() > STEP {
            let (step, later) = rest.split_at(STEP);
            let recovered = self.store.write_in_bulk(|tx| {
                let step = Step::begin(tx, issuer)?.recover(step, now)?;
                Ok::<_, OriginError>(step.commit()?.0)
            })?;
            counts = counts.plus(recovered);
            rest = later;
            pause::point("recover: step");
        }
        let recovery = self.store.write_in_bulk(|tx| {
            pause::point("recover: entries");
            let step = Step::begin(tx, issuer)?.recover(rest, now)?;
            let recovery = step.finish(&evidence.served, counts)?;
            pause::point("recover: commit");
            Ok::<_, OriginError>(recovery)
        })?;
        pause::point("recover: committed");
        Ok(recovery)
    }

    /// Ends `state_lost` for one CRL without recovering its entries: the operator knows that it is
    /// not this issuer's, or that its entries are not needed. The CRL counts as recorded, and the
    /// issuer's next numbers and watermark are above its own. Returns the CRLs that are still
    /// missing.
    ///
    /// # Errors
    /// [`OriginError::IssuerNotFound`], [`OriginError::ManagedElsewhere`],
    /// [`OriginError::CrlNotUnknown`], [`OriginError::CrlNotFound`], [`OriginError::Store`].
    pub fn dismiss(
        &self,
        issuer: &IssuerId,
        sha256: [u8; 32],
        now: Timestamp,
    ) -> Result<Vec<UnknownCrl>, OriginError> {
        self.store.write(|tx| {
            let issuer = find_signing(tx, issuer)?;
            let (dismissed, missing): (Vec<_>, Vec<_>) = records::unknown(tx, issuer.number)?
                .into_iter()
                .partition(|crl| crl.sha256 == sha256);
            if dismissed.is_empty() {
                return Err(OriginError::CrlNotUnknown(issuer.id, missing));
            }
            for crl in dismissed {
                caller::adopt(tx, &issuer, &crl, now)?;
                records::remove_unknown(tx, issuer.number, &crl)?;
            }
            Ok(missing)
        })
    }

    /// The CRLs that edges hold of an issuer and the database does not know. While there are any,
    /// the issuer is in `state_lost`; one that follows an index only if an edge misses an entry.
    ///
    /// # Errors
    /// [`OriginError::IssuerNotFound`], [`OriginError::Store`].
    pub fn unknown_crls(&self, issuer: &IssuerId) -> Result<Vec<UnknownCrl>, OriginError> {
        self.store.read(|conn| {
            let issuer = super::lookup::find_issuer(conn, issuer)?;
            Ok(records::unknown(conn, issuer.number)?)
        })
    }
}

/// How many entries one transaction takes over.
const STEP: usize = 5_000;

/// How many entries were recovered, and how many were listed already.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    recovered: u64,
    known: u64,
}

impl Counts {
    fn plus(self, other: Self) -> Self {
        Self {
            recovered: self.recovered.saturating_add(other.recovered),
            known: self.known.saturating_add(other.known),
        }
    }
}

/// One transaction of a recovery. Its changes have a watermark of their own, above those of all
/// CRLs that edges are known to hold.
struct Step<'a> {
    tx: &'a Connection,
    issuer: IssuerRow,
    unknown: Vec<UnknownCrl>,
    watermark: Watermark,
    counts: Counts,
}

impl<'a> Step<'a> {
    fn begin(tx: &'a Connection, issuer: &IssuerId) -> Result<Self, OriginError> {
        let issuer = find_signing(tx, issuer)?;
        let unknown = records::unknown(tx, issuer.number)?;
        let watermark = unknown
            .iter()
            .map(|crl| crl.watermark)
            .fold(issuer.watermark, Watermark::max);
        Ok(Self {
            tx,
            issuer,
            unknown,
            watermark: sequence::next_watermark(watermark),
            counts: Counts::default(),
        })
    }

    fn recover(
        mut self,
        entries: &[(&RevocationRequest, Assignment)],
        now: Timestamp,
    ) -> Result<Self, OriginError> {
        for (entry, assignment) in entries {
            let counts = &mut self.counts;
            if recover_entry(
                self.tx,
                &self.issuer,
                entry,
                *assignment,
                self.watermark,
                now,
            )? {
                counts.recovered = counts.recovered.saturating_add(1);
            } else {
                counts.known = counts.known.saturating_add(1);
            }
            pause::point("recover: entry");
        }
        Ok(self)
    }

    fn commit(self) -> Result<(Counts, Watermark), OriginError> {
        issuer_rows::set_watermark(self.tx, self.issuer.number, self.watermark)?;
        Ok((self.counts, self.watermark))
    }

    /// Records the served CRLs, and removes the evidence that they answer.
    fn finish(self, served: &[ServedCrl], before: Counts) -> Result<Recovery, OriginError> {
        let (tx, number) = (self.tx, self.issuer.number);
        pause::point("recover: records");
        for served in served {
            records::adopt(tx, number, &served.crl)?;
            lists::raise_numbers(tx, number, served.crl.number)?;
            lists::raise_this_update(tx, number, served.crl.name, served.crl.this_update)?;
        }
        for crl in &self.unknown {
            lists::raise_numbers(tx, number, crl.number)?;
        }
        let missing = resolve(tx, &self.issuer, &self.unknown, served)?;
        let (counts, watermark) = self.commit()?;
        let Counts { recovered, known } = before.plus(counts);
        Ok(Recovery {
            recovered,
            known,
            watermark,
            missing,
        })
    }
}

/// Removes the evidence that the served CRLs answer. Returns the rest.
fn resolve(
    conn: &Connection,
    issuer: &IssuerRow,
    unknown: &[UnknownCrl],
    served: &[ServedCrl],
) -> Result<Vec<(CrlName, CrlNumber)>, OriginError> {
    let full = served
        .iter()
        .filter(|served| served.crl.name == CrlName::Full);
    let newest_full = full.map(|full| full.crl.number).max();
    let mut missing = Vec::new();
    for crl in unknown {
        if served
            .iter()
            .any(|served| answers(served, newest_full, crl))
        {
            records::remove_unknown(conn, issuer.number, crl)?;
        } else {
            missing.push((crl.name, crl.number));
        }
    }
    Ok(missing)
}

/// Whether a served CRL has every entry of an unknown one that still matters: it is the same one,
/// or a later one of its list. A later delta has only what changed since its own base, so that
/// base, or a later full CRL, must be served too.
fn answers(served: &ServedCrl, newest_full: Option<CrlNumber>, unknown: &UnknownCrl) -> bool {
    let is_later = served.crl.name == unknown.name && served.crl.number > unknown.number;
    let has_base = served
        .base_number
        .is_none_or(|base| newest_full >= Some(base));
    served.crl.sha256 == unknown.sha256 || is_later && has_base
}

/// The list and the expiry of an entry's certificate.
#[derive(Clone, Copy, Debug, Default)]
struct Assignment {
    shard: Option<u32>,
    not_after: Option<UnixTime>,
}

/// Decides to which shard each entry belongs.
///
/// An entry that is on the full CRL and not on a shard's CRL may belong to that shard all the same,
/// even if the shard's CRL is newer: the certificate was released and held again, the entry moved
/// to another shard, or a clock that was ahead took it off or dated one of the CRLs. So only three
/// things count: the certificate, a shard's CRL that lists the entry, and what is stored of it.
struct Placement<'a> {
    evidence: &'a Evidence,
    /// The shards that list an entry, by CRLs made after the backup.
    by_serial: BTreeMap<&'a Serial, BTreeSet<u32>>,
    has_shards: bool,
}

impl<'a> Placement<'a> {
    fn new(
        conn: &Connection,
        issuer: &IssuerRow,
        evidence: &'a Evidence,
    ) -> Result<Self, OriginError> {
        let lists = lists::all(conn, issuer.number)?;
        let mut by_serial: BTreeMap<_, BTreeSet<u32>> = BTreeMap::new();
        for served in &evidence.served {
            let name = served.crl.name;
            // The backup may be from before a full CRL or a delta was published; its entries have a
            // place all the same.
            let CrlName::Shard(number) = name else {
                continue;
            };
            find_list(&lists, issuer, name)?;
            // What is stored is at least as new as a CRL on record.
            let sha256 = served.crl.sha256;
            if records::find(conn, issuer.number, name, sha256)?.is_none() {
                for entry in &served.entries {
                    by_serial.entry(&entry.serial).or_default().insert(number);
                }
            }
        }
        let has_shards = lists
            .iter()
            .any(|list| matches!(list.config.name, CrlName::Shard(_)));
        Ok(Self {
            evidence,
            by_serial,
            has_shards,
        })
    }

    /// The assignment of each served entry.
    fn of_entries(
        &self,
        conn: &Connection,
        issuer: &IssuerRow,
        served: &[ServedCrl],
    ) -> Result<BTreeMap<Serial, Assignment>, OriginError> {
        let (mut assignments, mut unknown) = (BTreeMap::new(), BTreeSet::new());
        for entry in served.iter().flat_map(|served| &served.entries) {
            let serial = &entry.serial;
            if assignments.contains_key(serial) {
                continue;
            }
            match self.of_entry(conn, issuer, serial)? {
                Some(assignment) => drop(assignments.insert(serial.clone(), assignment)),
                None => drop(unknown.insert(serial.clone())),
            }
        }
        if unknown.is_empty() {
            Ok(assignments)
        } else {
            Err(OriginError::ShardUnknown {
                issuer: issuer.id.clone(),
                serials: unknown.into_iter().collect(),
            })
        }
    }

    /// `None` if nothing says to which shard the entry belongs.
    fn of_entry(
        &self,
        conn: &Connection,
        issuer: &IssuerRow,
        serial: &Serial,
    ) -> Result<Option<Assignment>, OriginError> {
        let stated = self.evidence.certificates.get(serial).copied();
        let facts = match certificates::find(conn, issuer.number, serial)? {
            Some(certificate) => Some(certificate.facts()),
            None => stated,
        };
        let not_after = facts.map(|facts| facts.not_after);
        let on_shard = |shard| Some(Assignment { shard, not_after });
        match facts.map(|facts| facts.list) {
            Some(NamedList::Shard(number)) => return Ok(on_shard(Some(number))),
            Some(NamedList::Full) => return Ok(on_shard(None)),
            Some(NamedList::Unknown) | None => {}
        }
        let listing = self.by_serial.get(serial).into_iter().flatten();
        match listing.copied().collect::<Vec<_>>()[..] {
            [] => {}
            [shard] => return Ok(on_shard(Some(shard))),
            // It moved from one to another, and the CRLs do not say which way.
            _ => return Ok(None),
        }
        if let Some((_, known)) = rows::find(conn, issuer.number, serial)? {
            return Ok(on_shard(known.shard));
        }
        Ok(match self.evidence.otherwise {
            NamedList::Unknown if self.has_shards => None,
            otherwise => on_shard(otherwise.shard()),
        })
    }
}

/// Puts one entry on the CRL again. Returns whether that changed what is stored.
fn recover_entry(
    conn: &Connection,
    issuer: &IssuerRow,
    entry: &RevocationRequest,
    assignment: Assignment,
    watermark: Watermark,
    now: Timestamp,
) -> Result<bool, OriginError> {
    let stored = rows::find(conn, issuer.number, &entry.serial)?;
    let (position, stored) = match stored {
        Some((position, certificate)) => (position, Some(certificate)),
        None => (rows::next_position(conn, issuer.number)?, None),
    };
    let placed = stored.clone().map(|certificate| RevokedCertificate {
        shard: assignment.shard,
        not_after: assignment.not_after.or(certificate.not_after),
        ..certificate
    });
    let request = RevocationRequest {
        list: assignment.shard.map_or(NamedList::Full, NamedList::Shard),
        not_after: assignment.not_after,
        ..entry.clone()
    };
    // The CRL was signed, so its dates count even if the clock has been set back since.
    let now = now
        .as_unix_time()
        .max(entry.revoked_at.unwrap_or(UnixTime::MIN));
    let next = match revocation::revoke(placed.as_ref(), &request, now) {
        Ok(Decision::Write(next)) => Some(next),
        // Revoked already, and more strongly.
        Ok(Decision::Unchanged) | Err(_) => placed,
    };
    match next {
        Some(next) if stored.as_ref() != Some(&next) => {
            let der = next.entry()?;
            rows::put(
                conn,
                issuer.number,
                position,
                &next,
                der.as_deref(),
                watermark,
            )?;
            Ok(true)
        }
        _ => Ok(false),
    }
}
