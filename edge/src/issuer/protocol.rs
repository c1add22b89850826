//! What an issuer's Durable Object is asked and what it answers: one type each, as JSON between the
//! Worker and the object.

use origin_api::{CrlName, IssuerId};
use serde::{Deserialize, Serialize};

use crate::events::{Event, Trigger};
use crate::refresh::{ChangesAnswer, ChangesPlace, CrlState, Head, IssuerState, Sha256};

/// A request to an issuer's object. It names the issuer, since an object does not know its own
/// name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuerCall {
    /// The issuer that the object belongs to.
    pub issuer: IssuerId,
    /// What the object is to do.
    pub request: IssuerRequest,
}

/// What an issuer's object can be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IssuerRequest {
    /// A CRL for a relying party. Answered by [`IssuerAnswer::Crl`], whose DER follows, or
    /// [`IssuerAnswer::Unavailable`].
    Serve {
        /// Which CRL.
        name: CrlName,
        /// The SHA-256 of what KV returned, if it returned something.
        seen: Option<Sha256>,
        /// Whether the registry says that the origin lists it no longer: the origin is not asked
        /// for it, and what is not held is [`Unavailable::NotHeld`].
        #[serde(default)]
        held_only: bool,
    },
    /// The CRL that is held, for an operator, whether or not it has expired. Answered by
    /// [`IssuerAnswer::Crl`], whose DER follows, or [`Unavailable::NotHeld`].
    Held {
        /// Which CRL.
        name: CrlName,
    },
    /// Starts the refresh of a CRL if it is due. Answered by [`IssuerAnswer::Done`] without waiting
    /// for the refresh.
    RefreshDue {
        /// Which CRL.
        name: CrlName,
    },
    /// Refreshes one CRL, or all of the issuer's. Answered by [`IssuerAnswer::Refreshed`].
    Refresh {
        /// Which CRL; all if absent.
        name: Option<CrlName>,
        /// Who asks.
        trigger: Trigger,
    },
    /// Does what is owed of an issuer that is gone: removes what has expired, and writes to KV and
    /// D1. Answered by [`IssuerAnswer::Done`] without waiting for it.
    FlushPending,
    /// What operators see. Answered by [`IssuerAnswer::Overview`].
    Overview,
    /// Pins the changed certificate that waits for the operator, if it has this SHA-256, and
    /// refreshes with it. Answered by [`IssuerAnswer::Trust`].
    Trust {
        /// The SHA-256 of the certificate's DER.
        sha256: Sha256,
    },
    /// Removes a CRL, or all of the issuer's, if the origin no longer lists it. Answered by
    /// [`IssuerAnswer::Retire`].
    Retire {
        /// Which CRL; the whole issuer if absent.
        name: Option<CrlName>,
    },
    /// Commits the CRL that was refused last, if it has this SHA-256 and its rule may be overruled.
    /// Answered by [`IssuerAnswer::Accept`].
    Accept {
        /// Which CRL.
        name: CrlName,
        /// The SHA-256 of its DER.
        sha256: Sha256,
        /// The operator's name, for the event.
        by: String,
    },
    /// What the CRLs of a name added and removed. Answered by [`IssuerAnswer::Changes`].
    Changes {
        /// Which CRL.
        name: CrlName,
        /// From where.
        place: ChangesPlace,
    },
}

/// What an issuer's object answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IssuerAnswer {
    /// The head of a CRL, whose DER follows.
    Crl(Head),
    /// There is no CRL to serve.
    Unavailable(Unavailable),
    /// The request was carried out, and there is nothing more to say.
    Done,
    /// One event for each CRL that was refreshed.
    Refreshed(Vec<Event>),
    /// What operators see of the issuer.
    Overview(Box<Overview>),
    /// Whether the certificate was pinned.
    Trust(TrustAnswer),
    /// Whether it was removed.
    Retire(RetireAnswer),
    /// Whether the refused CRL was accepted.
    Accept(AcceptAnswer),
    /// What changed.
    Changes(ChangesAnswer),
    /// The object could not do it: the cause, for the log.
    Failed(String),
}

