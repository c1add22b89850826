//! The outbox: events and the CRLs' states on their way to D1.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use futures_util::FutureExt as _;
use origin_api::CrlName;

use super::coalesced::Coalesced;
use super::ports::{IssuerPorts, Shared, cause_of};
use crate::events::Event;
use crate::refresh::{
    EventLog as _, Runtime as _, StateChange, StatusReport, Store as _, StoreError, fingerprint,
};
use crate::time::D1_WRITE_LIMIT;

/// How many events go to D1 at once.
const BATCH: usize = 50;
/// How many of the events that D1 does not have yet an operator sees.
const SHOWN: usize = 200;

/// Delivers to D1. Events stay in storage until D1 has them.
pub(super) struct Outbox<P: IssuerPorts> {
    shared: Rc<Shared<P>>,
    log: P::Log,
    /// CRLs whose rows in D1 are older than their states. If the object ends before they are
    /// written, the next refresh writes them.
    dirty: RefCell<BTreeSet<CrlName>>,
    running: Coalesced,
}

impl<P: IssuerPorts> Outbox<P> {
    pub(super) fn new(shared: &Rc<Shared<P>>, log: P::Log) -> Self {
        Self {
            shared: Rc::clone(shared),
            log,
            dirty: RefCell::default(),
            running: Coalesced::default(),
        }
    }

    /// The row of this CRL is to be written with the next flush.
    pub(super) fn mark(&self, name: CrlName) {
        self.dirty.borrow_mut().insert(name);
    }

    /// The newest events that D1 does not have yet.
    pub(super) fn newest(&self) -> Result<Vec<Event>, StoreError> {
        self.shared.state.store().newest_owed_events(SHOWN)
    }

    /// Delivers everything there is.
    pub(super) async fn flush(self: &Rc<Self>) {
        let this = Rc::clone(self);
        self.running
            .run(|| async move { this.deliver().await }.boxed_local())
            .await;
    }

    async fn deliver(&self) {
        let shared = &*self.shared;
        // Events that D1 refused: the others must not wait for them.
        let mut refused = Vec::new();
        let mut batch = BATCH;
        loop {
            let limit = BATCH.saturating_add(refused.len());
            let Some(mut events) = shared.ok_or_log(shared.state.store().owed_events(limit)) else {
                return;
            };
            events.retain(|event| !refused.contains(&event.id));
            events.truncate(batch);
            let mut names = self.dirty.take();
            let Some(removals) = shared.ok_or_log(self.owed_removals()) else {
                return;
            };
            names.extend(&removals);
            if events.is_empty() && names.is_empty() {
                return;
            }
            names.extend(events.iter().map(|event| event.crl_name));
            let Some(statuses) = shared.ok_or_log(self.statuses(&names, events.len() as u64))
            else {
                return;
            };
            let append = self.log.append(&events, &statuses);
            let failed = match shared.within(D1_WRITE_LIMIT, append).await {
                Some(Ok(())) => {
                    let delivered = events.iter().map(|event| event.id).collect();
                    let change = StateChange {
                        delivered,
                        ..StateChange::default()
                    };
                    if !events.is_empty() && shared.ok_or_log(shared.state.commit(change)).is_none()
                    {
                        return;
                    }
                    if shared.ok_or_log(self.settle_removals(removals)).is_none() {
                        return;
                    }
                    continue;
                }
                failed => failed,
            };
            self.dirty.borrow_mut().extend(names);
            shared.runtime.log(&serde_json::json!({
                "level": "warning", "what": "D1 did not take events, they are kept and tried again",
                "issuer": shared.issuer, "events": events.len(), "cause": cause_of(failed),
            }));
            match &events[..] {
                // One by one, to find out which one it is.
                [_, _, ..] => batch = 1,
                [event] if refused.is_empty() => refused.push(event.id),
                // D1 takes nothing at all.
                _ => return,
            }
        }
    }

    /// The CRLs that were removed, and that D1 still has.
    fn owed_removals(&self) -> Result<Vec<CrlName>, StoreError> {
        self.shared.state.with(|state| {
            let owed = state.crls.iter().filter(|(_, crl)| crl.removal_owed);
            owed.map(|(name, _)| *name).collect()
        })
    }

    fn settle_removals(&self, removals: Vec<CrlName>) -> Result<(), StoreError> {
        for name in removals {
            let mut crl = self.shared.state.crl(name)?;
            // It may have come back meanwhile.
            if std::mem::take(&mut crl.removal_owed) {
                self.shared.state.commit(StateChange::of_crl(name, crl))?;
            }
        }
        Ok(())
    }

    /// The rows of these CRLs, written together with `delivered` events.
    fn statuses(
        &self,
        names: &BTreeSet<CrlName>,
        delivered: u64,
    ) -> Result<Vec<StatusReport>, StoreError> {
        self.shared.state.with(|state| {
            let status = |name: &CrlName| StatusReport {
                issuer_id: self.shared.issuer.clone(),
                crl_name: *name,
                state: state.crls.get(name).cloned().unwrap_or_default(),
                pinned: state.issuer.pinned.as_ref().map(fingerprint),
                pending_certificate: state.issuer.pending_certificate.as_ref().map(fingerprint),
                events_owed: state.events_owed.saturating_sub(delivered),
            };
            names.iter().map(status).collect()
        })
    }
}
