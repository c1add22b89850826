//! How often each fault met each step, and what never met.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// How often each fault met each step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Every fault that there is.
    faults: BTreeSet<&'static str>,
    meetings: BTreeMap<(&'static str, &'static str), Meetings>,
}

/// How often a fault met a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Meetings {
    /// How often the step ran in a storm with the fault.
    pub could: u64,
    /// How often the fault happened.
    pub did: u64,
}

impl Coverage {
    /// None of these faults has met a step.
    pub(crate) fn new(faults: impl IntoIterator<Item = &'static str>) -> Self {
        Self {
            faults: faults.into_iter().collect(),
            meetings: BTreeMap::new(),
        }
    }

    pub(crate) fn of(&mut self, fault: &'static str, step: &'static str) -> &mut Meetings {
        self.meetings.entry((fault, step)).or_default()
    }

    /// Counts a fault that was not left to the chance of a storm.
    pub(crate) fn happened(&mut self, fault: &'static str, step: &'static str) {
        let meetings = self.of(fault, step);
        meetings.could += 1;
        meetings.did += 1;
    }

    /// Adds what another run counted.
    pub fn add(&mut self, other: &Self) {
        self.faults.extend(&other.faults);
        for ((fault, step), meetings) in &other.meetings {
            let sum = self.of(fault, step);
            sum.could += meetings.could;
            sum.did += meetings.did;
        }
    }

    /// How many pairs of a fault and a step there are, and how many of them met.
    #[must_use]
    pub fn pairs(&self) -> (usize, usize) {
        let met = self.meetings.values().filter(|meetings| meetings.did > 0);
        (self.meetings.len(), met.count())
    }

    /// The pairs that never met, and the faults that met no step at all.
    #[must_use]
    pub fn never(&self) -> Vec<(&'static str, &'static str, Meetings)> {
        let seen: BTreeSet<_> = self.meetings.keys().map(|(fault, _)| *fault).collect();
        let unseen = self.faults.difference(&seen);
        let unseen = unseen.map(|fault| (*fault, "any step", Meetings::default()));
        let pairs = self
            .meetings
            .iter()
            .filter(|(_, meetings)| meetings.did == 0);
        let pairs = pairs.map(|((fault, step), meetings)| (*fault, *step, *meetings));
        pairs.chain(unseen).collect()
    }
}

/// The table, and what it lacks.
impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:>9} {:>9}  fault: step", "happened", "could")?;
        for ((fault, step), Meetings { could, did }) in &self.meetings {
            writeln!(f, "{did:>9} {could:>9}  {fault}: {step}")?;
        }
        let (pairs, met) = self.pairs();
        writeln!(f, "{met} of {pairs} pairs of fault and step met")?;
        for (fault, step, Meetings { could, .. }) in self.never() {
            writeln!(f, "never: {fault}: {step} (could have {could} times)")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_says_what_never_happened() {
        let mut coverage = Coverage::new(["KV fails", "KV hangs", "D1 fails"]);
        coverage.happened("KV fails", "a step");
        coverage.happened("D1 fails", "a step");
        coverage.of("KV fails", "another step").could = 3;
        let mut twice = coverage.clone();
        twice.add(&coverage);
        let never = Meetings { could: 6, did: 0 };
        assert_eq!(
            twice.never(),
            [
                ("KV fails", "another step", never),
                ("KV hangs", "any step", Meetings::default()),
            ]
        );
        assert!(
            twice
                .to_string()
                .contains("never: KV fails: another step (could have 6 times)")
        );
    }
}
