//! Operators' calls: fetched from the objects and D1, answered by `operator`.

use std::rc::Rc;
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use origin_api::{CrlName, IssuerId};
use serde::Serialize;
use serde::de::DeserializeOwned;
use web_sys::{Request, Response};
use worker::js_sys::Uint8Array;
use worker::wasm_bindgen::{JsCast as _, JsValue};

use crate::bindings::Bindings;
use crate::dashboard;
use crate::host::{log, now};
use crate::objects::{ObjectError, WorkerObjects};
use crate::records::Records;
use crate::reply::{problem, respond};
use edge::answer::{Answer, Body};
use edge::config::Settings;
use edge::events::{Event, Trigger};
use edge::issuer::TrustAnswer;
use edge::operator::crl_status::{State, StatusRow};
use edge::operator::dashboard::place::Place;
use edge::operator::event_page::{self, EventPage};
use edge::operator::event_query::{Cursor, EventFilter};
use edge::operator::issuers::{self, IssuerPage, IssuerStatus, RECENT_EVENTS};
use edge::operator::media::EventFormat;
use edge::operator::{Call, Endpoint, Query, caller, metrics, openapi};
use edge::problem::EdgeError;
use edge::refresh::fingerprint;
use edge::registry::{Index, Listed};
use edge::schedule;
use edge::url;

/// When to ask again for what is not to be had.
const RETRY_AFTER: Duration = Duration::from_secs(10);
/// How many events one query of a stream reads.
const STREAM_PAGE: u32 = 1000;

/// Answers a request to one of the operators' paths, and any other with 404.
pub(crate) async fn answer(
    request: &Request,
    path: &str,
    bindings: &Bindings,
    objects: &WorkerObjects,
    settings: &Rc<Settings>,
) -> worker::Result<Response> {
    let desk = Desk {
        objects,
        settings,
        records: Records::new(bindings),
    };
    let method = request.method();
    let response = match Place::parse(&method, path) {
        Some(place) => dashboard::answer(&desk, request, place).await?,
        None => desk.answer(request, &method, path).await?,
    };
    let rows_read = desk.records.rows_read();
    if rows_read > 0 {
        let headers = response.headers();
        headers.set("D1-Rows-Read", &rows_read.to_string())?;
    }
    Ok(response)
}

/// An answer, and the stream of its body where it is not text.
struct Reply {
    answer: Answer,
    stream: Option<web_sys::ReadableStream>,
}

impl Reply {
    fn text(media_type: &'static str, text: String) -> Self {
        Self {
            answer: Answer {
                status: 200,
                headers: vec![("Content-Type", media_type.into())],
                body: Body::Text(text),
            },
            stream: None,
        }
    }

    fn json(value: &impl Serialize) -> Result<Self, EdgeError> {
        let text = serde_json::to_string(value).map_err(internal)?;
        Ok(Self::text("application/json", text))
    }

    fn with_status(mut self, status: u16) -> Self {
        self.answer.status = status;
        self
    }
}

/// Where operators' calls are answered.
pub(crate) struct Desk<'a> {
    objects: &'a WorkerObjects,
    pub(crate) settings: &'a Rc<Settings>,
    records: Records,
}

