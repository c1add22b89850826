//! Entries that left one shard of an issuer and may stand on another. The other's new CRL may not
//! have come yet, so a CRL that lost entries waits until the other shards have been asked, and
//! those that gained them are committed with it.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use origin_api::CrlName;

use super::attempt::Attempt;
use super::error::{RefreshError, StoreError};
use super::fetch_outcome::{Admitted, FetchError, Uncommitted};
use super::ports::Store;
use super::removal_gate::{Comparison, Patience, SHOWN};
use super::serial_text::SerialText;
use super::shard_index::IndexedList;
use super::stagings::Staging;
use super::state::{CrlState, Current};
use super::stored_body::Lines;
use crate::config::{Removals, Settings};
use crate::events::{EventFinding, PartialCrl};
use crate::time::Timestamp;

/// A shard's new CRL that passed every other rule.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) admitted: Admitted,
    pub(super) comparison: Comparison,
    /// The serial numbers of the entries that it lost, and that nothing explains so far.
    pub(super) open: Lines,
}

/// One that waits for the other shards.
pub(super) struct Waiting {
    pub(super) attempt: Attempt,
    pub(super) arrival: Arrival,
    /// When it had come, on the clock of the shards.
    pub(super) came_at: u64,
    pub(super) list: IndexedList,
    /// Keeps its bodies.
    _staging: Rc<Staging>,
}

impl Waiting {
    pub(super) fn new(
        attempt: Attempt,
        arrival: Arrival,
        staging: Rc<Staging>,
        came_at: u64,
    ) -> Self {
        let (body, pieces) = (arrival.admitted.body, arrival.admitted.pieces);
        let list = IndexedList::new(body, pieces, None);
        Self {
            attempt,
            arrival,
            came_at,
            list,
            _staging: staging,
        }
    }
}

/// Where an entry that left a shard stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum EntryLocation {
    /// On the CRL that this shard has committed.
    Held(CrlName),
    /// On the CRL of this shard that waits, too.
    Waiting(CrlName),
    /// On a CRL of this shard that the removal gate withholds.
    Withheld(CrlName),
    /// On no other shard.
    Nowhere,
}

/// How many of the entries that left a shard stand where, and the first of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Located(BTreeMap<EntryLocation, (u64, Vec<String>)>);

impl Located {
    /// Looks for the serial numbers of `open` on the lists of `locations`, the first of which
    /// counts.
    pub(super) fn find(
        store: &impl Store,
        open: &Lines,
        locations: &[(EntryLocation, &IndexedList)],
        key: u64,
    ) -> Result<Self, StoreError> {
        let mut located = Self::default();
        for piece in 0..open.pieces {
            let text = open.piece(store, piece)?;
            let mut rest: Vec<_> = text.lines().collect();
            for (location, list) in locations {
                if rest.is_empty() {
                    break;
                }
                let texts: Vec<_> = rest.iter().map(|line| SerialText::parse(line)).collect();
                let serials = texts.iter().map(|text| text.as_ref()?.serial());
                let serials: Vec<_> = serials
                    .collect::<Option<_>>()
                    .ok_or_else(|| StoreError::Unreadable("a serial number".to_owned()))?;
                let mut found = list.find(store, &serials, key)?;
                // From the last to the first, so that the others keep their indexes.
                found.sort_unstable_by(|one, other| other.cmp(one));
                for index in found {
                    located.add(*location, rest.swap_remove(index));
                }
            }
            for serial in rest {
                located.add(EntryLocation::Nowhere, serial);
            }
        }
        Ok(located)
    }

    fn add(&mut self, location: EntryLocation, serial: &str) {
        let (count, shown) = self.0.entry(location).or_default();
        *count = count.saturating_add(1);
        if shown.len() < SHOWN {
            shown.push(serial.to_owned());
        }
    }

    /// Whether all stand on CRLs that are committed.
    pub(super) fn is_settled(&self) -> bool {
        self.0
            .keys()
            .all(|location| matches!(location, EntryLocation::Held(_)))
    }

    fn count(&self, is_it: impl Fn(EntryLocation) -> bool) -> u64 {
        let counts = self.0.iter().filter(|(location, _)| is_it(**location));
        counts.map(|(_, (count, _))| count).sum()
    }

    fn shown(&self, is_it: impl Fn(EntryLocation) -> bool) -> Vec<String> {
        let shown = self.0.iter().filter(|(location, _)| is_it(**location));
        let shown = shown.flat_map(|(_, (_, shown))| shown);
        shown.take(SHOWN).cloned().collect()
    }
}

/// What the judgement of a shard's new CRL depends on.
pub(super) struct Case<'a> {
    pub(super) located: &'a Located,
    pub(super) comparison: &'a Comparison,
    pub(super) held: &'a Current,
    pub(super) before: &'a CrlState,
    /// Whether every other shard was asked after this CRL had come.
    pub(super) is_confirmed: bool,
}

/// What happens to a shard's new CRL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is published, together with the others of this verdict.
    Passes,
    /// Too much is missing, or has moved to a CRL that is withheld.
    Vanished,
    /// It is not known whether what is missing has moved.
    Unconfirmed,
}

