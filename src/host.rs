//! The platform's clock, randomness, timers, tasks and log. Signatures are in `signature`.

use std::rc::Rc;
use std::time::Duration;

use futures_util::future::LocalBoxFuture;
use worker::durable::State;
use worker::js_sys;
use worker::{Delay, ScheduledTime};

use crate::signature::JsHashed;
use edge::refresh::{Runtime, StoreError};
use edge::time::Timestamp;

/// The machine, as a Durable Object has it.
#[derive(Clone, Debug)]
pub(crate) struct JsHost {
    /// The object's state, which holds its alarm.
    pub state: Rc<State>,
}

/// The time now, as the platform tells it: it stands still while code runs.
#[must_use]
pub(crate) fn now() -> Timestamp {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "JavaScript gives whole milliseconds, of which doubles hold more than are to come"
    )]
    let millis = js_sys::Date::now() as i64;
    Timestamp::from_millis(millis)
}

/// Writes one line to the operator's log, at the level that it names.
pub(crate) fn log(line: &serde_json::Value) {
    match line.get("level").and_then(serde_json::Value::as_str) {
        Some("error") => worker::console_error!("{line}"),
        Some("warning") => worker::console_warn!("{line}"),
        _ => worker::console_log!("{line}"),
    }
}

impl Runtime for JsHost {
    type Hashed = JsHashed;

    fn now(&self) -> Timestamp {
        now()
    }

    async fn sleep(&self, span: Duration) {
        Delay::from(span).await;
    }

    fn random(&self) -> [u8; 10] {
        let mut bytes = [0; 10];
        if let Err(error) = getrandom::fill(&mut bytes) {
            // Ids then repeat only within one millisecond and one issuer; a platform without random bytes serves no TLS either.
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
