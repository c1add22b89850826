//! What a Durable Object needs of its platform: clock, randomness, timers, tasks, alarm and log.

use std::rc::Rc;
use std::time::Duration;

use edge::refresh::{Runtime, StoreError};
use edge::time::Timestamp;
use futures_util::future::LocalBoxFuture;
use worker::durable::State;
use worker::{ScheduledTime, js_sys};

use crate::platform::{log, now, sleep};
use crate::signature::{JsContentHash, JsHashed};

/// The machine, as a Durable Object has it.
#[derive(Clone, Debug)]
pub(crate) struct JsHost {
    /// The object's state, which holds its alarm.
    pub state: Rc<State>,
}

impl JsHost {
    /// Has the alarm go off at `at`, unless it is set for an earlier time. Durable when it returns.
    pub(crate) async fn set_alarm_by(&self, at: Timestamp) -> Result<(), StoreError> {
        let set = self.state.storage().get_alarm().await;
        let set = set.map_err(|error| StoreError::Failed(error.to_string()))?;
        if set.is_some_and(|set| set <= at.as_millis()) {
            return Ok(());
        }
        self.set_alarm(at).await
    }
}

impl Runtime for JsHost {
    type Hashed = JsHashed;
    type ContentHash = JsContentHash;

    fn now(&self) -> Timestamp {
        now()
    }

    async fn sleep(&self, span: Duration) {
        sleep(span).await;
    }

    fn random(&self) -> [u8; 10] {
        let mut bytes = [0; 10];
        if let Err(error) = getrandom::fill(&mut bytes) {
            // Ids then repeat only within one millisecond and one issuer; a platform without random
            // bytes serves no TLS either.
            log(
                &serde_json::json!({ "level": "error", "what": "no random bytes", "cause": error.to_string() }),
            );
        }
        bytes
    }

    fn spawn(&self, task: LocalBoxFuture<'static, ()>) {
        self.state.wait_until(task);
    }

    async fn set_alarm(&self, at: Timestamp) -> Result<(), StoreError> {
        #[expect(
            clippy::cast_precision_loss,
            reason = "JavaScript counts milliseconds in doubles, which hold these exactly until the year 287396"
        )]
        let date = js_sys::Date::new(&js_sys::Number::from(at.as_millis() as f64));
        self.state
            .storage()
            .set_alarm(ScheduledTime::new(date))
            .await
            .map_err(|error| StoreError::Failed(error.to_string()))
    }

    fn log(&self, line: &serde_json::Value) {
        log(line);
    }
}
