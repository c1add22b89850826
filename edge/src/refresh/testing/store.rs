//! The object's storage: checks after every write that heads never go back and match their bodies.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use origin_api::CrlName;
use sha2::Digest as _;

use super::Faults;
use crate::events::{Event, EventId};
use crate::refresh::{
    BodyId, CrlState, Head, IssuerState, ObjectState, Sha256, StateChange, Store, StoreError,
};

/// What outlives the object.
#[derive(Clone, Default)]
pub(crate) struct Disk(Rc<RefCell<Kept>>);

#[derive(Clone, Default)]
struct Kept {
    state: ObjectState,
    bodies: BTreeMap<BodyId, Vec<Vec<u8>>>,
    last_body: u32,
    outbox: BTreeMap<EventId, Event>,
}

impl Disk {
    pub(crate) fn crl(&self, name: CrlName) -> CrlState {
        self.0
            .borrow()
            .state
            .crls
            .get(&name)
            .cloned()
            .unwrap_or_default()
    }

    pub(crate) fn issuer(&self) -> IssuerState {
        self.0.borrow().state.issuer.clone()
    }

    pub(crate) fn body(&self, body: BodyId) -> Vec<Vec<u8>> {
        self.0.borrow().bodies[&body].clone()
    }

    /// The committed CRL, whole.
    pub(crate) fn committed(&self, name: CrlName) -> Option<Vec<u8>> {
        let current = self.crl(name).current?;
        Some(self.body(current.body).concat())
    }

    /// How many bodies there are, and how many events that D1 does not have.
    pub(crate) fn bodies_and_outbox(&self) -> (usize, usize) {
        let kept = self.0.borrow();
        (kept.bodies.len(), kept.outbox.len())
    }

    /// Loses everything.
    pub(crate) fn lose(&self) {
        *self.0.borrow_mut() = Kept::default();
    }

    pub(crate) fn pending_deletes(&self) -> usize {
        self.0.borrow().state.pending_deletes.len()
    }

    /// Writes all of `change`, if it succeeds, and checks what must hold at any moment.
    fn write<T>(
        &self,
        change: impl FnOnce(&mut Kept) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut kept = self.0.borrow_mut();
        let before = kept.state.crls.clone();
        let done = change(&mut kept)?;
        for (name, state) in &before {
            let (before, after) = (
                state.last_head(),
                kept.state.crls.get(name).and_then(CrlState::last_head),
            );
            let hash = |head: Option<&Head>| head.map(|head| head.sha256);
            let is_accepted = |state: &CrlState| {
                let mut findings = state.findings.iter();
                findings.any(|finding| finding.code == "accepted")
            };
            let is_overruled = kept.state.crls.get(name).is_some_and(is_accepted);
            if hash(before) != hash(after) && !is_overruled {
                let numbers = (
                    before.map(|head| head.number),
                    after.map(|head| head.number),
                );
                assert!(numbers.0 < numbers.1, "{name} went back: {numbers:?}");
            }
        }
        for (name, state) in &kept.state.crls {
            let Some(current) = &state.current else {
                continue;
            };
            let pieces = kept.bodies.get(&current.body);
            let pieces = pieces.unwrap_or_else(|| panic!("the body of {name} is gone"));
            assert_eq!(pieces.len(), current.pieces as usize, "pieces of {name}");
            if before.get(name).and_then(CrlState::head) != state.head() {
                let body = pieces.concat();
                let sha256 = Sha256(sha2::Sha256::digest(&body).into());
                assert_eq!(sha256, current.head.sha256, "the body of {name}");
                assert_eq!(body.len() as u64, current.head.size, "the size of {name}");
            }
        }
        Ok(done)
    }
}

/// The disk, as the object reaches it.
pub(crate) struct TwinStore {
    pub(crate) disk: Disk,
    faults: Rc<Faults>,
    /// Whether the object has moved: the one that is left behind reaches the disk no more.
    has_moved: Cell<bool>,
}

