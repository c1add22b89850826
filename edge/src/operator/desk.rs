//! What the API and the dashboard share: reading the registry, the objects and the tables, and
//! acting on an issuer. Failures of the platform are logged here, and answered with a stable code.

use std::fmt::Display;
use std::rc::Rc;
use std::time::Duration;

use origin_api::{CrlName, IssuerId};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::access::{self, AccessError};
use super::authorization::{self, Caller, Role};
use super::event_page;
use super::event_query::EventFilter;
use super::issuers::{self, IssuerStatus};
use super::ports::{Ports, Request};
use crate::actions::{Act, Action, network_of};
use crate::config::Settings;
use crate::events::{Event, EventId, Trigger};
use crate::issuer::{AcceptAnswer, RetireAnswer, TrustAnswer};
use crate::problem::EdgeError;
use crate::refresh::Sha256;
use crate::registry::{Index, Listed, RefreshJob};
use crate::tables::Query;
use crate::time::Timestamp;

/// When a client may ask again for what the platform could not give.
const RETRY_AFTER: Duration = Duration::from_secs(10);
/// The largest body that is read, in bytes: a form, or the name of what an operator accepts.
const LARGEST_BODY: usize = 4096;

/// One operator's request, its handlers' access to the platform and the settings.
pub(super) struct Desk<P> {
    pub(super) ports: Rc<P>,
    pub(super) settings: Rc<Settings>,
}

/// A page of `GET /v1/actions`.
#[derive(Debug, Serialize)]
pub(super) struct ActionPage {
    /// Newest first.
    pub(super) actions: Vec<Action>,
    /// The `cursor` of the next page; null on the last page.
    pub(super) next_cursor: Option<EventId>,
}

/// Who acts.
pub(super) struct Actor {
    /// None if the token or identity opens nothing.
    role: Option<Role>,
    /// The name of the token, or the identity.
    name: Option<String>,
    /// The network of the client's address.
    address: Option<String>,
}

impl Actor {
    pub(super) fn of(request: &impl Request, caller: Option<&Caller<'_>>) -> Self {
        Self {
            role: caller.map(|caller| caller.role),
            ..Self::named(request, caller.and_then(Caller::name))
        }
    }

    /// Somebody for whom nothing is open.
    fn named(request: &impl Request, name: Option<&str>) -> Self {
        let address = request.header("cf-connecting-ip");
        Self {
            role: None,
            name: name.map(str::to_owned),
            address: address.and_then(|address| network_of(&address)),
        }
    }

    /// The network of the client; empty if it is not known.
    pub(super) fn network(&self) -> &str {
        self.address.as_deref().unwrap_or_default()
    }

    /// The name, or what the token's setting opens.
    fn name(&self) -> &str {
        let role = self.role.map_or("nobody", Role::as_str);
        self.name.as_deref().unwrap_or(role)
    }
}

/// What an act is about.
#[derive(Clone, Copy, Default)]
pub(super) struct Target<'t> {
    pub(super) issuer: Option<&'t IssuerId>,
    pub(super) name: Option<CrlName>,
    pub(super) sha256: Option<Sha256>,
}

impl<P: Ports> Desk<P> {
    pub(super) fn now(&self) -> Timestamp {
        self.ports.now()
    }

