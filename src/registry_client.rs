//! The registry's object, as an issuer's object asks it.

use std::time::Duration;

use edge::events::pending::{PendingAnswer, PendingReporter, PendingRequest};
use edge::issuer::Registry;
use edge::registry::{RegistryAnswer, RegistryRequest, Standing};
use edge::time::Timestamp;
use origin_api::IssuerId;
use worker::Delay;

use crate::bindings::Bindings;
use crate::clients::ObjectError;
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

    async fn ask(&self, request: RegistryRequest) -> Result<RegistryAnswer, String> {
        let asked = registry_call::ask(&self.0, &ObjectRequest::Registry(request)).await;
        asked.map_err(|error: worker::Error| error.to_string())
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

impl Registry for RegistryClient {
    async fn standing(&self, issuer: &IssuerId) -> Result<Standing, String> {
        match self.ask(RegistryRequest::Standing(issuer.clone())).await? {
            RegistryAnswer::Standing(standing) => Ok(standing),
            other => Err(ObjectError::from(other).to_string()),
        }
    }

    async fn removed(&self, issuer: &IssuerId) -> Result<(), String> {
        match self.ask(RegistryRequest::Removed(issuer.clone())).await? {
            RegistryAnswer::Done => Ok(()),
            other => Err(ObjectError::from(other).to_string()),
        }
    }
}
