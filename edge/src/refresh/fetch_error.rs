//! Why the origin's answer cannot be published.

use super::error::RefreshError;
use super::state::Candidate;
use crate::events::PartialCrl;

/// Why there is no CRL to publish, and what is known of the CRL that came.
#[derive(Debug)]
pub(super) struct FetchError {
    pub(super) error: RefreshError,
    pub(super) crl: PartialCrl,
    /// The CRL, if an operator may accept it all the same.
    pub(super) candidate: Option<Candidate>,
}

impl FetchError {
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