/// Judges the CRLs that wait, together: one may pass only if those to which its entries have moved
/// do.
pub(super) fn judge(
    cases: &[(CrlName, Case<'_>)],
    settings: &Settings,
    now: Timestamp,
) -> BTreeMap<CrlName, Verdict> {
    let mut verdicts = BTreeMap::new();
    verdicts.extend(cases.iter().map(|(name, _)| (*name, Verdict::Passes)));
    loop {
        let fallen = cases.iter().find_map(|(name, case)| {
            let verdict = case.verdict(&verdicts, settings, now);
            let passed = verdicts.get(name) == Some(&Verdict::Passes);
            (passed && verdict != Verdict::Passes).then_some((*name, verdict))
        });
        match fallen {
            Some((name, verdict)) => verdicts.insert(name, verdict),
            None => return verdicts,
        };
    }
}

impl Case<'_> {
    fn verdict(
        &self,
        others: &BTreeMap<CrlName, Verdict>,
        settings: &Settings,
        now: Timestamp,
    ) -> Verdict {
        let on = |is_it: fn(Option<&Verdict>) -> bool| {
            self.located
                .count(|location| matches!(location, EntryLocation::Waiting(name) if is_it(others.get(&name))))
        };
        let nowhere = self
            .located
            .count(|location| location == EntryLocation::Nowhere);
        let patience = Patience {
            held: &self.held.head,
            settings,
            now,
        };
        // A CRL without a verdict could not be judged, and is not published.
        let unconfirmed = on(|verdict| matches!(verdict, None | Some(Verdict::Unconfirmed)));
        let is_unknown = unconfirmed > 0 || (nowhere > 0 && !self.is_confirmed);
        if is_unknown && patience.waits_for_shards(self.before.unconfirmed_since) {
            return Verdict::Unconfirmed;
        }
        let withheld = self
            .located
            .count(|location| matches!(location, EntryLocation::Withheld(_)));
        let has_moved_to_withheld =
            withheld > 0 || on(|verdict| verdict == Some(&Verdict::Vanished)) > 0;
        let missing = Comparison {
            unexplained: nowhere,
            ..self.comparison.clone()
        };
        let is_withheld = missing.is_withheld(&self.held.head, self.before, settings, now)
            || (has_moved_to_withheld
                && settings.removals != Removals::Warn
                && patience.withholds(self.before.withheld_since));
        if is_withheld {
            Verdict::Vanished
        } else {
            Verdict::Passes
        }
    }
}

/// Admits or refuses a shard's new CRL by its verdict, and notes where the entries that it lost
/// are.
pub(super) fn conclude(
    arrival: Arrival,
    located: &Located,
    verdicts: &BTreeMap<CrlName, Verdict>,
    own: Verdict,
    held: &Current,
    now: Timestamp,
) -> Result<Admitted, Box<FetchError>> {
    let Arrival {
        mut admitted,
        mut comparison,
        ..
    } = arrival;
    let has_moved = |location| match location {
        EntryLocation::Held(_) => true,
        EntryLocation::Waiting(name) => verdicts.get(&name) == Some(&Verdict::Passes),
        EntryLocation::Withheld(_) | EntryLocation::Nowhere => false,
    };
    comparison.unexplained = located.count(|location| !has_moved(location));
    comparison.missing = located.shown(|location| !has_moved(location));
    admitted.compared(&comparison);
    let error = match own {
        Verdict::Passes => {
            let moved = located.count(has_moved);
            admitted.findings.extend(comparison.findings());
            admitted.findings.extend((moved != 0).then(|| EventFinding {
                code: "moved".to_owned(),
                count: moved,
                example: Some(located.shown(has_moved).join(", ")),
            }));
            let to = located.0.keys().filter(|location| has_moved(**location));
            let to = to.filter_map(|location| match location {
                EntryLocation::Held(name) | EntryLocation::Waiting(name) => Some(*name),
                EntryLocation::Withheld(_) | EntryLocation::Nowhere => None,
            });
            let mut shards = BTreeSet::new();
            shards.extend(to);
            admitted.moved_to = shards.into_iter().collect();
            return Ok(admitted);
        }
        Verdict::Vanished => RefreshError::EntriesVanished {
            unexplained: comparison.unexplained,
            held: held.head.entry_count,
        },
        Verdict::Unconfirmed => RefreshError::MoveUnconfirmed {
            missing: comparison.unexplained,
        },
    };
    let mut crl = PartialCrl {
        entries_added: Some(comparison.added),
        entries_removed: Some(comparison.removed),
        ..PartialCrl::from(&admitted.head)
    };
    crl.findings.extend(comparison.findings());
    let stored = Uncommitted {
        sha256: admitted.head.sha256,
        body: admitted.body,
        pieces: admitted.pieces,
        watermark: admitted.watermark,
    };
    let refused = FetchError::refused(error, crl, &stored, comparison.missing, now);
    Err(Box::new(refused))
}
