//! The registry's Durable Object: its calls, carried over to [`Keeper`].
#![expect(
    missing_docs,
    reason = "the macro's exports are for the platform, not for people"
)]

use std::cell::OnceCell;
use std::rc::Rc;

use worker::durable::State;
use worker::{DurableObject, Env, Request, Response, durable_object};

use crate::bindings::Bindings;
use crate::host::JsHost;
use crate::kv::KvIndex;
use crate::object_call;
use crate::origin::FetchOrigin;
use crate::registry_store::SqlRegistry;
use edge::registry::{Keeper, KeeperParts, Reading};

/// The name of the one registry object.
pub(crate) const NAME: &str = "registry";

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
        let request = object_call::receive(&mut request).await?;
        let answer = self.keeper()?.answer(request).await;
        object_call::respond(&answer, None)
    }
}

impl RegistryObject {
    fn keeper(&self) -> worker::Result<Rc<Keeper<Cloudflare>>> {
        if let Some(keeper) = self.keeper.get() {
            return Ok(Rc::clone(keeper));
        }
        let settings = self.bindings.settings();
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
