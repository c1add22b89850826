//! A request, from the platform and back to it.

use std::rc::Rc;

use futures_util::FutureExt as _;
use web_sys::{Request, Response};
use worker::js_sys::JsString;
use worker::wasm_bindgen::JsValue;
use worker::{Context, Env};

use super::task;
use crate::bindings::Bindings;
use crate::d1::{D1Log, OldActions};
use crate::host::{log, now};
use crate::objects::{ObjectError, WorkerObjects};
use crate::operator;
use crate::reply::{problem, respond, respond_with_crl};
use edge::config::Settings;
use edge::events::{Trigger, retention};
use edge::problem::EdgeError;
use edge::public::{self, Served, Wanted};
use edge::routes::{self, Handler};
use edge::schedule::{self, Summary};
use edge::url;

/// Answers a request, with a response or the promise of one. `told` is as in [`Edge::fetch`](crate::Edge::fetch).
#[must_use]
pub(crate) fn fetch(told: &JsString, request: Request, env: Env, context: Context) -> JsValue {
    let (told, text) = (told.clone(), String::from(told));
    let answer = async move {
        let response = answer((&told, &Told::parse(&text)), request, env, context).await;
        response
            .or_else(|error| {
                log(
                    &serde_json::json!({ "level": "error", "what": "a request has no answer", "cause": error.to_string() }),
                );
                problem(&EdgeError::Internal)
            })
            .map(JsValue::from)
            .map_err(JsValue::from)
    };
    task::run(answer.boxed_local())
}

/// What src/entry.js tells of a request, a line each.
struct Told<'t> {
    method: &'t str,
    url: &'t str,
    conditions: &'t str,
}

impl<'t> Told<'t> {
    fn parse(text: &'t str) -> Self {
        // The time is there to tell answers apart.
        let (_time, text) = text.split_once('\n').unwrap_or_default();
        let (method, rest) = text.split_once('\n').unwrap_or((text, ""));
        let (url, conditions) = rest.split_once('\n').unwrap_or((rest, ""));
        Self {
            method,
            url,
            conditions,
        }
    }

    /// A condition: If-None-Match and its like, and Range.
    fn header(&self, name: &str) -> Option<String> {
        let mut lines = self.conditions.split('\n');
        let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        value.map(str::to_owned)
    }
}

async fn answer(
    (whole, told): (&JsString, &Told<'_>),
    request: Request,
    env: Env,
    context: Context,
) -> worker::Result<Response> {
    let bindings = Bindings { env };
    let settings = bindings.settings();
    let path = url::path(told.url);
    let objects = WorkerObjects::new(&bindings, &settings, Some(context));
    let route = match routes::route(told.method, path) {
        Ok((
            method,
            Handler::Crl {
                issuer,
                name,
                encoding,
            },
        )) => {
            let wanted = Wanted {
                method,
                issuer,
                name,
                encoding,
            };
            return crl((whole, told), &objects, &settings, &wanted).await;
        }
        Ok((method, Handler::Health)) => {
            return respond(&public::health(method, &settings.wrong), &JsValue::NULL);
        }
        Ok((_, Handler::Operator(route))) => Ok(route),
        Err(error) => Err(error),
    };
    operator::answer(&request, &bindings, &objects, &settings, route).await
}

async fn crl(
    (whole, told): (&JsString, &Told<'_>),
    objects: &WorkerObjects,
    settings: &Rc<Settings>,
    wanted: &Wanted,
) -> worker::Result<Response> {
    let header = |name: &str| told.header(name);
    let served = public::serve(objects, wanted, header, &settings.as_ref().into()).await;
    let again = objects.again(wanted, &served);
    let Served {
        decision,
        crl,
        source,
    } = served;
    let body = match crl {
        Some(crl) => objects.body(wanted, decision.body(), crl).await?,
        None => JsValue::NULL,
    };
    respond_with_crl(whole, decision, source, &body, &again)
}

/// Removes old events and actions. A tick that did its work is not a failed one because D1 is down.
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
    let pruned: worker::Result<(u64, u64)> = pruned.await;
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
/// Where everything failed: the platform then shows the run as failed.
pub(crate) async fn scheduled(env: Env) -> Result<Summary, String> {
    let bindings = Bindings { env };
    let settings = bindings.settings();
    let objects = WorkerObjects::new(&bindings, &settings, None);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_of_a_request_is_read_line_by_line() {
        let told = Told::parse(
            "1\nGET\nhttp://a.example/crl/x.crl?y\nIf-None-Match: \"a: b\"\nIf-Range: z",
        );
        assert_eq!(
            (told.method, told.url),
            ("GET", "http://a.example/crl/x.crl?y")
        );
        assert_eq!(told.header("If-None-Match").as_deref(), Some("\"a: b\""));
        assert_eq!(told.header("If-Range").as_deref(), Some("z"));
        assert_eq!(told.header("Range"), None);

        let told = Told::parse("1\nHEAD\nhttp://a.example/");
        assert_eq!((told.method, told.url), ("HEAD", "http://a.example/"));
        assert_eq!(told.header("Range"), None);
    }
}
