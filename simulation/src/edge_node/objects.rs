//! The objects: started when somebody asks, ended at any moment, each with one alarm.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use edge::config::Settings;
use edge::events::{Trigger, retention};
use edge::issuer::{
    IssuerAnswer, IssuerDeps, IssuerPorts, IssuerRequest, IssuerService, LeasedCrl,
};
use edge::kv_layout;
use edge::object_calls::{IssuerObjects, PlatformError, RegistryObject};
use edge::origin_client::OriginClient;
use edge::refresh::{Metadata, Pieces, Replica, ReplicaError, Store as _, StoreError};
use edge::registry::twin::RegistryDisk;
use edge::registry::{
    Index, IndexReplica, Reading, RegistryAnswer, RegistryPorts, RegistryRequest, RegistryService,
};
use edge::schedule::{self, Objects};
use futures_channel::oneshot;
use origin_api::{IssuerId, Timestamp};

use super::host::{Alarm, Host, check_signatures};
use super::network::{Network, PAGE};
use crate::clock::{Clock, Timeline};
use crate::d1::D1;
use crate::executor::{Executor, Scope};
use crate::faults::{Fault, Faults, Owner};
use crate::kv::{Kv, OBJECTS_POP, Value};
use crate::ledger::Ledger;
use crate::mutation::Mutation;
use crate::object_storage::{Disk, Failing, Life, RegistryStorage, Release, Storage};
use crate::random::Random;
use crate::trace::Trace;
use crate::wire::Wire;

/// How long an object reads KV from its point of presence's cache: the least that KV allows.
const OWN_READ_TTL: Duration = Duration::from_secs(30);

/// The edge. Clones are the same edge.
#[derive(Clone)]
pub(crate) struct Edge(Rc<Inside>);

/// What the edge runs on.
pub(crate) struct EdgeDeps {
    pub(crate) executor: Executor,
    pub(crate) timeline: Timeline,
    pub(crate) random: Random,
    pub(crate) faults: Faults,
    pub(crate) trace: Trace,
    pub(crate) ledger: Ledger,
    pub(crate) kv: Kv,
    pub(crate) d1: D1,
    pub(crate) origin: Wire,
    pub(crate) platform: Scope,
    pub(crate) started_at: Timestamp,
    pub(crate) settings: Settings,
    pub(crate) mutation: Option<Mutation>,
}

struct Inside {
    deps: EdgeDeps,
    settings: RefCell<Rc<Settings>>,
    issuers: RefCell<BTreeMap<IssuerId, IssuerObject>>,
    registry: Registry,
}

struct IssuerObject {
    disk: Disk,
    alarm: Alarm,
    running: Option<Instance<IssuerService<Ports>>>,
}

#[derive(Default)]
struct Registry {
    disk: RegistryDisk,
    alarm: Alarm,
    running: RefCell<Option<Instance<RegistryService<Ports>>>>,
}

/// One run of an object.
struct Instance<S> {
    service: Rc<S>,
    scope: Scope,
    life: Rc<Cell<Life>>,
}

impl<S> Clone for Instance<S> {
    fn clone(&self) -> Self {
        Self {
            service: Rc::clone(&self.service),
            scope: self.scope,
            life: Rc::clone(&self.life),
        }
    }
}

/// The object that an alarm wakes.
#[derive(Clone, Debug)]
enum AlarmOwner {
    Issuer(IssuerId),
    Registry,
}

/// The ports of both kinds of object.
pub(crate) struct Ports;

impl IssuerPorts for Ports {
    type Runtime = Host;
    type Origin = OriginClient<Network>;
    type Store = Storage;
    type Replica = ReplicaClient;
    type Log = D1;
    type Registry = Edge;
}

impl RegistryPorts for Ports {
    type Runtime = Host;
    type Origin = OriginClient<Network>;
    type Store = RegistryStorage;
    type Replica = Kv;
    type Issuers = Edge;
}

impl Edge {
    pub(crate) fn new(deps: EdgeDeps) -> Self {
        check_signatures(deps.mutation != Some(Mutation::SignaturesUnchecked));
        Self(Rc::new(Inside {
            settings: RefCell::new(Rc::new(deps.settings.clone())),
            deps,
            issuers: RefCell::default(),
            registry: Registry::default(),
        }))
    }

