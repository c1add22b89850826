//! A request, from the platform and back to it.

use std::rc::Rc;

use web_sys::{Request, Response};
use worker::{Context, Env};

use super::bindings::Bindings;
use super::d1::D1Log;
use super::host::{log, now};
use super::objects::{ObjectError, WorkerObjects};
use super::operator;
use super::reply::{problem, respond};
use super::url;
use crate::config::Settings;
use crate::events::{Trigger, retention};
use crate::problem::EdgeError;
use crate::public::{self, Route, Served, Source, Wanted};
use crate::schedule::{self, Summary};

/// Answers a request.
///
/// # Errors
/// Where the platform fails in a way that leaves no answer.
pub async fn fetch(request: Request, env: Env, context: Context) -> worker::Result<Response> {
    let bindings = Bindings { env };
    let settings = match bindings.settings() {
        Ok(settings) => settings,
        Err(error) => {
            log(
                &serde_json::json!({ "level": "error", "what": "wrong settings", "cause": error.to_string() }),
            );
            return problem(&EdgeError::WrongSetting(error));
        }
    };
    let method = request.method();
    let url = request.url();
    let path = url::path(&url);
    match Route::parse(&method, path) {
        Route::Crl {
            method,
            issuer,
            name,
            encoding,
        } => {
            let objects = WorkerObjects::new(&bindings, &settings, Some(context))?;
            let wanted = Wanted {
                method,
                issuer,
                name,
                encoding,
            };
            crl(&request, &objects, &settings, &wanted).await
        }
        Route::Health { method } => respond(&public::health(method), None),
        Route::MethodNotAllowed { allow } => problem(&EdgeError::MethodNotAllowed { allow }),
        Route::Other => {
            let objects = WorkerObjects::new(&bindings, &settings, Some(context))?;
            operator::answer(&request, path, &bindings, &objects, &settings).await
        }
    }
}

async fn crl(
    request: &Request,
    objects: &WorkerObjects,
    settings: &Rc<Settings>,
    wanted: &Wanted,
) -> worker::Result<Response> {
    let headers = request.headers();
    let given = public::CONDITIONS.map(|name| (name, headers.get(name).ok().flatten()));
    let header = |name: &str| {
        let (_, value) = given.iter().find(|(given, _)| *given == name)?;
        value.clone()
    };
    let Served {
        mut answer,
        crl,
        source,
    } = public::serve(objects, wanted, header, &settings.as_ref().into()).await;
    let stream = match crl {
        Some(crl) => objects.stream(wanted, &answer, crl)?,
        None => None,
    };
    let cache_status = match source {
        Source::Replica => Some("crl-edge-kv; hit"),
        Source::Object => Some("crl-edge-kv; fwd=miss"),
        Source::Nowhere => None,
    };
    let cache_status = cache_status.map(|status| ("Cache-Status", status.into()));
    answer.headers.extend(cache_status);
    respond(&answer, stream.as_ref())
}

/// Removes old events. A tick that did its work is not a failed one because D1 is down.
async fn prune(bindings: &Bindings, settings: &Settings) {
    let pruned = match bindings.d1() {
        Ok(database) => retention::prune(&D1Log(database), now(), settings.event_retention)
            .await
            .map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    match pruned {
        Ok(removed) => log(
            &serde_json::json!({ "level": "info", "what": "old events removed", "events": removed }),
        ),
        Err(cause) => log(
            &serde_json::json!({ "level": "warning", "what": "old events not removed", "cause": cause }),
        ),
    }
}

/// Runs a tick.
///
/// # Errors
/// Where everything failed: the platform then shows the run as failed.
pub async fn scheduled(env: Env) -> Result<Summary, String> {
    let bindings = Bindings { env };
    let settings = bindings.settings().map_err(|error| error.to_string())?;
    let objects =
        WorkerObjects::new(&bindings, &settings, None).map_err(|error| error.to_string())?;
    let concurrency = settings.regenerate_concurrency;
    let walked = schedule::regenerate_all(&objects, Trigger::Cron, concurrency).await;
    prune(&bindings, &settings).await;
    let summary = walked.map_err(|error: ObjectError| error.to_string())?;
    log(&serde_json::json!({ "level": "info", "what": "tick", "summary": summary }));
    if summary.everything_failed() {
        return Err(format!(
            "every issuer failed: {}",
            serde_json::json!(summary)
        ));
    }
    Ok(summary)
}
