//! The life of a relying party's request: memory, the replica in KV, and if neither can answer, the
//! issuer's object.

#[cfg(test)]
mod tests;

use std::rc::Rc;
use std::time::Duration;

use futures_util::FutureExt as _;
use sha2::Digest as _;

use super::body::{self, BodySource, ResponseBody};
use super::index::{self, IssuerListing};
use super::memory::{Age, Memory, SMALL};
use super::ports::{Chunk, KV_LIMIT, KvRead, Platform};
use super::representation::Wanted;
use super::{Policy, Validity, decision};
use crate::http::{Answer, Method};
use crate::issuer::{IssuerAnswer, IssuerRequest, Unavailable};
use crate::kv_layout;
use crate::object_calls::PlatformError;
use crate::problem::EdgeError;
use crate::refresh::{Head, Metadata};
use crate::registry::Index;
use crate::time::{Timestamp, within};
use crate::wait_slots::Crowded;

/// How long a client waits for the object if an expired CRL may be served. The object starts the
/// refresh all the same.
const EXPIRED_PATIENCE: Duration = Duration::from_secs(1);

/// When to ask again if an issuer's object does not answer.
const OBJECT_RETRY: Duration = Duration::from_secs(5);

/// When to ask again if there is no list of issuers.
const INDEX_RETRY: Duration = Duration::from_secs(10);

/// Serves relying parties.
#[derive(Debug)]
pub struct Serving<P: Platform> {
    /// KV, the objects, a clock.
    pub platform: P,
    /// What the isolate remembers.
    pub memory: Rc<Memory<P::Chunk>>,
    /// What the operator allows.
    pub policy: Policy,
    /// `FAST_PATH`: whether what KV returned a moment ago may answer without another read.
    pub fast_path: bool,
    /// `ORIGIN_TIMEOUT_MS`: the longest that a client waits for the registry and the issuer's
    /// object.
    pub patience: Duration,
    /// `REGISTRY_TTL_SECONDS`: how old an index may be that says which issuers do not exist.
    pub registry_ttl: Duration,
}

/// An answer, its body, and whether it may be given again.
pub struct Served<P: Platform> {
    /// The status and the headers, and the body if it is text.
    pub answer: Answer,
    /// The body if it is not.
    pub body: ResponseBody<P>,
    /// Whether the same request may get it again.
    pub replay: Replay<P::Chunk>,
    /// Where the CRL came from; absent if there is none.
    pub source: Option<Source>,
}

/// How an answer is given again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replay<C> {
    /// With the same body: bytes in memory, or none. A stream can be sent only once, so it has no
    /// place here.
    SameBody(Option<C>),
    /// With the body that KV returns for this key, if its metadata is still this, in JSON.
    ReadKv {
        /// The CRL's key.
        key: String,
        /// The metadata that the answer was made from.
        metadata: String,
    },
    /// Not at all.
    No,
}

/// How many bytes of answers an isolate may remember. One without a body counts as
/// [`ANSWER_BYTES`].
pub const REPLAY_BYTES: u32 = 16 * 1024 * 1024;

/// What an answer weighs besides its body: its key and headers, in bytes.
pub const ANSWER_BYTES: u32 = 4 * 1024;

/// KV did not answer, or not in a form that this release reads. The log says why.
struct KvFailed;

/// What the registry says of a CRL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CrlListing {
    /// The origin lists it.
    Listed,
    /// Its issuer publishes elsewhere; its object knows since when.
    Elsewhere,
    /// The origin no longer lists its issuer, whose object may have a CRL that is valid.
    Gone,
    /// The origin no longer lists it, and its issuer's object may have one that is valid.
    Withdrawn,
    /// The origin does not list it.
    UnknownCrl,
    /// The origin does not list its issuer, and will not for this long.
    UnknownIssuer(Duration),
    /// That cannot be known now.
    NoIndex,
}

/// A CRL that can answer a request.
struct Found<P: Platform> {
    head: Head,
    validity: Validity,
    body: BodySource<P>,
    source: Source,
}

/// Where a CRL came from, for `Cache-Status` (RFC 9211) and figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The memory of what KV returned.
    Memory,
    /// KV.
    Kv,
    /// The issuer's object: KV had nothing.
    Object,
    /// The issuer's object: the CRL in KV has expired, or is older than one that was served.
    ObjectForUnfit,
}

