//! A twin of the registry object's storage, for the tests here and for the simulator. What fails is
//! theirs.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use origin_api::IssuerId;

use super::{Lease, RegistryStore, Row, Shrink, StoredJob};
use crate::refresh::StoreError;
use crate::time::Timestamp;

/// Makes calls of a storage fail.
pub trait Faulty {
    /// Reads, or fails.
    ///
    /// # Errors
    /// Its own.
    fn read<T>(&self, call: &'static str, read: impl FnOnce() -> T) -> Result<T, StoreError>;

    /// Writes, or fails before or after that.
    ///
    /// # Errors
    /// Its own.
    fn write<T>(&self, call: &'static str, write: impl FnOnce() -> T) -> Result<T, StoreError>;
}

/// What the storage keeps, for every instance of the object.
#[derive(Clone, Debug, Default)]
pub struct RegistryDisk(Rc<RefCell<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    read_at: Option<Timestamp>,
    /// Each issuer, and when it was last asked.
    rows: BTreeMap<IssuerId, (Row, Timestamp)>,
    lease: Option<Lease>,
    shrink: Option<Shrink>,
    job: Option<StoredJob>,
}

/// The storage, as an instance of the object reaches it.
#[derive(Clone, Debug)]
pub struct RegistryTwin<F> {
    /// What is kept.
    pub disk: RegistryDisk,
    /// What fails.
    pub faults: F,
}

impl<F: Faulty> RegistryTwin<F> {
    fn read<T>(&self, call: &'static str, read: impl FnOnce(&Kept) -> T) -> Result<T, StoreError> {
        self.faults.read(call, || read(&self.disk.0.borrow()))
    }

    fn write(&self, call: &'static str, write: impl FnOnce(&mut Kept)) -> Result<(), StoreError> {
        self.faults
            .write(call, || write(&mut self.disk.0.borrow_mut()))
    }
}

impl<F: Faulty> RegistryStore for RegistryTwin<F> {
    fn rows(&self) -> Result<(Option<Timestamp>, Vec<Row>), StoreError> {
        self.read("registry.rows", |kept| {
            let rows = kept.rows.values().map(|(row, _)| row.clone());
            (kept.read_at, rows.collect())
        })
    }

    fn update(
        &self,
        read_at: Timestamp,
        changed: &[Row],
        removed: &[IssuerId],
        shrink: Option<&Shrink>,
    ) -> Result<(), StoreError> {
        self.write("registry.update", |kept| {
            kept.read_at = Some(read_at);
            for row in changed {
                let never = Timestamp::from_millis(0);
                let entry = kept.rows.entry(row.id.clone());
                entry.or_insert((row.clone(), never)).0 = row.clone();
            }
            kept.rows.retain(|id, _| !removed.contains(id));
            kept.shrink = shrink.copied();
        })
    }

    fn remove(&self, issuer: &IssuerId) -> Result<(), StoreError> {
        self.write("registry.remove", |kept| {
            kept.rows
                .retain(|id, (row, _)| id != issuer || row.gone_since.is_none());
        })
    }

    fn shrink(&self) -> Result<Option<Shrink>, StoreError> {
        self.read("registry.shrink", |kept| kept.shrink)
    }

    fn set_shrink(&self, shrink: &Shrink) -> Result<(), StoreError> {
        self.write("registry.set_shrink", |kept| kept.shrink = Some(*shrink))
    }

    fn unasked(
        &self,
        began_at: Timestamp,
        limit: usize,
        gone: bool,
    ) -> Result<(Vec<IssuerId>, u64), StoreError> {
        self.read("registry.unasked", |kept| {
            let rows = kept.rows.values();
            let unasked = rows
                .filter(|(row, asked_at)| row.gone_since.is_some() == gone && *asked_at < began_at);
            let mut unasked: Vec<_> = unasked.collect();
            unasked.sort_by_key(|(row, asked_at)| (*asked_at, row.id.clone()));
            let ids = unasked.iter().take(limit).map(|(row, _)| row.id.clone());
            (ids.collect(), unasked.len() as u64)
        })
    }

    fn asked(&self, issuers: &[IssuerId], at: Timestamp) -> Result<(), StoreError> {
        self.write("registry.asked", |kept| {
            for id in issuers {
                if let Some((_, asked_at)) = kept.rows.get_mut(id) {
                    *asked_at = at;
                }
            }
        })
    }

    fn lease(&self) -> Result<Option<Lease>, StoreError> {
        self.read("registry.lease", |kept| kept.lease.clone())
    }

    fn set_lease(&self, lease: Option<&Lease>) -> Result<(), StoreError> {
        self.write("registry.set_lease", |kept| kept.lease = lease.cloned())
    }

    fn job(&self) -> Result<Option<StoredJob>, StoreError> {
        self.read("registry.job", |kept| kept.job.clone())
    }

    fn set_job(&self, job: &StoredJob) -> Result<(), StoreError> {
        self.write("registry.set_job", |kept| kept.job = Some(job.clone()))
    }
}