    /// Who calls: the holder of the token in `Authorization`, or else the identity for which
    /// Cloudflare Access vouches.
    ///
    /// # Errors
    /// Neither opens anything.
    pub(super) async fn caller(&self, request: &impl Request) -> Result<Caller<'_>, EdgeError> {
        let authorization = request.header("authorization");
        if authorization.is_none()
            && let Some(jwt) = request.header(access::HEADER)
        {
            match self.settings.access() {
                Ok(Some(access)) => {
                    let identified = access::identify(&*self.ports, access, &jwt).await;
                    if let Err(AccessError::NotListed(name)) = &identified {
                        let actor = Actor::named(request, Some(name));
                        let act = Act::RefusedSignIn;
                        // It is refused, whether or not that can be recorded: the log says why.
                        let _ = self.record(act, &actor, Target::default()).await;
                    }
                    return Ok(identified?);
                }
                Ok(None) => {}
                Err(wrong) => return Err(EdgeError::Misconfigured(wrong)),
            }
        }
        authorization::caller(authorization.as_deref(), &self.settings)
    }

    pub(super) async fn index(&self) -> Result<Rc<Index>, EdgeError> {
        let index = self.ports.index().await;
        index.map_err(|error| self.no_registry(&error))
    }

    /// The registry's entry for an issuer.
    pub(super) async fn listed(&self, issuer: &IssuerId) -> Result<Listed, EdgeError> {
        let listed = self.index().await?.issuers.get(issuer).cloned();
        listed.ok_or_else(|| EdgeError::UnknownIssuer {
            issuer: issuer.clone(),
            // An operator may have just added the issuer: no cache may keep this answer.
            max_age: Duration::ZERO,
        })
    }

    pub(super) async fn rows<T: DeserializeOwned>(
        &self,
        query: &Query,
    ) -> Result<Vec<T>, EdgeError> {
        let rows = self.ports.rows(query).await;
        rows.map_err(|error| self.unread(&error))
    }

    /// Every issuer, with the state of its CRLs as of the status table.
    pub(super) async fn all(&self, index: &Index) -> Result<Vec<IssuerStatus>, EdgeError> {
        let rows = self.rows(&Query::all_statuses()).await?;
        Ok(issuers::join(&index.issuers, rows, self.now()))
    }

    /// An issuer as its own object knows it, with its `count` newest events, and whether D1 could
    /// be read. If it could not, the events are those that the object has yet to deliver.
    pub(super) async fn issuer(
        &self,
        id: IssuerId,
        count: u32,
    ) -> Result<(IssuerStatus, bool), EdgeError> {
        let listed = self.listed(&id).await?;
        // The object is read first: an event delivered between the two reads is then in both
        // answers, and never in neither.
        let overview = self.ports.overview(&id).await;
        let overview = overview.map_err(|error| self.internal(&error))?;
        let filter = EventFilter {
            issuer: Some(id.clone()),
            ..EventFilter::default()
        };
        let recorded = self.rows(&Query::events(&filter, None, count)).await;
        let is_read = recorded.is_ok();
        let mut issuer = IssuerStatus::of_overview(&id, &listed, &overview, self.now());
        issuer.recent_events =
            event_page::newest(recorded.unwrap_or_default(), overview.outbox, count);
        Ok((issuer, is_read))
    }

    /// Sees that the registry lists this CRL.
    pub(super) async fn listed_crl(
        &self,
        issuer: &IssuerId,
        name: CrlName,
    ) -> Result<(), EdgeError> {
        if self.listed(issuer).await?.crls.contains(&name) {
            return Ok(());
        }
        Err(EdgeError::UnknownCrl {
            issuer: issuer.clone(),
            name,
            max_age: Duration::ZERO,
        })
    }

    /// Refreshes one CRL of the issuer, or all.
    pub(super) async fn refresh(
        &self,
        actor: &Actor,
        issuer: &IssuerId,
        name: Option<CrlName>,
        trigger: Trigger,
    ) -> Result<Vec<Event>, EdgeError> {
        match name {
            Some(name) => self.listed_crl(issuer, name).await?,
            None => self.listed(issuer).await.map(drop)?,
        }
        // The hook's refreshes are the origin's acts, and each has its event.
        if trigger == Trigger::Operator {
            let target = Target {
                issuer: Some(issuer),
                name,
                sha256: None,
            };
            self.record(Act::Refresh, actor, target).await?;
        }
        let refreshed = self.ports.refresh(issuer, name, trigger).await;
        refreshed.map_err(|error| self.internal(&error))
    }

    /// Pins the changed certificate that is waiting if it has this SHA-256, and refreshes.
    pub(super) async fn trust(
        &self,
        actor: &Actor,
        issuer: IssuerId,
        sha256: Sha256,
    ) -> Result<Vec<Event>, EdgeError> {
        self.listed(&issuer).await?;
        let target = Target {
            issuer: Some(&issuer),
            name: None,
            sha256: Some(sha256),
        };
        self.record(Act::Trust, actor, target).await?;
        let answer = self.ports.trust(&issuer, sha256).await;
        match answer.map_err(|error| self.internal(&error))? {
            TrustAnswer::Pinned(events) => Ok(events),
            TrustAnswer::NoneWaiting => Err(EdgeError::NoCertificateWaiting { issuer }),
            TrustAnswer::OtherWaiting(waiting) => Err(EdgeError::CertificateMismatch {
                issuer,
                waiting: waiting.to_string(),
            }),
        }
    }

    /// Removes one CRL of an issuer, or all, if the origin no longer lists it.
    pub(super) async fn retire(
        &self,
        actor: &Actor,
        issuer: &IssuerId,
        name: Option<CrlName>,
    ) -> Result<Vec<CrlName>, EdgeError> {
        self.listed(issuer).await?;
        let target = Target {
            issuer: Some(issuer),
            name,
            sha256: None,
        };
        self.record(Act::Retire, actor, target).await?;
        let answer = self.ports.retire(issuer, name).await;
        match answer.map_err(|error| self.internal(&error))? {
            RetireAnswer::Retired(names) => Ok(names),
            RetireAnswer::NotKnown => Err(self.no_registry(&"an object could not ask it")),
            RetireAnswer::StillListed => Err(EdgeError::StillListed {
                issuer: issuer.clone(),
            }),
            RetireAnswer::NeededToRecover => Err(EdgeError::NeededToRecover {
                issuer: issuer.clone(),
            }),
        }
    }

    /// Admits the CRL that was refused last if it has this SHA-256.
    pub(super) async fn accept(
        &self,
        actor: &Actor,
        issuer: &IssuerId,
        name: CrlName,
        sha256: Sha256,
    ) -> Result<Event, EdgeError> {
        self.listed_crl(issuer, name).await?;
        let target = Target {
            issuer: Some(issuer),
            name: Some(name),
            sha256: Some(sha256),
        };
        self.record(Act::Accept, actor, target).await?;
        let answer = self.ports.accept(issuer, name, sha256, actor.name()).await;
        let issuer = issuer.clone();
        match answer.map_err(|error| self.internal(&error))? {
            AcceptAnswer::Checked(event) => Ok(*event),
            AcceptAnswer::NoneRefused => Err(EdgeError::NoCandidate { issuer, name }),
            AcceptAnswer::OtherRefused(refused) => Err(EdgeError::CandidateMismatch {
                issuer,
                name,
                refused: refused.to_string(),
            }),
        }
    }

    /// Lets the issuers go that vanished from the registry; gives how many are gone now.
    pub(super) async fn confirm_registry(&self, actor: &Actor) -> Result<u64, EdgeError> {
        self.record(Act::ConfirmRegistry, actor, Target::default())
            .await?;
        let gone = self.ports.confirm_registry().await;
        let gone = gone.map_err(|error| self.no_registry(&error))?;
        gone.ok_or(EdgeError::RegistryNotShrunk)
    }

    /// Refreshes every issuer, as a job that has the id of this action unless one is under way.
    pub(super) async fn refresh_all(&self, actor: &Actor) -> Result<RefreshJob, EdgeError> {
        let id = self
            .record(Act::RefreshAll, actor, Target::default())
            .await?;
        let job = self.ports.request_job(id).await;
        job.map_err(|error| self.no_registry(&error))
    }

    /// The last such job.
    pub(super) async fn refresh_job(&self) -> Result<Option<RefreshJob>, EdgeError> {
        let job = self.ports.last_job().await;
        job.map_err(|error| self.no_registry(&error))
    }

    /// Keeps who does what, before it is done: an act that leaves no trace is refused. Gives the
    /// action's id.
    pub(super) async fn record(
        &self,
        act: Act,
        actor: &Actor,
        target: Target<'_>,
    ) -> Result<EventId, EdgeError> {
        let random = self.ports.random();
        let [random @ .., _, _, _, _, _, _] = random.map_err(|error| self.internal(&error))?;
        let now = self.now();
        let action = Action {
            id: EventId::new(now, random),
            at: now.to_string(),
            action: act,
            role: actor.role.map(|role| role.as_str().to_owned()),
            token_name: actor.name.clone(),
            address: actor.address.clone(),
            issuer_id: target.issuer.cloned(),
            crl_name: target.name,
            sha256: target.sha256.map(|sha256| sha256.to_string()),
        };
        let recorded = self.ports.record(&action).await;
        recorded.map_err(|error| self.internal(&error))?;
        Ok(action.id)
    }

    /// The registry's object did not answer.
    fn no_registry(&self, error: &dyn Display) -> EdgeError {
        self.log_error("no list of issuers", error);
        EdgeError::RegistryUnavailable {
            retry_after: RETRY_AFTER,
        }
    }

    /// The body, if the request says that it is short.
    pub(super) async fn short_body(
        &self,
        request: &impl Request,
    ) -> Result<Option<String>, EdgeError> {
        let length = request.header("content-length");
        let length = length.and_then(|length| length.parse().ok());
        if length.is_none_or(|length: usize| length > LARGEST_BODY) {
            return Ok(None);
        }
        let body = request.text().await;
        body.map(Some).map_err(|error| self.internal(&error))
    }

    /// A page of actions, newest first.
    pub(super) async fn actions(
        &self,
        before: Option<EventId>,
        limit: u32,
    ) -> Result<ActionPage, EdgeError> {
        let query = Query::actions(before, limit.saturating_add(1));
        let mut actions: Vec<Action> = self.rows(&query).await?;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = actions.len() > limit;
        actions.truncate(limit);
        let last = actions.last().filter(|_| more);
        Ok(ActionPage {
            next_cursor: last.map(|last| last.id),
            actions,
        })
    }

    /// D1 did not answer.
    pub(super) fn unread(&self, error: &dyn Display) -> EdgeError {
        self.log_error("D1 did not answer a query", error);
        EdgeError::EventsUnavailable {
            retry_after: RETRY_AFTER,
        }
    }

    /// A failure that the handlers have no answer for.
    pub(super) fn internal(&self, error: &dyn Display) -> EdgeError {
        self.log_error("an operator's call failed", error);
        EdgeError::Internal
    }

    fn log_error(&self, what: &str, error: &dyn Display) {
        self.ports.log(&serde_json::json!({
            "level": "error", "what": what, "cause": error.to_string(),
        }));
    }
}
