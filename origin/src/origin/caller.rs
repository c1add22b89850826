//! Who asks for a CRL and what it holds. By that the origin notices that its database was restored
//! from a backup, and knows what is published.

use std::time::Duration;

use crl::CrlNumber;
use origin_api::{CrlName, Timestamp, Watermark};
use rusqlite::Connection;

use super::lookup::find_list;
use super::{OriginError, retention};
use crate::bearer_token::TokenHash;
use crate::sequence;
use crate::store::issuers::{self as issuer_rows, IssuerRow};
use crate::store::lists as list_rows;
use crate::store::records::{self, AdoptedCrl, RecordedCrl, UnknownCrl};

/// Who asks for a CRL, and with which conditions.
#[derive(Clone, Debug, Default)]
pub struct Caller {
    /// The token that the edge presented; `None` for a command.
    pub token: Option<TokenHash>,
    /// The CRL of that name that the caller holds.
    pub held: Option<HeldCrl>,
    /// The caller asks for a new CRL whatever it holds.
    pub renew: bool,
}

/// A CRL that a caller holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldCrl {
    /// The SHA-256 of its DER.
    pub sha256: [u8; 32],
    /// Its number; edges before version 2 do not name it.
    pub number: Option<CrlNumber>,
    /// The watermark that came with it, if any.
    pub watermark: Option<Watermark>,
}

impl Caller {
    /// The hash of the held CRL, unless a new one is asked for anyway.
    #[must_use]
    pub fn condition(&self) -> Option<[u8; 32]> {
        let held = self.held.as_ref().filter(|_| !self.renew);
        held.map(|held| held.sha256)
    }
}

/// How often an unchanged holding is written again: seldom, so that most calls only read.
const HOLDING_INTERVAL: Duration = Duration::from_hours(1);

/// What a call changes in the database before it is answered.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Note {
    /// Nothing.
    Nothing,
    /// What the edge holds, or when it asked.
    Holding,
    /// It holds a CRL that the database should know, and does not.
    Unknown(UnknownCrl),
    /// It has replaced such a CRL with one that was made since, and misses no entry.
    Replaced(Vec<UnknownCrl>),
    /// The database was restored, and the next watermark must be above this one.
    RaiseWatermark(Watermark),
}

/// Judges what the caller holds.
pub(super) fn judge(
    conn: &Connection,
    issuer: &IssuerRow,
    name: CrlName,
    caller: &Caller,
    now: Timestamp,
) -> Result<(Option<RecordedCrl>, Note), OriginError> {
    let Some(held) = &caller.held else {
        return Ok((None, holding_note(conn, issuer, name, caller, None, now)?));
    };
    let recorded = records::find(conn, issuer.number, name, held.sha256)?;
    if let Some(recorded) = recorded {
        let watermark = held.watermark.filter(|held| *held <= HIGHEST_WATERMARK);
        if let Some(watermark) = watermark.filter(|held| *held > issuer.watermark) {
            return Ok((Some(recorded), Note::RaiseWatermark(watermark)));
        }
        let replaced = replaced(conn, issuer, name, held)?;
        if !replaced.is_empty() {
            return Ok((Some(recorded), Note::Replaced(replaced)));
        }
        let note = holding_note(conn, issuer, name, caller, Some(recorded), now)?;
        return Ok((Some(recorded), note));
    }
    if let Some(number) = held.number {
        let oldest = records::oldest_number(conn, issuer.number, name)?;
        let watermark = held.watermark.unwrap_or_default();
        if oldest.is_none_or(|oldest| number >= oldest) || watermark > issuer.watermark {
            let unknown = UnknownCrl {
                name,
                sha256: held.sha256,
                number,
                watermark,
            };
            return Ok((None, Note::Unknown(unknown)));
        }
    }
    Ok((None, holding_note(conn, issuer, name, caller, None, now)?))
}

/// The unknown CRLs of a list that the held one has replaced. Only an issuer of `openssl ca` has
/// any: of others no CRL is made while one is unknown.
fn replaced(
    conn: &Connection,
    issuer: &IssuerRow,
    name: CrlName,
    held: &HeldCrl,
) -> Result<Vec<UnknownCrl>, OriginError> {
    if !issuer.connector.follows_index() {
        return Ok(Vec::new());
    }
    let unknown = records::unknown(conn, issuer.number)?.into_iter();
    let replaced = unknown.filter(|crl| crl.name == name && held.number > Some(crl.number));
    Ok(replaced.collect())
}

