//! Asks the origin: the issuer's record, then the CRL, whose bytes go into storage piece by piece.

use std::time::Duration;

use crl::{Examination, Limits, Refusal};
use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use origin_api::{CrlName, Der, IssuerId};
use sha2::Digest as _;

use super::admission;
use super::demand::Demand;
use super::error::{OriginError, RefreshError};
use super::head::Sha256;
use super::ports::{
    Answer, CrlRequest, Origin, OriginBody, OriginCrl, PIECE_BYTES, Runtime, Store,
};
use super::staged::{FetchOutcome, Staged};
use super::state::Record;
use super::state_cache::StateCache;
use crate::config::Settings;
use crate::events::PartialCrl;
use crate::time::{Timestamp, within};

/// One question to the origin about one CRL.
pub(super) struct OriginFetch<'a, R, O, S> {
    pub(super) runtime: &'a R,
    pub(super) origin: &'a O,
    pub(super) state: &'a StateCache<S>,
    pub(super) settings: &'a Settings,
    pub(super) issuer: &'a IssuerId,
    pub(super) name: CrlName,
}

/// Why there is no such answer, and what is known of the CRL that came.
#[derive(Debug)]
pub(super) struct FetchError {
    pub(super) error: RefreshError,
    pub(super) crl: PartialCrl,
}

impl<E: Into<RefreshError>> From<E> for FetchError {
    fn from(error: E) -> Self {
        Self {
            error: error.into(),
            crl: PartialCrl::default(),
        }
    }
}

