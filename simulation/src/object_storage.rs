//! The storage of Durable Objects: what outlives an instance, and how an instance reaches it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use edge::events::{Event, EventId};
use edge::kv_layout;
use edge::refresh::{
    BodyId, CrlState, Metadata, ObjectState, Sha256, StateChange, Store, StoreError,
};
use edge::registry::twin::{Faulty, RegistryTwin};
use origin_api::{CrlName, IssuerId};

use crate::faults::{Fault, Faults};
use crate::kv::{Kv, Value};
use crate::ledger::Ledger;
use crate::mutation::Mutation;

/// Bodies of one list: the changes of the last CRLs; the CRL, its index and one that was refused;
/// and what a few refreshes have made or replaced since the last sweep, which may fail.
const MOST_BODIES: usize = 64 + 3 + 5 * 5;
/// Events that D1 does not have: one for each CRL and each failure that is new within an hour, for
/// as long as D1 can be down here.
const MOST_OWED: usize = 1_000;

/// What an issuer's object keeps.
#[derive(Clone)]
pub(crate) struct Disk(Rc<RefCell<Kept>>, IssuerId);

#[derive(Default)]
struct Kept {
    state: ObjectState,
    bodies: BTreeMap<BodyId, Vec<Vec<u8>>>,
    last_body: u32,
    outbox: BTreeMap<EventId, Event>,
}

impl Disk {
    pub(crate) fn new(issuer: &IssuerId) -> Self {
        Self(Rc::default(), issuer.clone())
    }

    pub(crate) fn crls(&self) -> BTreeMap<CrlName, CrlState> {
        self.0.borrow().state.crls.clone()
    }

    /// A run of a body's pieces.
    pub(crate) fn pieces(&self, body: BodyId, run: std::ops::Range<usize>) -> Option<Vec<u8>> {
        let kept = self.0.borrow();
        Some(kept.bodies.get(&body)?.get(run)?.concat())
    }

    /// Whether the last refresh of a CRL failed with this code.
    pub(crate) fn fails_with(&self, code: &str) -> bool {
        let kept = self.0.borrow();
        let mut errors = kept
            .state
            .crls
            .values()
            .filter_map(|crl| crl.last_error.as_ref());
        errors.any(|error| error.code == code)
    }

    /// How many bodies there are, and how many events that D1 does not have.
    pub(crate) fn sizes(&self) -> (usize, usize) {
        let kept = self.0.borrow();
        (kept.bodies.len(), kept.outbox.len())
    }
}

/// Who wrote what is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Release {
    /// This release.
    This,
    /// The last one, which did not know some fields.
    Last,
}

/// The fields of a CRL's state that the last release did not know.
const NEW_IN_STATE: [&str; 12] = [
    "recorded_failure",
    "unsettled",
    "counts",
    "remembered",
    "removal_owed",
    "findings",
    "candidate",
    "withheld_since",
    "unconfirmed_since",
    "index",
    "moved_to",
    "changes",
];

impl Disk {
    /// Writes all that is kept in its stored form, as `from` writes it, and reads it back.
    pub(crate) fn reread(&self, from: Release) -> serde_json::Result<()> {
        let mut kept = self.0.borrow_mut();
        for state in kept.state.crls.values_mut() {
            let mut stored = serde_json::to_value(&*state)?;
            if from == Release::Last {
                if let Some(fields) = stored.as_object_mut() {
                    fields.retain(|name, _| !NEW_IN_STATE.contains(&name.as_str()));
                }
                if let Some(current) = stored["current"].as_object_mut() {
                    current.remove("coverage");
                }
            }
            *state = serde_json::from_str(&stored.to_string())?;
        }
        let mut issuer = serde_json::to_value(&kept.state.issuer)?;
        if from == Release::Last
            && let Some(fields) = issuer.as_object_mut()
        {
            fields.remove("gone_since");
        }
        kept.state.issuer = serde_json::from_str(&issuer.to_string())?;
        for event in kept.outbox.values_mut() {
            *event = serde_json::from_str(&serde_json::to_string(event)?)?;
        }
        Ok(())
    }
}

/// What an instance of an object may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Life {
    /// Everything.
    #[default]
    Running,
    /// Another instance runs: this one cannot write to storage any more.
    Replaced,
    /// Nothing.
    Ended,
}