    pub(super) fn deps(&self) -> &EdgeDeps {
        &self.0.deps
    }

    pub(crate) fn settings(&self) -> Rc<Settings> {
        Rc::clone(&self.0.settings.borrow())
    }

    fn host(
        &self,
        who: &str,
        owner: AlarmOwner,
        alarm: &Alarm,
        scope: Scope,
        life: &Rc<Cell<Life>>,
    ) -> Host {
        let deps = &self.0.deps;
        let this = self.clone();
        Host {
            executor: deps.executor.clone(),
            scope,
            timeline: deps.timeline.clone(),
            clock: Clock::new(&deps.timeline),
            random: deps.random.clone(),
            trace: deps.trace.clone(),
            ledger: deps.ledger.clone(),
            faults: deps.faults.clone(),
            who: who.into(),
            alarm: alarm.clone(),
            life: Rc::clone(life),
            watch_alarm: Rc::new(move |at| this.watch_alarm(owner.clone(), at)),
        }
    }

    fn failing(&self, life: &Rc<Cell<Life>>) -> Failing {
        Failing {
            faults: self.0.deps.faults.clone(),
            life: Rc::clone(life),
        }
    }

    fn origin(&self, owner: Owner) -> OriginClient<Network> {
        let deps = &self.0.deps;
        OriginClient {
            transport: Network {
                wire: deps.origin.clone(),
                faults: deps.faults.clone(),
                owner,
                timeline: deps.timeline.clone(),
                trace: deps.trace.clone(),
                mutation: deps.mutation,
            },
            settings: self.settings(),
            page_size: PAGE,
        }
    }

    /// The issuer's object, started if it is not.
    fn issuer_instance(&self, id: &IssuerId) -> Instance<IssuerService<Ports>> {
        let deps = &self.0.deps;
        let (disk, alarm) = {
            let mut issuers = self.0.issuers.borrow_mut();
            let object = issuers.entry(id.clone()).or_insert_with(|| IssuerObject {
                disk: Disk::new(id),
                alarm: Alarm::default(),
                running: None,
            });
            if let Some(running) = &object.running {
                return running.clone();
            }
            (object.disk.clone(), object.alarm.clone())
        };
        let (scope, life) = (deps.executor.scope(), Rc::<Cell<Life>>::default());
        deps.trace.line(format!("object {id} starts"));
        let store = Rc::new(Storage {
            disk: disk.clone(),
            failing: self.failing(&life),
            ledger: deps.ledger.clone(),
            kv: deps.kv.clone(),
            mutation: deps.mutation,
        });
        let service = IssuerService::start(IssuerDeps {
            runtime: self.host(
                id.as_str(),
                AlarmOwner::Issuer(id.clone()),
                &alarm,
                scope,
                &life,
            ),
            origin: self.origin(Owner::Object(id.clone())),
            store,
            replica: ReplicaClient {
                kv: deps.kv.clone(),
                disk,
                mutation: deps.mutation,
                random: deps.random.clone(),
                faults: deps.faults.clone(),
                owner: Owner::Object(id.clone()),
            },
            log: deps.d1.clone(),
            registry: self.clone(),
            settings: self.settings(),
            issuer: id.clone(),
        });
        let instance = Instance {
            service,
            scope,
            life,
        };
        if let Some(object) = self.0.issuers.borrow_mut().get_mut(id) {
            object.running = Some(instance.clone());
        }
        instance
    }

    fn registry_instance(&self) -> Instance<RegistryService<Ports>> {
        if let Some(running) = &*self.0.registry.running.borrow() {
            return running.clone();
        }
        let deps = &self.0.deps;
        let (scope, life) = (deps.executor.scope(), Rc::<Cell<Life>>::default());
        deps.trace.line("the registry's object starts");
        let alarm = &self.0.registry.alarm;
        let service = Rc::new(RegistryService {
            runtime: self.host("registry", AlarmOwner::Registry, alarm, scope, &life),
            origin: self.origin(Owner::Registry),
            store: RegistryStorage {
                disk: self.0.registry.disk.clone(),
                faults: self.failing(&life),
            },
            replica: deps.kv.clone(),
            issuers: self.clone(),
            settings: self.settings(),
            reading: Reading::default(),
        });
        let instance = Instance {
            service,
            scope,
            life,
        };
        self.0.registry.running.replace(Some(instance.clone()));
        instance
    }

