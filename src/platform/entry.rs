//! A request, from the platform and back to it.

use std::rc::Rc;

use worker::{Context, Env, Request, Response};

use super::bindings::Bindings;
use super::d1::D1Log;
use super::host::{log, now};
use super::objects::{ObjectError, WorkerObjects};
use super::operator;
use super::reply::{problem, respond};
use crate::config::Settings;
use crate::events::{Trigger, retention};
use crate::problem::EdgeError;
use crate::public::{self, Route, Source, Wanted};
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
    let method = request.inner().method();
    let url = request.inner().url();
    let path = path_of(&url);
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
        Route::Health { method } => respond(public::health(method), None),
        Route::MethodNotAllowed { allow } => problem(&EdgeError::MethodNotAllowed { allow }),
        Route::Other => {
            let objects = WorkerObjects::new(&bindings, &settings, Some(context))?;
            operator::answer(&request, path, &bindings, &objects, &settings).await
        }
    }
}

/// The path of an absolute URL, as it came: the platform has only removed dot segments. A full parser would cost the hot path more
/// than all that follows.
fn path_of(url: &str) -> &str {
    let authority_and_rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let path_and_rest = authority_and_rest
        .find('/')
        .and_then(|slash| authority_and_rest.get(slash..))
        .unwrap_or("/");
    let end = path_and_rest
        .find(['?', '#'])
        .unwrap_or(path_and_rest.len());
    path_and_rest.get(..end).unwrap_or(path_and_rest)
}

async fn crl(
    request: &Request,
    objects: &WorkerObjects,
    settings: &Rc<Settings>,
    wanted: &Wanted,
) -> worker::Result<Response> {
    let header = |name: &str| request.headers().get(name).ok().flatten();
    let served = public::serve(objects, wanted, header, &settings.as_ref().into()).await;
    let stream = match served.crl {
        Some(crl) => objects.stream(wanted, &served.answer, crl)?,
        None => None,
    };
    let response = respond(served.answer, stream)?;
    let cache_status = match served.source {
        Source::Replica => "crl-edge-kv; hit",
        Source::Object => "crl-edge-kv; fwd=miss",
        Source::Nowhere => return Ok(response),
    };
    response.headers().set("Cache-Status", cache_status)?;
    Ok(response)
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
        return Err(format!("every issuer failed: {summary:?}"));
    }
    Ok(summary)
}

#[cfg(test)]
mod tests {
    use super::path_of;

    #[test]
    fn the_path_is_what_stands_between_host_and_query() {
        for (url, path) in [
            ("http://a.example/crl/x.crl", "/crl/x.crl"),
            ("https://a.example:8787/crl/x.crl?a=/b#c", "/crl/x.crl"),
            ("http://a.example", "/"),
            ("http://[::1]:1/%2e?x", "/%2e"),
        ] {
            assert_eq!(path_of(url), path, "{url}");
        }
    }
}
