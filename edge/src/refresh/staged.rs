//! A CRL whose body is in storage and not yet committed: as it arrived, and once it is admitted.

use crl::Examined;
use origin_api::Der;

use super::head::{Head, Sha256};
use super::ports::Answer;
use super::state::BodyId;
use crate::events::PartialCrl;

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
    /// The CRL that it replaces.
    pub(super) replaces: Option<Sha256>,
}

/// The origin's answer; a CRL was admitted and is staged.
pub(super) type FetchOutcome = Answer<Box<Admitted>>;
