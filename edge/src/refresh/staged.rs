//! A CRL whose body is in storage and not yet committed: as it arrived, and once it is admitted.

use crl::Examined;
use origin_api::{CrlName, Der};

use super::head::{Head, Sha256};
use super::lines::Lines;
use super::ports::OriginAnswer;
use super::removal_gate::Comparison;
use super::state::{BodyId, StoredCoverage, StoredIndex};
use crate::events::{EventFinding, PartialCrl};

/// A body that has arrived whole and is in storage.
pub(super) struct Staged<D> {
    pub(super) body: BodyId,
    pub(super) pieces: u32,
    pub(super) size: u64,
    pub(super) sha256: Sha256,
    pub(super) watermark: Option<u64>,
    pub(super) examined: Examined<D>,
}

impl<D> Staged<D> {
    pub(super) fn partial(&self) -> PartialCrl {
        let crl = self.examined.crl();
        PartialCrl {
            number: crl.extensions.number,
            entry_count: Some(crl.entry_count),
            size: Some(self.size),
            sha256: Some(self.sha256),
            this_update: Some(crl.header.this_update),
            next_update: crl.header.next_update,
            ..PartialCrl::default()
        }
    }
}

/// A CRL that passed every rule.
#[derive(Debug)]
pub(super) struct Admitted {
    pub(super) head: Head,
    pub(super) body: BodyId,
    pub(super) pieces: u32,
    pub(super) watermark: Option<u64>,
    /// The certificate that verified it.
    pub(super) certificate: Der,
    pub(super) coverage: StoredCoverage,
    /// What is odd about it.
    pub(super) findings: Vec<EventFinding>,
    /// How many entries it has that the CRL held has not; `None` if they were not compared.
    pub(super) entries_added: Option<u64>,
    /// How many entries of the CRL held it has not.
    pub(super) entries_removed: Option<u64>,
    /// What it adds and removes; `None` if that was not compared, or is too much to keep.
    pub(super) changes: Option<Lines>,
    /// The shards to which entries of the CRL held have moved.
    pub(super) moved_to: Vec<CrlName>,
    /// Its index, if that was needed.
    pub(super) index: Option<StoredIndex>,
    /// The CRL that it replaces.
    pub(super) replaces: Option<Sha256>,
}

impl Admitted {
    /// Takes how it differs from the CRL that it replaces.
    pub(super) const fn compared(&mut self, comparison: &Comparison) {
        self.entries_added = Some(comparison.added);
        self.entries_removed = Some(comparison.removed);
        self.changes = comparison.changes;
    }

    pub(super) fn partial(&self) -> PartialCrl {
        PartialCrl {
            entries_added: self.entries_added,
            entries_removed: self.entries_removed,
            findings: self.findings.clone(),
            ..PartialCrl::from(&self.head)
        }
    }
}

/// The origin's answer; a CRL was admitted and is staged.
pub(super) type FetchOutcome = OriginAnswer<Box<Admitted>>;
