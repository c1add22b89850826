//! The registry's object, as an issuer's object asks it.

use std::time::Duration;

use edge::events::pending::{PendingAnswer, PendingReporter, PendingRequest};
use edge::object_calls::{PlatformError, RegistryObject};
use edge::registry::{RegistryAnswer, RegistryRequest};
use edge::time::Timestamp;
use worker::Delay;

use crate::bindings::Bindings;
use crate::clock::now;
use crate::log::log;
use crate::registry_call::{self, ObjectRequest};

/// The way to the registry's object.
#[derive(Clone, Debug)]
pub(crate) struct RegistryClient(pub(crate) Bindings);

impl RegistryClient {
    async fn report(&self, request: PendingRequest) -> worker::Result<PendingAnswer> {
        registry_call::ask(&self.0, &ObjectRequest::Pending(request)).await
    }
}

impl PendingReporter for RegistryClient {
    fn now(&self) -> Timestamp {
        now()
    }

    async fn sleep(&self, span: Duration) {
        Delay::from(span).await;
    }

    async fn report(&self, request: PendingRequest) {
        if let Err(error) = self.report(request).await {
            log(&serde_json::json!({
                "level": "warning", "what": "pending events could not be reported",
                "cause": error.to_string(),
            }));
        }
    }
}

impl RegistryObject for RegistryClient {
    async fn registry_object(
        &self,
        request: RegistryRequest,
    ) -> Result<RegistryAnswer, PlatformError> {
        let asked = registry_call::ask(&self.0, &ObjectRequest::Registry(request)).await;
        asked.map_err(|error: worker::Error| PlatformError(error.to_string()))
    }
}
