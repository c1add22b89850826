//! Whether a staged CRL may be served: what RFC 5280 and X.509 say of it, and whether it may
//! replace the CRL that is held.

use std::time::Duration;

use crl::{Conflict, CrlKind, Edition, Hashed, Requirements, Succession, Verification, Verified};
use origin_api::{CrlName, Der};

use super::error::RefreshError;
use super::fetch_outcome::{Admitted, FetchOutcome, Staged};
use super::head::Head;
use super::ports::{OriginAnswer, Store};
use super::state::{CrlState, Current, StoredCoverage};
use super::stored_body::StoredBody;
use crate::events::EventFinding;
use crate::time::Timestamp;

/// What the CRL must be.
pub(super) struct Expected<'a> {
    pub(super) name: CrlName,
    /// The URL at which clients look for it, if the origin named one.
    pub(super) distribution_point: Option<&'a str>,
    pub(super) clock_skew: Duration,
    pub(super) now: Timestamp,
    /// Whether an operator has accepted exactly this CRL: then neither the CRL held nor the
    /// distribution point counts.
    pub(super) is_overruled: bool,
}

/// Judges the staged CRL against the state before it.
pub(super) fn admit<D: Hashed>(
    store: &impl Store,
    staged: &Staged<D>,
    before: &CrlState,
    certificate: Der,
    expected: &Expected<'_>,
) -> Result<FetchOutcome, RefreshError> {
    let issuer = crl::Issuer::from_der(&certificate.0)?;
    let is_for_all_points = staged.examined.crl().scope().distribution_point.is_none();
    let requirements = Requirements {
        issuer: &issuer,
        kind: match expected.name {
            CrlName::Shard(_) if expected.is_overruled && is_for_all_points => CrlKind::Full,
            CrlName::Full => CrlKind::Full,
            CrlName::Delta => CrlKind::Delta,
            CrlName::Shard(_) => CrlKind::Shard,
        },
        distribution_point: expected
            .distribution_point
            .filter(|_| !expected.is_overruled),
        now: expected.now.as_unix_time(),
        clock_skew: expected.clock_skew,
        strict: false,
    };
    let verified = verify(store, staged, &requirements)?;
    if let Some(last) = before.last_head().filter(|_| !expected.is_overruled) {
        let held = before.current.as_ref();
        let succession = compare(store, staged, &verified, last, held)?;
        // One that was removed has to be had again.
        if succession == Succession::Same && held.is_some() {
            return Ok(OriginAnswer::Unchanged);
        }
        match (staged.watermark, before.watermark) {
            (Some(watermark), Some(held)) if watermark < held => {
                return Err(RefreshError::WatermarkRegressed { watermark, held });
            }
            _ => {}
        }
    }
    Ok(OriginAnswer::Crl(Box::new(Admitted {
        head: Head {
            number: verified.number(),
            sha256: staged.sha256,
            size: staged.size,
            this_update: verified.this_update(),
            next_update: verified.next_update(),
            refresh_after: Timestamp::from(verified.next_update()),
            committed_at: expected.now,
            entry_count: verified.crl().entry_count,
        },
        body: staged.body,
        pieces: staged.pieces,
        watermark: staged.watermark,
        certificate,
        coverage: verified.crl().scope().coverage.into(),
        findings: verified.findings().iter().map(EventFinding::from).collect(),
        entries_added: None,
        entries_removed: None,
        changes: None,
        moved_to: Vec::new(),
        index: None,
        replaces: before.head().map(|head| head.sha256),
    })))
}

/// Checks the staged CRL by itself.
fn verify<D: Hashed>(
    store: &impl Store,
    staged: &Staged<D>,
    requirements: &Requirements<'_>,
) -> Result<Verified, RefreshError> {
    Ok(match crl::verify(&staged.examined, requirements)? {
        Verification::Verified(verified) => verified,
        // Ed25519 hashes a part of the signature, which comes last, before the message.
        Verification::NeedsSecondPass(mut second_pass) => {
            for index in 0..staged.pieces {
                second_pass.push(&store.piece(staged.body, index)?);
            }
            second_pass.finish()?
        }
    })
}

/// Compares the staged CRL with the last one, of which nothing but the head is left if it was
/// removed. One that was only signed anew is the same: the bytes that clients have stay.
fn compare<D: Hashed>(
    store: &impl Store,
    staged: &Staged<D>,
    verified: &Verified,
    last: &Head,
    held: Option<&Current>,
) -> Result<Succession, RefreshError> {
    let edition = Edition {
        number: last.number,
        this_update: last.this_update,
        coverage: held
            .and_then(|held| held.coverage.as_ref())
            .and_then(StoredCoverage::coverage),
        sha256: last.sha256.0,
    };
    match crl::supersedes(&verified.edition(staged.sha256.0), &edition) {
        Err(reused @ Conflict::NumberReused { .. }) => {
            let Some(held) = held else {
                return Err(reused.into());
            };
            let mut new = StoredBody::new(store, staged.body, staged.pieces);
            let mut old = StoredBody::new(store, held.body, held.pieces);
            if crl::same_contents(&mut new, &mut old)? {
                Ok(Succession::Same)
            } else {
                Err(reused.into())
            }
        }
        compared => Ok(compared?),
    }
}
