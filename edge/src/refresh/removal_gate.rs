//! The removal gate: which entries of the CRL held are missing from the new one, and whether that
//! is explained. Entries that leave a list too early make revoked certificates good again.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::time::Duration;

use crl::{Change, Finding, Reason, WalkError};

use super::changes::ChangeWriter;
use super::error::StoreError;
use super::head::Head;
use super::ports::{Cause, Departure, PIECE_BYTES, Store};
use super::serial_text;
use super::state::{BodyId, CrlState, Current};
use super::stored_body::{LineWriter, Lines, StoredBody};
use crate::config::{Removals, Settings};
use crate::events::EventFinding;
use crate::time::Timestamp;

/// Fewer missing entries than this are never withheld.
const FEWEST_WITHHELD: u64 = 20;
/// How many serial numbers are shown to people.
pub(super) const SHOWN: usize = 10;
/// How long a shard waits for others, to which its entries may have moved, to be asked.
pub(crate) const MOVE_LIMIT: Duration = Duration::from_hours(1);

/// How two CRLs differ, and what of that is explained.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Comparison {
    pub(super) added: u64,
    pub(super) removed: u64,
    /// How many were removed without an explanation.
    pub(super) unexplained: u64,
    /// The serial numbers of the first of them, in hexadecimal.
    pub(super) missing: Vec<String>,
    /// What changed; `None` if it is too much to keep.
    pub(super) changes: Option<Lines>,
    pub(super) duplicates: Option<Finding>,
}

/// The key of a comparison, from unpredictable bytes: nobody can prepare a CRL that is slow to
/// compare.
pub(super) fn key(random: [u8; 10]) -> u64 {
    let [key @ .., _, _] = random;
    u64::from_be_bytes(key)
}

/// The serial numbers of entries that left, in hexadecimal. Only the origin can say what became of
/// them.
pub(super) struct Questions {
    /// Of certificates that were revoked for good.
    pub(super) departed: Lines,
    /// Of certificates that were on hold. They may leave without a reason, unless the origin finds
    /// that it does not know them.
    pub(super) holds: Lines,
}

/// Compares the CRL held with a new one, in 8 MiB of memory. An entry was right to leave if it was
/// revoked so long ago that its certificate has expired.
pub(super) fn compare(
    store: &impl Store,
    held: &Current,
    new: (BodyId, u32),
    settings: &Settings,
    now: Timestamp,
    key: u64,
) -> Result<(Comparison, Questions), StoreError> {
    let longest = settings.max_certificate;
    let has_expired = |revoked: Timestamp| !longest.is_zero() && now.since(revoked) > longest;
    let mut departed = LineWriter::new(store, PIECE_BYTES);
    let mut holds = LineWriter::new(store, PIECE_BYTES);
    let mut changes = ChangeWriter::new(store);
    let mut see = |change: Change<'_>| {
        changes.push(&change)?;
        let Change::Removed(entry) = change else {
            return Ok(());
        };
        if has_expired(entry.revocation_date.into()) {
            return Ok(());
        }
        let was_held = entry.reason == Some(Reason::CertificateHold);
        let questions = if was_held { &mut holds } else { &mut departed };
        questions.push(&serial_text::write(&entry.serial))
    };
    let mut failed = None;
    let mut earlier = StoredBody::new(store, held.body, held.pieces);
    let mut later = StoredBody::new(store, new.0, new.1);
    let differences = crl::diff(&mut earlier, &mut later, key, |change| match see(change) {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => {
            failed = Some(error);
            ControlFlow::Break(())
        }
    });
    if let Some(error) = failed {
        return Err(error);
    }
    let differences = differences.map_err(|error| match error {
        WalkError::Source(error) => error,
        // Both were read whole when they came.
        unreadable => StoreError::Unreadable(unreadable.to_string()),
    })?;
    let (departed, holds) = (departed.finish()?, holds.finish()?);
    let comparison = Comparison {
        added: differences.added,
        removed: differences.removed,
        unexplained: departed.count,
        missing: Vec::new(),
        changes: changes.finish()?,
        duplicates: differences.duplicates,
    };
    Ok((comparison, Questions { departed, holds }))
}

impl Comparison {
    /// Takes the origin's answer to some questions: `None` if it has no evidence. Gives `open` what
    /// remains unexplained.
    pub(super) fn explain<S: Store>(
        &mut self,
        asked: &[&str],
        departed: Option<&[Departure]>,
        open: &mut LineWriter<'_, S>,
    ) -> Result<(), StoreError> {
        let departed = departed.unwrap_or_default().iter();
        let known = departed.filter(|departure| departure.because != Cause::Unknown);
        let mut explained = BTreeSet::new();
        explained.extend(known.map(|departure| significant(&departure.serial)));
        for serial in asked {
            if explained.contains(&significant(serial)) {
                self.unexplained = self.unexplained.saturating_sub(1);
                continue;
            }
            open.push(serial)?;
            if self.missing.len() < SHOWN {
                self.missing.push((*serial).to_owned());
            }
        }
        Ok(())
    }

    /// Whether the new CRL is withheld.
    pub(super) fn is_withheld(
        &self,
        held: &Head,
        state: &CrlState,
        settings: &Settings,
        now: Timestamp,
    ) -> bool {
        let part = settings.removals_held_above;
        let are_many = self.unexplained >= FEWEST_WITHHELD
            && part.is_exceeded_by(self.unexplained, held.entry_count);
        let patience = Patience {
            held,
            settings,
            now,
        };
        are_many && patience.withholds(state.withheld_since)
    }