    /// Runs `work` in an object, as a call of it does: the caller learns if the object ends.
    async fn in_object<T: 'static>(
        &self,
        scope: Scope,
        work: impl Future<Output = T> + 'static,
    ) -> Result<T, PlatformError> {
        let deps = &self.0.deps;
        let (send, answer) = oneshot::channel();
        deps.executor.spawn(scope, async move {
            let _ = send.send(work.await);
        });
        answer
            .await
            .map_err(|_| PlatformError("the object ended".to_owned()))
    }

    async fn way_to_object(&self) -> Result<(), PlatformError> {
        let deps = &self.0.deps;
        deps.timeline.sleep(deps.random.millis(1..30)).await;
        if deps
            .faults
            .strikes(Fault::ObjectUnreachable, "call of an object")
        {
            return Err(PlatformError("the object cannot be reached".to_owned()));
        }
        Ok(())
    }

    fn way_back(&self) -> Result<(), PlatformError> {
        let faults = &self.0.deps.faults;
        if faults.strikes(Fault::AnswerLost, "answer of an object") {
            return Err(PlatformError("the answer was lost".to_owned()));
        }
        Ok(())
    }

    /// Asks an issuer's object. A CRL's DER comes beside its answer.
    pub(crate) async fn call(
        &self,
        issuer: &IssuerId,
        request: IssuerRequest,
    ) -> Result<(IssuerAnswer, Option<Bytes>), PlatformError> {
        self.way_to_object().await?;
        let Instance { service, scope, .. } = self.issuer_instance(issuer);
        let work = async move {
            let (answer, serving) = service.answer(request).await;
            let body = serving
                .map(|serving| body_of(&service, &serving))
                .transpose();
            body.map(|body| (answer, body))
        };
        let answered = self.in_object(scope, work).await?;
        self.way_back()?;
        answered.map_err(|error| PlatformError(error.to_string()))
    }

    fn alarm(&self, owner: &AlarmOwner) -> Option<Alarm> {
        match owner {
            AlarmOwner::Issuer(id) => {
                let issuers = self.0.issuers.borrow();
                issuers.get(id).map(|object| object.alarm.clone())
            }
            AlarmOwner::Registry => Some(self.0.registry.alarm.clone()),
        }
    }

    fn watch_alarm(&self, owner: AlarmOwner, at: Timestamp) {
        let (this, deps) = (self.clone(), &self.0.deps);
        let Some(alarm) = self.alarm(&owner) else {
            return;
        };
        let scope = deps.executor.scope();
        // Nobody waits for the time that it was set for before.
        if let Some(before) = alarm.watch(Some(scope)) {
            deps.executor.end(before);
        }
        deps.executor.spawn(scope, async move {
            this.wait_for_alarm(&owner, at, &alarm).await;
        });
    }

    async fn wait_for_alarm(&self, owner: &AlarmOwner, at: Timestamp, alarm: &Alarm) {
        let deps = &self.0.deps;
        let mut wait = at.since(deps.timeline.now()) + deps.random.millis(1..100);
        if deps.faults.strikes(Fault::AlarmLate, "alarm") {
            wait += deps.random.seconds(1..900);
        }
        deps.timeline.sleep(wait).await;
        // What it does goes on, whatever the alarm is set for meanwhile.
        alarm.watch(None);
        if alarm.set_for() != Some(at) {
            return;
        }
        alarm.set(None);
        if deps.faults.strikes(Fault::AlarmLost, "alarm") {
            return;
        }
        let twice = deps.faults.strikes(Fault::AlarmTwice, "alarm");
        for _ in 0..=u32::from(twice) {
            let result = match owner {
                AlarmOwner::Issuer(id) => {
                    let Instance { service, scope, .. } = self.issuer_instance(id);
                    let work = async move { service.alarm().await };
                    self.in_object(scope, work).await
                }
                AlarmOwner::Registry => {
                    let Instance { service, scope, .. } = self.registry_instance();
                    let work = async move { service.alarm().await };
                    self.in_object(scope, work).await
                }
            };
            // The platform runs an alarm again that failed.
            if !matches!(result, Ok(Ok(()))) && alarm.set_for().is_none() {
                let again = deps.timeline.now().after(Duration::from_secs(2));
                alarm.set(Some(again));
                self.watch_alarm(owner.clone(), again);
            }
        }
    }

    /// Runs the cron once: regenerates all CRLs, and prunes old events.
    pub(crate) async fn tick(&self) {
        let deps = &self.0.deps;
        let settings = self.settings();
        let concurrency = settings.regenerate_concurrency;
        let walked = schedule::regenerate_all(self, Trigger::Cron, concurrency).await;
        let summary = match walked {
            Ok(Some(summary)) => serde_json::json!(summary).to_string(),
            Ok(None) => "another one is under way".to_owned(),
            Err(error) => error.to_string(),
        };
        deps.trace.line(format!("tick: {summary}"));
        let now = deps.timeline.now();
        if let Err(error) = retention::prune(&deps.d1, now, settings.event_retention).await {
            deps.trace.line(format!("old rows not removed: {error}"));
        }
    }

    /// The issuers with an object that was ever started.
    pub(crate) fn issuers(&self) -> Vec<IssuerId> {
        self.0.issuers.borrow().keys().cloned().collect()
    }

    /// The storage of an issuer's object.
    pub(crate) fn disk(&self, id: &IssuerId) -> Option<Disk> {
        let issuers = self.0.issuers.borrow();
        issuers.get(id).map(|object| object.disk.clone())
    }

    /// Whether the object's alarm is set.
    pub(crate) fn has_alarm(&self, id: &IssuerId) -> bool {
        let issuers = self.0.issuers.borrow();
        issuers
            .get(id)
            .is_some_and(|object| object.alarm.set_for().is_some())
    }

    /// Ends an object: what it has in memory is lost.
    pub(crate) fn evict(&self, id: &IssuerId) {
        let ended = {
            let mut issuers = self.0.issuers.borrow_mut();
            issuers.get_mut(id).and_then(|object| object.running.take())
        };
        self.end(ended);
    }

    /// Ends the registry's object.
    pub(crate) fn evict_registry(&self) {
        let ended = self.0.registry.running.take();
        self.end(ended);
    }

    fn end<S>(&self, instance: Option<Instance<S>>) {
        if let Some(instance) = instance {
            instance.life.set(Life::Ended);
            self.0.deps.executor.end(instance.scope);
        }
    }

    /// Moves an object elsewhere: the next call starts another instance, while this one runs on for
    /// a time. It cannot write to its storage any more, but what it began goes on.
    pub(crate) fn migrate(&self, id: &IssuerId, overlap: Duration) {
        let replaced = {
            let mut issuers = self.0.issuers.borrow_mut();
            issuers.get_mut(id).and_then(|object| object.running.take())
        };
        let Some(replaced) = replaced else { return };
        replaced.life.set(Life::Replaced);
        let (this, deps) = (self.clone(), &self.0.deps);
        let timeline = deps.timeline.clone();
        deps.executor.spawn(deps.platform, async move {
            timeline.sleep(overlap).await;
            this.end(Some(replaced));
        });
        let _ = self.issuer_instance(id);
    }

    /// Restarts every object with these settings, as a deploy does. What was stored is written and
    /// read back in its stored form.
    pub(crate) fn deploy(&self, settings: Settings, from: Release) -> Result<(), String> {
        self.restart();
        self.0.settings.replace(Rc::new(settings));
        let issuers = self.0.issuers.borrow();
        let mut objects = issuers.iter();
        objects.try_for_each(|(id, object)| {
            let read = object.disk.reread(from);
            read.map_err(|error| format!("{id}: {error}"))
        })
    }

    fn restart(&self) {
        for id in self.issuers() {
            self.evict(&id);
        }
        self.evict_registry();
    }

    /// Ends everything, so that nothing refers to itself any more.
    pub(crate) fn shut_down(&self) {
        self.restart();
        self.0.issuers.borrow_mut().clear();
    }
}

