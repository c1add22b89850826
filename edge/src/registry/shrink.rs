//! The registry's gate: an origin that was restored empty must not make every issuer gone.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// The smallest registry that has the gate.
const FEWEST: u64 = 10;
/// How long an operator has to look before what vanished is gone.
const PATIENCE: Duration = Duration::from_hours(24);

/// More than half of the issuers vanished in one reading. Until an operator confirms it or a day
/// has passed, they stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shrink {
    /// When that was.
    pub since: Timestamp,
    /// How many are missing now.
    pub vanished: u64,
    /// How many may go, as an operator confirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmed: Option<u64>,
}

impl Shrink {
    /// The shrink after a reading in which `vanished` of `listed` issuers are missing; `None` if
    /// those that are missing are gone.
    pub(super) fn after(
        before: Option<Self>,
        listed: u64,
        vanished: u64,
        now: Timestamp,
    ) -> Option<Self> {
        let is_much = listed >= FEWEST && vanished > listed / 2;
        let shrink = Self {
            vanished,
            ..before.unwrap_or(Self {
                since: now,
                vanished,
                confirmed: None,
            })
        };
        let may_go = shrink
            .confirmed
            .is_some_and(|confirmed| vanished <= confirmed)
            || now.since(shrink.since) >= PATIENCE;
        (is_much && !may_go).then_some(shrink)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    #[test]
    fn more_than_half_of_at_least_ten_is_much() {
        let holds = |listed, vanished| Shrink::after(None, listed, vanished, NOW).is_some();
        for (listed, vanished, expected) in [
            (9, 9, false),
            (10, 5, false),
            (10, 6, true),
            (11, 5, false),
            (11, 6, true),
            (10_000, 10_000, true),
            (10_000, 0, false),
        ] {
            assert_eq!(holds(listed, vanished), expected, "{vanished} of {listed}");
        }
    }

    #[test]
    fn what_stays_away_for_a_day_is_gone() {
        let shrink = Shrink::after(None, 20, 15, NOW);
        let later = |span| Shrink::after(shrink, 20, 15, NOW.after(span));
        assert_eq!(later(Duration::from_hours(23)), shrink);
        assert_eq!(later(PATIENCE), None);
    }

    #[test]
    fn a_confirmation_is_good_for_as_many_as_it_saw() {
        let confirmed = Shrink {
            since: NOW,
            vanished: 15,
            confirmed: Some(15),
        };
        assert_eq!(Shrink::after(Some(confirmed), 20, 15, NOW), None);
        assert!(Shrink::after(Some(confirmed), 20, 16, NOW).is_some());
    }
}
