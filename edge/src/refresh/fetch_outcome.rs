//! What the origin's answer came to: a CRL as it arrived in storage, the same once it is admitted,
//! or why it cannot be published.

use crl::Examined;
use origin_api::{CrlName, Der};

use super::error::RefreshError;
use super::head::{Head, Sha256};
use super::ports::OriginAnswer;
use super::removal_gate::Comparison;
use super::state::{BodyId, Candidate, StoredCoverage, StoredIndex};
use super::stored_body::Lines;
use crate::events::{EventFinding, PartialCrl};
use crate::time::Timestamp;

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

/// Why there is no CRL to publish, and what is known of the CRL that came.
#[derive(Debug)]
pub(super) struct FetchError {
    pub(super) error: RefreshError,
    pub(super) crl: PartialCrl,
    /// The CRL, if an operator may accept it all the same.
    pub(super) candidate: Option<Candidate>,
}

/// A CRL in the object's storage that is not committed.
pub(super) struct Uncommitted {
    pub(super) sha256: Sha256,
    pub(super) body: BodyId,
    pub(super) pieces: u32,
    pub(super) watermark: Option<u64>,
}

impl FetchError {
    /// The CRL is refused: an operator may accept it if the rule allows that. `missing` are the
    /// first entries that vanished.
    pub(super) fn refused(
        error: RefreshError,
        crl: PartialCrl,
        stored: &Uncommitted,
        missing: Vec<String>,
        now: Timestamp,
    ) -> Self {
        let candidate = error.can_be_overruled().then(|| Candidate {
            sha256: stored.sha256,
            body: stored.body,
            pieces: stored.pieces,
            watermark: stored.watermark,
            number: crl.number.map(|number| number.to_string()),
            entry_count: crl.entry_count.unwrap_or_default(),
            code: error.code().to_owned(),
            refused_at: now,
            missing,
        });
        Self {
            error,
            crl,
            candidate,
        }
    }

    pub(super) fn about(error: impl Into<RefreshError>, crl: PartialCrl) -> Self {
        Self {
            error: error.into(),
            crl,
            candidate: None,
        }
    }
}

impl<E: Into<RefreshError>> From<E> for FetchError {
    fn from(error: E) -> Self {
        Self::about(error, PartialCrl::default())
    }
}
