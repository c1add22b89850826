//! The exchange with the origin: the issuer's record, the CRL's bytes into storage piece by piece, and the gate.

use std::time::Duration;

use crl::{
    Conflict, CrlKind, Edition, Examination, Limits, Refusal, Requirements, Succession,
    Verification, Verified,
};
use origin_api::{CrlName, Der};
use sha2::Digest as _;

use super::error::{OriginError, RefreshError};
use super::head::{Head, Sha256};
use super::seams::{Answer, BodyId, Host, Origin, OriginBody, Store};
use super::state::{Current, IssuerState, Record};
use super::stored_body::StoredBody;
use super::{Demand, PIECE_BYTES, Refresh};
use crate::events::Seen;
use crate::time::{Timestamp, within};

/// One refresh of one CRL, up to its conclusion.
pub(super) struct Exchange<'a, H, O, S> {
    pub(super) refresh: &'a Refresh<'a, H, O, S>,
    pub(super) name: CrlName,
}

/// What the origin's answer comes to.
pub(super) enum Found {
    /// A CRL that was admitted; its body is staged.
    New(Box<Admitted>),
    /// What is held is current.
    Unchanged,
    /// There is no CRL to publish.
    Nothing,
}

/// A CRL that passed every rule.
pub(super) struct Admitted {
    pub(super) head: Head,
    pub(super) body: BodyId,
    pub(super) pieces: u32,
    pub(super) watermark: Option<u64>,
    /// The certificate that verified it.
    pub(super) certificate: Der,
    /// The CRL that it replaces.
    pub(super) drawn_from: Option<Sha256>,
}

/// A body that has come whole, and what reading it gave.
struct Staged<D> {
    body: BodyId,
    pieces: u32,
    size: u64,
    sha256: Sha256,
    examined: crl::Examined<D>,
}

