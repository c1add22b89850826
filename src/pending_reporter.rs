//! Reports of an issuer's object to the registry's object: events that D1 refuses.

use std::time::Duration;

use edge::events::pending::{PendingAnswer, PendingReporter, PendingRequest};
use edge::time::Timestamp;
use worker::Delay;

use crate::bindings::Bindings;
use crate::host::{log, now};
use crate::{object_call, registry_object};

/// The way to the registry's object.
#[derive(Debug)]
pub(crate) struct RegistryReporter(pub(crate) Bindings);

impl RegistryReporter {
    async fn send(&self, request: &PendingRequest) -> worker::Result<PendingAnswer> {
        let stub = self.0.registry()?.get_by_name(registry_object::NAME)?;
        let (answer, _) = object_call::send(&stub, request).await?;
        Ok(answer)
    }
}

impl PendingReporter for RegistryReporter {
    fn now(&self) -> Timestamp {
        now()
    }

    async fn sleep(&self, span: Duration) {
        Delay::from(span).await;
    }

    async fn report(&self, request: PendingRequest) {
        if let Err(error) = self.send(&request).await {
            log(&serde_json::json!({
                "level": "warning", "what": "pending events could not be reported",
                "cause": error.to_string(),
            }));
        }
    }
}