/// How calls of storage fail.
#[derive(Clone)]
pub(crate) struct Failing {
    pub(crate) faults: Faults,
    pub(crate) life: Rc<Cell<Life>>,
}

impl Failing {
    fn read<T>(&self, step: &'static str, read: impl FnOnce() -> T) -> Result<T, StoreError> {
        if self.faults.strikes(Fault::StoreFails, step) {
            return Err(StoreError::Failed("injected".to_owned()));
        }
        Ok(read())
    }

    fn write<T>(
        &self,
        step: &'static str,
        write: impl FnOnce() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if self.life.get() != Life::Running {
            return Err(StoreError::Failed("another instance runs".to_owned()));
        }
        if self.faults.strikes(Fault::StoreFails, step) {
            return Err(StoreError::Failed("injected".to_owned()));
        }
        let written = write()?;
        if self.faults.strikes(Fault::StoreKept, step) {
            return Err(StoreError::Failed("injected, but kept".to_owned()));
        }
        Ok(written)
    }
}

/// The disk as an instance reaches it.
pub(crate) struct Storage {
    pub(crate) disk: Disk,
    pub(crate) failing: Failing,
    pub(crate) ledger: Ledger,
    /// For the mutation that publishes too early.
    pub(crate) kv: Kv,
    pub(crate) mutation: Option<Mutation>,
}

impl Storage {
    fn read<T>(&self, step: &'static str, read: impl FnOnce(&Kept) -> T) -> Result<T, StoreError> {
        self.failing.read(step, || read(&self.disk.0.borrow()))
    }

    fn write<T>(
        &self,
        step: &'static str,
        write: impl FnOnce(&mut Kept) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.failing
            .write(step, || write(&mut self.disk.0.borrow_mut()))
    }

    fn is(&self, mutation: Mutation) -> bool {
        self.mutation == Some(mutation)
    }

    /// What the mutations make of the stored state.
    fn mutated(&self, mut state: ObjectState) -> ObjectState {
        if self.is(Mutation::PinForgotten) {
            state.issuer.pinned = None;
        }
        if self.is(Mutation::NumberForgotten) {
            for crl in state.crls.values_mut() {
                if let Some(current) = &mut crl.current {
                    current.head.number = crl::CrlNumber::from(0);
                }
            }
        }
        state
    }

    /// Copies what is about to be committed to KV, as the mutation has it.
    fn publish_early(&self, change: &StateChange) {
        let Some((name, state)) = &change.crl else {
            return;
        };
        let Some(current) = state.current.as_ref() else {
            return;
        };
        let run = 0..current.pieces as usize;
        let Some(body) = self.disk.pieces(current.body, run) else {
            return;
        };
        let metadata = Metadata {
            head: current.head.clone(),
            parts: 0,
        };
        let value = Value {
            bytes: body.into(),
            metadata: Some(serde_json::json!(metadata).to_string()),
        };
        self.kv.put_now(&kv_layout::key(&self.disk.1, *name), value);
    }

    /// Tells the ledger of a commit.
    fn report(&self, kept: &Kept, before: Option<&CrlState>, change: &StateChange) {
        if let Some((name, state)) = &change.crl
            && let Some(current) = &state.current
            && before.and_then(CrlState::head).map(|head| head.sha256) != Some(current.head.sha256)
        {
            let body = kept.bodies.get(&current.body).map(|pieces| pieces.concat());
            let list = (self.disk.1.clone(), *name);
            let body = body.unwrap_or_default();
            self.ledger.committed(&list, before, state, &body);
        }
        if let Some((name, state)) = &change.crl
            && state.current.is_none()
            && before.is_some_and(|before| before.current.is_some())
        {
            self.ledger.removed(&(self.disk.1.clone(), *name));
        }
        if let Some(event) = &change.event
            && !self.is(Mutation::OutboxForgotten)
        {
            self.ledger.event_committed(event);
        }
        let (bodies, owed) = (kept.bodies.len(), kept.outbox.len());
        let most = MOST_BODIES * kept.state.crls.len().max(1);
        if bodies > most {
            let what = format!("{}: {bodies} bodies", self.disk.1);
            self.ledger.violated("storage is bounded", &what);
        }
        if owed > MOST_OWED {
            let what = format!("{}: {owed} events", self.disk.1);
            self.ledger.violated("the outbox is bounded", &what);
        }
    }
}

