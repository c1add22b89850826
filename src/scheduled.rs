//! The cron trigger: regenerates all CRLs, and removes old events.

use std::time::Duration;

use edge::config::Settings;
use edge::events::{Trigger, retention};
use edge::schedule;
use edge::time::within;
use worker::{Delay, Env};

use crate::bindings::Bindings;
use crate::clients::{EdgeClients, ObjectError};
use crate::clock::now;
use crate::d1::{D1Log, OldActions};
use crate::log::log;

/// What is left of a tick's 15 minutes after the walk. What is not removed waits for the next tick.
const TIME_TO_PRUNE: Duration = Duration::from_secs(20);

/// Removes old events and actions. A tick that did its work has not failed because D1 is down.
async fn prune(bindings: &Bindings, settings: &Settings) {
    let pruned = async {
        let (database, now) = (bindings.d1()?, now());
        let events = D1Log(database);
        let removed = retention::prune(&events, now, settings.event_retention).await;
        let events_removed = removed.map_err(|error| error.to_string())?;
        let actions = OldActions(events);
        let removed = retention::prune(&actions, now, settings.action_retention).await;
        let actions_removed = removed.map_err(|error| error.to_string())?;
        Ok((events_removed, actions_removed))
    };
    let pruned = within(Delay::from(TIME_TO_PRUNE), pruned).await;
    let pruned: worker::Result<(u64, u64)> =
        pruned.unwrap_or_else(|| Err("it took too long".into()));
    match pruned {
        Ok((events, actions)) => log(&serde_json::json!({
            "level": "info", "what": "old rows removed", "events": events, "actions": actions,
        })),
        Err(cause) => log(&serde_json::json!({
            "level": "warning", "what": "old rows not removed", "cause": cause.to_string(),
        })),
    }
}

/// Runs a tick.
///
/// # Errors
/// Everything failed: the platform then shows the run as failed.
pub(crate) async fn run(env: Env) -> Result<(), String> {
    let bindings = Bindings { env };
    let settings = bindings.settings();
    let objects = EdgeClients::new(&bindings, &settings, None);
    let concurrency = settings.regenerate_concurrency;
    let walked = schedule::regenerate_all(&objects, Trigger::Cron, concurrency).await;
    prune(&bindings, &settings).await;
    let walked = walked.map_err(|error: ObjectError| error.to_string())?;
    let Some(summary) = walked else {
        log(&serde_json::json!({
            "level": "info", "what": "no tick: another one, or a refresh of everything, is under way, or the registry did not begin it in time",
        }));
        return Ok(());
    };
    log(&serde_json::json!({ "level": "info", "what": "tick", "summary": summary }));
    if summary.everything_failed() {
        return Err(format!(
            "every issuer failed: {}",
            serde_json::json!(summary)
        ));
    }
    Ok(())
}