impl Source {
    const fn cache_status(self) -> &'static str {
        match self {
            Self::Memory | Self::Kv => "crl-edge-kv; hit",
            Self::Object => "crl-edge-kv; fwd=miss",
            Self::ObjectForUnfit => "crl-edge-kv; fwd=stale",
        }
    }

    /// Its name in figures.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Kv => "kv",
            Self::Object | Self::ObjectForUnfit => "object",
        }
    }
}

impl<P: Platform> Serving<P> {
    /// Answers a request for a CRL. `header` gives a request header's value by its name.
    ///
    /// # Errors
    /// The platform failed while a body was read; whatever else fails is an answer.
    pub async fn serve(
        &self,
        wanted: &Wanted,
        header: impl Fn(&str) -> Option<String>,
    ) -> Result<Served<P>, PlatformError> {
        let asked_at = self.platform.now();
        let key = kv_layout::key(&wanted.issuer, wanted.name);
        if self.fast_path
            && let Some(found) = self.remembered(&key, Age::Recent)
            && found.validity == Validity::Fresh
            && !self.memory.is_behind(&key, found.head.number)
            && let Some(served) = self.answer(wanted, &key, &header, found).await?
        {
            return Ok(served);
        }
        let now = self.platform.now();
        let replica = if !self.fast_path || self.memory.claim_read(&key, now) {
            self.replica(&key).await
        } else {
            Ok(None)
        };
        let kv_failed = replica.is_err();
        let found = replica.unwrap_or_else(|KvFailed| self.remembered(&key, Age::Outage));
        let mut deadline = asked_at.after(self.patience);
        let is_expired = |found: &Found<P>| found.validity == Validity::Expired;
        let must_wait = found.as_ref().is_none_or(is_expired);
        let now = self.platform.now();
        let slot = self.memory.slots.take(&key, now, deadline);
        if must_wait && let Err(Crowded { retry_after }) = slot {
            return Ok(refused(
                wanted.method,
                &EdgeError::CrlUnavailable { retry_after },
            ));
        }
        // This isolate has served a later one, and nobody is to see numbers go back.
        let is_unfit = |found: &Found<P>| {
            is_expired(found) || slot.is_ok() && self.memory.is_behind(&key, found.head.number)
        };
        let mut listing = CrlListing::Listed;
        if must_wait {
            if found.is_some() && self.policy.serve_expired {
                deadline = deadline.min(self.platform.now().after(EXPIRED_PATIENCE));
            }
            listing = self.listing(wanted, deadline).await;
            let has_copy = found.is_some();
            if let Some(error) = listing.refusal(wanted, has_copy) {
                return Ok(refused(wanted.method, &error));
            }
        }
        let unfit = match found {
            Some(found) if is_unfit(&found) => Some(found),
            Some(found) => {
                if found.validity == Validity::Due {
                    self.refresh_soon(wanted, &key);
                }
                match self.answer(wanted, &key, &header, found).await? {
                    Some(served) => return Ok(served),
                    // A part is missing: all of the answer is the object's.
                    None => None,
                }
            }
            None => None,
        };
        let seen = unfit.as_ref().map(|found| found.head.sha256);
        let fallback = match unfit {
            None if kv_failed => self.remembered(&key, Age::Any),
            unfit => unfit,
        };
        let refusal = self.memory.refusal(&key, self.platform.now());
        let request = IssuerRequest::Serve {
            name: wanted.name,
            seen,
            held_only: matches!(listing, CrlListing::Gone | CrlListing::Withdrawn),
        };
        let object = match refusal.filter(|_| self.fast_path) {
            Some(unavailable) => Err(unavailable),
            None => self.object(wanted, &key, request, deadline).await,
        };
        let found = match (object, fallback) {
            (Ok(found), _) => found,
            (Err(Unavailable::RetryAfter { .. }), Some(fallback))
                if fallback.validity != Validity::Expired || self.policy.serve_expired =>
            {
                fallback
            }
            (Err(unavailable), _) => {
                let error = unserved(wanted, &unavailable, listing);
                return Ok(refused(wanted.method, &error));
            }
        };
        let served = self.answer(wanted, &key, &header, found).await?;
        Ok(served.unwrap_or_else(|| {
            let retry_after = OBJECT_RETRY;
            refused(wanted.method, &EdgeError::CrlUnavailable { retry_after })
        }))
    }

