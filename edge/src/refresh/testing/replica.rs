//! KV: checks that what it is given is what the contract says, and that nobody's part goes missing.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use sha2::Digest as _;

use super::{Disk, Faults, Gate};
use crate::kv_layout::LARGEST_VALUE;
use crate::refresh::{Metadata, Pieces, Replica, ReplicaError, Sha256};

/// KV, as the issuer's object sees it.
#[derive(Clone)]
pub(crate) struct TwinReplica {
    pub(crate) values: Rc<RefCell<Values>>,
    /// Every write that was kept, in order.
    pub(crate) writes: Rc<RefCell<Vec<String>>>,
    /// What writes of whole values and parts go through.
    pub(crate) gate: Rc<Gate>,
    /// From now on, writes of values do not end, and land when the test says so.
    pub(crate) late: Rc<RefCell<Option<Values>>>,
    disk: Disk,
    faults: Rc<Faults>,
}

/// By key: the value and its metadata.
type Values = BTreeMap<String, (Vec<u8>, Option<Metadata>)>;

impl TwinReplica {
    pub(crate) fn new(disk: &Disk, faults: &Rc<Faults>) -> Self {
        Self {
            values: Rc::default(),
            writes: Rc::default(),
            gate: Rc::default(),
            late: Rc::default(),
            disk: disk.clone(),
            faults: Rc::clone(faults),
        }
    }

    /// The writes that did not end land now.
    pub(crate) fn land(&self, late: Values) {
        self.values.borrow_mut().extend(late);
    }

    /// The CRL at `key`, whole.
    pub(crate) fn body(&self, key: &str) -> Option<(Metadata, Vec<u8>)> {
        let values = self.values.borrow();
        let (value, metadata) = values.get(key)?;
        let metadata = metadata.clone()?;
        let body = if metadata.parts == 0 {
            value.clone()
        } else {
            let part = |part| &values[&part_key(key, &metadata, part)].0[..];
            (0..metadata.parts).map(part).collect::<Vec<_>>().concat()
        };
        Some((metadata, body))
    }

    pub(crate) fn keys(&self) -> Vec<String> {
        self.values.borrow().keys().cloned().collect()
    }

    fn keep(&self, key: &str, value: Vec<u8>, metadata: Option<&Metadata>) {
        assert!(value.len() as u64 <= LARGEST_VALUE, "{key} is too large");
        let size = metadata.map_or(0, |metadata| serde_json::to_string(metadata).unwrap().len());
        assert!(size <= 1024, "the metadata of {key} is too large");
        self.writes.borrow_mut().push(key.to_owned());
        let mut values = self.values.borrow_mut();
        values.insert(key.to_owned(), (value, metadata.cloned()));
    }

    /// A reader of a value, or of a manifest and its parts, must get the CRL that the metadata
    /// describes.
    fn check(&self, key: &str) {
        if let Some((metadata, body)) = self.body(key) {
            let sha256 = Sha256(sha2::Sha256::digest(&body).into());
            assert_eq!(sha256, metadata.head.sha256, "{key} is not what it says");
        }
    }

    fn run<T>(
        &self,
        doing: &'static str,
        act: impl FnOnce() -> Result<T, ReplicaError>,
    ) -> Result<T, ReplicaError> {
        self.faults
            .run(doing, act, |cause| ReplicaError { doing, cause })
    }
}

fn part_key(key: &str, metadata: &Metadata, part: u32) -> String {
    format!("{key}/{}/{part}", metadata.head.sha256)
}

impl Replica for TwinReplica {
    async fn put_pieces(
        &self,
        key: &str,
        pieces: Pieces,
        metadata: Option<&Metadata>,
    ) -> Result<(), ReplicaError> {
        self.gate.pass().await;
        if let Some(late) = &mut *self.late.borrow_mut() {
            let value = self.disk.body(pieces.body).concat();
            late.insert(key.to_owned(), (value, metadata.cloned()));
        }
        if self.late.borrow().is_some() {
            std::future::pending::<()>().await;
        }
        self.run("replica.put", || {
            let body = self.disk.body(pieces.body);
            let run = &body[pieces.first as usize..pieces.end as usize];
            let value = run.concat();
            assert_eq!(value.len() as u64, pieces.size, "the size of {key}");
            self.keep(key, value, metadata);
            self.check(key);
            Ok(())
        })
    }

    async fn put_manifest(&self, key: &str, metadata: &Metadata) -> Result<(), ReplicaError> {
        self.run("replica.put_manifest", || {
            self.keep(key, Vec::new(), Some(metadata));
            self.check(key);
            Ok(())
        })
    }

    async fn metadata(&self, key: &str) -> Result<Option<Metadata>, ReplicaError> {
        self.run("replica.metadata", || {
            let values = self.values.borrow();
            Ok(values.get(key).and_then(|(_, metadata)| metadata.clone()))
        })
    }

    async fn delete(&self, key: &str) -> Result<(), ReplicaError> {
        self.run("replica.delete", || {
            let mut values = self.values.borrow_mut();
            let manifests = values
                .iter()
                .filter_map(|(of, (_, metadata))| metadata.as_ref().map(|metadata| (of, metadata)));
            for (of, metadata) in manifests {
                let mut parts = (0..metadata.parts).map(|part| part_key(of, metadata, part));
                assert!(!parts.any(|part| part == key), "{key} is still needed");
            }
            values.remove(key);
            Ok(())
        })
    }
}