impl<R: Runtime, O: Origin, S: Store> OriginFetch<'_, R, O, S> {
    pub(super) async fn run(&self, demand: &Demand) -> Result<FetchOutcome, FetchError> {
        let began_at = self.runtime.now();
        match self.fetch(demand).await {
            Err(failure)
                if matches!(
                    failure.error,
                    RefreshError::Refused(Refusal::WrongIssuer(_) | Refusal::BadSignature(_))
                ) =>
            {
                Err(self.explain_foreign(failure, began_at).await)
            }
            answer => answer,
        }
    }

    /// The certificate may have changed at the origin after its record was read. If that was before
    /// `began_at`, the record is read again, and a changed certificate is the reason.
    async fn explain_foreign(&self, failure: FetchError, began_at: Timestamp) -> FetchError {
        let known = self.state.issuer().unwrap_or_default();
        if known.record.is_some_and(|record| record.read_at < began_at) {
            let read = self.read_record().await;
            if let Err(changed) = read.and_then(|record| self.trusted_certificate(&record))
                && matches!(changed, RefreshError::IssuerChanged)
            {
                return FetchError {
                    error: changed,
                    ..failure
                };
            }
        }
        failure
    }

    async fn fetch(&self, demand: &Demand) -> Result<FetchOutcome, FetchError> {
        let record = self.record().await?;
        let certificate = self.trusted_certificate(&record)?;
        let Some(listed) = record.crls.iter().find(|crl| crl.name == self.name) else {
            return if record.crls.is_empty() {
                Ok(Answer::NothingToPublish)
            } else {
                Err(RefreshError::NotListed(self.name).into())
            };
        };
        let before = self.state.crl(self.name)?;
        let request = CrlRequest {
            held: before.held(),
            // An expired CRL needs a new one, even if the origin takes it for current.
            new_crl: demand.freeze() || before.valid(self.runtime.now()).is_none(),
        };
        let mut deadline = self.deadline();
        let staged = match self.ask(&request, &mut deadline).await? {
            Answer::Unchanged => return Ok(Answer::Unchanged),
            Answer::NothingToPublish => return Ok(Answer::NothingToPublish),
            Answer::Crl(crl) => self.stage(crl, &mut deadline).await?,
        };
        admission::admit(
            self.state.store(),
            &staged,
            &before,
            certificate,
            &admission::Expected {
                name: self.name,
                distribution_point: listed.distribution_point.as_deref(),
                clock_skew: self.settings.clock_skew,
                now: self.runtime.now(),
            },
        )
        .map_err(|error| FetchError {
            error,
            crl: staged.partial(),
        })
    }

    /// Asks for the CRL. An origin that answers 304 to a demand for a new CRL is asked again, as if
    /// nothing were held.
    async fn ask(
        &self,
        request: &CrlRequest,
        deadline: &mut Deadline<'_>,
    ) -> Result<Answer<OriginCrl<O::Body>>, OriginError> {
        let send = |request| self.origin.crl(self.issuer, self.name, request);
        let answer = deadline.bound(send(request)).await??;
        if !matches!(answer, Answer::Unchanged) || !request.new_crl {
            return Ok(answer);
        }
        let not_modified = OriginError::Status {
            status: 304,
            retry_after: None,
        };
        if request.held.is_none() {
            return Err(not_modified);
        }
        let unconditional = CrlRequest {
            held: None,
            new_crl: true,
        };
        match deadline.bound(send(&unconditional)).await?? {
            Answer::Unchanged => Err(not_modified),
            answer => Ok(answer),
        }
    }

    /// The origin's record of the issuer, read again when it is older than `REGISTRY_TTL_SECONDS`.
    /// If the origin cannot be reached, the last one serves: a CRL that is due must not wait for
    /// the registry.
    async fn record(&self) -> Result<origin_api::Issuer, RefreshError> {
        let known = self.state.issuer()?.record;
        let (now, ttl) = (self.runtime.now(), self.settings.registry_ttl);
        if let Some(Record { issuer, read_at }) = &known
            && now.since(*read_at) < ttl
        {
            return Ok(issuer.clone());
        }
        match (self.read_record().await, known) {
            // An origin that does not know the issuer, or wants to be left alone, would say the
            // same of the CRL.
            (Err(RefreshError::Origin(error)), Some(known))
                if error.retry_after().is_none() && !error.says_unknown() =>
            {
                Ok(known.issuer)
            }
            (read, _) => read,
        }
    }

    async fn read_record(&self) -> Result<origin_api::Issuer, RefreshError> {
        let read_at = self.runtime.now();
        let read = self.origin.issuer(self.issuer);
        let issuer = self
            .deadline()
            .bound(read)
            .await??
            .ok_or(OriginError::Status {
                status: 404,
                retry_after: None,
            })?;
        self.state.set_record(Record {
            issuer: issuer.clone(),
            read_at,
        })?;
        Ok(issuer)
    }

    /// The certificate to verify with: the origin's, which must be the pinned one if one is pinned.
    fn trusted_certificate(&self, record: &origin_api::Issuer) -> Result<Der, RefreshError> {
        match self.state.issuer()?.pinned {
            Some(pinned) if pinned != record.certificate => Err(RefreshError::IssuerChanged),
            _ => Ok(record.certificate.clone()),
        }
    }

    /// Reads the body piece by piece into storage, the hash and the reader: memory stays flat.
    async fn stage(
        &self,
        OriginCrl {
            body: mut source,
            watermark,
        }: OriginCrl<O::Body>,
        deadline: &mut Deadline<'_>,
    ) -> Result<Staged<R::Hashed>, FetchError> {
        let store = self.state.store();
        let body = store.new_body()?;
        let mut examination = Examination::<R::Hashed>::new(Limits {
            max_bytes: self.settings.max_crl_bytes,
            ..Limits::default()
        });
        let mut hash = sha2::Sha256::new();
        let mut piece = vec![0; PIECE_BYTES];
        let mut pieces = 0_u32;
        let mut size = 0_u64;
        let after = |size, error: RefreshError| FetchError {
            error,
            crl: PartialCrl {
                size: Some(size),
                ..PartialCrl::default()
            },
        };
        loop {
            let filled = fill(&mut source, &mut piece, deadline)
                .await
                .map_err(|error| after(size, error.into()))?;
            let Some(bytes) = piece.get(..filled).filter(|bytes| !bytes.is_empty()) else {
                break;
            };
            size = size.saturating_add(bytes.len() as u64);
            examination
                .push(bytes)
                .map_err(|error| after(size, error.into()))?;
            hash.update(bytes);
            store.append(body, pieces, bytes)?;
            pieces = pieces.saturating_add(1);
        }
        let examined = examination
            .finish()
            .map_err(|error| after(size, error.into()))?;
        Ok(Staged {
            body,
            pieces,
            size,
            sha256: Sha256(hash.finalize().into()),
            watermark,
            examined,
        })
    }

    fn deadline(&self) -> Deadline<'_> {
        let limit = self.settings.origin_timeout;
        Deadline {
            sleep: self.runtime.sleep(limit).boxed_local(),
            limit,
        }
    }
}

/// When several steps must be over, together.
struct Deadline<'a> {
    sleep: LocalBoxFuture<'a, ()>,
    limit: Duration,
}

impl Deadline<'_> {
    /// Runs a step for the time that is left.
    async fn bound<T>(&mut self, step: impl Future<Output = T>) -> Result<T, OriginError> {
        within(&mut self.sleep, step)
            .await
            .ok_or(OriginError::Timeout(self.limit))
    }
}

/// Reads until `piece` is full or the body ends.
async fn fill(
    source: &mut impl OriginBody,
    piece: &mut [u8],
    deadline: &mut Deadline<'_>,
) -> Result<usize, OriginError> {
    let mut filled = 0_usize;
    while let Some(rest) = piece.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match deadline.bound(source.read(rest)).await?? {
            0 => break,
            read => filled = filled.saturating_add(read),
        }
    }
    Ok(filled)
}