    /// The CRL that the issuer's object holds, for an operator, whether or not it has expired:
    /// after a restore the origin recovers from it. Conditions and ranges are ignored.
    ///
    /// # Errors
    /// The platform failed while the body was read; whatever else fails is an answer.
    pub async fn held(&self, wanted: &Wanted) -> Result<Served<P>, PlatformError> {
        let key = kv_layout::key(&wanted.issuer, wanted.name);
        let request = IssuerRequest::Held { name: wanted.name };
        let deadline = self.platform.now().after(self.patience);
        let found = match self.object(wanted, &key, request, deadline).await {
            Ok(found) => found,
            Err(unavailable) => {
                let error = unserved(wanted, &unavailable, CrlListing::Listed);
                return Ok(refused(wanted.method, &error));
            }
        };
        let answer = decision::held(wanted.method, &found.head);
        let range = answer.body.range(found.head.size);
        let body = body::assemble(&self.platform, wanted, &found.head, found.body, range).await?;
        Ok(Served {
            answer,
            body: body.unwrap_or(ResponseBody::Own),
            replay: Replay::No,
            source: Some(found.source),
        })
    }

    /// The registry's index, as `index::index` finds it.
    ///
    /// # Errors
    /// None can be read.
    pub async fn index(&self) -> Result<Rc<Index>, PlatformError> {
        index::index(&self.platform, &self.memory, self.registry_ttl).await
    }

    /// A CRL that this isolate read from KV before, and its body if it was small.
    fn remembered(&self, key: &str, age: Age) -> Option<Found<P>> {
        let metadata = self.memory.head(key, self.platform.now(), age)?;
        let head = metadata.head.clone();
        let body = self.memory.body(head.sha256);
        let body = body.map_or(BodySource::Unread, BodySource::Bytes);
        Some(self.found(head, body, Source::Memory))
    }

    /// The CRL in KV, if KV has it in a form that this release reads.
    async fn replica(&self, key: &str) -> Result<Option<Found<P>>, KvFailed> {
        let read = within(self.platform.sleep(KV_LIMIT), self.read_replica(key)).await;
        let read = read.unwrap_or_else(|| Err(PlatformError("it timed out".to_owned())));
        let read = read.inspect(|found| {
            let outcome = if found.is_some() {
                KvRead::Hit
            } else {
                KvRead::Miss
            };
            self.platform.count_read(outcome);
        });
        read.map_err(|error| {
            self.platform.count_read(KvRead::Failed);
            self.platform.log(&serde_json::json!({
                "level": "warning", "what": "KV did not give a CRL", "key": key, "cause": error.to_string(),
            }));
            KvFailed
        })
    }

    async fn read_replica(&self, key: &str) -> Result<Option<Found<P>>, PlatformError> {
        let Some((json, stream)) = self.platform.kv_crl(key).await? else {
            self.memory.keep_absent(key, self.platform.now());
            return Ok(None);
        };
        let metadata = self.memory.metadata(key, &json, self.platform.now());
        let metadata = metadata.map_err(|error| PlatformError(error.to_string()))?;
        let Metadata { head, parts } = &*metadata;
        let body = if *parts > 0 {
            self.platform.cancel(stream);
            BodySource::Parts
        } else if head.size > SMALL {
            BodySource::Stream(stream)
        } else if let Some(bytes) = self.memory.body(head.sha256) {
            self.platform.cancel(stream);
            BodySource::Bytes(bytes)
        } else {
            BodySource::Bytes(self.small_body(head, stream).await?)
        };
        Ok(Some(self.found(head.clone(), body, Source::Kv)))
    }

    /// Reads a small body and remembers it, once its hash is checked: it will answer many requests.
    async fn small_body(&self, head: &Head, stream: P::Stream) -> Result<P::Chunk, PlatformError> {
        let bytes = self.platform.read(stream).await?;
        if sha2::Sha256::digest(bytes.to_vec())[..] != head.sha256.0 {
            self.platform.count_read(KvRead::Mismatch);
            let mixed = "its body is not the one that its metadata describes";
            return Err(PlatformError(mixed.to_owned()));
        }
        self.memory.keep_body(head.sha256, &bytes);
        Ok(bytes)
    }