impl Desk<'_> {
    async fn answer(
        &self,
        request: &Request,
        method: &str,
        path: &str,
    ) -> worker::Result<Response> {
        let answered = match Endpoint::parse(method, path) {
            None => Err(EdgeError::NotFound),
            Some(Err(error)) => Err(error),
            Some(Ok(endpoint)) => self.call(request, endpoint).await,
        };
        let Reply { mut answer, stream } = match answered {
            Ok(reply) => reply,
            Err(error) => return problem(&error),
        };
        answer.headers.extend([
            ("Cache-Control", "no-store".into()),
            ("X-Content-Type-Options", "nosniff".into()),
        ]);
        if method == "HEAD" {
            return respond(&answer.without_body(), &JsValue::NULL);
        }
        respond(&answer, &stream.map_or(JsValue::NULL, JsValue::from))
    }

    async fn call(&self, request: &Request, endpoint: Endpoint) -> Result<Reply, EdgeError> {
        let headers = request.headers();
        let header = |name: &str| headers.get(name).ok().flatten();
        let caller = caller(header("authorization").as_deref(), self.settings)?;
        endpoint.admit(caller)?;
        let query = url::query(&request.url());
        match endpoint.call(caller, &query, header("accept").as_deref())? {
            Call::Issuers {
                state,
                after,
                limit,
            } => Reply::json(&self.issuers(state, after.as_ref(), limit).await?),
            Call::Issuer(issuer) => Reply::json(&self.issuer(issuer, RECENT_EVENTS).await?.0),
            Call::Refresh {
                issuer,
                name,
                trigger,
            } => outcome(&self.refresh(&issuer, name, trigger).await?),
            Call::RefreshAll => {
                let concurrency = self.settings.regenerate_concurrency;
                let summary =
                    schedule::regenerate_all(self.objects, Trigger::Operator, concurrency).await;
                Reply::json(&summary.map_err(no_registry)?)
            }
            Call::Trust(issuer) => outcome(&self.trust(issuer).await?),
            Call::Events {
                filter,
                after,
                limit,
                format: EventFormat::Json,
            } => {
                let query = Query::events(&filter, after.as_ref(), limit.saturating_add(1));
                Reply::json(&EventPage::of(self.rows(&query).await?, limit))
            }
            Call::Events {
                filter,
                after,
                limit,
                format,
            } => self.stream(filter, after, limit, format).await,
            Call::Metrics { issuer, limit } => self.metrics(issuer.as_ref(), limit).await,
            Call::OpenApi => Ok(Reply::text(
                "application/json",
                openapi::DOCUMENT.to_owned(),
            )),
        }
    }

    async fn issuers(
        &self,
        state: Option<State>,
        after: Option<&IssuerId>,
        limit: u32,
    ) -> Result<IssuerPage, EdgeError> {
        let index = self.index().await?;
        let (mut page, more) = if let Some(state) = state {
            let mut all = self.all(&index).await?;
            all.retain(|issuer| {
                after.is_none_or(|after| *after < issuer.id)
                    && issuer.crls.iter().any(|crl| crl.state == state)
            });
            let limit = usize::try_from(limit).unwrap_or(usize::MAX);
            let more = all.len() > limit;
            all.truncate(limit);
            (all, more)
        } else {
            let (page, more) = issuers::page(&index, after, limit);
            let rows = match (page.first(), page.last()) {
                (Some((first, _)), Some((last, _))) => {
                    self.rows(&Query::statuses_between(first, last)).await?
                }
                _ => Vec::new(),
            };
            (issuers::join(page, rows, now()), more)
        };
        let ids: Vec<_> = page.iter().map(|issuer| issuer.id.clone()).collect();
        let events = self
            .rows(&Query::recent_events(&ids, RECENT_EVENTS))
            .await?;
        issuers::add_events(&mut page, events);
        Ok(IssuerPage {
            next_cursor: page.last().filter(|_| more).map(|last| last.id.to_string()),
            issuers: page,
        })
    }

    /// An issuer as its own object knows it, with its `count` newest events, and whether D1 could be read. Where it could not, the
    /// events are those that the object still keeps for it.
    pub(crate) async fn issuer(
        &self,
        id: IssuerId,
        count: u32,
    ) -> Result<(IssuerStatus, bool), EdgeError> {
        let listed = self.listed(&id).await?;
        // First the object: an event that D1 gets in between is in both, and not in neither.
        let overview = self.objects.overview(&id).await.map_err(internal)?;
        let filter = EventFilter {
            issuer: Some(id.clone()),
            ..EventFilter::default()
        };
        let recorded = self.rows(&Query::events(&filter, None, count)).await;
        let is_read = recorded.is_ok();
        let mut issuer = IssuerStatus::of_overview(id, &listed, &overview, now());
        issuer.recent_events =
            event_page::newest(recorded.unwrap_or_default(), overview.outbox, count);
        Ok((issuer, is_read))
    }

    pub(crate) async fn refresh(
        &self,
        issuer: &IssuerId,
        name: Option<CrlName>,
        trigger: Trigger,
    ) -> Result<Vec<Event>, EdgeError> {
        let listed = self.listed(issuer).await?;
        if let Some(name) = name.filter(|name| !listed.crls.contains(name)) {
            return Err(EdgeError::UnknownCrl {
                issuer: issuer.clone(),
                name,
                max_age: Duration::ZERO,
            });
        }
        let refreshed = self.objects.refresh_crls(issuer, name, trigger).await;
        refreshed.map_err(internal)
    }

    pub(crate) async fn trust(&self, issuer: IssuerId) -> Result<Vec<Event>, EdgeError> {
        self.listed(&issuer).await?;
        let overview = self.objects.overview(&issuer).await.map_err(internal)?;
        let Some(waiting) = overview.issuer.waiting else {
            return Err(EdgeError::NoCertificateWaiting { issuer });
        };
        // The call does not name a certificate yet.
        let answer = self.objects.trust(&issuer, fingerprint(&waiting)).await;
        match answer.map_err(internal)? {
            TrustAnswer::Pinned(events) => Ok(events),
            TrustAnswer::NoneWaiting | TrustAnswer::OtherWaiting(_) => {
                Err(EdgeError::NoCertificateWaiting { issuer })
            }
        }
    }

    async fn metrics(&self, issuer: Option<&IssuerId>, limit: u32) -> Result<Reply, EdgeError> {
        let index = self.index().await?;
        let issuers = self.all(&index).await?;
        let totals = self.rows(&Query::totals()).await?;
        let subjects = metrics::with_series(&issuers, issuer, limit);
        let names = subjects.iter().map(|(issuer, crl)| (*issuer, crl.name));
        let crl_totals = self.rows(&Query::totals_of(names)).await?;
        let text = metrics::render(&issuers, &totals, &subjects, &crl_totals, now());
        Ok(Reply::text(metrics::MEDIA_TYPE, text))
    }

    /// Every issuer, and how its CRLs stand by the status table.
    pub(crate) async fn all(&self, index: &Index) -> Result<Vec<IssuerStatus>, EdgeError> {
        let rows: Vec<StatusRow> = self.rows(&Query::all_statuses()).await?;
        Ok(issuers::join(&index.issuers, rows, now()))
    }

    /// Events page by page, each read when the one before it has gone out.
    async fn stream(
        &self,
        filter: EventFilter,
        after: Option<Cursor>,
        limit: u32,
        format: EventFormat,
    ) -> Result<Reply, EdgeError> {
        let write = move |events: &[Event]| match format {
            EventFormat::Csv => event_page::csv(events),
            EventFormat::Json | EventFormat::Ndjson => event_page::ndjson(events),
        };
        let records = self.records.clone();
        let mut pages = stream::try_unfold(Some((after, limit)), move |place| {
            let (records, filter) = (records.clone(), filter.clone());
            async move {
                let Some((after, left)) = place else {
                    return Ok(None);
                };
                let query = Query::events(&filter, after.as_ref(), left.min(STREAM_PAGE));
                let events: Vec<Event> = records.rows(&query).await?;
                let next = events.last().zip(remaining(left, &events));
                let next = next.map(|(last, left)| (Some(Cursor::of(last)), left));
                worker::Result::Ok(Some((write(&events), next)))
            }
        })
        .boxed_local();
        // The first page is read before the status is sent, so that D1 being down shows in it.
        let first = pages.try_next().await.map_err(unread)?.unwrap_or_default();
        let begin = match format {
            EventFormat::Csv => event_page::CSV_HEADER.to_owned() + &first,
            EventFormat::Json | EventFormat::Ndjson => first,
        };
        let all = stream::once(std::future::ready(Ok(begin))).chain(pages);
        let chunks = all
            .map_ok(|text| Uint8Array::from(text.as_bytes()).into())
            .map_err(|error| JsValue::from_str(&error.to_string()));
        let stream = wasm_streams::ReadableStream::from_stream(chunks);
        Ok(Reply {
            answer: Answer {
                status: 200,
                headers: vec![("Content-Type", format.media_type().into())],
                body: Body::Whole,
            },
            stream: Some(stream.into_raw().unchecked_into()),
        })
    }

    pub(crate) async fn index(&self) -> Result<Rc<Index>, EdgeError> {
        self.objects.index().await.map_err(no_registry)
    }

    async fn listed(&self, issuer: &IssuerId) -> Result<Listed, EdgeError> {
        let listed = self.index().await?.issuers.get(issuer).cloned();
        listed.ok_or_else(|| EdgeError::UnknownIssuer {
            issuer: issuer.clone(),
            // What an operator just added must not be missing for as long as caches keep it.
            max_age: Duration::ZERO,
        })
    }

    pub(crate) async fn rows<T: DeserializeOwned>(
        &self,
        query: &Query,
    ) -> Result<Vec<T>, EdgeError> {
        self.records.rows(query).await.map_err(unread)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "as `map_err` gives it")]
