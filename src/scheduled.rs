//! The cron trigger: regenerates all CRLs, and removes old events.

use edge::events::retention;
use edge::schedule;
use worker::Env;

use crate::bindings::Bindings;
use crate::clients::EdgeClients;
use crate::d1::{D1Log, OldActions};
use crate::platform::{log, now};

/// How many old events and actions were removed.
type Removed = (u64, u64);

/// Removes old events and actions.
async fn prune(bindings: &Bindings) -> worker::Result<Removed> {
    let settings = bindings.settings();
    let (database, now) = (bindings.d1()?, now());
    let events = D1Log(database);
    let removed = retention::prune(&events, now, settings.event_retention).await;
    let events_removed = removed.map_err(|error| error.to_string())?;
    let actions = OldActions(events);
    let removed = retention::prune(&actions, now, settings.action_retention).await;
    let actions_removed = removed.map_err(|error| error.to_string())?;
    Ok((events_removed, actions_removed))
}

/// A tick that did its work has not failed because D1 is down.
fn log_pruned(pruned: Option<worker::Result<Removed>>) {
    match pruned.unwrap_or_else(|| Err("it took too long".into())) {
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
    let (walked, pruned) = schedule::run(&objects, concurrency, prune(&bindings)).await;
    log_pruned(pruned);
    let walked = walked.map_err(|error| error.to_string())?;
    let Some(summary) = walked else {
        log(&serde_json::json!({
            "level": "info", "what": "no tick: another tick or a refresh of all issuers is under way, or the registry did not answer in time",
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
