//! What an issuer's object stores, and changes of it.

use std::collections::BTreeMap;

use origin_api::CrlName;

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
