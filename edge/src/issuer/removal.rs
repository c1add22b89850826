//! The end of what the origin no longer lists: a withdrawn CRL, or all CRLs of an issuer that is
//! gone, are removed once they have expired, or as soon as an operator retires them.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use origin_api::CrlName;

use super::outbox::Outbox;
use super::ports::{IssuerPorts, Shared};
use super::protocol::RetireAnswer;
use super::publisher::Publisher;
use crate::object_calls::RegistryObject as _;
use crate::refresh::{ObjectState, Runtime as _, StateChange, StoreError};
use crate::registry::Standing;
use crate::time::Timestamp;

/// How long the registry may take to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// When the registry is asked again about CRLs that it still lists, or could not judge.
const PAUSE: Duration = Duration::from_hours(1);

/// Removes CRLs. Their numbers, hashes, watermarks and the pinned certificate stay.
pub(super) struct Removal<P: IssuerPorts> {
    shared: Rc<Shared<P>>,
    registry: P::Registry,
    publisher: Rc<Publisher<P>>,
    outbox: Rc<Outbox<P>>,
    /// The registry is not asked again before this.
    ask_after: Cell<Timestamp>,
}

impl<P: IssuerPorts> Removal<P> {
    pub(super) fn new(
        shared: &Rc<Shared<P>>,
        registry: P::Registry,
        publisher: &Rc<Publisher<P>>,
        outbox: &Rc<Outbox<P>>,
    ) -> Self {
        Self {
            shared: Rc::clone(shared),
            registry,
            publisher: Rc::clone(publisher),
            outbox: Rc::clone(outbox),
            ask_after: Cell::new(Timestamp::from_millis(0)),
        }
    }

    /// When the next CRL is to be removed.
    pub(super) fn next_time(&self, state: &ObjectState) -> Option<Timestamp> {
        let ends = withdrawn(state).map(|(_, end)| end).min()?;
        Some(ends.max(self.ask_after.get()))
    }

    /// Removes what the origin no longer lists and has expired.
    pub(super) async fn remove_expired(&self) -> Result<(), StoreError> {
        let now = self.shared.runtime.now();
        if self.ask_after.get() > now {
            return Ok(());
        }
        let expired = |state: &ObjectState| {
            let expired = withdrawn(state).filter(|(_, end)| *end <= now);
            expired.map(|(name, _)| name).collect::<Vec<_>>()
        };
        let names = self.shared.state.with(expired)?;
        if names.is_empty() {
            return Ok(());
        }
        // A record that is old, or an origin that was restored empty, must remove nothing.
        self.ask_after.set(now.after(PAUSE));
        let Some(standing) = self.standing().await else {
            return Ok(());
        };
        self.note_standing(&standing)?;
        self.remove(&names, &standing)?;
        Ok(())
    }

    /// Whether the issuer is gone, as the registry says.
    pub(super) async fn look(&self) -> Result<(), StoreError> {
        match self.standing().await {
            Some(standing) => self.note_standing(&standing),
            None => Ok(()),
        }
    }

    /// Removes one CRL, or all, at an operator's wish.
    pub(super) async fn retire(&self, name: Option<CrlName>) -> Result<RetireAnswer, StoreError> {
        let Some(standing) = self.standing().await else {
            return Ok(RetireAnswer::NotKnown);
        };
        self.note_standing(&standing)?;
        let is_listed = match (&standing, name) {
            (Standing::Gone, _) => false,
            (Standing::Listed(names), Some(name)) => names.contains(&name),
            (Standing::Listed(_), None) => true,
        };
        if is_listed {
            return Ok(RetireAnswer::StillListed);
        }
        // A person may know more than a refresh that failed says; not of what a restore has lost.
        let has_lost = self.shared.state.with(ObjectState::origin_lost_state)?;
        if has_lost && standing != Standing::Gone {
            return Ok(RetireAnswer::NeededToRecover);
        }
        let known = |state: &ObjectState| {
            let known = state.crls.iter().filter(|(_, crl)| crl.is_removable());
            known.map(|(name, _)| *name).collect::<Vec<_>>()
        };
        let mut names = self.shared.state.with(known)?;
        names.retain(|known| name.is_none_or(|name| name == *known));
        self.remove(&names, &standing)?;
        Ok(RetireAnswer::Retired(names))
    }