    /// The CRL of the issuer's object.
    async fn object(
        &self,
        wanted: &Wanted,
        key: &str,
        request: IssuerRequest,
        deadline: Timestamp,
    ) -> Result<Found<P>, Unavailable> {
        let source = match request {
            IssuerRequest::Serve { seen: Some(_), .. } => Source::ObjectForUnfit,
            _ => Source::Object,
        };
        let is_operators = matches!(request, IssuerRequest::Held { .. });
        let asked = self.platform.issuer(&wanted.issuer, request);
        let Some(answer) = self.until(deadline, asked).await else {
            return Err(Unavailable::RetryAfter {
                seconds: OBJECT_RETRY.as_secs(),
            });
        };
        let cause = match answer {
            Ok((IssuerAnswer::Crl(head), Some(stream))) => {
                return Ok(self.found(head, BodySource::Stream(stream), source));
            }
            Ok((IssuerAnswer::Unavailable(unavailable), _)) => {
                // What it holds does not say what it can get for relying parties.
                if !is_operators {
                    let now = self.platform.now();
                    self.memory.keep_refusal(key, &unavailable, now);
                }
                return Err(unavailable);
            }
            Ok((IssuerAnswer::Failed(cause), _)) => cause,
            Ok(_) => "it answered another request".to_owned(),
            Err(error) => error.to_string(),
        };
        self.platform.log(&serde_json::json!({
            "level": "error", "what": "an issuer's object did not answer",
            "issuer": wanted.issuer, "cause": cause,
        }));
        Err(Unavailable::RetryAfter {
            seconds: OBJECT_RETRY.as_secs(),
        })
    }

    /// What the registry says of the CRL.
    async fn listing(&self, wanted: &Wanted, deadline: Timestamp) -> CrlListing {
        let Wanted { issuer, name, .. } = wanted;
        let crl = (issuer, *name);
        let lookup = index::lookup(&self.platform, &self.memory, self.registry_ttl, crl);
        let lookup = self.until(deadline, lookup).await;
        match lookup.unwrap_or(IssuerListing::NoIndex) {
            IssuerListing::Known(listed) if listed.gone_since.is_some() => CrlListing::Gone,
            IssuerListing::Known(listed) if listed.crls.is_empty() => CrlListing::Elsewhere,
            IssuerListing::Known(listed) if listed.may_have(*name) => CrlListing::Listed,
            IssuerListing::Known(listed) if listed.withdrawn.contains(name) => {
                CrlListing::Withdrawn
            }
            IssuerListing::Known(_) => CrlListing::UnknownCrl,
            IssuerListing::Unknown(max_age) => CrlListing::UnknownIssuer(max_age),
            IssuerListing::NoIndex => CrlListing::NoIndex,
        }
    }

    /// The result of `step`, if there is one before `deadline` and before the client leaves.
    async fn until<T>(&self, deadline: Timestamp, step: impl Future<Output = T>) -> Option<T> {
        let left = deadline.since(self.platform.now());
        let step = within(self.platform.sleep(left), step);
        within(self.platform.client_left(), step).await.flatten()
    }

    /// Has the object refresh what is due, without waiting for it, and rarely per isolate.
    fn refresh_soon(&self, Wanted { issuer, name, .. }: &Wanted, key: &str) {
        let now = self.platform.now();
        if !self.memory.claim_refresh(key, now) {
            return;
        }
        let (platform, issuer, name) = (self.platform.clone(), issuer.clone(), *name);
        self.platform.spawn(
            async move {
                let request = IssuerRequest::RefreshDue { name };
                let cause = match platform.issuer(&issuer, request).await {
                    Ok((IssuerAnswer::Failed(cause), _)) => cause,
                    Ok(_) => return,
                    Err(error) => error.to_string(),
                };
                platform.log(&serde_json::json!({
                    "level": "warning", "what": "a refresh could not be asked for",
                    "issuer": issuer, "cause": cause,
                }));
            }
            .boxed_local(),
        );
    }

