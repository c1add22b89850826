//! The handlers of the operators' API.

use std::rc::Rc;

use crl::CrlNumber;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use origin_api::{CrlName, IssuerId};
use serde::{Deserialize, Serialize};

use super::authorization::{Proof, require_https, require_own_site};
use super::call::{Call, Endpoint};
use super::crl_status::State;
use super::desk::{Actor, Desk};
use super::event_page::{self, EventPage};
use super::event_query::{Cursor, EventFilter};
use super::issuers::{self, IssuerPage, RECENT_EVENTS};
use super::media::EventFormat;
use super::parameters::read_sha256;
use super::ports::{Ports, Request};
use super::reply::Reply;
use super::{changes, metrics, openapi};
use crate::events::Event;
use crate::http::Method;
use crate::problem::EdgeError;
use crate::public::{Encoding, Wanted};
use crate::refresh::{ChangesAnswer, ChangesPlace, Sha256};
use crate::tables::Query;
use crate::url;

/// How many events one query of a stream reads.
const STREAM_PAGE: u32 = 1000;

impl<P: Ports> Desk<P> {
    /// Answers a request to a path of the API.
    pub(super) async fn api(
        &self,
        request: &impl Request,
        endpoint: Endpoint,
    ) -> Result<Reply, EdgeError> {
        require_https(request.url())?;
        let caller = self.caller(request).await?;
        endpoint.admit(caller.role, request.method())?;
        // A browser adds the cookie of Access to what other sites have it send.
        if matches!(caller.proof, Proof::Access(_)) && !matches!(request.method(), "GET" | "HEAD") {
            require_own_site(request)?;
        }
        let query = url::query(request.url());
        let actor = Actor::of(request, Some(&caller));
        let accept = request.header("accept");
        match endpoint.call(request.method(), caller.role, &query, accept.as_deref())? {
            Call::Issuers {
                state,
                after,
                limit,
            } => self.json(&self.issuers(state, after.as_ref(), limit).await?),
            Call::Issuer(issuer) => self.json(&self.issuer(issuer, RECENT_EVENTS).await?.0),
            Call::Refresh {
                issuer,
                name,
                trigger,
            } => self.outcome(&self.refresh(&actor, &issuer, name, trigger).await?),
            Call::Held { issuer, name } => {
                // A made-up id makes no object.
                self.listed(&issuer).await?;
                Ok(Reply::Held(Wanted {
                    method: Method::parse(request.method()).unwrap_or(Method::Get),
                    issuer,
                    name,
                    encoding: Encoding::Der,
                }))
            }
            Call::Retire { issuer, name } => {
                self.retired(self.retire(&actor, &issuer, name).await?)
            }
            Call::ConfirmRegistry => self.confirmed(self.confirm_registry(&actor).await?),
            Call::RefreshAll => {
                let job = Reply::json(202, &self.refresh_all(&actor).await?);
                let job = job.map_err(|error| self.internal(&error))?;
                Ok(job.with_header("Location", "/v1/refresh".into()))
            }
            Call::RefreshJob => match self.refresh_job().await? {
                Some(job) => self.json(&job),
                None => Err(EdgeError::NoRefreshJob),
            },
            Call::Trust(issuer) => {
                let sha256 = self.named(request).await?;
                self.outcome(&self.trust(&actor, issuer, sha256).await?)
            }
            Call::Accept(issuer, name) => {
                let sha256 = self.named(request).await?;
                let event = self.accept(&actor, &issuer, name, sha256).await?;
                self.outcome(&[event])
            }
            Call::Changes {
                issuer,
                name,
                since,
                format,
            } => self.changes(issuer, name, since, format).await,
            Call::Events {
                filter,
                after,
                limit,
                format: EventFormat::Json,
            } => {
                filter.admit(self.now())?;
                let query = Query::events(&filter, after.as_ref(), limit.saturating_add(1));
                self.json(&EventPage::of(self.rows(&query).await?, limit))
            }
            Call::Events {
                filter,
                after,
                limit,
                format,
            } => {
                filter.admit(self.now())?;
                self.stream(filter, after, limit, format).await
            }
            Call::Actions { before, limit } => self.json(&self.actions(before, limit).await?),
            Call::Metrics { issuer, limit } => {
                let accept = request.header("accept");
                let format = metrics::Format::negotiate(accept.as_deref());
                self.metrics(issuer.as_ref(), limit, format).await
            }
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
            (issuers::join(page, rows, self.now()), more)
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

    async fn metrics(
        &self,
        issuer: Option<&IssuerId>,
        limit: u32,
        format: metrics::Format,
    ) -> Result<Reply, EdgeError> {
        let index = self.index().await?;
        let issuers = self.all(&index).await?;
        let totals = self.rows(&Query::totals()).await?;
        let subjects = metrics::with_series(&issuers, issuer, limit);
        let names = subjects.iter().map(|(issuer, crl)| (*issuer, crl.name));
        let crl_totals = self.rows(&Query::totals_of(names)).await?;
        let events_pending = self.ports.events_pending().await.unwrap_or_else(|error| {
            // The other metrics are worth more than this one.
            self.internal(&error);
            0
        });
        let served = self.ports.served().await;
        let served = served.inspect_err(|error| drop(self.internal(error))).ok();
        let totals = metrics::Totals {
            served: served.as_ref(),
            all: &totals,
            of_crls: &crl_totals,
            events_pending,
            shrink: index.shrink,
        };
        let text = metrics::render(&issuers, &totals, &subjects, format, self.now());
        Ok(Reply::text(format.media_type(), text))
    }

    /// Events page by page. A page is read once the one before it has been sent.
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
        let ports = Rc::clone(&self.ports);
        let mut pages = stream::try_unfold(Some((after, limit)), move |place| {
            let (ports, filter) = (Rc::clone(&ports), filter.clone());
            async move {
                let Some((after, left)) = place else {
                    return Ok(None);
                };
                let query = Query::events(&filter, after.as_ref(), left.min(STREAM_PAGE));
                let rows = ports.rows::<Event>(&query).await;
                let events = rows.map_err(|error| error.to_string())?;
                let next = events.last().zip(remaining(left, &events));
                let next = next.map(|(last, left)| (Some(Cursor::of(last)), left));
                Ok(Some((write(&events), next)))
            }
        })
        .boxed_local();
        // The first page is read before the status is sent: if D1 is down, the status says so.
        let first = pages.try_next().await;
        let first = first
            .map_err(|error: String| self.unread(&error))?
            .unwrap_or_default();
        let begin = match format {
            EventFormat::Csv => event_page::csv_header() + &first,
            EventFormat::Json | EventFormat::Ndjson => first,
        };
        let all = stream::once(std::future::ready(Ok(begin))).chain(pages);
        Ok(Reply::stream(format.media_type(), all.boxed_local()))
    }

    /// Changes page by page. A page is read once the one before it has been sent.
    async fn changes(
        &self,
        issuer: IssuerId,
        name: CrlName,
        since: CrlNumber,
        format: EventFormat,
    ) -> Result<Reply, EdgeError> {
        self.listed_crl(&issuer, name).await?;
        let start = ChangesPlace {
            after: since,
            piece: 0,
        };
        // The first page is read before the status is sent.
        let first = self.ports.changes(&issuer, name, start).await;
        let first = match first.map_err(|error| self.internal(&error))? {
            ChangesAnswer::Page(page) => page,
            ChangesAnswer::Forgotten(known_since) => {
                return Err(EdgeError::ChangesForgotten { known_since });
            }
        };
        let begin = changes::begin(format, since, &first) + &changes::write(format, &first, true);
        let ports = Rc::clone(&self.ports);
        let rest = stream::try_unfold(first.next, move |place| {
            let (ports, issuer) = (Rc::clone(&ports), issuer.clone());
            async move {
                let Some(place) = place else {
                    return Ok(None);
                };
                let answer = ports.changes(&issuer, name, place).await;
                match answer.map_err(|error| error.to_string())? {
                    ChangesAnswer::Page(page) => {
                        let text = changes::write(format, &page, false);
                        Ok(Some((text, page.next)))
                    }
                    ChangesAnswer::Forgotten(_) => {
                        Err("the changes were forgotten while they were sent".to_owned())
                    }
                }
            }
        });
        let once = |text| stream::once(std::future::ready(Ok(text)));
        let all = once(begin)
            .chain(rest)
            .chain(once(changes::end(format).to_owned()));
        Ok(Reply::stream(format.media_type(), all.boxed_local()))
    }

    /// The SHA-256 that the body names: `{"sha256":"…"}`.
    async fn named(&self, request: &impl Request) -> Result<Sha256, EdgeError> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Named {
            sha256: String,
        }
        let body = self.short_body(request).await?;
        let named = body.and_then(|body| serde_json::from_str::<Named>(&body).ok());
        let sha256 = named.and_then(|named| read_sha256(&named.sha256));
        sha256.ok_or(EdgeError::BadParameter {
            name: "sha256".into(),
            problem: "must be in the body, as {\"sha256\":\"64 hexadecimal digits\"}".into(),
        })
    }