fn body_of(service: &IssuerService<Ports>, serving: &LeasedCrl) -> Result<Bytes, StoreError> {
    let store = service.store();
    let pieces = (0..serving.current.pieces).map(|index| store.piece(serving.current.body, index));
    let pieces: Vec<_> = pieces.collect::<Result<_, _>>()?;
    Ok(pieces.concat().into())
}

impl IssuerObjects for Edge {
    async fn issuer_object(
        &self,
        issuer: &IssuerId,
        request: IssuerRequest,
    ) -> Result<IssuerAnswer, PlatformError> {
        let (answer, _) = self.call(issuer, request).await?;
        Ok(answer)
    }
}

impl RegistryObject for Edge {
    async fn registry_object(
        &self,
        request: RegistryRequest,
    ) -> Result<RegistryAnswer, PlatformError> {
        self.way_to_object().await?;
        let Instance { service, scope, .. } = self.registry_instance();
        let work = async move { service.answer(request).await };
        let answer = self.in_object(scope, work).await?;
        self.way_back()?;
        Ok(answer)
    }
}

impl Objects for Edge {
    fn now(&self) -> Timestamp {
        self.0.deps.timeline.now()
    }

    async fn sleep(&self, span: Duration) {
        self.0.deps.timeline.sleep(span).await;
    }
}

