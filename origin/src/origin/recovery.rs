//! Recovers an issuer after its database was restored from a backup, from the CRLs that edges still
//! serve.

use std::collections::{BTreeMap, BTreeSet};

use crl::CrlNumber;
use origin_api::{CrlName, IssuerId, Timestamp, Watermark};
use rusqlite::Connection;

use super::lookup::find_signing;
use super::revocations::UnknownShard;
use super::{Origin, OriginError};
use crate::ca::Serial;
use crate::revocation::{self, Decision, RevocationRequest};
use crate::store::issuers::{self as issuer_rows, IssuerRow};
use crate::store::records::{self, AdoptedCrl, UnknownCrl};
use crate::store::{certificates, lists, revocations as rows};
use crate::{crash, sequence};

/// A CRL that an edge serves. The caller has verified its signature.
#[derive(Clone, Debug)]
pub struct ServedCrl {
    /// What is recorded of it.
    pub crl: AdoptedCrl,
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
    /// numbers and the watermark above theirs. One transaction: a crash leaves all of it or
    /// nothing, and repeating it changes nothing more.
    ///
    /// # Errors
    /// [`OriginError::IssuerNotFound`], [`OriginError::NoKey`], [`OriginError::CrlNotFound`],
    /// [`OriginError::ShardUnknown`], [`OriginError::Store`].
    pub fn recover(
        &self,
        issuer: &IssuerId,
        served: &[ServedCrl],
        unknown_shard: UnknownShard,
        now: Timestamp,
    ) -> Result<Recovery, OriginError> {
        self.store.write_in_bulk(|tx| {
            let issuer = find_signing(tx, issuer)?;
            let unknown = records::unknown(tx, issuer.number)?;
            let watermark = unknown
                .iter()
                .map(|crl| crl.watermark)
                .fold(issuer.watermark, Watermark::max);
            let watermark = sequence::next_watermark(watermark);
            let shards = Shards::of(tx, &issuer, served, unknown_shard)?;
            let (mut recovered, mut known) = (0_u64, 0_u64);
            crash::point("recover: entries");
            for entry in served.iter().flat_map(|served| &served.entries) {
                let shard = shards.of_entry(tx, &issuer, &entry.serial)?;
                if recover_entry(tx, &issuer, entry, shard, watermark, now)? {
                    recovered = recovered.saturating_add(1);
                } else {
                    known = known.saturating_add(1);
                }
            }
            crash::point("recover: records");
            for served in served {
                records::adopt(tx, issuer.number, &served.crl)?;
                lists::raise_numbers(tx, issuer.number, served.crl.number)?;
                lists::raise_this_update(
                    tx,
                    issuer.number,
                    served.crl.name,
                    served.crl.this_update,
                )?;
            }
            for crl in &unknown {
                lists::raise_numbers(tx, issuer.number, crl.number)?;
            }
            issuer_rows::set_watermark(tx, issuer.number, watermark)?;
            let missing = resolve(tx, &issuer, unknown, served)?;
            crash::point("recover: commit");
            Ok(Recovery {
                recovered,
                known,
                watermark,
                missing,
            })
        })
    }

    /// The CRLs that edges hold of an issuer and the database does not know: the issuer is in
    /// `state_lost` while there are any.
    ///
    /// # Errors
    /// [`OriginError::IssuerNotFound`], [`OriginError::Store`].
    pub fn unknown_crls(
        &self,
        issuer: &IssuerId,
    ) -> Result<Vec<(CrlName, CrlNumber)>, OriginError> {
        self.store.read(|conn| {
            let issuer = super::lookup::find_issuer(conn, issuer)?;
            let unknown = records::unknown(conn, issuer.number)?.into_iter();
            Ok(unknown.map(|crl| (crl.name, crl.number)).collect())
        })
    }
}