fn no_registry(error: ObjectError) -> EdgeError {
    log(&serde_json::json!({
        "level": "error", "what": "no list of issuers", "cause": error.to_string(),
    }));
    EdgeError::RegistryUnavailable {
        retry_after: RETRY_AFTER,
    }
}

#[expect(clippy::needless_pass_by_value, reason = "as `map_err` gives it")]
fn unread(error: worker::Error) -> EdgeError {
    log(&serde_json::json!({
        "level": "error", "what": "D1 did not answer a query", "cause": error.to_string(),
    }));
    EdgeError::EventsUnavailable {
        retry_after: RETRY_AFTER,
    }
}

/// How many events are left to read after a page that was full; none where it was not, or nothing is left.
fn remaining(left: u32, page: &[Event]) -> Option<u32> {
    let read = u32::try_from(page.len()).unwrap_or(u32::MAX);
    let rest = left.saturating_sub(read);
    (read == STREAM_PAGE && rest > 0).then_some(rest)
}

/// The events: 200 where all went well, else 502.
fn outcome(events: &[Event]) -> Result<Reply, EdgeError> {
    /// As a type, not by `json!`, which would make a tree of it first.
    #[derive(Serialize)]
    struct Outcome<'e> {
        events: &'e [Event],
    }
    let all_well = events.iter().all(|event| event.outcome.succeeded());
    let reply = Reply::json(&Outcome { events })?;
    Ok(reply.with_status(if all_well { 200 } else { 502 }))
}

pub(crate) fn internal(error: impl std::fmt::Display) -> EdgeError {
    log(
        &serde_json::json!({ "level": "error", "what": "an operator's call failed", "cause": error.to_string() }),
    );
    EdgeError::Internal
}
