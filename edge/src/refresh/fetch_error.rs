//! Why the origin's answer cannot be published.

use super::error::RefreshError;
use super::head::Sha256;
use super::state::{BodyId, Candidate};
use crate::events::PartialCrl;
use crate::time::Timestamp;

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
