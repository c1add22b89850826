//! Asks the origin: the issuer's record, then the CRL, whose bytes go into storage piece by piece.

use std::cell::Cell;
use std::time::Duration;

use crl::{Examination, Limits, Refusal};
use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use origin_api::{Crl, CrlName, IssuerId};

use super::admission;
use super::error::{OriginError, RefreshError};
use super::fetch_outcome::{Admitted, FetchError, FetchOutcome, Staged, Uncommitted};
use super::moves::Arrival;
use super::ports::{
    ContentHash as _, CrlRequest, DEPARTED_LIMIT, Departure, Origin, OriginAnswer, OriginBody,
    OriginCrl, PIECE_BYTES, Runtime, Store,
};
use super::removal_gate::{self, Comparison, Questions};
use super::serial_text::is_negative;
use super::stagings::Staging;
use super::state::{CrlState, Current, HeldCrl, Record};
use super::state_cache::StateCache;
use super::stored_body::LineWriter;
use crate::config::Settings;
use crate::events::PartialCrl;
use crate::time::{Timestamp, within};

/// Whether a refresh must bring a new CRL: all who wait for it decide together.
#[derive(Debug, Default)]
pub(crate) struct Demand {
    new_crl: Cell<bool>,
    is_frozen: Cell<bool>,
}

impl Demand {
    /// A demand for a new CRL, or for whatever is current.
    pub(crate) fn new(new_crl: bool) -> Self {
        Self {
            new_crl: Cell::new(new_crl),
            is_frozen: Cell::new(false),
        }
    }

    /// Demands a new CRL, unless the origin was asked already. Returns whether it was in time.
    pub(crate) fn raise(&self) -> bool {
        let in_time = !self.is_frozen.get();
        if in_time {
            self.new_crl.set(true);
        }
        in_time
    }

    /// Fixes the demand, because the origin is asked now. Returns whether a new CRL is demanded.
    pub(crate) fn freeze(&self) -> bool {
        self.is_frozen.set(true);
        self.new_crl.get()
    }
}

/// One question to the origin about one CRL.
pub(super) struct OriginFetch<'a, R, O, S> {
    pub(super) runtime: &'a R,
    pub(super) origin: &'a O,
    pub(super) state: &'a StateCache<S>,
    pub(super) settings: &'a Settings,
    pub(super) issuer: &'a IssuerId,
    pub(super) name: CrlName,
    /// The CRL of this name that waits for the other shards, if one does: the origin is asked
    /// whether it is still the current one.
    pub(super) waiting: Option<HeldCrl>,
    /// Keeps what this makes and reads.
    pub(super) staging: &'a Staging,
}

/// What the origin sent.
pub(super) enum Fetched {
    /// All that is needed to conclude the refresh.
    Outcome(FetchOutcome),
    /// A shard that lost entries, which may stand on the issuer's other shards.
    Arrived(Box<Arrival>),
}

