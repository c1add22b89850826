//! What relying parties got: sums of what isolates report once a minute, in the memory of the
//! registry's object, for `/metrics`. They begin anew if the object restarts, as counters may.

use std::cell::RefCell;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Where answers to requests for CRLs come from, as `src/figures.js` names it; `none` is a refusal.
pub(crate) const SOURCES: [&str; 4] = ["memory", "kv", "object", "none"];
/// How reads of KV end.
pub(crate) const READS: [&str; 4] = ["hit", "miss", "mismatch", "failed"];

/// What the registry's object is asked about answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServedRequest {
    /// Adds what an isolate counted. `src/figures.js` sends it.
    Report(Served),
    /// The sums.
    Totals,
}

/// Counts of answers and of reads.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Served {
    /// One for each status and source.
    pub(crate) served: Vec<Count>,
    /// Reads of KV, by how they ended.
    pub(crate) kv: BTreeMap<String, u64>,
}

/// The answers with one status from one source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Count {
    pub(crate) status: u16,
    pub(crate) source: String,
    pub(crate) answers: u64,
    /// The sum of the times to their first bytes.
    pub(crate) milliseconds: u64,
}

/// The sums, in the memory of the registry's object.
#[derive(Debug, Default)]
pub struct ServedTotals(RefCell<Served>);

impl ServedTotals {
    /// Carries out a request; gives the sums.
    pub fn answer(&self, request: ServedRequest) -> Served {
        let mut totals = self.0.borrow_mut();
        if let ServedRequest::Report(report) = request {
            totals.add(report);
        }
        totals.clone()
    }
}

impl Served {
    /// Names that are not known are left out, so that the sums are bounded.
    fn add(&mut self, report: Self) {
        for count in report.served {
            if !SOURCES.contains(&count.source.as_str()) || !(200..600).contains(&count.status) {
                continue;
            }
            let is_same =
                |sum: &&mut Count| sum.status == count.status && sum.source == count.source;
            if let Some(sum) = self.served.iter_mut().find(is_same) {
                sum.answers = sum.answers.saturating_add(count.answers);
                sum.milliseconds = sum.milliseconds.saturating_add(count.milliseconds);
            } else {
                self.served.push(count);
            }
        }
        for (outcome, reads) in report.kv {
            if READS.contains(&outcome.as_str()) {
                let sum = self.kv.entry(outcome).or_default();
                *sum = sum.saturating_add(reads);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::public::{KvRead, Source};

    #[test]
    fn reports_are_added_and_stay_bounded() {
        let totals = ServedTotals::default();
        let report = r#"{"report":{"served":[
            {"status":200,"source":"kv","answers":2,"milliseconds":9,"slowest":8},
            {"status":200,"source":"made up","answers":2,"milliseconds":9,"slowest":8},
            {"status":7,"source":"kv","answers":2,"milliseconds":9,"slowest":8}],
            "kv":{"hit":2,"made up":1}}}"#;
        let report: ServedRequest = serde_json::from_str(report).unwrap();
        totals.answer(report.clone());
        totals.answer(report);
        let sums = totals.answer(serde_json::from_str("\"totals\"").unwrap());
        let count = Count {
            status: 200,
            source: "kv".to_owned(),
            answers: 4,
            milliseconds: 18,
        };
        assert_eq!(sums.served, [count]);
        assert_eq!(sums.kv, BTreeMap::from([("hit".to_owned(), 4)]));
    }

    #[test]
    fn the_names_are_those_of_the_reporter() {
        let sources = [
            Source::Memory,
            Source::Kv,
            Source::Object,
            Source::ObjectForUnfit,
        ];
        assert!(
            sources
                .iter()
                .all(|source| SOURCES.contains(&source.as_str()))
        );
        let reads = [KvRead::Hit, KvRead::Miss, KvRead::Mismatch, KvRead::Failed];
        assert_eq!(reads.map(KvRead::as_str), READS);
    }
}