/// Removes the evidence that the served CRLs answer. Returns the rest. A served CRL answers for the
/// same bytes, and for every earlier CRL of its list.
fn resolve(
    conn: &Connection,
    issuer: &IssuerRow,
    unknown: Vec<UnknownCrl>,
    served: &[ServedCrl],
) -> Result<Vec<(CrlName, CrlNumber)>, OriginError> {
    let mut missing = Vec::new();
    for crl in unknown {
        let is_answered = served.iter().any(|served| {
            served.crl.sha256 == crl.sha256
                || served.crl.name == crl.name && served.crl.number > crl.number
        });
        if is_answered {
            records::remove_unknown(conn, issuer.number, &crl)?;
        } else {
            missing.push((crl.name, crl.number));
        }
    }
    Ok(missing)
}

/// Which shard each entry belongs to.
struct Shards {
    by_serial: BTreeMap<Serial, u32>,
    /// The issuer's shards that an entry on no served shard may belong to: those without a served
    /// CRL, and those with one that is not newer than the served full CRL.
    uncertain: BTreeSet<u32>,
    unknown_shard: UnknownShard,
}

impl Shards {
    fn of(
        conn: &Connection,
        issuer: &IssuerRow,
        served: &[ServedCrl],
        unknown_shard: UnknownShard,
    ) -> Result<Self, OriginError> {
        let published = lists::all(conn, issuer.number)?;
        let is_full = |served: &&ServedCrl| !matches!(served.crl.name, CrlName::Shard(_));
        let newest = served
            .iter()
            .filter(is_full)
            .map(|full| full.crl.this_update);
        let newest = newest.max();
        let mut shards = Self {
            by_serial: BTreeMap::new(),
            uncertain: published
                .iter()
                .filter_map(|list| match list.config.name {
                    CrlName::Shard(number) => Some(number),
                    CrlName::Full | CrlName::Delta => None,
                })
                .collect(),
            unknown_shard,
        };
        for served in served {
            let name = served.crl.name;
            if published.iter().all(|list| list.config.name != name) {
                return Err(OriginError::CrlNotFound(issuer.id.clone(), name));
            }
            let CrlName::Shard(number) = name else {
                continue;
            };
            if newest.is_none_or(|full| served.crl.this_update > full) {
                shards.uncertain.remove(&number);
            }
            let serials = served.entries.iter().map(|entry| entry.serial.clone());
            shards
                .by_serial
                .extend(serials.map(|serial| (serial, number)));
        }
        Ok(shards)
    }

    fn of_entry(
        &self,
        conn: &Connection,
        issuer: &IssuerRow,
        serial: &Serial,
    ) -> Result<Option<u32>, OriginError> {
        if let Some(shard) = self.by_serial.get(serial) {
            return Ok(Some(*shard));
        }
        if let Some(certificate) = certificates::find(conn, issuer.number, serial)? {
            return Ok(certificate.shard);
        }
        if let Some((_, known)) = rows::find(conn, issuer.number, serial)? {
            return Ok(known.shard);
        }
        match self.uncertain.first() {
            Some(shard) if self.unknown_shard == UnknownShard::Refuse => {
                let (id, serial) = (issuer.id.clone(), serial.clone());
                Err(OriginError::ShardUnknown(id, serial, *shard))
            }
            _ => Ok(None),
        }
    }
}

/// Puts one entry on the CRL again. Returns whether it was missing.
fn recover_entry(
    conn: &Connection,
    issuer: &IssuerRow,
    entry: &RevocationRequest,
    shard: Option<u32>,
    watermark: Watermark,
    now: Timestamp,
) -> Result<bool, OriginError> {
    let known = rows::find(conn, issuer.number, &entry.serial)?;
    let certificate = certificates::find(conn, issuer.number, &entry.serial)?;
    let request = RevocationRequest {
        shard,
        not_after: certificate.map(|certificate| certificate.not_after),
        ..entry.clone()
    };
    // The CRL was signed, so its dates count even if the clock has been set back since.
    let now = now
        .as_unix_time()
        .max(entry.revoked_at.unwrap_or(crl::UnixTime::MIN));
    let (position, known) = match known {
        Some((position, certificate)) => (position, Some(certificate)),
        None => (rows::next_position(conn, issuer.number)?, None),
    };
    match revocation::revoke(known.as_ref(), &request, now) {
        Ok(Decision::Write(next)) => {
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
        // Revoked already, and more strongly.
        Ok(Decision::Unchanged) | Err(_) => Ok(false),
    }
}
