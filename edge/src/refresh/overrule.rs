//! Admits a CRL that was refused, because an operator accepts it.

use crl::{Examination, Hashed, Limits};
use origin_api::{CrlName, Issuer};

use super::admission::{self, Expected};
use super::error::{RefreshError, StoreError};
use super::fetch_outcome::{Admitted, FetchOutcome, Staged};
use super::ports::{ContentHash, OriginAnswer, Runtime, Store};
use super::removal_gate;
use super::state::{Candidate, CrlState, IssuerState};
use crate::config::Settings;
use crate::events::EventFinding;
use crate::time::Timestamp;

/// A CRL that was refused, and what else decides whether it may be served now.
pub(super) struct Overrule<'a> {
    pub(super) candidate: &'a Candidate,
    /// The operator's name.
    pub(super) by: &'a str,
    pub(super) name: CrlName,
    pub(super) before: &'a CrlState,
    pub(super) issuer: &'a IssuerState,
    pub(super) settings: &'a Settings,
    pub(super) now: Timestamp,
    /// Unpredictable.
    pub(super) key: u64,
}

impl Overrule<'_> {
    /// Checks the stored bytes again, by every rule that no operator may overrule: the CRL may have
    /// expired since, and the issuer's certificate may have changed.
    pub(super) fn admit<R: Runtime>(
        &self,
        store: &impl Store,
    ) -> Result<FetchOutcome, RefreshError> {
        let record = self.issuer.record.as_ref().map(|record| &record.issuer);
        let record = record.ok_or(RefreshError::NotListed(self.name))?;
        let certificate = self.issuer.trusted_certificate(record)?;
        let staged = self.read_again::<R::Hashed, R::ContentHash>(store)?;
        let expected = Expected {
            name: self.name,
            distribution_point: distribution_point(record, self.name),
            clock_skew: self.settings.clock_skew,
            now: self.now,
            is_overruled: true,
        };
        let mut admitted = admission::admit(store, &staged, self.before, certificate, &expected)?;
        if let OriginAnswer::Crl(admitted) = &mut admitted {
            self.compare(store, admitted)?;
            admitted.findings.push(EventFinding {
                code: "accepted".to_owned(),
                count: 1,
                example: Some(format!("{} by {}", self.candidate.code, self.by)),
            });
        }
        Ok(admitted)
    }

    /// Records what changes; nothing of it is refused.
    fn compare(&self, store: &impl Store, admitted: &mut Admitted) -> Result<(), StoreError> {
        let Some(held) = self.before.current.as_ref() else {
            return Ok(());
        };
        if self.name == CrlName::Delta {
            return Ok(());
        }
        let new = (admitted.body, admitted.pieces);
        let (comparison, _) =
            removal_gate::compare(store, held, new, self.settings, self.now, self.key)?;
        admitted.compared(&comparison);
        Ok(())
    }

    fn read_again<D: Hashed, H: ContentHash>(
        &self,
        store: &impl Store,
    ) -> Result<Staged<D>, RefreshError> {
        let candidate = self.candidate;
        let mut examination = Examination::<D>::new(Limits {
            max_bytes: self.settings.max_crl_bytes,
            ..Limits::default()
        });
        let mut hash = H::new();
        let mut size = 0_u64;
        for index in 0..candidate.pieces {
            let piece = store.piece(candidate.body, index)?;
            examination.push(&piece)?;
            hash.update(&piece);
            size = size.saturating_add(piece.len() as u64);
        }
        Ok(Staged {
            body: candidate.body,
            pieces: candidate.pieces,
            size,
            sha256: hash.finish()?,
            watermark: candidate.watermark,
            examined: examination.finish()?,
        })
    }
}

fn distribution_point(record: &Issuer, name: CrlName) -> Option<&str> {
    let crl = record.crls.iter().find(|crl| crl.name == name)?;
    crl.distribution_point.as_deref()
}
