//! The issuer's object over the twins: one flight, nothing lost, always ahead of expiry.

mod changes;
mod faults;
mod flight;
mod last_release;
mod publish;
mod refusals;
mod removal;
mod removal_gate;
mod shards;
mod volume;
mod wake;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use futures_util::FutureExt as _;
use origin_api::{CrlName, IssuerId};

use super::{IssuerDeps, IssuerPorts, IssuerService, LeasedCrl, TrustAnswer, Unavailable};
use crate::config::Settings;
use crate::events::{Event, Trigger};
use crate::object_calls::{PlatformError, RegistryObject};
use crate::refresh::testing::{
    Ca, Client, Disk, Faults, HOUR, MINUTE, Machine, NOW, Reply, TwinHost, TwinLog, TwinOrigin,
    TwinReplica, TwinStore, settings,
};
use crate::refresh::{Runtime as _, Sha256, fingerprint};
use crate::registry::{RegistryAnswer, RegistryRequest, Standing};
use crate::time::Timestamp;

const FULL: CrlName = CrlName::Full;

struct Twins;

impl IssuerPorts for Twins {
    type Runtime = TwinHost;
    type Origin = TwinOrigin;
    type Store = TwinStore;
    type Replica = TwinReplica;
    type Log = TwinLog;
    type Registry = TwinListing;
}

/// The registry's object: what it says of the issuer.
#[derive(Clone)]
struct TwinListing(Rc<Listing>);

struct Listing {
    standing: RefCell<Result<Standing, String>>,
    /// How often it was asked.
    asked: Cell<u32>,
    /// Whether the object said that it has removed the issuer.
    is_removed: Cell<bool>,
}

impl RegistryObject for TwinListing {
    async fn registry_object(
        &self,
        request: RegistryRequest,
    ) -> Result<RegistryAnswer, PlatformError> {
        match request {
            RegistryRequest::Standing(_) => {
                self.0.asked.set(self.0.asked.get() + 1);
                let standing = self.0.standing.borrow().clone();
                standing
                    .map(RegistryAnswer::Standing)
                    .map_err(PlatformError)
            }
            RegistryRequest::Removed(_) => {
                self.0.is_removed.set(true);
                Ok(RegistryAnswer::Done)
            }
            other => panic!("an issuer's object does not send {other:?}"),
        }
    }
}

/// One issuer's object, and the world around it.
struct Stage {
    faults: Rc<Faults>,
    machine: Machine,
    host: TwinHost,
    origin: TwinOrigin,
    disk: Disk,
    replica: TwinReplica,
    log: TwinLog,
    registry: TwinListing,
    settings: Rc<Settings>,
    service: RefCell<Option<Rc<IssuerService<Twins>>>>,
    alarms: RefCell<Vec<Timestamp>>,
}

impl Stage {
    fn new(ca: Ca, set: &[(&str, &str)]) -> Self {
        let faults = Rc::new(Faults::default());
        let machine = Machine::new(&faults);
        let host = machine.host.clone();
        let disk = Disk::default();
        Self {
            origin: TwinOrigin::new(ca, &host),
            replica: TwinReplica::new(&disk, &faults),
            log: TwinLog::new(&faults),
            registry: TwinListing(Rc::new(Listing {
                standing: RefCell::new(Ok(Standing::Listed(vec![FULL]))),
                asked: Cell::new(0),
                is_removed: Cell::new(false),
            })),
            settings: Rc::new(settings(set)),
            service: RefCell::default(),
            alarms: RefCell::default(),
            faults,
            machine,
            host,
            disk,
        }
    }

    fn p256() -> Self {
        Self::new(Ca::p256(), &[])
    }

