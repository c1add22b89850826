//! Reports of an issuer's object to the registry's object: events that D1 refuses.

use std::time::Duration;

use edge::events::pending::{PendingAnswer, PendingReporter, PendingRequest};
use edge::time::Timestamp;
use worker::Delay;

use crate::bindings::Bindings;
use crate::clock::now;
use crate::log::log;
use crate::registry_object::{self, ObjectRequest};

/// The way to the registry's object.
#[derive(Debug)]
pub(crate) struct RegistryReporter(pub(crate) Bindings);

impl RegistryReporter {
    async fn send(&self, request: PendingRequest) -> worker::Result<PendingAnswer> {
        registry_object::ask(&self.0, &ObjectRequest::Pending(request)).await
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
        if let Err(error) = self.send(request).await {
            log(&serde_json::json!({
                "level": "warning", "what": "pending events could not be reported",
                "cause": error.to_string(),
            }));
        }
    }
}
