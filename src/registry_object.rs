//! The registry's Durable Object: its calls, carried out by [`RegistryService`].
#![expect(
    missing_docs,
    reason = "the macro's exports are for the platform, not for people"
)]

use std::cell::OnceCell;
use std::rc::Rc;

use edge::actions::{ActionLog, ActionRequest};
use edge::events::pending::{PendingReports, PendingRequest};
use edge::registry::{Reading, RegistryPorts, RegistryRequest, RegistryService};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use worker::durable::State;
use worker::{DurableObject, Env, Request, Response, durable_object};

use crate::action_store::WorkerActions;
use crate::bindings::Bindings;
use crate::clock::now;
use crate::d1::D1Log;
use crate::host::JsHost;
use crate::kv::KvIndex;
use crate::object_call;
use crate::origin::FetchOrigin;
use crate::registry_store::SqlRegistry;

/// The name of the one registry object.
const NAME: &str = "registry";

/// Sends a request to the registry's object.
pub(crate) async fn ask<A: DeserializeOwned>(
    bindings: &Bindings,
    request: &ObjectRequest,
) -> worker::Result<A> {
    let stub = bindings.registry()?.get_by_name(NAME)?;
    let (answer, _) = object_call::send(&stub, request).await?;
    Ok(answer)
}

/// Cloudflare's side of the ports.
#[derive(Debug)]
struct Cloudflare;

impl RegistryPorts for Cloudflare {
    type Runtime = JsHost;
    type Origin = FetchOrigin;
    type Store = SqlRegistry;
    type Replica = KvIndex;
}

/// The registry's object.
#[durable_object(alarm)]
#[derive(Debug)]
pub struct RegistryObject {
    state: Rc<State>,
    bindings: Bindings,
    service: OnceCell<Rc<RegistryService<Cloudflare>>>,
    actions: OnceCell<Rc<ActionLog<WorkerActions>>>,
    pending: PendingReports,
}

/// A request to this object: about the registry, the actions of operators, or pending events.
///
/// Tagged, not untagged: serde would compile every type a second time to try one after the other.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum ObjectRequest {
    Registry(RegistryRequest),
    Action(ActionRequest),
    Pending(PendingRequest),
}

impl DurableObject for RegistryObject {
    fn new(state: State, env: Env) -> Self {
        Self {
            state: Rc::new(state),
            bindings: Bindings { env },
            service: OnceCell::new(),
            actions: OnceCell::new(),
            pending: PendingReports::default(),
        }
    }

    async fn fetch(&self, mut request: Request) -> worker::Result<Response> {
        match object_call::receive(&mut request).await? {
            ObjectRequest::Registry(request) => {
                object_call::respond(&self.service()?.answer(request).await, None)
            }
            ObjectRequest::Action(request) => {
                object_call::respond(&self.actions()?.answer(request).await, None)
            }
            ObjectRequest::Pending(request) => {
                object_call::respond(&self.pending.answer(request, now()), None)
            }
        }
    }

    async fn alarm(&self) -> worker::Result<Response> {
        let delivered = self.actions()?.alarm().await;
        delivered.map_err(|error| error.to_string())?;
        Response::empty()
    }
}

impl RegistryObject {
    fn actions(&self) -> worker::Result<Rc<ActionLog<WorkerActions>>> {
        if let Some(actions) = self.actions.get() {
            return Ok(Rc::clone(actions));
        }
        let host = JsHost {
            state: Rc::clone(&self.state),
        };
        let table = D1Log(self.bindings.d1()?);
        let ports = WorkerActions::open(&self.state, host, table);
        let ports = ports.map_err(|error| error.to_string())?;
        Ok(Rc::clone(
            self.actions.get_or_init(|| Rc::new(ActionLog { ports })),
        ))
    }

    fn service(&self) -> worker::Result<Rc<RegistryService<Cloudflare>>> {
        if let Some(service) = self.service.get() {
            return Ok(Rc::clone(service));
        }
        let settings = self.bindings.settings();
        let service = Rc::new(RegistryService {
            runtime: JsHost {
                state: Rc::clone(&self.state),
            },
            origin: FetchOrigin {
                settings: Rc::clone(&settings),
            },
            store: SqlRegistry::open(&self.state).map_err(|error| error.to_string())?,
            replica: KvIndex(self.bindings.kv()?),
            settings,
            reading: Reading::default(),
        });
        Ok(Rc::clone(self.service.get_or_init(|| service)))
    }
}
