//! The life of a relying party's request: the replica first, the issuer's object where the replica cannot answer. Generic over
//! where these lie.

#![expect(
    async_fn_in_trait,
    reason = "an isolate has one thread: no future here needs Send"
)]

#[cfg(test)]
mod tests;

use std::time::Duration;

use origin_api::{CrlName, IssuerId};

use super::{Decision, Encoding, Policy, Validity, conditions};
use crate::answer::Body;
use crate::method::Method;
use crate::problem::EdgeError;
use crate::refresh::{Head, Metadata, Sha256};
use crate::registry::Listed;
use crate::time::Timestamp;

/// Where CRLs lie.
pub trait Shelves {
    /// A body, in memory or not read yet.
    type Body;
    /// The time.
    fn now(&self) -> Timestamp;
    /// The replica at this point of presence: one read. None where it has nothing, or nothing readable.
    async fn replica(&self, issuer: &IssuerId, name: CrlName) -> Option<(Metadata, Self::Body)>;
    /// Opens a replica that lies in parts, at the first part that the answer needs; false where that is missing.
    async fn open(&self, wanted: &Wanted, served: &mut Served<Self::Body>) -> bool;
    /// The head that the replica gave a moment before `now`, and a small body, where they are still in memory: no read.
    fn remembered(
        &self,
        issuer: &IssuerId,
        name: CrlName,
        now: Timestamp,
    ) -> Option<(Head, Option<Self::Body>)>;
    /// The issuer's object. `seen` is what the replica had.
    async fn object(
        &self,
        issuer: &IssuerId,
        name: CrlName,
        seen: Option<Sha256>,
    ) -> Result<(Head, Self::Body), Unserved>;
    /// What the registry says of an issuer. That it does not have this CRL is said only by a list of this minute.
    async fn lookup(&self, issuer: &IssuerId, name: CrlName) -> Lookup;
    /// Has the object refresh what is due, without waiting for it; does so rarely, however often it is called.
    fn refresh_soon(&self, issuer: &IssuerId, name: CrlName);
}

/// What the registry says of an issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// It is known.
    Known(Listed),
    /// It is not, and will not be for this long.
    Unknown(Duration),
    /// There is no list of issuers, and none can be had now.
    CannotTell,
}

/// Why the issuer's object has nothing to serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unserved {
    /// The issuer publishes elsewhere.
    PublishedElsewhere,
    /// No valid CRL can be had for about this long.
    Unavailable(Duration),
}

/// A CRL that is asked for.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// With its body or without.
    pub method: Method,
    /// Whose.
    pub issuer: IssuerId,
    /// Which.
    pub name: CrlName,
    /// As DER or PEM.
    pub encoding: Encoding,
}

/// Where an answer came from, for `Cache-Status` (RFC 9211).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The replica.
    Replica,
    /// The issuer's object: the replica had nothing.
    Object,
    /// The issuer's object: what the replica had is no longer valid.
    ObjectForExpired,
    /// Neither: an error.
    Nowhere,
}

impl Source {
    /// The value of `Cache-Status`.
    #[must_use]
    pub const fn cache_status(self) -> Option<&'static str> {
        match self {
            Self::Replica => Some("crl-edge-kv; hit"),
            Self::Object => Some("crl-edge-kv; fwd=miss"),
            Self::ObjectForExpired => Some("crl-edge-kv; fwd=stale"),
            Self::Nowhere => None,
        }
    }
}

/// An answer, and the body that it is made from.
#[derive(Debug)]
pub struct Served<B> {
    /// What to answer.
    pub decision: Decision,
    /// The CRL that it tells of.
    pub crl: Option<(Head, B)>,
    /// Where that came from.
    pub source: Source,
}

/// Answers a request for a CRL.
pub async fn serve<S: Shelves>(
    shelves: &S,
    wanted: &Wanted,
    header: impl Fn(&str) -> Option<String>,
    policy: &Policy,
) -> Served<S::Body> {
    let decide = |head: &Head, now| {
        super::decide(wanted.method, &header, head, wanted.encoding, policy, now)
    };
    let answered = |head: Head, body, source| Served {
        decision: decide(&head, shelves.now()),
        crl: Some((head, body)),
        source,
    };
    let Wanted { issuer, name, .. } = wanted;
    // Many in a row need one read. 304, and 200 to HEAD, need no body; any other answer would without one be made here for nothing.
    let asked_at = shelves.now();
    let may_need_no_body = wanted.method == Method::Head || conditions::may_spare_body(&header);
    let remembered = shelves
        .remembered(issuer, *name, asked_at)
        .filter(|(head, _)| Validity::of(head, asked_at, policy.clock_skew) == Validity::Fresh)
        .filter(|(_, body)| may_need_no_body || body.is_some())
        .map(|(head, body)| Served {
            decision: decide(&head, asked_at),
            crl: body.map(|body| (head, body)),
            source: Source::Replica,
        })
        .filter(|served| *served.decision.body() == Body::None || served.crl.is_some());
    if let Some(served) = remembered {
        return served;
    }
    let replica = shelves.replica(issuer, *name).await;
    let expired = match replica {
        Some((metadata, body)) => {
            match Validity::of(&metadata.head, shelves.now(), policy.clock_skew) {
                Validity::Expired => Some((metadata.head, body)),
                validity => {
                    if validity == Validity::Due {
                        shelves.refresh_soon(issuer, *name);
                    }
                    let in_parts = metadata.parts > 0;
                    let mut served = answered(metadata.head, body, Source::Replica);
                    if !in_parts || shelves.open(wanted, &mut served).await {
                        return served;
                    }
                    None
                }
            }
        }
        None => match unlisted(shelves.lookup(issuer, *name).await, issuer, *name) {
            Some(error) => return failed(wanted.method, &error),
            None => None,
        },
    };
    let seen = expired.as_ref().map(|(head, _)| head.sha256);
    match (shelves.object(issuer, *name, seen).await, expired) {
        (Ok((head, body)), None) => answered(head, body, Source::Object),
        (Ok((head, body)), Some(_)) => answered(head, body, Source::ObjectForExpired),
        (Err(Unserved::Unavailable(_)), Some((head, body))) if policy.serve_expired => {
            answered(head, body, Source::Replica)
        }
        (Err(Unserved::Unavailable(retry_after)), _) => {
            failed(wanted.method, &EdgeError::CrlUnavailable { retry_after })
        }
        (Err(Unserved::PublishedElsewhere), _) => failed(
            wanted.method,
            &EdgeError::PublishedElsewhere {
                issuer: issuer.clone(),
                max_age: Duration::ZERO,
            },
        ),
    }
}

/// Why the registry keeps a request from the issuer's object.
fn unlisted(lookup: Lookup, issuer: &IssuerId, name: CrlName) -> Option<EdgeError> {
    let issuer = issuer.clone();
    match lookup {
        Lookup::Known(listed) if listed.may_have(name) => None,
        Lookup::Known(_) => Some(EdgeError::UnknownCrl {
            issuer,
            name,
            max_age: Duration::ZERO,
        }),
        Lookup::Unknown(max_age) => Some(EdgeError::UnknownIssuer { issuer, max_age }),
        Lookup::CannotTell => Some(EdgeError::CrlUnavailable {
            retry_after: Duration::from_secs(10),
        }),
    }
}

fn failed<B>(method: Method, error: &EdgeError) -> Served<B> {
    let answer = error.answer();
    Served {
        decision: Decision::Refused(match method {
            Method::Head => answer.without_body(),
            _ => answer,
        }),
        crl: None,
        source: Source::Nowhere,
    }
}