    /// The answer made from a CRL. None if it needs bytes that `found` does not have.
    async fn answer(
        &self,
        wanted: &Wanted,
        key: &str,
        header: &impl Fn(&str) -> Option<String>,
        found: Found<P>,
    ) -> Result<Option<Served<P>>, PlatformError> {
        let Found {
            head,
            validity,
            body,
            source,
        } = found;
        let Wanted {
            method, encoding, ..
        } = wanted;
        let (policy, now) = (&self.policy, self.platform.now());
        let decision = decision::decide(*method, header, &head, validity, *encoding, policy, now);
        let range = decision.body().range(wanted.encoding.length(head.size));
        let Some(body) = body::assemble(&self.platform, wanted, &head, body, range).await? else {
            return Ok(None);
        };
        let replay = self.replay(&decision, &body, key, source);
        self.memory.keep_served(key, head.number);
        let mut answer = decision.answer();
        let cache_status = source.cache_status().into();
        answer.headers.push(("Cache-Status", cache_status));
        Ok(Some(Served {
            answer,
            body,
            replay,
            source: Some(source),
        }))
    }

    fn replay(
        &self,
        decision: &decision::Decision,
        body: &ResponseBody<P>,
        key: &str,
        source: Source,
    ) -> Replay<P::Chunk> {
        match (decision, body) {
            (decision::Decision::Refused(_), _) => Replay::No,
            (_, ResponseBody::Own) => Replay::SameBody(None),
            (_, ResponseBody::Bytes(bytes)) => Replay::SameBody(Some(bytes.clone())),
            (_, ResponseBody::Stream(_)) if matches!(source, Source::Memory | Source::Kv) => self
                .memory
                .json(key)
                .map_or(Replay::No, |metadata| Replay::ReadKv {
                    key: key.to_owned(),
                    metadata,
                }),
            (_, ResponseBody::Stream(_) | ResponseBody::Chunks(..)) => Replay::No,
        }
    }

    fn found(&self, head: Head, body: BodySource<P>, source: Source) -> Found<P> {
        Found {
            validity: Validity::of(&head, self.platform.now(), self.policy.clock_skew),
            head,
            body,
            source,
        }
    }
}

impl CrlListing {
    /// Why the registry keeps a request from the issuer's object, if it does. `has_copy` is whether
    /// KV has a CRL, which has expired: then its object has removed it, or is about to.
    fn refusal(self, wanted: &Wanted, has_copy: bool) -> Option<EdgeError> {
        let issuer = wanted.issuer.clone();
        let max_age = Duration::ZERO;
        match self {
            Self::Listed => None,
            Self::Gone | Self::Elsewhere | Self::Withdrawn if !has_copy => None,
            Self::Gone => Some(EdgeError::UnknownIssuer { issuer, max_age }),
            Self::Elsewhere => Some(EdgeError::PublishedElsewhere { issuer, max_age }),
            Self::Withdrawn | Self::UnknownCrl => Some(EdgeError::UnknownCrl {
                issuer,
                name: wanted.name,
                max_age,
            }),
            Self::UnknownIssuer(max_age) => Some(EdgeError::UnknownIssuer { issuer, max_age }),
            // What was listed once has an object.
            Self::NoIndex if has_copy => None,
            Self::NoIndex => Some(EdgeError::CrlUnavailable {
                retry_after: INDEX_RETRY,
            }),
        }
    }
}

fn unserved(wanted: &Wanted, unavailable: &Unavailable, listing: CrlListing) -> EdgeError {
    let (issuer, max_age) = (wanted.issuer.clone(), Duration::ZERO);
    match unavailable {
        Unavailable::PublishedElsewhere => EdgeError::PublishedElsewhere { issuer, max_age },
        Unavailable::NotHeld if listing == CrlListing::Gone => {
            EdgeError::UnknownIssuer { issuer, max_age }
        }
        Unavailable::NotHeld => EdgeError::UnknownCrl {
            issuer,
            name: wanted.name,
            max_age,
        },
        Unavailable::RetryAfter { seconds } => EdgeError::CrlUnavailable {
            retry_after: Duration::from_secs(*seconds),
        },
    }
}

fn refused<P: Platform>(method: Method, error: &EdgeError) -> Served<P> {
    let answer = error.answer();
    Served {
        answer: match method {
            Method::Head => answer.without_body(),
            _ => answer,
        },
        body: ResponseBody::Own,
        replay: Replay::No,
        source: None,
    }
}