    async fn standing(&self) -> Option<Standing> {
        let asked = self.registry.standing(&self.shared.issuer);
        let cause = match self.shared.within(ANSWER_LIMIT, asked).await {
            Some(Ok(standing)) => return Some(standing),
            Some(Err(error)) => error.to_string(),
            None => "timed out".to_owned(),
        };
        self.log(
            "the registry did not say whether the origin lists an issuer",
            &cause,
        );
        None
    }

    fn note_standing(&self, standing: &Standing) -> Result<(), StoreError> {
        let mut issuer = self.shared.state.issuer()?;
        let is_gone = *standing == Standing::Gone;
        if issuer.gone_since.is_some() == is_gone {
            return Ok(());
        }
        issuer.gone_since = is_gone.then(|| self.shared.runtime.now());
        self.shared.state.commit(StateChange {
            issuer: Some(issuer),
            ..StateChange::default()
        })
    }

    /// Removes those of `names` that the registry does not list.
    fn remove(&self, names: &[CrlName], standing: &Standing) -> Result<(), StoreError> {
        for name in names {
            if matches!(standing, Standing::Listed(listed) if listed.contains(name)) {
                continue;
            }
            let crl = self.shared.state.crl(*name)?;
            self.shared.state.commit(StateChange {
                schedule_deletes: self.publisher.keys_of(*name, &crl),
                ..StateChange::of_crl(*name, crl.removed())
            })?;
            self.outbox.mark(*name);
        }
        Ok(())
    }

    /// Has the registry forget an issuer that is gone, once nothing is left to be done for it.
    /// Until then ticks come back, should the alarm be lost.
    pub(super) async fn forget_once_done(&self) -> Result<(), StoreError> {
        let is_over = |state: &ObjectState| {
            let mut crls = state.crls.values();
            state.issuer.gone_since.is_some()
                && !crls.any(|crl| crl.is_removable() || crl.removal_owed)
                && state.pending_deletes.is_empty()
                && state.events_owed == 0
        };
        if self.shared.state.with(is_over)? {
            let forget = self.registry.removed(&self.shared.issuer);
            if let Some(Err(error)) = self.shared.within(ANSWER_LIMIT, forget).await {
                let cause = error.to_string();
                self.log("the registry still has an issuer that was removed", &cause);
            }
        }
        Ok(())
    }

    fn log(&self, what: &str, cause: &str) {
        self.shared.runtime.log(&serde_json::json!({
            "level": "warning", "what": what, "issuer": self.shared.issuer, "cause": cause,
        }));
    }
}

/// The CRLs that the origin no longer lists, each with the time at which it may be removed. None
/// while the origin fails to give what it still lists: if it was restored from a backup, it has
/// forgotten this list, and nothing else may have its revocations.
fn withdrawn(state: &ObjectState) -> impl Iterator<Item = (CrlName, Timestamp)> {
    let listed = state.issuer.listed();
    let is_gone = state.issuer.gone_since.is_some();
    let is_origin_well = is_gone || state.listed_crls().all(|crl| crl.last_error.is_none());
    let removable = state.crls.iter().filter(move |(name, crl)| {
        // An issuer that publishes elsewhere has no CRL, and keeps what is known of that.
        let is_asked_for = !is_gone && listed.contains(name) && crl.current.is_none();
        let is_withdrawn = state.issuer.has_withdrawn(**name) && crl.is_removable();
        is_withdrawn && is_origin_well && !is_asked_for
    });
    removable.map(|(name, crl)| {
        let end = crl.head().map(|head| Timestamp::from(head.next_update));
        (*name, end.unwrap_or(Timestamp::from_millis(0)))
    })
}
