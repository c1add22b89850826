//! The registry's Durable Object: its calls, carried over to [`Keeper`].
#![expect(
    missing_docs,
    reason = "the macro's exports are for the platform, not for people"
)]

use std::cell::OnceCell;
use std::rc::Rc;

use origin_api::IssuerId;
use serde::{Deserialize, Serialize};
use worker::durable::State;
use worker::{DurableObject, Env, Request, Response, durable_object};

use crate::bindings::Bindings;
use crate::host::JsHost;
use crate::kv::KvIndex;
use crate::origin::FetchOrigin;
use crate::registry_store::SqlRegistry;
use crate::reply;
use edge::registry::{Keeper, KeeperParts, Lease, Reading};

/// The name of the one registry object.
pub(crate) const NAME: &str = "registry";

/// A call of the registry's object.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RegistryCall {
    /// Gives the index.
    Index,
    /// Begins a tick: a lease, or null.
    BeginTick,
    /// Gives the next batch of a tick.
    NextBatch(Lease),
    /// Ends a tick.
    EndTick(Lease, Vec<IssuerId>),
}

/// Cloudflare's side of the seams.
#[derive(Debug)]
struct Cloudflare;

impl KeeperParts for Cloudflare {
    type Host = JsHost;
    type Origin = FetchOrigin;
    type Store = SqlRegistry;
    type Replica = KvIndex;
}

/// The registry's object.
#[durable_object(fetch)]
#[derive(Debug)]
pub struct RegistryObject {
    state: Rc<State>,
    bindings: Bindings,
    keeper: OnceCell<Rc<Keeper<Cloudflare>>>,
}

impl DurableObject for RegistryObject {
    fn new(state: State, env: Env) -> Self {
        Self {
            state: Rc::new(state),
            bindings: Bindings { env },
            keeper: OnceCell::new(),
        }
    }

    async fn fetch(&self, mut request: Request) -> worker::Result<Response> {
        let keeper = self.keeper()?;
        match serde_json::from_str(&request.text().await?)? {
            RegistryCall::Index => answer(keeper.index().await.as_deref()),
            RegistryCall::BeginTick => answer(keeper.begin_tick().await.as_ref()),
            RegistryCall::NextBatch(lease) => answer(keeper.next_batch(&lease).as_ref()),
            RegistryCall::EndTick(lease, unreached) => {
                answer(keeper.end_tick(&lease, &unreached).as_ref())
            }
        }
    }
}

impl RegistryObject {
    fn keeper(&self) -> worker::Result<Rc<Keeper<Cloudflare>>> {
        if let Some(keeper) = self.keeper.get() {
            return Ok(Rc::clone(keeper));
        }
        let settings = self
            .bindings
            .settings()
            .map_err(|error| error.to_string())?;
        let keeper = Rc::new(Keeper {
            host: JsHost {
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
        Ok(Rc::clone(self.keeper.get_or_init(|| keeper)))
    }
}

/// What came of a call: the value, or 503 and why.
fn answer<T: Serialize, E: std::fmt::Display>(result: Result<&T, E>) -> worker::Result<Response> {
    match result {
        Ok(value) => reply::json(value),
        Err(error) => Response::error(error.to_string(), 503),
    }
}