impl<R: Runtime, O: Origin, S: Store> OriginFetch<'_, R, O, S> {
    pub(super) async fn run(&self, demand: &Demand) -> Result<Fetched, FetchError> {
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
            if let Err(changed) =
                read.and_then(|record| self.state.issuer()?.trusted_certificate(&record))
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

    async fn fetch(&self, demand: &Demand) -> Result<Fetched, FetchError> {
        let record = self.record().await?;
        let certificate = self.state.issuer()?.trusted_certificate(&record)?;
        let Some(listed) = record.crls.iter().find(|crl| crl.name == self.name) else {
            return if record.crls.is_empty() {
                Ok(Fetched::Outcome(OriginAnswer::NothingToPublish))
            } else {
                Err(RefreshError::NotListed(self.name).into())
            };
        };
        let before = self.state.crl(self.name)?;
        self.staging.keep(before.bodies());
        let request = CrlRequest {
            held: self.waiting.clone().or_else(|| before.held()),
            // An expired CRL needs a new one, even if the origin takes it for current.
            new_crl: demand.freeze() || before.valid(self.runtime.now()).is_none(),
        };
        let mut deadline = self.deadline();
        let staged = match self.ask(&request, &mut deadline).await? {
            OriginAnswer::Unchanged => return Ok(Fetched::Outcome(OriginAnswer::Unchanged)),
            OriginAnswer::NothingToPublish => {
                return Ok(Fetched::Outcome(OriginAnswer::NothingToPublish));
            }
            OriginAnswer::Crl(crl) => self.stage(crl, &mut deadline).await?,
        };
        let expected = admission::Expected {
            name: self.name,
            distribution_point: listed.distribution_point.as_deref(),
            clock_skew: self.settings.clock_skew,
            now: self.runtime.now(),
            is_overruled: false,
        };
        let store = self.state.store();
        let admitted = admission::admit(store, &staged, &before, certificate, &expected);
        let admitted = admitted.map_err(|error| self.refused(error, &staged, None))?;
        match (admitted, &before.current) {
            (OriginAnswer::Crl(admitted), Some(held)) if self.name != CrlName::Delta => {
                let arrival = self.compare(*admitted, &staged, held).await?;
                let is_other_shard =
                    |crl: &Crl| matches!(crl.name, CrlName::Shard(_)) && crl.name != self.name;
                if matches!(self.name, CrlName::Shard(_))
                    && arrival.open.count != 0
                    && record.crls.iter().any(is_other_shard)
                {
                    return Ok(Fetched::Arrived(Box::new(arrival)));
                }
                let passed = self.pass_removal_gate(arrival, &staged, &before, held);
                let passed = passed.map_err(|failure| *failure)?;
                Ok(Fetched::Outcome(OriginAnswer::Crl(Box::new(passed))))
            }
            (answer, _) => {
                self.check_base(&staged)
                    .map_err(|error| self.refused(error, &staged, None))?;
                Ok(Fetched::Outcome(answer))
            }
        }
    }

    /// A delta CRL must start from the complete CRL that clients have, or an earlier one.
    fn check_base(&self, staged: &Staged<R::Hashed>) -> Result<(), RefreshError> {
        let base = staged.examined.crl().extensions.base_number;
        let full = self.state.crl(CrlName::Full)?;
        if let (Some(base), Some(full)) = (base, full.head()) {
            crl::check_delta_base(base, full.number)?;
        }
        Ok(())
    }

    /// Compares the admitted CRL with the one that it replaces, and asks the origin why entries
    /// are missing.
    async fn compare(
        &self,
        admitted: Admitted,
        staged: &Staged<R::Hashed>,
        held: &Current,
    ) -> Result<Arrival, FetchError> {
        let (store, now) = (self.state.store(), self.runtime.now());
        let key = removal_gate::key(self.runtime.random());
        let new = (admitted.body, admitted.pieces);
        let (mut comparison, questions) =
            removal_gate::compare(store, held, new, self.settings, now, key)?;
        let mut open = LineWriter::new(store, PIECE_BYTES);
        let Questions { departed, holds } = questions;
        for piece in 0..departed.pieces {
            let lines = departed.piece(store, piece)?;
            let (negative, lines): (Vec<_>, Vec<_>) =
                lines.lines().partition(|line| is_negative(line));
            comparison.explain(&negative, None, &mut open)?;
            for asked in lines.chunks(DEPARTED_LIMIT) {
                let departed = self.ask_why_departed(asked, staged).await?;
                comparison.explain(asked, departed.as_deref(), &mut open)?;
            }
        }
        for piece in 0..holds.pieces {
            let lines = holds.piece(store, piece)?;
            let lines: Vec<_> = lines.lines().filter(|line| !is_negative(line)).collect();
            for asked in lines.chunks(DEPARTED_LIMIT) {
                self.ask_why_departed(asked, staged).await?;
            }
        }
        Ok(Arrival {
            admitted,
            comparison,
            open: open.finish()?,
        })
    }

    async fn ask_why_departed(
        &self,
        asked: &[&str],
        staged: &Staged<R::Hashed>,
    ) -> Result<Option<Vec<Departure>>, FetchError> {
        let departed = self.origin.departed(self.issuer, self.name, asked);
        let departed = self.deadline().bound(departed).await;
        departed
            .and_then(|departed| departed)
            .map_err(|error| FetchError::about(error, staged.partial()))
    }

    /// Publishes what was admitted, or withholds it.
    fn pass_removal_gate(
        &self,
        arrival: Arrival,
        staged: &Staged<R::Hashed>,
        before: &CrlState,
        held: &Current,
    ) -> Result<Admitted, Box<FetchError>> {
        let Arrival {
            mut admitted,
            comparison,
            ..
        } = arrival;
        let now = self.runtime.now();
        if comparison.is_withheld(&held.head, before, self.settings, now) {
            let error = RefreshError::EntriesVanished {
                unexplained: comparison.unexplained,
                held: held.head.entry_count,
            };
            return Err(Box::new(self.refused(error, staged, Some(comparison))));
        }
        admitted.compared(&comparison);
        admitted.findings.extend(comparison.findings());
        Ok(admitted)
    }

    /// The staged CRL is refused: an operator may accept it if the rule allows that.
    fn refused(
        &self,
        error: RefreshError,
        staged: &Staged<R::Hashed>,
        comparison: Option<Comparison>,
    ) -> FetchError {
        let mut crl = staged.partial();
        let comparison = comparison.unwrap_or_default();
        crl.findings.extend(comparison.findings());
        if matches!(error, RefreshError::EntriesVanished { .. }) {
            crl.entries_added = Some(comparison.added);
            crl.entries_removed = Some(comparison.removed);
        }
        let stored = Uncommitted {
            sha256: staged.sha256,
            body: staged.body,
            pieces: staged.pieces,
            watermark: staged.watermark,
        };
        FetchError::refused(error, crl, &stored, comparison.missing, self.runtime.now())
    }

    /// Asks for the CRL. An origin that answers 304 to a demand for a new CRL is asked again, as if
    /// nothing were held.
    async fn ask(
        &self,
        request: &CrlRequest,
        deadline: &mut Deadline<'_>,
    ) -> Result<OriginAnswer<OriginCrl<O::Body>>, OriginError> {
        let send = |request| self.origin.crl(self.issuer, self.name, request);
        let answer = deadline.bound(send(request)).await??;
        if !matches!(answer, OriginAnswer::Unchanged) || !request.new_crl {
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
            OriginAnswer::Unchanged => Err(not_modified),
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
        self.staging.keep_from(body);
        let mut examination = Examination::<R::Hashed>::new(Limits {
            max_bytes: self.settings.max_crl_bytes,
            ..Limits::default()
        });
        let mut hash = R::ContentHash::new();
        let mut piece = vec![0; PIECE_BYTES];
        let mut pieces = 0_u32;
        let mut size = 0_u64;
        let after = |size, error: RefreshError| {
            let crl = PartialCrl {
                size: Some(size),
                ..PartialCrl::default()
            };
            FetchError::about(error, crl)
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
            sha256: hash.finish()?,
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
