//! What an issuer's service is made from, and what its parts share.

use std::rc::Rc;
use std::time::Duration;

use origin_api::IssuerId;

use crate::config::Settings;
use crate::object_calls::RegistryObject;
use crate::refresh::{EventLog, Origin, Replica, Runtime, StateCache, Store, StoreError};
use crate::time::within;

/// The ports of an issuer's object.
pub trait IssuerPorts: 'static {
    /// Clock, timers, randomness, tasks, alarm and log.
    type Runtime: Runtime + Clone;
    /// The origin.
    type Origin: Origin;
    /// The object's storage.
    type Store: Store;
    /// KV.
    type Replica: Replica;
    /// D1.
    type Log: EventLog;
    /// The registry's object.
    type Registry: RegistryObject;
}

/// What an issuer's service is made from.
pub struct IssuerDeps<P: IssuerPorts> {
    /// Clock, timers, randomness, tasks, alarm and log.
    pub runtime: P::Runtime,
    /// The origin.
    pub origin: P::Origin,
    /// The object's storage.
    pub store: Rc<P::Store>,
    /// KV.
    pub replica: P::Replica,
    /// D1.
    pub log: P::Log,
    /// The registry's object.
    pub registry: P::Registry,
    /// The settings.
    pub settings: Rc<Settings>,
    /// The issuer that the object belongs to.
    pub issuer: IssuerId,
}

/// What the service and its parts share.
pub(super) struct Shared<P: IssuerPorts> {
    pub(super) runtime: P::Runtime,
    pub(super) state: Rc<StateCache<P::Store>>,
    pub(super) settings: Rc<Settings>,
    pub(super) issuer: IssuerId,
}

impl<P: IssuerPorts> Shared<P> {
    /// Runs a step for at most `limit`; `None` if it takes longer.
    pub(super) async fn within<T>(
        &self,
        limit: Duration,
        step: impl Future<Output = T>,
    ) -> Option<T> {
        within(self.runtime.sleep(limit), step).await
    }

    /// The value; `None` if storage failed, which this logs.
    pub(super) fn ok_or_log<T>(&self, result: Result<T, StoreError>) -> Option<T> {
        result
            .inspect_err(|error| {
                self.runtime.log(&serde_json::json!({
                    "level": "error", "what": "storage failed",
                    "issuer": self.issuer, "cause": error.to_string(),
                }));
            })
            .ok()
    }
}

/// Why a write to KV or D1 did not succeed, in words; `None` is a time-out.
pub(super) fn cause_of<E: std::fmt::Display>(failed: Option<Result<(), E>>) -> String {
    match failed {
        Some(Err(error)) => error.to_string(),
        _ => "timed out".to_owned(),
    }
}
