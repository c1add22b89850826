//! What the CRLs of a name added and removed, in pages of a table.

use askama::Template;
use crl::CrlNumber;
use origin_api::{CrlName, IssuerId};

use super::super::changes::Row;
use super::super::desk::Desk;
use super::super::parameters::Parameters;
use super::super::ports::Ports;
use super::pages::SignedIn;
use crate::problem::EdgeError;
use crate::refresh::{ChangesAnswer, ChangesPlace};

/// The most rows of a page.
const MOST_ROWS: usize = 500;
/// The most pieces that are read for a page; a CRL with few changes is a piece of its own.
const MOST_PIECES: usize = 64;

/// Where a page begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Start {
    place: ChangesPlace,
    /// How many lines of the place came on the page before.
    line: usize,
}

impl Start {
    const fn after(number: CrlNumber) -> Self {
        Self {
            place: ChangesPlace {
                after: number,
                piece: 0,
            },
            line: 0,
        }
    }

    /// Reads the query string; `None` if it names no place.
    fn parse(query: &[(String, String)]) -> Result<Option<Self>, EdgeError> {
        let parameters = Parameters::parse(query, &["since", "piece", "line"])?;
        let since = parameters.value("since", "must be a CRLNumber in decimal")?;
        let next = "must be what the link to later changes said";
        let (piece, line) = (
            parameters.value("piece", next)?,
            parameters.value("line", next)?,
        );
        Ok(since.map(|after| Self {
            place: ChangesPlace {
                after,
                piece: piece.unwrap_or(0),
            },
            line: line.unwrap_or(0),
        }))
    }
}

#[derive(Debug)]
struct ChangeView {
    crl_number: String,
    this_update: String,
    change: &'static str,
    serial: String,
    revocation_date: String,
    reason: String,
}

/// A page of changes.
#[derive(Debug, Template)]
#[template(path = "changes.html")]
pub(crate) struct ChangesPage {
    signed_in: Option<SignedIn>,
    issuer: IssuerId,
    name: CrlName,
    since: String,
    rows: Vec<ChangeView>,
    next: Option<Start>,
    /// Whether those since `since` are not kept.
    is_forgotten: bool,
    /// If so, since which number they are, if any.
    kept_since: Option<String>,
}

impl<P: Ports> Desk<P> {
    /// The page of the changes of a CRL that `query` names: from the oldest kept by default.
    pub(super) async fn changes_page(
        &self,
        issuer: IssuerId,
        name: CrlName,
        query: &[(String, String)],
        signed_in: Option<SignedIn>,
    ) -> Result<ChangesPage, EdgeError> {
        let named = Start::parse(query)?;
        self.listed_crl(&issuer, name).await?;
        let mut start = named.unwrap_or(Start::after(CrlNumber::ZERO));
        let mut page = ChangesPage {
            signed_in,
            issuer,
            name,
            since: start.place.after.to_string(),
            rows: Vec::new(),
            next: None,
            is_forgotten: false,
            kept_since: None,
        };
        for _ in 0..MOST_PIECES {
            let answer = self.ports.changes(&page.issuer, name, start.place).await;
            let found = match answer.map_err(|error| self.internal(&error))? {
                ChangesAnswer::Page(found) => found,
                ChangesAnswer::Forgotten(kept) => {
                    let oldest = kept.as_deref().and_then(|kept| kept.parse().ok());
                    let oldest = oldest.filter(|_| named.is_none() && page.rows.is_empty());
                    if let Some(oldest) = oldest
                        && start != Start::after(oldest)
                    {
                        start = Start::after(oldest);
                        page.since = oldest.to_string();
                        continue;
                    }
                    return Ok(ChangesPage {
                        next: None,
                        is_forgotten: true,
                        kept_since: kept,
                        ..page
                    });
                }
            };
            let (number, this_update) = (found.number.to_string(), found.this_update.to_string());
            let room = MOST_ROWS.saturating_sub(page.rows.len());
            let mut lines = found.lines.lines().skip(start.line);
            let rows = lines
                .by_ref()
                .take(room)
                .filter_map(|line| Row::read(line, &number, &this_update));
            page.rows.extend(rows.map(|row| ChangeView {
                crl_number: number.clone(),
                this_update: this_update.clone(),
                change: row.change,
                serial: row.serial.to_owned(),
                revocation_date: row.revocation_date,
                reason: row.reason.unwrap_or_default().to_owned(),
            }));
            page.next = if lines.next().is_some() {
                let line = start.line.saturating_add(room);
                Some(Start { line, ..start })
            } else {
                found.next.map(|place| Start { place, line: 0 })
            };
            match page.next {
                Some(next) if page.rows.len() < MOST_ROWS => start = next,
                _ => break,
            }
        }
        Ok(page)
    }
}