impl TwinStore {
    pub(crate) fn new(disk: &Disk, faults: &Rc<Faults>) -> Self {
        Self {
            disk: disk.clone(),
            faults: Rc::clone(faults),
            has_moved: Cell::new(false),
        }
    }

    /// The object runs elsewhere from now on, and this one has lost its storage.
    pub(crate) fn move_object(&self) {
        self.has_moved.set(true);
    }

    fn reach(&self) -> Result<(), StoreError> {
        if self.has_moved.get() {
            return Err(StoreError::Failed("the object has moved".to_owned()));
        }
        Ok(())
    }

    fn read<T>(&self, what: &str, read: impl FnOnce(&Kept) -> T) -> Result<T, StoreError> {
        self.reach()?;
        let read = || Ok(read(&self.disk.0.borrow()));
        self.faults.run(what, read, StoreError::Failed)
    }

    fn write<T>(
        &self,
        what: &str,
        change: impl FnOnce(&mut Kept) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.reach()?;
        let write = || self.disk.write(change);
        self.faults.run(what, write, StoreError::Failed)
    }
}

impl Store for TwinStore {
    fn load(&self) -> Result<ObjectState, StoreError> {
        self.read("store.load", |kept| kept.state.clone())
    }

    fn commit(&self, changes: &[(StateChange, Option<Sha256>)]) -> Result<(), StoreError> {
        self.write("store.commit", |kept| {
            for (change, held) in changes {
                if let Some((name, _)) = &change.crl {
                    let stored = kept.state.crls.get(name).and_then(CrlState::head);
                    if stored.map(|head| head.sha256) != *held {
                        return Err(StoreError::Conflict);
                    }
                }
                let event = change.event.as_ref();
                if event.is_some_and(|event| kept.outbox.contains_key(&event.id)) {
                    return Err(StoreError::Failed("UNIQUE constraint failed".to_owned()));
                }
            }
            for (change, _) in changes {
                change.apply(&mut kept.state);
                if let Some(event) = &change.event {
                    kept.outbox.insert(event.id, event.clone());
                }
                kept.outbox.retain(|id, _| !change.delivered.contains(id));
            }
            kept.state.events_owed = kept.outbox.len() as u64;
            Ok(())
        })
    }

    fn new_body(&self) -> Result<BodyId, StoreError> {
        self.write("store.new_body", |kept| {
            kept.last_body += 1;
            let body = BodyId(kept.last_body);
            kept.bodies.insert(body, Vec::new());
            Ok(body)
        })
    }

    fn append(&self, body: BodyId, index: u32, piece: &[u8]) -> Result<(), StoreError> {
        self.write("store.append", |kept| {
            let pieces = kept.bodies.entry(body).or_default();
            assert_eq!(pieces.len(), index as usize, "pieces come in order");
            pieces.push(piece.to_vec());
            Ok(())
        })
    }

    fn piece(&self, body: BodyId, index: u32) -> Result<Vec<u8>, StoreError> {
        self.read("store.piece", |kept| {
            kept.bodies[&body][index as usize].clone()
        })
    }

    fn sweep(&self, keep: &[BodyId], before: Option<BodyId>) -> Result<(), StoreError> {
        self.write("store.sweep", |kept| {
            let is_new = |body: BodyId| before.is_some_and(|before| body >= before);
            kept.bodies
                .retain(|body, _| keep.contains(body) || is_new(*body));
            Ok(())
        })
    }

    fn owed_events(&self, limit: usize) -> Result<Vec<Event>, StoreError> {
        self.read("store.owed_events", |kept| {
            kept.outbox.values().take(limit).cloned().collect()
        })
    }

    fn newest_owed_events(&self, limit: usize) -> Result<Vec<Event>, StoreError> {
        self.read("store.newest_owed_events", |kept| {
            kept.outbox.values().rev().take(limit).cloned().collect()
        })
    }
}
