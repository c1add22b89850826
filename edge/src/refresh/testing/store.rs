//! The object's storage: checks after every write that heads never go back and match their bodies.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use origin_api::CrlName;
use sha2::Digest as _;

use super::Faults;
use crate::events::{Event, EventId};
use crate::refresh::{
    BodyId, Conclusion, CrlState, Doomed, IssuerState, Sha256, Store, StoreError,
};
use crate::time::Timestamp;

/// What outlives the object.
#[derive(Clone, Default)]
pub(crate) struct Disk(Rc<RefCell<Kept>>);

#[derive(Clone, Default)]
struct Kept {
    issuer: IssuerState,
    crls: BTreeMap<CrlName, CrlState>,
    bodies: BTreeMap<BodyId, Vec<Vec<u8>>>,
    last_body: u32,
    outbox: BTreeMap<EventId, Event>,
    doomed: BTreeMap<String, Timestamp>,
}

impl Disk {
    pub(crate) fn crl(&self, name: CrlName) -> CrlState {
        self.0.borrow().crls.get(&name).cloned().unwrap_or_default()
    }

    pub(crate) fn issuer(&self) -> IssuerState {
        self.0.borrow().issuer.clone()
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

    pub(crate) fn doomed(&self) -> usize {
        self.0.borrow().doomed.len()
    }

    /// Writes all of `change`, if it succeeds, and checks what must hold at any moment.
    fn write<T>(
        &self,
        change: impl FnOnce(&mut Kept) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut kept = self.0.borrow_mut();
        let before = kept.crls.clone();
        let done = change(&mut kept)?;
        for (name, state) in &before {
            let (before, after) = (state.head(), kept.crls.get(name).and_then(CrlState::head));
            if before != after {
                let numbers = (
                    before.map(|head| head.number),
                    after.map(|head| head.number),
                );
                assert!(numbers.0 < numbers.1, "{name} went back: {numbers:?}");
            }
        }
        for (name, state) in &kept.crls {
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
}

impl TwinStore {
    pub(crate) fn new(disk: &Disk, faults: &Rc<Faults>) -> Self {
        Self {
            disk: disk.clone(),
            faults: Rc::clone(faults),
        }
    }

    fn read<T>(&self, what: &str, read: impl FnOnce(&Kept) -> T) -> Result<T, StoreError> {
        let read = || Ok(read(&self.disk.0.borrow()));
        self.faults.run(what, read, StoreError::Failed)
    }

    fn write<T>(
        &self,
        what: &str,
        change: impl FnOnce(&mut Kept) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let write = || self.disk.write(change);
        self.faults.run(what, write, StoreError::Failed)
    }
}

impl Store for TwinStore {
    fn issuer(&self) -> Result<IssuerState, StoreError> {
        self.read("store.issuer", |kept| kept.issuer.clone())
    }

    fn set_issuer(&self, issuer: &IssuerState) -> Result<(), StoreError> {
        self.write("store.set_issuer", |kept| {
            kept.issuer = issuer.clone();
            Ok(())
        })
    }

    fn crl(&self, name: CrlName) -> Result<CrlState, StoreError> {
        self.read("store.crl", |kept| {
            kept.crls.get(&name).cloned().unwrap_or_default()
        })
    }

    fn crls(&self) -> Result<Vec<(CrlName, CrlState)>, StoreError> {
        self.read("store.crls", |kept| kept.crls.clone().into_iter().collect())
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

    fn sweep(&self, keep: &[BodyId]) -> Result<(), StoreError> {
        self.write("store.sweep", |kept| {
            let current = kept.crls.values().filter_map(|crl| crl.current.as_ref());
            let named: Vec<_> = current.map(|current| current.body).collect();
            kept.bodies
                .retain(|body, _| named.contains(body) || keep.contains(body));
            Ok(())
        })
    }

    fn conclude(&self, conclusion: &Conclusion<'_>) -> Result<(), StoreError> {
        self.write("store.conclude", |kept| {
            let held = kept.crls.get(&conclusion.name).and_then(CrlState::head);
            if held.map(|head| head.sha256) != conclusion.drawn_from {
                return Err(StoreError::Conflict);
            }
            kept.crls.insert(conclusion.name, conclusion.state.clone());
            if let Some(issuer) = conclusion.issuer {
                kept.issuer = issuer.clone();
            }
            if let Some(event) = conclusion.event {
                kept.outbox.entry(event.id).or_insert_with(|| event.clone());
            }
            Ok(())
        })
    }

    fn set_crl(&self, name: CrlName, state: &CrlState) -> Result<(), StoreError> {
        self.write("store.set_crl", |kept| {
            kept.crls.insert(name, state.clone());
            Ok(())
        })
    }

    fn owed_events(&self, limit: usize) -> Result<Vec<Event>, StoreError> {
        assert!(limit <= 100, "after an outage of D1 there are many");
        self.read("store.owed_events", |kept| {
            kept.outbox.values().take(limit).cloned().collect()
        })
    }

    fn newest_owed_events(&self, limit: usize) -> Result<Vec<Event>, StoreError> {
        self.read("store.newest_owed_events", |kept| {
            let newest = kept.outbox.values().rev();
            newest.take(limit).cloned().collect()
        })
    }

    fn owed_event_count(&self) -> Result<u64, StoreError> {
        self.read("store.owed_event_count", |kept| kept.outbox.len() as u64)
    }

    fn events_delivered(&self, ids: &[EventId]) -> Result<(), StoreError> {
        self.write("store.events_delivered", |kept| {
            kept.outbox.retain(|id, _| !ids.contains(id));
            Ok(())
        })
    }

    fn doomed(&self) -> Result<Vec<Doomed>, StoreError> {
        self.read("store.doomed", |kept| {
            let doomed = |(key, after): (&String, &Timestamp)| Doomed {
                key: key.clone(),
                after: *after,
            };
            kept.doomed.iter().map(doomed).collect()
        })
    }

    fn doom(&self, doomed: &[Doomed]) -> Result<(), StoreError> {
        self.write("store.doom", |kept| {
            let doomed = doomed
                .iter()
                .map(|doomed| (doomed.key.clone(), doomed.after));
            kept.doomed.extend(doomed);
            Ok(())
        })
    }

    fn buried(&self, key: &str) -> Result<(), StoreError> {
        self.write("store.buried", |kept| {
            kept.doomed.remove(key);
            Ok(())
        })
    }
}
