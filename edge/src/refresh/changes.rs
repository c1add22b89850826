//! What each CRL added and removed: lines in bodies of the object's storage, the oldest of which
//! are forgotten.

use std::collections::VecDeque;

use crl::{Change, CrlNumber};
use serde::{Deserialize, Serialize};

use super::error::StoreError;
use super::head::Head;
use super::ports::Store;
use super::serial_text;
use super::state::{ChangeSet, Changes, decimal};
use super::stored_body::{LineWriter, Lines, read_lines};
use crate::time::Timestamp;

/// The most bytes of lines that are kept of a CRL: some 70,000 changes.
const MAX_BYTES: u64 = 4 * 1024 * 1024;
/// The most CRLs of one name whose changes are kept.
const MAX_SETS: usize = 64;
/// Bytes of a piece, which is read and sent at a time.
const PIECE_BYTES: usize = 256 * 1024;

/// From where changes are read: from a piece of the first CRL whose number is above `after`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangesPlace {
    /// The number.
    #[serde(with = "decimal")]
    pub after: CrlNumber,
    /// The piece.
    pub piece: u32,
}

/// Some changes that one CRL brought.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangesPage {
    /// The number of the CRL held.
    #[serde(with = "decimal")]
    pub held: CrlNumber,
    /// The number of the CRL that brought these.
    #[serde(with = "decimal")]
    pub number: CrlNumber,
    /// Its thisUpdate.
    pub this_update: Timestamp,
    /// One change a line: `+`, `-` or `~` (added, removed, changed), the serial number in
    /// hexadecimal, the revocation date in Unix time, and the reason's name or `-`, with spaces
    /// between them. Empty if nothing changed.
    pub lines: String,
    /// Where the next ones are.
    pub next: Option<ChangesPlace>,
}

/// The changes since a CRL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangesAnswer {
    /// The first or the next of them.
    Page(ChangesPage),
    /// They are not kept. Those since the CRL with this number in decimal are, if there is one.
    Forgotten(Option<String>),
}

impl Changes {
    const fn none_since(number: CrlNumber) -> Self {
        Self {
            since: number,
            sets: VecDeque::new(),
        }
    }

    /// The changes to be kept once `new` replaces `held`. `lines` are those of `new`; `None` if
    /// they are not known, so that nothing older can be kept either.
    pub(super) fn next(
        before: Option<Self>,
        held: Option<&Head>,
        new: &Head,
        lines: Option<Lines>,
    ) -> Self {
        // An operator may have accepted a lower number.
        let held = held.filter(|held| held.number < new.number);
        let (Some(held), Some(lines)) = (held, lines) else {
            return Self::none_since(new.number);
        };
        let mut changes = before.unwrap_or(Self::none_since(held.number));
        if let Some(body) = lines.body {
            changes.sets.push_back(ChangeSet {
                number: new.number,
                this_update: new.this_update.into(),
                body,
                pieces: lines.pieces,
                size: lines.size,
            });
        }
        changes.forget();
        changes
    }

    /// Forgets the oldest, until the rest is within its bounds.
    fn forget(&mut self) {
        let size = |set: &ChangeSet| set.size;
        while self.sets.len() > MAX_SETS || self.sets.iter().map(size).sum::<u64>() > MAX_BYTES {
            let Some(oldest) = self.sets.pop_front() else {
                return;
            };
            self.since = oldest.number;
        }
    }

    /// Reads the changes of a place.
    pub(crate) fn read(
        &self,
        store: &impl Store,
        held: &Head,
        place: &ChangesPlace,
    ) -> Result<ChangesAnswer, StoreError> {
        if place.after < self.since {
            return Ok(ChangesAnswer::Forgotten(Some(self.since.to_string())));
        }
        let Some(set) = self.sets.iter().find(|set| set.number > place.after) else {
            return Ok(ChangesAnswer::Page(ChangesPage {
                held: held.number,
                number: held.number,
                this_update: held.this_update.into(),
                lines: String::new(),
                next: None,
            }));
        };
        let next_piece = place.piece.saturating_add(1);
        let next = if next_piece < set.pieces {
            Some(ChangesPlace {
                piece: next_piece,
                ..*place
            })
        } else {
            let is_last = self.sets.back() == Some(set);
            (!is_last).then_some(ChangesPlace {
                after: set.number,
                piece: 0,
            })
        };
        Ok(ChangesAnswer::Page(ChangesPage {
            held: held.number,
            number: set.number,
            this_update: set.this_update,
            lines: read_lines(store, set.body, place.piece)?,
            next,
        }))
    }
}

