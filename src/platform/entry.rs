//! A request, from the platform and back to it.

use std::rc::Rc;

use origin_api::IssuerId;
use worker::{Context, Env, Request, Response, ResponseBuilder};

use super::bindings::Bindings;
use super::d1::D1Log;
use super::host::{log, now};
use super::objects::{ObjectError, WorkerObjects};
use super::reply::{problem, respond};
use crate::config::Settings;
use crate::events::{Event, Trigger, retention};
use crate::operator;
use crate::problem::EdgeError;
use crate::public::{self, Lookup, Method, Route, Shelves as _, Source, Wanted};
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
    // The path as it came: the platform's URL parser has only removed dot segments.
    let path = request.url()?.path().to_owned();
    match Route::parse(&method, &path) {
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
        Route::Health { method } => health(method),
        Route::MethodNotAllowed { allow } => problem(&EdgeError::MethodNotAllowed { allow }),
        Route::Other => {
            let objects = WorkerObjects::new(&bindings, &settings, Some(context))?;
            operators(&request, &path, &objects, &settings).await
        }
    }
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

fn health(method: Method) -> worker::Result<Response> {
    let response = ResponseBuilder::new()
        .with_header("Content-Type", "text/plain; charset=utf-8")?
        .with_header("Cache-Control", "no-store")?;
    Ok(match method {
        Method::Get => response.fixed(b"ok\n".to_vec()),
        Method::Head => response.empty(),
    })
}

async fn operators(
    request: &Request,
    path: &str,
    objects: &WorkerObjects,
    settings: &Rc<Settings>,
) -> worker::Result<Response> {
    let url = request.url()?;
    let query: Vec<_> = url.query_pairs().into_owned().collect();
    let method = request.inner().method();
    let Some(call) = operator::Call::parse(&method, path, &query) else {
        return problem(&EdgeError::NotFound);
    };
    let authorization = request.headers().get("authorization")?;
    let done = match call {
        Ok(call) => match call.authorize(authorization.as_deref(), settings) {
            Ok(trigger) => run(call, trigger, objects, settings).await,
            Err(error) => Err(error),
        },
        Err(error) => Err(error),
    };
    match done {
        Ok(response) => {
            response.headers().set("Cache-Control", "no-store")?;
            Ok(response)
        }
        Err(error) => problem(&error),
    }
}

async fn run(
    call: operator::Call,
    trigger: Trigger,
    objects: &WorkerObjects,
    settings: &Rc<Settings>,
) -> Result<Response, EdgeError> {
    let response = match call {
        operator::Call::Refresh { issuer, name } => {
            let listed = listed(objects, &issuer).await?;
            if let Some(name) = name
                && !listed.crls.contains(&name)
            {
                return Err(EdgeError::UnknownCrl {
                    issuer,
                    name,
                    max_age: std::time::Duration::ZERO,
                });
            }
            events(
                &objects
                    .refresh_crls(&issuer, name, trigger)
                    .await
                    .map_err(internal)?,
            )
        }
        operator::Call::RefreshAll => {
            let concurrency = settings.regenerate_concurrency;
            let summary = schedule::regenerate_all(objects, trigger, concurrency).await;
            Response::from_json(&summary.map_err(internal)?)
        }
        operator::Call::Trust { issuer } => {
            listed(objects, &issuer).await?;
            match objects.trust(&issuer).await.map_err(internal)? {
                Some(refreshed) => events(&refreshed),
                None => Err(worker::Error::from("no changed certificate is waiting")),
            }
        }
    };
    response.map_err(internal)
}

async fn listed(
    objects: &WorkerObjects,
    issuer: &IssuerId,
) -> Result<crate::registry::Listed, EdgeError> {
    match objects.lookup(issuer).await {
        Lookup::Known(listed) => Ok(listed),
        Lookup::Unknown(max_age) => Err(EdgeError::UnknownIssuer {
            issuer: issuer.clone(),
            max_age,
        }),
        Lookup::CannotTell => Err(EdgeError::CrlUnavailable {
            retry_after: std::time::Duration::from_secs(10),
        }),
    }
}

/// 200 where all went well, else 502.
fn events(events: &[Event]) -> worker::Result<Response> {
    let all_well = events.iter().all(|event| event.outcome.succeeded());
    let response = Response::from_json(&serde_json::json!({ "events": events }))?;
    Ok(response.with_status(if all_well { 200 } else { 502 }))
}

fn internal(error: impl std::fmt::Display) -> EdgeError {
    log(
        &serde_json::json!({ "level": "error", "what": "an operator's call failed", "cause": error.to_string() }),
    );
    EdgeError::Internal
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
