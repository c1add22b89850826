//! What the API and the dashboard share: reading the registry, the objects and the tables, and
//! acting on an issuer. Failures of the platform are logged here, and answered with a stable code.

use std::fmt::Display;
use std::rc::Rc;
use std::time::Duration;

use origin_api::{CrlName, IssuerId};
use serde::de::DeserializeOwned;

use super::event_page;
use super::event_query::EventFilter;
use super::issuers::{self, IssuerStatus};
use super::ports::{Ports, Request};
use crate::config::Settings;
use crate::events::{Event, Trigger};
use crate::issuer::TrustAnswer;
use crate::problem::EdgeError;
use crate::refresh::Sha256;
use crate::registry::{Index, Listed};
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

impl<P: Ports> Desk<P> {
    pub(super) fn now(&self) -> Timestamp {
        self.ports.now()
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

    /// Refreshes one CRL of the issuer, or all.
    pub(super) async fn refresh(
        &self,
        issuer: &IssuerId,
        name: Option<CrlName>,
        trigger: Trigger,
    ) -> Result<Vec<Event>, EdgeError> {
        let listed = self.listed(issuer).await?;
        if let Some(name) = name.filter(|name| !listed.crls.contains(name)) {
            return Err(EdgeError::UnknownCrl {
                issuer: issuer.clone(),
                name,
                max_age: Duration::ZERO,
            });
        }
        let refreshed = self.ports.refresh(issuer, name, trigger).await;
        refreshed.map_err(|error| self.internal(&error))
    }

    /// Pins the changed certificate that is waiting if it has this SHA-256, and refreshes.
    pub(super) async fn trust(
        &self,
        issuer: IssuerId,
        sha256: Sha256,
    ) -> Result<Vec<Event>, EdgeError> {
        self.listed(&issuer).await?;
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

    /// The registry's object did not answer.
    pub(super) fn no_registry(&self, error: &dyn Display) -> EdgeError {
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
