//! What an issuer's object knows, read from storage once and written through.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use origin_api::CrlName;

use super::error::StoreError;
use super::object_state::{ObjectState, StateChange};
use super::ports::Store;
use super::state::{BodyId, CrlState, IssuerState, Record};

/// The object's state in memory, ahead of its storage. The object is the only writer of its
/// storage, so what was read once stays true; after a failed write it is read again.
#[derive(Debug)]
pub(crate) struct StateCache<S> {
    store: Rc<S>,
    loaded: RefCell<Option<ObjectState>>,
    /// Whether the issuer's record is newer than the stored one. The next change takes it along.
    has_unsaved_record: Cell<bool>,
}

impl<S: Store> StateCache<S> {
    pub(crate) const fn new(store: Rc<S>) -> Self {
        Self {
            store,
            loaded: RefCell::new(None),
            has_unsaved_record: Cell::new(false),
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
    pub(crate) fn commit(&self, mut change: StateChange) -> Result<(), StoreError> {
        let held = self.with(|state| {
            if change.issuer.is_none() && self.has_unsaved_record.get() {
                change.issuer = Some(state.issuer.clone());
            }
            let (name, _) = change.crl.as_ref()?;
            Some(state.crls.get(name)?.head()?.sha256)
        })?;
        match self.store.commit(&change, held) {
            Ok(()) => {
                if let Some(state) = &mut *self.loaded.borrow_mut() {
                    change.apply(state);
                }
            }
            Err(error) => {
                self.loaded.take();
                self.has_unsaved_record.set(false);
                // A write that failed may have been kept all the same.
                if !self.with(|state| change.is_in(state))? {
                    return Err(error);
                }
            }
        }
        if change.issuer.is_some() {
            self.has_unsaved_record.set(false);
        }
        Ok(())
    }

    /// The bodies that a state names.
    pub(crate) fn bodies(&self) -> Result<Vec<BodyId>, StoreError> {
        self.with(|state| state.crls.values().flat_map(CrlState::bodies).collect())
    }
}
