//! What an issuer's object knows, read from storage once and written through.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use origin_api::CrlName;

use super::error::StoreError;
use super::object_state::{ObjectState, StateChange};
use super::ports::Store;
use super::stagings::{Staging, Stagings};
use super::state::{BodyId, CrlState, IssuerState, Record};

/// The object's state in memory, ahead of its storage. The object is the only writer of its
/// storage, so what was read once stays true; after a failed write it is read again.
#[derive(Debug)]
pub(crate) struct StateCache<S> {
    store: Rc<S>,
    loaded: RefCell<Option<ObjectState>>,
    /// Whether the issuer's record is newer than the stored one. The next change takes it along.
    has_unsaved_record: Cell<bool>,
    stagings: Stagings,
}

impl<S: Store> StateCache<S> {
    pub(crate) fn new(store: Rc<S>) -> Self {
        Self {
            store,
            loaded: RefCell::new(None),
            has_unsaved_record: Cell::new(false),
            stagings: Stagings::default(),
        }
    }

    pub(crate) fn store(&self) -> &S {
        &self.store
    }

    pub(crate) fn store_rc(&self) -> Rc<S> {
        Rc::clone(&self.store)
    }

    /// Looks at the state.
    pub(crate) fn with<T>(&self, look: impl FnOnce(&ObjectState) -> T) -> Result<T, StoreError> {
        let mut loaded = self.loaded.borrow_mut();
        let state = match &mut *loaded {
            Some(state) => state,
            none => none.insert(self.store.load()?),
        };
        Ok(look(state))
    }

    /// What is known of the issuer.
    pub(crate) fn issuer(&self) -> Result<IssuerState, StoreError> {
        self.with(|state| state.issuer.clone())
    }

    /// What is known of one CRL; the default if nothing is.
    pub(crate) fn crl(&self, name: CrlName) -> Result<CrlState, StoreError> {
        self.with(|state| state.crls.get(&name).cloned().unwrap_or_default())
    }

    /// Takes a newer record of the issuer. It is stored with the next change: losing it costs one
    /// call to the origin.
    pub(crate) fn set_record(&self, record: Record) -> Result<(), StoreError> {
        self.with(|_| ())?;
        if let Some(state) = &mut *self.loaded.borrow_mut() {
            state.issuer.record = Some(record);
            state.issuer.gone_since = None;
            self.has_unsaved_record.set(true);
        }
        Ok(())
    }

    /// Writes `change`, in storage first.
    ///
    /// # Errors
    /// Storage failed and did not keep the change.
    pub(crate) fn commit(&self, change: StateChange) -> Result<(), StoreError> {
        self.commit_all([change])
    }

    /// Writes `changes` in one transaction, in storage first.
    ///
    /// # Errors
    /// Storage failed and did not keep the changes.
    pub(crate) fn commit_all(
        &self,
        changes: impl IntoIterator<Item = StateChange>,
    ) -> Result<(), StoreError> {
        let mut changes: Vec<_> = changes.into_iter().map(|change| (change, None)).collect();
        if changes.is_empty() {
            return Ok(());
        }
        self.with(|state| {
            if let Some((first, _)) = changes.first_mut()
                && first.issuer.is_none()
                && self.has_unsaved_record.get()
            {
                first.issuer = Some(state.issuer.clone());
            }
            for (change, held) in &mut changes {
                let crl = change.crl.as_ref();
                let crl = crl.and_then(|(name, _)| state.crls.get(name));
                *held = crl.and_then(|crl| Some(crl.head()?.sha256));
            }
        })?;
        match self.store.commit(&changes) {
            Ok(()) => {
                if let Some(state) = &mut *self.loaded.borrow_mut() {
                    for (change, _) in &changes {
                        change.apply(state);
                    }
                }
            }
            Err(error) => {
                self.loaded.take();
                self.has_unsaved_record.set(false);
                // A write that failed may have been kept all the same.
                let are_in = |state: &ObjectState| changes.iter().all(|it| it.0.is_in(state));
                if !self.with(are_in)? {
                    return Err(error);
                }
            }
        }
        if changes.iter().any(|(change, _)| change.issuer.is_some()) {
            self.has_unsaved_record.set(false);
        }
        Ok(())
    }

    /// Begins a refresh, which makes bodies that no state names yet.
    pub(super) fn begin_staging(&self) -> Rc<Staging> {
        self.stagings.begin()
    }

    /// Removes the bodies that no state names, no refresh under way needs, and nobody reads: the
    /// last are `read`.
    pub(crate) fn sweep(&self, read: Vec<BodyId>) -> Result<(), StoreError> {
        let (first, mut keep) = self.stagings.in_use();
        keep.extend(read);
        self.with(|state| {
            for crl in state.crls.values() {
                keep.extend(crl.bodies());
            }
        })?;
        self.store.sweep(&keep, first)
    }
}
