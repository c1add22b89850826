//! The issuer's Durable Object: its calls and its alarm, carried out by [`IssuerService`].
#![expect(
    missing_docs,
    reason = "the macro's exports are for the platform, not for people"
)]

use std::cell::OnceCell;
use std::rc::Rc;

use edge::events::pending::ReportingLog;
use edge::issuer::{
    IssuerAnswer, IssuerCall, IssuerDeps, IssuerPorts, IssuerRequest, IssuerService, LeasedCrl,
    Unavailable,
};
use edge::origin_client::OriginClient;
use edge::refresh::Pieces;
use edge::time::within;
use edge::wait_slots::{Crowded, WaitSlots};
use origin_api::IssuerId;
use worker::durable::State;
use worker::{DurableObject, Env, Request, Response, durable_object};

use crate::bindings::Bindings;
use crate::clients::EdgeClients;
use crate::d1::D1Log;
use crate::host::JsHost;
use crate::issuer_store::SqlStore;
use crate::kv::KvReplica;
use crate::origin::{Fetch, PAGE};
use crate::platform::now;
use crate::streams::Stored;
use crate::{client, object_call};

/// Cloudflare's side of the ports.
#[derive(Debug)]
pub(crate) struct Cloudflare;

impl IssuerPorts for Cloudflare {
    type Runtime = JsHost;
    type Origin = OriginClient<Fetch>;
    type Store = SqlStore;
    type Replica = KvReplica;
    type Log = ReportingLog<D1Log, EdgeClients>;
    type Registry = EdgeClients;
}

/// One issuer's object.
#[durable_object(alarm)]
#[derive(Debug)]
pub struct IssuerObject {
    state: Rc<State>,
    bindings: Bindings,
    service: OnceCell<Rc<IssuerService<Cloudflare>>>,
    slots: WaitSlots,
}

impl DurableObject for IssuerObject {
    fn new(state: State, env: Env) -> Self {
        Self {
            state: Rc::new(state),
            bindings: Bindings { env },
            service: OnceCell::new(),
            slots: WaitSlots::default(),
        }
    }

    async fn fetch(&self, mut request: Request) -> worker::Result<Response> {
        let IssuerCall {
            issuer,
            request: asked,
        } = object_call::receive(&mut request).await?;
        let service = self.service(Some(&issuer))?;
        let (answer, leased) = if let IssuerRequest::Serve { name, .. } = &asked {
            let deadline = now().after(self.bindings.settings().origin_timeout);
            let name = name.to_string();
            let _slot = match self.slots.take(&name, now(), deadline) {
                Ok(slot) => slot,
                Err(Crowded { retry_after }) => {
                    let seconds = retry_after.as_secs();
                    let turned_away = Unavailable::RetryAfter { seconds };
                    return object_call::respond(&IssuerAnswer::Unavailable(turned_away), None);
                }
            };
            let caller_left = client::left(request.inner());
            match within(caller_left, service.answer(asked)).await {
                Some(answered) => answered,
                None => return Response::empty(),
            }
        } else {
            service.answer(asked).await
        };
        let stream = leased
            .map(|leased| stream(service.store(), leased))
            .transpose()?;
        object_call::respond(&answer, stream)
    }

    async fn alarm(&self) -> worker::Result<Response> {
        self.service(None)?.alarm().await.map_err(failed)?;
        Response::empty()
    }
}

impl IssuerObject {
    /// The service. An alarm does not say whose object it wakes: that was noted with the first
    /// call.
    fn service(&self, caller: Option<&IssuerId>) -> worker::Result<Rc<IssuerService<Cloudflare>>> {
        if let Some(service) = self.service.get() {
            return Ok(Rc::clone(service));
        }
        let settings = self.bindings.settings();
        let store = Rc::new(SqlStore::open(&self.state).map_err(failed)?);
        let issuer = match (store.issuer_id().map_err(failed)?, caller) {
            (Some(known), _) => known,
            (None, Some(caller)) => {
                store.set_issuer_id(caller).map_err(failed)?;
                caller.clone()
            }
            (None, None) => return Err("an alarm of an object that was never called".into()),
        };
        let registry = EdgeClients::new(&self.bindings, &settings, None);
        let service = IssuerService::start(IssuerDeps {
            runtime: JsHost {
                state: Rc::clone(&self.state),
            },
            origin: OriginClient {
                transport: Fetch,
                settings: Rc::clone(&settings),
                page_size: PAGE,
            },
            replica: KvReplica {
                kv: self.bindings.kv()?,
                stored: Stored {
                    store: Rc::clone(&store),
                },
            },
            log: ReportingLog::new(D1Log(self.bindings.d1()?), registry.clone()),
            registry,
            store,
            settings,
            issuer,
        });
        Ok(Rc::clone(self.service.get_or_init(|| service)))
    }
}

/// The DER of a CRL, out of storage.
fn stream(store: Rc<SqlStore>, leased: LeasedCrl) -> worker::Result<web_sys::ReadableStream> {
    let LeasedCrl { current, lease } = leased;
    let pieces = Pieces {
        body: current.body,
        first: 0,
        end: current.pieces,
        size: current.head.size,
    };
    let stream = Stored { store }.stream(pieces, Some(lease));
    stream.map_err(worker::Error::from)
}

fn failed(error: impl std::fmt::Display) -> worker::Error {
    worker::Error::RustError(error.to_string())
}
