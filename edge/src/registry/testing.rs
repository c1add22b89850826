//! Twins of the registry's ports: the origin's list, the object's storage, and the copy in KV.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use origin_api::{Crl, CrlName, Der, Issuer, IssuerId};

use super::service::Reading;
use super::twin::{Faulty, RegistryDisk, RegistryTwin};
use super::{Index, IndexReplica, OriginPages, RegistryPorts, RegistryService};
use crate::config::Settings;
use crate::events::{Event, EventId, Outcome};
use crate::issuer::{IssuerAnswer, IssuerRequest};
use crate::object_calls::{IssuerObjects, PlatformError};
use crate::refresh::testing::{Faults, Gate, Machine, TwinHost};
use crate::refresh::{OriginError, ReplicaError, Runtime as _, StoreError};

pub(crate) struct Twins;

impl RegistryPorts for Twins {
    type Runtime = TwinHost;
    type Origin = TwinPages;
    type Store = TwinRegistry;
    type Replica = TwinIndex;
    type Issuers = TwinIssuers;
}

/// A service over twins that stay when it ends.
pub(crate) fn service(
    machine: &Machine,
    pages: &TwinPages,
    store: &TwinRegistry,
    replica: &TwinIndex,
    issuers: &TwinIssuers,
    settings: &Rc<Settings>,
) -> Rc<RegistryService<Twins>> {
    Rc::new(RegistryService {
        runtime: machine.host.clone(),
        origin: pages.clone(),
        store: store.clone(),
        replica: replica.clone(),
        issuers: issuers.clone(),
        settings: Rc::clone(settings),
        reading: Reading::default(),
    })
}

/// The origin's list of issuers.
#[derive(Clone, Default)]
pub(crate) struct TwinPages(pub(crate) Rc<Pages>);

#[derive(Default)]
pub(crate) struct Pages {
    pub(crate) ids: RefCell<Vec<IssuerId>>,
    pub(crate) page_size: Cell<usize>,
    /// How many shards each issuer has beside its full CRL.
    pub(crate) shards: Cell<u32>,
    pub(crate) calls: Cell<u32>,
    pub(crate) error: RefCell<Option<OriginError>>,
    /// The same cursor for ever.
    pub(crate) endless: Cell<bool>,
    pub(crate) gate: Gate,
}

impl Pages {
    /// Lists `count` issuers: `ca-0000`, `ca-0001`, …
    pub(crate) fn list(&self, count: usize) {
        *self.ids.borrow_mut() = (0..count).map(id).collect();
        self.page_size.set(1000);
    }
}

/// The id of an issuer.
pub(crate) fn id(number: usize) -> IssuerId {
    format!("ca-{number:04}").parse().unwrap()
}

impl OriginPages for TwinPages {
    async fn page(
        &self,
        cursor: Option<&str>,
    ) -> Result<(Vec<Issuer>, Option<String>), OriginError> {
        let Pages { ids, calls, .. } = &*self.0;
        calls.set(calls.get() + 1);
        self.0.gate.pass().await;
        if let Some(error) = self.0.error.borrow().clone() {
            return Err(error);
        }
        if self.0.endless.get() {
            let next = cursor.map_or(0, |cursor| cursor.parse::<u64>().unwrap()) + 1;
            return Ok((Vec::new(), Some(next.to_string())));
        }
        let from = cursor.map_or(0, |cursor| cursor.parse().unwrap());
        let to = ids.borrow().len().min(from + self.0.page_size.get());
        let shards = self.0.shards.get();
        let ids = ids.borrow();
        let page = ids[from..to].iter().map(|id| record(id, shards));
        let page = page.collect();
        let next = (to < ids.len()).then(|| to.to_string());
        Ok((page, next))
    }
}

fn record(id: &IssuerId, shards: u32) -> Issuer {
    let names = [CrlName::Full].into_iter();
    let names = names.chain((0..shards).map(CrlName::Shard));
    let crls = names.map(|name| Crl {
        name,
        distribution_point: None,
    });
    Issuer {
        id: id.clone(),
        certificate: Der(Vec::new()),
        crls: crls.collect(),
    }
}

/// The copy in KV.
#[derive(Clone)]
pub(crate) struct TwinIndex {
    pub(crate) copy: Rc<RefCell<Option<Index>>>,
    pub(crate) faults: Rc<Faults>,
    /// What writes go through.
    pub(crate) gate: Rc<Gate>,
}

impl IndexReplica for TwinIndex {
    async fn put(&self, index: &Index) -> Result<(), ReplicaError> {
        self.gate.pass().await;
        let doing = "index.put";
        let keep = || {
            *self.copy.borrow_mut() = Some(index.clone());
            Ok(())
        };
        self.faults
            .run(doing, keep, |cause| ReplicaError { doing, cause })
    }
}

/// The issuers' objects, as a job reaches them: each publishes its CRL in a second.
#[derive(Clone)]
pub(crate) struct TwinIssuers {
    host: TwinHost,
    /// Those that were asked, and those that have answered.
    pub(crate) asked: Rc<RefCell<Vec<IssuerId>>>,
    pub(crate) answered: Rc<RefCell<Vec<IssuerId>>>,
    /// Those that do not answer.
    pub(crate) silent: Rc<RefCell<Vec<IssuerId>>>,
    /// Those that were to do what they owe.
    pub(crate) flushed: Rc<RefCell<Vec<IssuerId>>>,
}

impl TwinIssuers {
    pub(crate) fn new(machine: &Machine) -> Self {
        Self {
            host: machine.host.clone(),
            asked: Rc::default(),
            answered: Rc::default(),
            silent: Rc::default(),
            flushed: Rc::default(),
        }
    }
}

impl IssuerObjects for TwinIssuers {
    async fn issuer_object(
        &self,
        id: &IssuerId,
        request: IssuerRequest,
    ) -> Result<IssuerAnswer, PlatformError> {
        let trigger = match request {
            IssuerRequest::Refresh { trigger, .. } => trigger,
            IssuerRequest::FlushPending => {
                self.flushed.borrow_mut().push(id.clone());
                return Ok(IssuerAnswer::Done);
            }
            other => panic!("the registry does not send {other:?}"),
        };
        self.asked.borrow_mut().push(id.clone());
        if self.silent.borrow().contains(id) {
            std::future::pending::<()>().await;
        }
        let (began_at, took) = (self.host.now(), Duration::from_secs(1));
        self.host.sleep(took).await;
        self.answered.borrow_mut().push(id.clone());
        let (event_id, about) = (EventId::new(began_at, [0; 10]), (id, CrlName::Full));
        let event = Event::new(event_id, about, trigger, Outcome::Published, began_at, took);
        Ok(IssuerAnswer::Refreshed(vec![event]))
    }
}

/// The registry object's storage.
pub(crate) type TwinRegistry = RegistryTwin<Rc<Faults>>;

impl TwinRegistry {
    pub(crate) fn new(faults: &Rc<Faults>) -> Self {
        Self {
            disk: RegistryDisk::default(),
            faults: Rc::clone(faults),
        }
    }
}

impl Faulty for Rc<Faults> {
    fn read<T>(&self, call: &'static str, read: impl FnOnce() -> T) -> Result<T, StoreError> {
        self.run(call, || Ok(read()), StoreError::Failed)
    }

    fn write<T>(&self, call: &'static str, write: impl FnOnce() -> T) -> Result<T, StoreError> {
        self.run(call, || Ok(write()), StoreError::Failed)
    }
}