    /// What operators should look at.
    pub(super) fn findings(&self) -> impl Iterator<Item = EventFinding> {
        let early = (self.unexplained != 0).then(|| EventFinding {
            code: "early_removal".to_owned(),
            count: self.unexplained,
            example: Some(self.missing.join(", ")),
        });
        let duplicates = self.duplicates.as_ref().map(EventFinding::from);
        early.into_iter().chain(duplicates)
    }
}

/// For how long the CRL held is kept, although there is a new one.
pub(super) struct Patience<'a> {
    pub(super) held: &'a Head,
    pub(super) settings: &'a Settings,
    pub(super) now: Timestamp,
}

impl Patience<'_> {
    /// Whether a CRL that lost too much is withheld.
    pub(super) fn withholds(&self, since: Option<Timestamp>) -> bool {
        match self.settings.removals {
            Removals::Warn => false,
            Removals::Hold => !self.is_over(since, self.settings.removals_hold),
            Removals::Refuse => true,
        }
    }

    /// Whether a shard waits for others that could not be asked whether they have what it lost.
    pub(super) fn waits_for_shards(&self, since: Option<Timestamp>) -> bool {
        self.settings.removals != Removals::Warn && !self.is_over(since, MOVE_LIMIT)
    }

    fn is_over(&self, since: Option<Timestamp>, limit: Duration) -> bool {
        since.is_some_and(|since| self.now.since(since) >= limit)
            || is_about_to_expire(self.held, self.now)
    }
}

/// Clients would soon have no valid CRL: a tenth of its validity is left, or an hour if that is
/// more, but no more than a third of it.
fn is_about_to_expire(held: &Head, now: Timestamp) -> bool {
    let (from, to) = (
        Timestamp::from(held.this_update),
        Timestamp::from(held.next_update),
    );
    let validity = to.since(from);
    let tenth = validity.checked_div(10).unwrap_or_default();
    let third = validity.checked_div(3).unwrap_or_default();
    to.since(now) <= tenth.max(Duration::from_hours(1)).min(third)
}

/// Hexadecimal that can be compared: origins write serial numbers in either case, and with or
/// without leading zeros.
fn significant(serial: &str) -> String {
    serial.trim_start_matches('0').to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::refresh::testing;

    fn departure(serial: &str, because: Cause) -> Departure {
        Departure {
            serial: serial.to_owned(),
            because,
        }
    }

    #[test]
    fn only_what_the_origin_explains_is_explained() {
        let mut comparison = Comparison {
            removed: 4,
            unexplained: 4,
            ..Comparison::default()
        };
        let departed = [
            departure("0A", Cause::Expired),
            departure("00b1", Cause::Released),
            departure("0c", Cause::Unknown),
        ];
        let store = testing::TwinStore::new(&testing::Disk::default(), &Rc::default());
        let mut open = LineWriter::new(&store, PIECE_BYTES);
        let mut explain = |asked: &[&str], departed| {
            comparison.explain(asked, departed, &mut open).unwrap();
            (comparison.unexplained, comparison.missing.clone())
        };
        let (unexplained, missing) = explain(&["0a", "b1", "0c", "0d"], Some(&departed[..]));
        assert_eq!((unexplained, missing.join(" ")), (2, "0c 0d".to_owned()));
        let (_, missing) = explain(&["0e"], None);
        assert_eq!(missing.join(" "), "0c 0d 0e");
        let open = open.finish().unwrap();
        assert_eq!(open.piece(&store, 0).unwrap(), "0c\n0d\n0e\n");
    }

    #[test]
    fn a_crl_is_published_before_the_one_that_is_served_expires() {
        let end = Timestamp::from(testing::head(1).next_update);
        // Valid for ten hours: an hour of them is a tenth.
        let head = Head {
            this_update: end.before(10 * testing::HOUR).as_unix_time(),
            ..testing::head(1)
        };
        assert!(is_about_to_expire(&head, end.before(testing::HOUR)));
        assert!(!is_about_to_expire(&head, end.before(2 * testing::HOUR)));
        // An hour would be all of it.
        let short = Head {
            this_update: end.before(testing::HOUR).as_unix_time(),
            ..head
        };
        assert!(is_about_to_expire(&short, end.before(20 * testing::MINUTE)));
        assert!(!is_about_to_expire(
            &short,
            end.before(21 * testing::MINUTE)
        ));
    }

    #[test]
    fn the_settings_decide_what_is_withheld() {
        let head = Head {
            entry_count: 40,
            ..testing::head(1)
        };
        let now = Timestamp::from(head.this_update);
        let is_withheld = |unexplained, set: &[(&str, &str)], since: Option<Timestamp>| {
            let comparison = Comparison {
                unexplained,
                ..Comparison::default()
            };
            let state = CrlState {
                withheld_since: since,
                ..CrlState::default()
            };
            comparison.is_withheld(&head, &state, &testing::settings(set), now)
        };
        assert!(is_withheld(21, &[], None));
        assert!(
            !is_withheld(20, &[], None),
            "half of them is not more than half"
        );
        assert!(is_withheld(20, &[("REMOVALS_HELD_ABOVE", "0.4")], None));
        assert!(!is_withheld(19, &[("REMOVALS_HELD_ABOVE", "0")], None));
        assert!(!is_withheld(40, &[("REMOVALS", "warn")], None));
        let (day_ago, hours_ago) = (
            now.before(Duration::from_hours(24)),
            now.before(Duration::from_hours(23)),
        );
        assert!(is_withheld(40, &[], Some(hours_ago)));
        assert!(!is_withheld(40, &[], Some(day_ago)));
        assert!(!is_withheld(
            40,
            &[("REMOVALS_HOLD_HOURS", "23")],
            Some(hours_ago)
        ));
        assert!(is_withheld(40, &[("REMOVALS", "refuse")], Some(day_ago)));
    }
}