    /// The object, started where it is not.
    fn object(&self) -> Rc<IssuerService<Twins>> {
        let mut service = self.service.borrow_mut();
        Rc::clone(service.get_or_insert_with(|| {
            IssuerService::start(IssuerDeps {
                runtime: self.host.clone(),
                origin: self.origin.clone(),
                store: Rc::new(TwinStore::new(&self.disk, &self.faults)),
                replica: self.replica.clone(),
                log: self.log.clone(),
                registry: self.registry.clone(),
                settings: Rc::clone(&self.settings),
                issuer: id(),
            })
        }))
    }

    /// Ends the object as the platform may at any moment: what is in memory is lost.
    fn kill(&self) {
        self.machine.end();
        self.service.take();
    }

    fn refresh(&self, trigger: Trigger) -> Client<Vec<Event>> {
        let object = self.object();
        self.machine
            .client(async move { object.refresh(None, trigger).await })
    }

    /// What the registry's object says of the issuer from now on.
    fn lists(&self, names: Option<&[CrlName]>) {
        let standing = names.map_or(Standing::Gone, |names| Standing::Listed(names.to_vec()));
        *self.registry.0.standing.borrow_mut() = Ok(standing);
    }

    fn serve(&self) -> Client<Result<LeasedCrl, Unavailable>> {
        let object = self.object();
        self.machine.client(async move { object.serve(FULL).await })
    }

    /// What a refresh comes to, where no time passes.
    fn refreshed(&self, trigger: Trigger) -> Vec<Event> {
        let object = self.object();
        self.machine
            .done(async move { object.refresh(None, trigger).await })
    }

    /// Trusts the certificate that waits now.
    fn trust_waiting(&self) -> Client<TrustAnswer> {
        let waiting = self
            .disk
            .issuer()
            .pending_certificate
            .expect("a certificate waits");
        self.trust(fingerprint(&waiting))
    }

    fn trust(&self, sha256: Sha256) -> Client<TrustAnswer> {
        let object = self.object();
        self.machine
            .client(async move { object.trust(sha256).await.unwrap() })
    }

    /// The number that a relying party is served, where no time passes.
    fn served(&self) -> Result<String, Unavailable> {
        let object = self.object();
        let leased = self.machine.done(async move { object.serve(FULL).await });
        leased.map(|leased| {
            let body = self.disk.body(leased.current.body).concat();
            assert_eq!(body.len() as u64, leased.current.head.size);
            leased.current.head.number.to_string()
        })
    }

    /// The number of the committed CRL.
    fn number(&self) -> Option<String> {
        self.disk
            .crl(FULL)
            .head()
            .map(|head| head.number.to_string())
    }

    /// The number of the CRL in KV.
    fn in_kv(&self) -> Option<String> {
        let (metadata, _) = self.replica.body(&key(FULL))?;
        Some(metadata.head.number.to_string())
    }

    /// Lets time pass, alarms going off as they come.
    fn pass(&self, span: Duration) {
        let end = self.host.now().after(span);
        self.machine.run();
        for _ in 0..100_000 {
            let alarm = self.host.alarm();
            let next = alarm.into_iter().chain(self.machine.next_waking()).min();
            let Some(at) = next.filter(|at| *at <= end) else {
                self.machine.set_time(end);
                return;
            };
            if alarm.is_some_and(|alarm| alarm <= at) {
                self.host.take_alarm();
                self.alarms.borrow_mut().push(at);
                self.machine.set_time(at.max(self.host.now()));
                let (object, host) = (self.object(), self.host.clone());
                let handler = async move {
                    if object.alarm().await.is_err() {
                        // As the platform does, which however gives up after six times.
                        host.alarm_again(host.now().after(Duration::from_secs(2)));
                    }
                };
                self.host.spawn(handler.boxed_local());
                self.machine.run();
            } else {
                self.machine.set_time(at.max(self.host.now()));
            }
            if self.faults.ended() {
                return;
            }
        }
        panic!("the alarm does not rest");
    }
}

fn id() -> IssuerId {
    "ca".parse().unwrap()
}

fn key(name: CrlName) -> String {
    crate::kv_layout::key(&id(), name)
}