impl<H: Host, O: Origin, S: Store> Exchange<'_, H, O, S> {
    pub(super) async fn run(
        &self,
        demand: &Demand,
        seen: &mut Seen,
    ) -> Result<Found, RefreshError> {
        let began_at = self.refresh.host.now();
        match self.exchange(demand, seen).await {
            Err(RefreshError::Refused(
                refusal @ (Refusal::WrongIssuer(_) | Refusal::BadSignature(_)),
            )) => Err(self.why_foreign(refusal, began_at).await),
            found => found,
        }
    }

    /// A CRL by another name or key may come of a certificate that changed at the origin after its record was read: where that was
    /// before `began_at`, it is read once more.
    async fn why_foreign(&self, refusal: Refusal, began_at: Timestamp) -> RefreshError {
        let known = self.refresh.store.issuer().unwrap_or_default();
        if known.record.is_some_and(|record| record.read_at < began_at) {
            let read = self.read_record().await;
            if let Err(changed) = read.and_then(|record| self.trusted_certificate(&record))
                && matches!(changed, RefreshError::IssuerChanged)
            {
                return changed;
            }
        }
        refusal.into()
    }

    async fn exchange(&self, demand: &Demand, seen: &mut Seen) -> Result<Found, RefreshError> {
        let record = self.record().await?;
        let certificate = self.trusted_certificate(&record)?;
        let Some(listed) = record.crls.iter().find(|crl| crl.name == self.name) else {
            return if record.crls.is_empty() {
                Ok(Found::Nothing)
            } else {
                Err(RefreshError::NotListed(self.name))
            };
        };
        let before = self.refresh.store.crl(self.name)?;
        let held = before.head().map(|head| head.sha256);
        // In the place of one that has expired a new one is due, whatever the origin takes for current.
        let valid = before.valid(self.refresh.host.now());
        let valid = valid.map(|current| current.head.sha256);
        let asked_for = if demand.settle() { None } else { valid };
        let limit = self.refresh.settings.origin_timeout;
        let answer = self.within(limit, self.fetch(asked_for, seen)).await??;
        let (staged, watermark) = match answer {
            Fetched::Staged(staged, watermark) => (staged, watermark),
            Fetched::Current => {
                if let Some(head) = before.head() {
                    *seen = Seen::from(head);
                }
                return Ok(Found::Unchanged);
            }
            Fetched::Nothing => return Ok(Found::Nothing),
        };
        let issuer = crl::Issuer::from_der(&certificate.0)?;
        let requirements = Requirements {
            issuer: &issuer,
            kind: match self.name {
                CrlName::Full => CrlKind::Full,
                CrlName::Delta => CrlKind::Delta,
                CrlName::Shard(_) => CrlKind::Shard,
            },
            distribution_point: listed.distribution_point.as_deref(),
            now: self.refresh.host.now().as_unix_time(),
            clock_skew: self.refresh.settings.clock_skew,
            strict: false,
        };
        let verified = self.verify(&staged, &requirements)?;
        if let Some(current) = &before.current {
            if self.compare(&staged, &verified, current)? == Succession::Same {
                return Ok(Found::Unchanged);
            }
            match (watermark, before.watermark) {
                (Some(watermark), Some(held)) if watermark < held => {
                    return Err(RefreshError::WatermarkRegressed { watermark, held });
                }
                _ => {}
            }
        }
        Ok(Found::New(Box::new(Admitted {
            head: Head {
                number: verified.number(),
                sha256: staged.sha256,
                size: staged.size,
                this_update: verified.this_update(),
                next_update: verified.next_update(),
                refresh_after: Timestamp::from(verified.next_update()),
                generated_at: self.refresh.host.now(),
                entry_count: verified.crl().entry_count,
            },
            body: staged.body,
            pieces: staged.pieces,
            watermark,
            certificate,
            drawn_from: held,
        })))
    }

    /// Checks the staged CRL by itself.
    fn verify(
        &self,
        staged: &Staged<H::Hashed>,
        requirements: &Requirements<'_>,
    ) -> Result<Verified, RefreshError> {
        Ok(match crl::verify(&staged.examined, requirements)? {
            Verification::Verified(verified) => verified,
            // Ed25519 hashes a part of the signature, which comes last, before the message.
            Verification::NeedsSecondPass(mut second_pass) => {
                for index in 0..staged.pieces {
                    second_pass.push(&self.refresh.store.piece(staged.body, index)?);
                }
                second_pass.finish()?
            }
        })
    }

    /// Compares the staged CRL with the one that is held. One that was only signed anew is the same:
    /// the bytes that clients have stay.
    fn compare(
        &self,
        staged: &Staged<H::Hashed>,
        verified: &Verified,
        held: &Current,
    ) -> Result<Succession, RefreshError> {
        let store = self.refresh.store;
        let edition = Edition {
            number: held.head.number,
            this_update: held.head.this_update,
            // Not recorded.
            coverage: None,
            sha256: held.head.sha256.0,
        };
        match crl::supersedes(&verified.edition(staged.sha256.0), &edition) {
            Err(reused @ Conflict::NumberReused { .. }) => {
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

    /// The origin's record of the issuer, read again once it is older than `REGISTRY_TTL_SECONDS`. Where the origin cannot be
    /// asked, the last one does: a list that is due must not wait for the registry.
    async fn record(&self) -> Result<origin_api::Issuer, RefreshError> {
        let known = self.refresh.store.issuer()?.record;
        let (now, ttl) = (self.refresh.host.now(), self.refresh.settings.registry_ttl);
        if let Some(Record { issuer, read_at }) = &known
            && now.since(*read_at) < ttl
        {
            return Ok(issuer.clone());
        }
        match (self.read_record().await, known) {
            // Where the origin does not know the issuer, or wants to be left alone, that holds for the list too.
            (Err(RefreshError::Origin(error)), Some(known))
                if error.retry_after().is_none() && !error.says_unknown() =>
            {
                Ok(known.issuer)
            }
            (read, _) => read,
        }
    }

    async fn read_record(&self) -> Result<origin_api::Issuer, RefreshError> {
        let Refresh { origin, store, .. } = self.refresh;
        let read_at = self.refresh.host.now();
        let limit = self.refresh.settings.origin_timeout;
        let read = self.within(limit, origin.issuer(self.refresh.issuer));
        let issuer = read.await??.ok_or(OriginError::Status {
            status: 404,
            retry_after: None,
        })?;
        store.set_issuer(&IssuerState {
            record: Some(Record {
                issuer: issuer.clone(),
                read_at,
            }),
            // Meanwhile a certificate may have been pinned or trusted.
            ..store.issuer()?
        })?;
        Ok(issuer)
    }

    /// The certificate to verify with: the pinned one, which must be the one that the origin names.
    fn trusted_certificate(&self, record: &origin_api::Issuer) -> Result<Der, RefreshError> {
        match self.refresh.store.issuer()?.pinned {
            Some(pinned) if pinned != record.certificate => Err(RefreshError::IssuerChanged),
            _ => Ok(record.certificate.clone()),
        }
    }

    async fn fetch(
        &self,
        held: Option<Sha256>,
        seen: &mut Seen,
    ) -> Result<Fetched<H::Hashed>, RefreshError> {
        let Refresh { origin, issuer, .. } = self.refresh;
        match origin.crl(issuer, self.name, held).await? {
            Answer::Current if held.is_none() => Err(OriginError::Status {
                status: 304,
                retry_after: None,
            }
            .into()),
            Answer::Current => Ok(Fetched::Current),
            Answer::Nothing => Ok(Fetched::Nothing),
            Answer::Crl { body, watermark } => {
                let staged = self.stage(body, seen).await?;
                Ok(Fetched::Staged(Box::new(staged), watermark))
            }
        }
    }

    /// Takes the body in, piece by piece: into storage, the hash, and the reader. Memory stays flat.
    async fn stage(
        &self,
        mut source: O::Body,
        seen: &mut Seen,
    ) -> Result<Staged<H::Hashed>, RefreshError> {
        let store = self.refresh.store;
        let body = store.new_body()?;
        let mut examination = Examination::<H::Hashed>::new(Limits {
            max_bytes: self.refresh.settings.max_crl_bytes,
            ..Limits::default()
        });
        let mut hash = sha2::Sha256::new();
        let mut piece = vec![0; PIECE_BYTES];
        let mut pieces = 0_u32;
        let mut size = 0_u64;
        loop {
            let filled = fill(&mut source, &mut piece).await?;
            let Some(bytes) = piece.get(..filled).filter(|bytes| !bytes.is_empty()) else {
                break;
            };
            size = size.saturating_add(bytes.len() as u64);
            seen.size = Some(size);
            examination.push(bytes)?;
            hash.update(bytes);
            store.append(body, pieces, bytes)?;
            pieces = pieces.saturating_add(1);
        }
        let examined = examination.finish()?;
        let sha256 = Sha256(hash.finalize().into());
        let crl = examined.crl();
        *seen = Seen {
            number: crl.extensions.number,
            entry_count: Some(crl.entry_count),
            size: Some(size),
            sha256: Some(sha256),
            this_update: Some(crl.header.this_update),
            next_update: crl.header.next_update,
        };
        Ok(Staged {
            body,
            pieces,
            size,
            sha256,
            examined,
        })
    }

    /// Runs a step of the exchange, for as long as it may take.
    async fn within<T>(
        &self,
        limit: Duration,
        step: impl Future<Output = T>,
    ) -> Result<T, OriginError> {
        within(self.refresh.host.sleep(limit), step)
            .await
            .ok_or(OriginError::Timeout(limit))
    }
}

enum Fetched<D> {
    Staged(Box<Staged<D>>, Option<u64>),
    Current,
    Nothing,
}

/// Reads until `piece` is full or the body ends.
async fn fill(source: &mut impl OriginBody, piece: &mut [u8]) -> Result<usize, OriginError> {
    let mut filled = 0_usize;
    while let Some(rest) = piece.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match source.read(rest).await? {
            0 => break,
            read => filled = filled.saturating_add(read),
        }
    }
    Ok(filled)
}