    fn json(&self, value: &impl Serialize) -> Result<Reply, EdgeError> {
        Reply::json(200, value).map_err(|error| self.internal(&error))
    }

    fn retired(&self, retired: Vec<CrlName>) -> Result<Reply, EdgeError> {
        #[derive(Serialize)]
        struct Retired {
            retired: Vec<CrlName>,
        }
        self.json(&Retired { retired })
    }

    fn confirmed(&self, gone: u64) -> Result<Reply, EdgeError> {
        #[derive(Serialize)]
        struct Confirmed {
            gone: u64,
        }
        self.json(&Confirmed { gone })
    }

    /// The events of an action: 200 if all refreshes succeeded, else 502.
    fn outcome(&self, events: &[Event]) -> Result<Reply, EdgeError> {
        #[derive(Serialize)]
        struct Outcome<'e> {
            events: &'e [Event],
        }
        let all_succeeded = events.iter().all(|event| event.outcome.succeeded());
        let status = if all_succeeded { 200 } else { 502 };
        Reply::json(status, &Outcome { events }).map_err(|error| self.internal(&error))
    }
}

/// How many events are left to read after a full page; none if the page was not full, or nothing is
/// left.
fn remaining(left: u32, page: &[Event]) -> Option<u32> {
    let read = u32::try_from(page.len()).unwrap_or(u32::MAX);
    let rest = left.saturating_sub(read);
    (read == STREAM_PAGE && rest > 0).then_some(rest)
}