fn holding_note(
    conn: &Connection,
    issuer: &IssuerRow,
    name: CrlName,
    caller: &Caller,
    recorded: Option<RecordedCrl>,
    now: Timestamp,
) -> Result<Note, OriginError> {
    let Some(token) = caller.token else {
        return Ok(Note::Nothing);
    };
    let stored = records::holding(conn, issuer.number, name, token)?;
    let holds = recorded.map_or_else(Default::default, |crl| (crl.this_update.0, crl.watermark));
    let is_stored = stored.is_some_and(|(this_update, watermark, asked_at)| {
        (this_update.0, watermark) == holds
            && asked_at <= now
            && now < asked_at.after(HOLDING_INTERVAL)
    });
    Ok(if is_stored {
        Note::Nothing
    } else {
        Note::Holding
    })
}

/// Stores a note.
pub(super) fn store(
    conn: &Connection,
    issuer: &IssuerRow,
    name: CrlName,
    caller: &Caller,
    recorded: Option<RecordedCrl>,
    note: &Note,
    now: Timestamp,
) -> Result<(), OriginError> {
    match note {
        Note::Nothing => return Ok(()),
        Note::Holding => {}
        Note::Unknown(crl) => {
            records::insert_unknown(conn, issuer.number, crl, now.as_unix_time())?;
            // The CA's index says what is revoked, so a CRL is made all the same.
            if issuer.connector.follows_index() {
                follow_numbers(conn, issuer, crl)?;
            }
            return Ok(());
        }
        Note::Replaced(crls) => {
            for crl in crls {
                records::remove_unknown(conn, issuer.number, crl)?;
            }
        }
        Note::RaiseWatermark(watermark) => raise_watermark(conn, issuer, *watermark)?,
    }
    if let Some(token) = caller.token {
        let lists = list_rows::all(conn, issuer.number)?;
        let validity = find_list(&lists, issuer, name)?.config.validity;
        retention::forget_edges(conn, issuer.number, name, validity)?;
        records::set_holding(conn, issuer.number, name, token, recorded, now)?;
    }
    Ok(())
}

/// Records a CRL that an edge holds as known, without its entries. The next numbers and watermarks
/// are above its own, so that the edge takes them.
pub(super) fn adopt(
    conn: &Connection,
    issuer: &IssuerRow,
    crl: &UnknownCrl,
    now: Timestamp,
) -> Result<(), OriginError> {
    let lists = list_rows::all(conn, issuer.number)?;
    let list = lists.iter().find(|list| list.config.name == crl.name);
    // One that is no longer published is followed by no other.
    let validity = list.map_or(Duration::ZERO, |list| list.config.validity);
    let adopted = AdoptedCrl {
        name: crl.name,
        sha256: crl.sha256,
        number: crl.number,
        this_update: now.as_unix_time(),
        next_update: now.after(validity).as_unix_time(),
    };
    records::adopt(conn, issuer.number, &adopted)?;
    follow_numbers(conn, issuer, crl)
}

/// Has the next numbers and watermarks be above those of a CRL.
fn follow_numbers(
    conn: &Connection,
    issuer: &IssuerRow,
    crl: &UnknownCrl,
) -> Result<(), OriginError> {
    if !crl.is_absurd() {
        list_rows::raise_numbers(conn, issuer.number, crl.number)?;
    }
    // One as high was given to other revocations.
    if crl.watermark >= issuer.watermark {
        raise_watermark(conn, issuer, crl.watermark)?;
    }
    Ok(())
}

fn raise_watermark(
    conn: &Connection,
    issuer: &IssuerRow,
    above: Watermark,
) -> Result<(), OriginError> {
    let watermark = sequence::next_watermark(above);
    Ok(issuer_rows::set_watermark(conn, issuer.number, watermark)?)
}

/// The highest watermark to follow; the database stores 63 bits.
const HIGHEST_WATERMARK: Watermark = Watermark(1 << 62);