impl Store for Storage {
    fn load(&self) -> Result<ObjectState, StoreError> {
        let state = self.read("load", |kept| kept.state.clone())?;
        Ok(self.mutated(state))
    }

    fn commit(&self, changes: &[(StateChange, Option<Sha256>)]) -> Result<(), StoreError> {
        if self.is(Mutation::PublishedBeforeCommit) {
            for (change, _) in changes {
                self.publish_early(change);
            }
        }
        self.write("commit", |kept| {
            for (change, held) in changes {
                if let Some((name, _)) = &change.crl {
                    let stored = kept.state.crls.get(name).and_then(CrlState::head);
                    if stored.map(|head| head.sha256) != *held {
                        return Err(StoreError::Conflict);
                    }
                }
                if let Some(event) = &change.event
                    && kept.outbox.contains_key(&event.id)
                {
                    return Err(StoreError::Failed("UNIQUE constraint failed".to_owned()));
                }
            }
            for (change, _) in changes {
                let crl = change.crl.as_ref();
                let before = crl.and_then(|(name, _)| kept.state.crls.get(name).cloned());
                change.apply(&mut kept.state);
                if let Some(event) = &change.event
                    && !self.is(Mutation::OutboxForgotten)
                {
                    kept.outbox.insert(event.id, event.clone());
                }
                kept.outbox.retain(|id, _| !change.delivered.contains(id));
                kept.state.events_owed = kept.outbox.len() as u64;
                self.report(kept, before.as_ref(), change);
            }
            Ok(())
        })
    }

    fn new_body(&self) -> Result<BodyId, StoreError> {
        self.write("new body", |kept| {
            kept.last_body += 1;
            let body = BodyId(kept.last_body);
            kept.bodies.insert(body, Vec::new());
            Ok(body)
        })
    }

    fn append(&self, body: BodyId, index: u32, piece: &[u8]) -> Result<(), StoreError> {
        self.write("append", |kept| {
            let pieces = kept.bodies.entry(body).or_default();
            if pieces.len() != index as usize {
                return Err(StoreError::Failed("UNIQUE constraint failed".to_owned()));
            }
            pieces.push(piece.to_vec());
            Ok(())
        })
    }

    fn piece(&self, body: BodyId, index: u32) -> Result<Vec<u8>, StoreError> {
        let piece = self.read("piece", |kept| {
            let pieces = kept.bodies.get(&body)?;
            pieces.get(index as usize).cloned()
        })?;
        piece.ok_or_else(|| StoreError::Unreadable(format!("piece {index} of body {}", body.0)))
    }

    fn sweep(&self, keep: &[BodyId], before: Option<BodyId>) -> Result<(), StoreError> {
        let is_mutated = self.is(Mutation::BodiesSwept);
        self.write("sweep", |kept| {
            let is_new = |body: BodyId| before.is_some_and(|before| body >= before);
            let is_kept = |body: BodyId| keep.contains(&body) || is_new(body);
            kept.bodies
                .retain(|body, _| is_kept(*body) && !(is_mutated && body.0 % 7 == 3));
            Ok(())
        })
    }

    fn owed_events(&self, limit: usize) -> Result<Vec<Event>, StoreError> {
        self.read("owed events", |kept| {
            kept.outbox.values().take(limit).cloned().collect()
        })
    }

    fn newest_owed_events(&self, limit: usize) -> Result<Vec<Event>, StoreError> {
        self.read("newest owed events", |kept| {
            kept.outbox.values().rev().take(limit).cloned().collect()
        })
    }
}

/// The registry's disk as an instance reaches it.
pub(crate) type RegistryStorage = RegistryTwin<Failing>;

impl Faulty for Failing {
    fn read<T>(&self, call: &'static str, read: impl FnOnce() -> T) -> Result<T, StoreError> {
        self.read(call, read)
    }

    fn write<T>(&self, call: &'static str, write: impl FnOnce() -> T) -> Result<T, StoreError> {
        self.write(call, || Ok(write()))
    }
}