/// Why there is no CRL to serve.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unavailable {
    /// The issuer has no CRL to publish here.
    PublishedElsewhere,
    /// The origin does not list the CRL, and the object holds none that is valid.
    NotHeld,
    /// There is no valid CRL, and none can be fetched now.
    RetryAfter {
        /// When to ask again, in seconds.
        seconds: u64,
    },
}

/// What an operator sees of one issuer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overview {
    /// The issuer.
    pub issuer: IssuerState,
    /// Its CRLs.
    pub crls: Vec<(CrlName, CrlState)>,
    /// How many events D1 does not have yet.
    pub events_owed: u64,
    /// The newest of those.
    #[serde(default)]
    pub outbox: Vec<Event>,
}

/// Whether a changed certificate was pinned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrustAnswer {
    /// It is pinned: the events of the refresh that followed.
    Pinned(Vec<Event>),
    /// No certificate waits for the operator.
    NoneWaiting,
    /// Another certificate waits, with this SHA-256.
    OtherWaiting(Sha256),
}

/// Whether what the origin no longer lists was removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetireAnswer {
    /// These CRLs are removed.
    Retired(Vec<CrlName>),
    /// The origin lists it.
    StillListed,
    /// The origin has lost state of this issuer, and may need it to recover.
    NeededToRecover,
    /// The registry cannot say whether it does.
    NotKnown,
}

/// Whether a refused CRL was accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AcceptAnswer {
    /// It was checked again and committed, or refused by a rule that nobody may overrule.
    Checked(Box<Event>),
    /// The CRL that was refused last is none that an operator may accept, or none was.
    NoneRefused,
    /// Another CRL was refused last, with this SHA-256.
    OtherRefused(Sha256),
}

#[cfg(test)]
mod tests {
    use crl::CrlNumber;

    use super::*;

    #[test]
    fn requests_and_answers_survive_json() {
        let requests = [
            IssuerRequest::Serve {
                name: CrlName::Shard(3),
                seen: Some(Sha256([7; 32])),
                held_only: true,
            },
            IssuerRequest::Held {
                name: CrlName::Full,
            },
            IssuerRequest::RefreshDue {
                name: CrlName::Full,
            },
            IssuerRequest::Refresh {
                name: None,
                trigger: Trigger::Hook,
            },
            IssuerRequest::Overview,
            IssuerRequest::Trust {
                sha256: Sha256([1; 32]),
            },
            IssuerRequest::Retire { name: None },
            IssuerRequest::Accept {
                name: CrlName::Full,
                sha256: Sha256([1; 32]),
                by: "anna".to_owned(),
            },
            IssuerRequest::Changes {
                name: CrlName::Full,
                place: ChangesPlace {
                    after: CrlNumber::from(7),
                    piece: 1,
                },
            },
        ];
        for request in requests {
            let call = IssuerCall {
                issuer: "ca".parse().unwrap(),
                request,
            };
            let json = serde_json::to_string(&call).unwrap();
            assert_eq!(serde_json::from_str::<IssuerCall>(&json).unwrap(), call);
        }
        let answers = [
            IssuerAnswer::Crl(crate::refresh::testing::head(1)),
            IssuerAnswer::Unavailable(Unavailable::RetryAfter { seconds: 5 }),
            IssuerAnswer::Unavailable(Unavailable::NotHeld),
            IssuerAnswer::Done,
            IssuerAnswer::Overview(Box::default()),
            IssuerAnswer::Trust(TrustAnswer::OtherWaiting(Sha256([2; 32]))),
            IssuerAnswer::Retire(RetireAnswer::StillListed),
            IssuerAnswer::Retire(RetireAnswer::NeededToRecover),
            IssuerAnswer::Accept(AcceptAnswer::OtherRefused(Sha256([2; 32]))),
            IssuerAnswer::Changes(ChangesAnswer::Forgotten(Some("7".to_owned()))),
            IssuerAnswer::Failed("storage failed".to_owned()),
        ];
        for answer in answers {
            let json = serde_json::to_string(&answer).unwrap();
            assert_eq!(serde_json::from_str::<IssuerAnswer>(&json).unwrap(), answer);
        }
    }
}