/// KV as an issuer's object writes it.
pub(crate) struct ReplicaClient {
    kv: Kv,
    disk: Disk,
    mutation: Option<Mutation>,
    random: Random,
    faults: Faults,
    owner: Owner,
}

impl ReplicaClient {
    fn is(&self, mutation: Mutation) -> bool {
        self.mutation == Some(mutation)
    }

    async fn write(
        &self,
        key: &str,
        value: Option<Value>,
        doing: &'static str,
    ) -> Result<(), ReplicaError> {
        let _under_way = self.faults.under_way(self.owner.clone(), doing);
        let written = self.kv.write(key, value, doing).await;
        written.map_err(|_| failed(doing))
    }
}

fn failed(doing: &'static str) -> ReplicaError {
    ReplicaError {
        doing,
        cause: "KV is down".to_owned(),
    }
}

impl Replica for ReplicaClient {
    async fn put_pieces(
        &self,
        key: &str,
        pieces: Pieces,
        metadata: Option<&Metadata>,
    ) -> Result<(), ReplicaError> {
        let doing = "take a body";
        if self.is(Mutation::WritesAcknowledgedUnwritten) && self.random.chance(300) {
            return Ok(());
        }
        let run = pieces.first as usize..pieces.end as usize;
        let body = self.disk.pieces(pieces.body, run);
        let body = body.ok_or_else(|| failed(doing))?;
        let metadata = metadata.map(|metadata| serde_json::json!(metadata).to_string());
        let bytes = body.into();
        self.write(key, Some(Value { bytes, metadata }), doing)
            .await
    }

    async fn put_manifest(&self, key: &str, metadata: &Metadata) -> Result<(), ReplicaError> {
        let value = Value {
            bytes: Bytes::from_static(b"in parts, see the metadata"),
            metadata: Some(serde_json::json!(metadata).to_string()),
        };
        self.write(key, Some(value), "take a manifest").await
    }

    async fn metadata(&self, key: &str) -> Result<Option<Metadata>, ReplicaError> {
        let doing = "return its metadata";
        let _under_way = self.faults.under_way(self.owner.clone(), doing);
        let read = self.kv.read(OBJECTS_POP, key, OWN_READ_TTL, doing).await;
        let value = read.map_err(|_| failed(doing))?;
        let text = value.and_then(|value| value.metadata.clone());
        Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
    }

    async fn delete(&self, key: &str) -> Result<(), ReplicaError> {
        self.write(key, None, "remove a key").await
    }
}

impl IndexReplica for Kv {
    async fn put(&self, index: &Index) -> Result<(), ReplicaError> {
        let doing = "take the registry";
        let _under_way = self.faults().under_way(Owner::Registry, doing);
        let value = Value {
            bytes: serde_json::json!(index).to_string().into(),
            metadata: None,
        };
        let written = self.write(kv_layout::REGISTRY, Some(value), doing).await;
        written.map_err(|_| failed(doing))
    }
}
