//! What an issuer's object stores, and changes of it.

use std::collections::BTreeMap;

use origin_api::CrlName;

use super::error::OriginError;
use super::state::{CrlState, IssuerState};
use crate::events::{Event, EventId};
use crate::time::Timestamp;

/// Everything that the object stores, but bodies and events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectState {
    /// What is known of the issuer.
    pub issuer: IssuerState,
    /// What is known of each of its CRLs.
    pub crls: BTreeMap<CrlName, CrlState>,
    /// KV keys to be deleted, each with the time from which no reader needs it.
    pub pending_deletes: BTreeMap<String, Timestamp>,
    /// How many events D1 does not have yet.
    pub events_owed: u64,
}

impl ObjectState {
    /// What is known of the CRLs that the origin lists.
    pub(crate) fn listed_crls(&self) -> impl Iterator<Item = &CrlState> {
        let crls = self.crls.iter();
        crls.filter_map(|(name, crl)| self.issuer.lists(*name).then_some(crl))
    }

    /// Whether the origin said last that it knows less of this issuer than is served.
    pub(crate) fn origin_lost_state(&self) -> bool {
        let code = OriginError::StateLost { retry_after: None }.code();
        let is_lost = |crl: &CrlState| crl.last_error.as_ref().is_some_and(|it| it.code == code);
        self.listed_crls().any(is_lost)
    }
}

/// Changes to the object's state, written in one transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StateChange {
    /// Replaces what is known of the issuer.
    pub issuer: Option<IssuerState>,
    /// Replaces the state of one CRL.
    pub crl: Option<(CrlName, CrlState)>,
    /// An event for D1.
    pub event: Option<Event>,
    /// Events that D1 has now.
    pub delivered: Vec<EventId>,
    /// KV keys to be deleted, each with the time from which no reader needs it.
    pub schedule_deletes: Vec<(String, Timestamp)>,
    /// KV keys that are deleted.
    pub deleted: Vec<String>,
}

impl StateChange {
    /// Replaces the state of one CRL.
    #[must_use]
    pub(crate) fn of_crl(name: CrlName, state: CrlState) -> Self {
        Self {
            crl: Some((name, state)),
            ..Self::default()
        }
    }

    /// Brings `state` up to this change.
    pub fn apply(&self, state: &mut ObjectState) {
        if let Some(issuer) = &self.issuer {
            state.issuer.clone_from(issuer);
        }
        if let Some((name, crl)) = &self.crl {
            state.crls.insert(*name, crl.clone());
        }
        let events = state.events_owed;
        let events = events.saturating_add(u64::from(self.event.is_some()));
        state.events_owed = events.saturating_sub(self.delivered.len() as u64);
        state
            .pending_deletes
            .extend(self.schedule_deletes.iter().cloned());
        state
            .pending_deletes
            .retain(|key, _| !self.deleted.contains(key));
    }

    /// Whether `state` has the states that this change writes. Its event and its deletes are in the
    /// same transaction.
    pub(super) fn is_in(&self, state: &ObjectState) -> bool {
        let has_crl = |(name, crl): &(CrlName, CrlState)| state.crls.get(name) == Some(crl);
        self.crl.as_ref().is_some_and(has_crl)
            && self
                .issuer
                .as_ref()
                .is_none_or(|issuer| state.issuer == *issuer)
    }
}
