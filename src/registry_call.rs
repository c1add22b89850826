//! Calls of the registry's Durable Object.

use edge::actions::ActionRequest;
use edge::events::pending::PendingRequest;
use edge::registry::RegistryRequest;
use edge::served::ServedRequest;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::bindings::Bindings;
use crate::object_call;

/// A request to the registry's object: about the registry, the actions of operators, pending
/// events, or what relying parties got.
///
/// Tagged, not untagged: serde would compile every type a second time to try one after the other.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum ObjectRequest {
    Registry(RegistryRequest),
    Action(ActionRequest),
    Pending(PendingRequest),
    Served(ServedRequest),
}

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