/// Writes what a CRL adds and removes. Nothing of it is kept if it is too much.
pub(super) struct ChangeWriter<'a, S>(Option<LineWriter<'a, S>>);

impl<'a, S: Store> ChangeWriter<'a, S> {
    pub(super) fn new(store: &'a S) -> Self {
        Self(Some(LineWriter::new(store, PIECE_BYTES)))
    }

    pub(super) fn push(&mut self, change: &Change<'_>) -> Result<(), StoreError> {
        let Some(writer) = &mut self.0 else {
            return Ok(());
        };
        let (kind, entry) = match change {
            Change::Added(entry) => ('+', entry),
            Change::Removed(entry) => ('-', entry),
            Change::Changed { after, .. } => ('~', after),
        };
        let serial = serial_text::write(&entry.serial);
        let (date, reason) = (entry.revocation_date.0, entry.reason);
        let reason = reason.map_or("-", crl::Reason::name);
        writer.push(&format!("{kind} {serial} {date} {reason}"))?;
        if writer.size() > MAX_BYTES {
            self.0 = None;
        }
        Ok(())
    }

    /// `None` if it is too much.
    pub(super) fn finish(self) -> Result<Option<Lines>, StoreError> {
        self.0.map(LineWriter::finish).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refresh::BodyId;
    use crate::refresh::testing::head;

    fn lines(size: u64) -> Lines {
        Lines {
            body: Some(BodyId(1)),
            pieces: 1,
            count: 1,
            size,
        }
    }

    fn next(before: Option<Changes>, number: u64, lines: impl Into<Option<Lines>>) -> Changes {
        Changes::next(before, Some(&head(number - 1)), &head(number), lines.into())
    }

    #[test]
    fn the_oldest_are_forgotten() {
        let mut changes = next(None, 8, lines(1));
        assert_eq!(changes.since, CrlNumber::from(7));
        for number in 9..=80 {
            changes = next(Some(changes), number, lines(1));
        }
        assert_eq!(changes.sets.len(), MAX_SETS);
        assert_eq!(changes.since, CrlNumber::from(16));
        let changes = next(Some(changes), 81, lines(MAX_BYTES - 1));
        assert_eq!(changes.sets.len(), 2);
        assert_eq!(changes.since, CrlNumber::from(79));
    }

    #[test]
    fn what_is_not_known_ends_what_can_be_told() {
        let before = next(None, 8, lines(1));
        let restarted = Changes::none_since(CrlNumber::from(9));
        assert_eq!(next(Some(before.clone()), 9, None), restarted);
        let first = Changes::next(None, None, &head(9), Some(lines(1)));
        assert_eq!(first, restarted);
        // An operator accepted a number that went back.
        let back = Changes::next(Some(before), Some(&head(12)), &head(9), Some(lines(1)));
        assert_eq!(back, restarted);
    }

    #[test]
    fn a_crl_with_the_same_entries_takes_no_room() {
        let changes = next(None, 8, lines(1));
        let same = next(Some(changes.clone()), 9, Lines::default());
        assert_eq!(same, changes);
    }

    #[test]
    fn the_stored_form_stays() {
        let json =
            r#"{"since":"7","sets":[{"number":"8","this_update":0,"body":1,"pieces":1,"size":9}]}"#;
        let changes: Changes = serde_json::from_str(json).unwrap();
        assert_eq!(serde_json::to_string(&changes).unwrap(), json);
    }
}
