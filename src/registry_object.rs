//! The registry's Durable Object: its calls, carried out by [`RegistryService`].
#![expect(
    missing_docs,
    reason = "the macro's exports are for the platform, not for people"
)]

use std::cell::OnceCell;
use std::rc::Rc;

use edge::actions::{ActionLog, RefusedSignIns};
use edge::events::pending::PendingReports;
use edge::origin_client::OriginClient;
use edge::refresh::StoreError;
use edge::registry::{Reading, RegistryPorts, RegistryService};
use edge::served::ServedTotals;
use futures_util::future::join;
use worker::durable::State;
use worker::{DurableObject, Env, Request, Response, durable_object};

use crate::action_store::WorkerActions;
use crate::bindings::Bindings;
use crate::clients::EdgeClients;
use crate::d1::D1Log;
use crate::host::JsHost;
use crate::kv::KvIndex;
use crate::object_call;
use crate::object_call::ObjectRequest;
use crate::origin::{Fetch, PAGE};
use crate::platform::now;
use crate::registry_store::SqlRegistry;

/// Cloudflare's side of the ports.
#[derive(Debug)]
struct Cloudflare;

impl RegistryPorts for Cloudflare {
    type Runtime = JsHost;
    type Origin = OriginClient<Fetch>;
    type Store = SqlRegistry;
    type Replica = KvIndex;
    type Issuers = EdgeClients;
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
    served: ServedTotals,
}

impl DurableObject for RegistryObject {
    fn new(state: State, env: Env) -> Self {
        Self {
            state: Rc::new(state),
            bindings: Bindings { env },
            service: OnceCell::new(),
            actions: OnceCell::new(),
            pending: PendingReports::default(),
            served: ServedTotals::default(),
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
            ObjectRequest::Served(request) => {
                object_call::respond(&self.served.answer(request), None)
            }
        }
    }

    async fn alarm(&self) -> worker::Result<Response> {
        // Neither waits for the other: D1 may hang, and a job takes minutes.
        let deliver = async { self.actions()?.alarm().await.map_err(failed) };
        let work = async { self.service()?.alarm().await.map_err(failed) };
        let (delivered, worked) = join(deliver, work).await;
        delivered.and(worked)?;
        Response::empty()
    }
}

#[expect(clippy::needless_pass_by_value, reason = "as `map_err` gives it")]
fn failed(error: StoreError) -> worker::Error {
    error.to_string().into()
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
        Ok(Rc::clone(self.actions.get_or_init(|| {
            Rc::new(ActionLog {
                ports,
                refused: RefusedSignIns::default(),
            })
        })))
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
            origin: OriginClient {
                transport: Fetch,
                settings: Rc::clone(&settings),
                page_size: PAGE,
            },
            store: SqlRegistry::open(&self.state).map_err(|error| error.to_string())?,
            replica: KvIndex(self.bindings.kv()?),
            issuers: EdgeClients::new(&self.bindings, &settings, None),
            settings,
            reading: Reading::default(),
        });
        Ok(Rc::clone(self.service.get_or_init(|| service)))
    }
}
