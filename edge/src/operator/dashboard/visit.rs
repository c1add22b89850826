//! The handlers of the dashboard: requests from browsers, answered with pages.

use std::time::Duration;

use askama::Template as _;
use origin_api::{CrlName, IssuerId};

use super::super::authorization::{self, Caller, Proof, Role};
use super::super::desk::{Actor, Desk, Target};
use super::super::event_page::{self, EventPage};
use super::super::event_query::{Cursor, EventFilter};
use super::super::parameters::{Parameters, read_sha256};
use super::super::ports::{Ports, Request};
use super::super::{access, media};
use super::address::{self, Address, Destination, HomeFilter, Inner};
use super::alerts::{Alert, Concern};
use super::pages::{
    ActionsPage, AlertPage, ErrorPage, EventsPage, HomePage, IssuerPage, SignInPage, SignedIn,
};
use super::retirement::RetirementPage;
use super::session::{self, Session};
use super::view::{Moment, ServedView};
use super::{asset, page, see_other};
use crate::actions::Act;
use crate::events::{Event, Outcome, Trigger};
use crate::http::Answer;
use crate::problem::EdgeError;
use crate::registry::Index;
use crate::tables::Query;
use crate::time::Timestamp;
use crate::url;

/// When a network may try again of which too many wrong tokens wait for their answers.
const CROWDED: Duration = Duration::from_secs(30);
/// Where Cloudflare Access ends its session: it answers this path itself.
const ACCESS_SIGN_OUT: &str = "/cdn-cgi/access/logout";
/// How many events the first page shows.
const LATEST: u32 = 15;
/// How many failures and refusals it shows above them.
const TROUBLES: u32 = 8;
/// How many events of an issuer its page reads, for its plots.
const HISTORY: u32 = 200;
/// How many events the page of events shows.
const EVENTS: u32 = 100;

impl<P: Ports> Desk<P> {
    /// Answers a request to a path of the dashboard.
    pub(in super::super) async fn dashboard(
        &self,
        request: &impl Request,
        address: Result<Address, EdgeError>,
    ) -> Answer {
        let visit = Visit {
            desk: self,
            request,
        };
        let answered = match address {
            Ok(address) => visit.answer(address).await,
            Err(error) => Err(error),
        };
        match answered {
            Ok(answer) => answer,
            Err(error) => visit.refusal(&error).await,
        }
    }
}

/// A form's fields.
type Form = Vec<(String, String)>;

/// One request to the dashboard.
struct Visit<'a, P, R> {
    desk: &'a Desk<P>,
    request: &'a R,
}

/// Who reads a page, and the session if a person has signed in. A program that shows its token in
/// `Authorization` may read pages, but send no form.
struct Reader<'s> {
    caller: Caller<'s>,
    session: Option<Session>,
}

impl Reader<'_> {
    fn signed_in(&self) -> Option<SignedIn> {
        let session = self.session.as_ref()?;
        Some(SignedIn {
            form_token: session.form_token().to_owned(),
            may_act: self.caller.role == Role::Operator,
        })
    }
}

impl<P: Ports, R: Request> Visit<'_, P, R> {
    async fn answer(&self, address: Address) -> Result<Answer, EdgeError> {
        if !matches!(address, Address::Asset(_)) {
            authorization::require_https(self.request.url())?;
        }
        match address {
            Address::Asset(file) => Ok(asset(file)),
            Address::SignIn if self.request.method() == "POST" => self.sign_in().await,
            Address::SignIn => {
                self.require_tokens()?;
                let (refused, to) = address::sign_in(&self.query())?;
                self.render(&SignInPage {
                    signed_in: None,
                    refused,
                    to: to.map(|to| to.to_string()).unwrap_or_default(),
                })
            }
            Address::Inner(inner) => match self.reader().await {
                Err(EdgeError::Unauthorized) if self.wants_page() => {
                    let to = self.destination(&inner);
                    Ok(see_other(
                        address::sign_in_address(false, to.as_ref()),
                        None,
                    ))
                }
                Err(error) => Err(error),
                Ok(reader) => self.inner(inner, reader).await,
            },
        }
    }

    async fn inner(&self, inner: Inner, reader: Reader<'_>) -> Result<Answer, EdgeError> {
        let signed_in = reader.signed_in();
        match inner {
            Inner::Home => self.home(signed_in).await,
            Inner::Events => self.events(signed_in).await,
            Inner::Actions => self.actions(signed_in).await,
            Inner::Alert(alert) => self.alert(alert, signed_in).await,
            Inner::Issuer(id) => self.issuer(id, signed_in).await,
            Inner::RefreshAll => {
                self.admit_action(&reader).await?;
                let actor = Actor::of(self.request, Some(&reader.caller));
                self.desk.refresh_all(&actor).await?;
                Ok(see_other(Destination::default().to_string(), None))
            }
            Inner::Refresh(id) => {
                self.admit_action(&reader).await?;
                let actor = Actor::of(self.request, Some(&reader.caller));
                let events = self
                    .desk
                    .refresh(&actor, &id, None, Trigger::Operator)
                    .await?;
                Ok(done(&id, &events))
            }
            Inner::Trust(id) => {
                let form = self.admit_action(&reader).await?;
                let sha256 = field(&form, "sha256").and_then(read_sha256);
                let sha256 = sha256.ok_or(EdgeError::ForeignForm)?;
                let actor = Actor::of(self.request, Some(&reader.caller));
                let events = self.desk.trust(&actor, id.clone(), sha256).await?;
                Ok(done(&id, &events))
            }
            Inner::Accept(id) => {
                let form = self.admit_action(&reader).await?;
                let sha256 = field(&form, "sha256").and_then(read_sha256);
                let name = field(&form, "name").and_then(|name| name.parse().ok());
                let (sha256, name) = sha256.zip(name).ok_or(EdgeError::ForeignForm)?;
                let actor = Actor::of(self.request, Some(&reader.caller));
                let event = self.desk.accept(&actor, &id, name, sha256).await?;
                Ok(done(&id, &[event]))
            }
            Inner::Retire(id, name) if self.request.method() == "POST" => {
                self.admit_action(&reader).await?;
                let actor = Actor::of(self.request, Some(&reader.caller));
                let retired = self.desk.retire(&actor, &id, name).await?;
                let page = RetirementPage::done(signed_in, id.to_string(), name, retired);
                self.render(&page)
            }
            Inner::Retire(id, name) => self.retirement(id, name, signed_in).await,
            Inner::Changes(id, name) => {
                let query = self.query();
                let page = self.desk.changes_page(id, name, &query, signed_in).await?;
                self.render(&page)
            }
            Inner::SignOut => {
                self.admit_form(&reader).await?;
                let end = session::end_cookie(self.is_secure());
                let to = match reader.caller.proof {
                    Proof::Token(_) => address::sign_in_address(false, None),
                    Proof::Access(_) => ACCESS_SIGN_OUT.to_owned(),
                };
                Ok(see_other(to, Some(end)))
            }
        }
    }

    async fn home(&self, signed_in: Option<SignedIn>) -> Result<Answer, EdgeError> {
        let filter = HomeFilter::parse(&self.query())?;
        let index = self.desk.index().await?;
        match self
            .overview(&index, filter.clone(), signed_in.clone())
            .await
        {
            // The state of all CRLs is known to D1 alone; each issuer's object knows its own.
            Err(error @ EdgeError::EventsUnavailable { .. }) if self.wants_page() => {
                let ids = index.issuers.keys().map(IssuerId::as_str);
                let page = ErrorPage::new(&error, signed_in).with_issuers(ids, &filter);
                Ok(failed(&error, &page))
            }
            answered => answered,
        }
    }

    async fn overview(
        &self,
        index: &Index,
        filter: HomeFilter,
        signed_in: Option<SignedIn>,
    ) -> Result<Answer, EdgeError> {
        let issuers = self.desk.all(index).await?;
        let latest = async |outcome| self.desk.rows(&Query::latest(outcome, LATEST)).await;
        let (failed, rejected) = (
            latest(Outcome::Failed).await?,
            latest(Outcome::Rejected).await?,
        );
        let troubles = event_page::newest(failed, rejected, TROUBLES);
        let latest = Query::events(&EventFilter::default(), None, LATEST);
        let events: Vec<Event> = self.desk.rows(&latest).await?;
        let now = self.desk.now();
        // The page is worth more than the job's bar; the log says why it is missing.
        let job = self.desk.refresh_job().await.unwrap_or_default();
        let page = HomePage::new(
            signed_in,
            &self.desk.settings.wrong,
            &issuers,
            filter,
            &troubles,
            &events,
            now,
        );
        let page = page.with_shrink(index.shrink);
        self.render(&page.with_job(job.as_ref(), now))
    }

    async fn events(&self, signed_in: Option<SignedIn>) -> Result<Answer, EdgeError> {
        let (filter, after) = address::event_filter(&self.query())?;
        filter.admit(self.desk.now())?;
        let query = Query::events(&filter, after.as_ref(), EVENTS.saturating_add(1));
        let page = EventPage::of(self.desk.rows(&query).await?, EVENTS);
        let next = page
            .events
            .last()
            .filter(|_| page.next_cursor.is_some())
            .map(Cursor::of);
        self.render(&EventsPage::new(
            signed_in,
            &filter,
            &page.events,
            next.as_ref(),
            self.desk.now(),
        ))
    }

    async fn actions(&self, signed_in: Option<SignedIn>) -> Result<Answer, EdgeError> {
        let before = address::actions(&self.query())?;
        let page = self.desk.actions(before, EVENTS).await?;
        self.render(&ActionsPage::new(
            signed_in,
            &page.actions,
            page.next_cursor,
            self.desk.now(),
        ))
    }

    async fn alert(
        &self,
        alert: &'static Alert,
        signed_in: Option<SignedIn>,
    ) -> Result<Answer, EdgeError> {
        let named = address::alert(&self.query())?;
        let index = self.desk.index().await?;
        let issuers = match self.desk.all(&index).await {
            Err(EdgeError::EventsUnavailable { .. }) => None,
            read => Some(read?),
        };
        let now = self.desk.now();
        let mut page = AlertPage::new(signed_in, alert, issuers.as_deref(), named.as_ref(), now);
        if alert.concern == Concern::Events {
            page.pending = self.pending(now).await;
        } else if alert.concern == Concern::Registry {
            page.shrink = index
                .shrink
                .map(|shrink| (shrink.vanished, Moment::new(shrink.since, now)));
        } else if alert.concern.has_figures() {
            // The page is worth more than its figures; the log says why they are missing.
            let served = self.desk.ports.served().await;
            let served = served.inspect_err(|error| drop(self.desk.internal(error)));
            page.served = served.ok().map(|served| ServedView::new(&served));
        }
        self.render(&page)
    }

    /// How many events D1 has yet to take, and from when the newest is that it has.
    async fn pending(&self, now: Timestamp) -> Option<(u64, Option<Moment>)> {
        let events = self.desk.ports.events_pending().await;
        let events = events.inspect_err(|error| drop(self.desk.internal(error)));
        let newest = Query::events(&EventFilter::default(), None, 1);
        let newest = self.desk.rows::<Event>(&newest).await.ok();
        let newest = newest.and_then(|events| events.first()?.started_at.parse().ok());
        Some((events.ok()?, newest.map(|at| Moment::new(at, now))))
    }

    async fn issuer(&self, id: IssuerId, signed_in: Option<SignedIn>) -> Result<Answer, EdgeError> {
        let done = address::done(&self.query())?;
        let (issuer, is_whole) = self.desk.issuer(id, HISTORY).await?;
        self.render(&IssuerPage::new(
            signed_in,
            &issuer,
            is_whole,
            done.as_deref(),
            self.desk.now(),
        ))
    }

    async fn retirement(
        &self,
        id: IssuerId,
        name: Option<CrlName>,
        signed_in: Option<SignedIn>,
    ) -> Result<Answer, EdgeError> {
        Parameters::parse(&self.query(), &[])?;
        let (issuer, _) = self.desk.issuer(id.clone(), 1).await?;
        let page = RetirementPage::ask(signed_in, &issuer, name, self.desk.now());
        self.render(&page.ok_or(EdgeError::StillListed { issuer: id })?)
    }

    async fn sign_in(&self) -> Result<Answer, EdgeError> {
        self.require_tokens()?;
        authorization::require_own_site(self.request)?;
        let form = self.form().await?;
        let to: Option<Destination> = field(&form, "to").and_then(|to| to.parse().ok());
        let shown = field(&form, "token").unwrap_or_default().trim();
        let caller = authorization::holder(shown, &self.desk.settings);
        // The hook's token reads nothing.
        let caller = caller.filter(|caller| caller.role != Role::Hook);
        let actor = Actor::of(self.request, caller.as_ref());
        let act = match caller {
            Some(_) => Act::SignIn,
            None => Act::RefusedSignIn,
        };
        self.desk.record(act, &actor, Target::default()).await?;
        if let Some(Proof::Token(token)) = caller.as_ref().map(|caller| &caller.proof) {
            let nonce = self.desk.ports.random();
            let nonce = nonce.map_err(|error| self.desk.internal(&error))?;
            let session = Session::begin(&token.secret, self.desk.now(), nonce);
            let cookie = session.set_cookie(self.is_secure());
            Ok(see_other(to.unwrap_or_default().to_string(), Some(cookie)))
        } else {
            // Guessing is slow, and nobody who has a token waits.
            let memory = self.desk.ports.memory();
            let pause = memory.guesses.reserve(actor.network(), self.desk.now());
            let pause = pause.ok_or(EdgeError::TooManySignIns {
                retry_after: CROWDED,
            })?;
            self.desk.ports.sleep(pause).await;
            if self.wants_page() {
                Ok(see_other(address::sign_in_address(true, to.as_ref()), None))
            } else {
                Err(authorization::refusal(&self.desk.settings))
            }
        }
    }

    /// Who reads the page: the holder of the token that began the session, or of the one in
    /// `Authorization`, or an identity of Cloudflare Access.
    async fn reader(&self) -> Result<Reader<'_>, EdgeError> {
        let settings = &self.desk.settings;
        let cookies = self.request.header("cookie").unwrap_or_default();
        let holders = authorization::holders(settings);
        if let Some((session, caller)) = Session::resume(&cookies, holders, self.desk.now()) {
            return Ok(Reader {
                caller,
                session: Some(session),
            });
        }
        let caller = self.desk.caller(self.request).await?;
        if caller.role == Role::Hook {
            return Err(EdgeError::TokenNotAllowed);
        }
        let session = match caller.proof {
            Proof::Token(_) => None,
            Proof::Access(_) => self.request.header(access::HEADER),
        };
        Ok(Reader {
            caller,
            session: session.map(|jwt| Session::of_access(&jwt)),
        })
    }

    /// The fields of a form that acts, from an operator.
    async fn admit_action(&self, reader: &Reader<'_>) -> Result<Form, EdgeError> {
        let form = self.admit_form(reader).await?;
        if reader.caller.role != Role::Operator {
            return Err(EdgeError::TokenNotAllowed);
        }
        Ok(form)
    }

    /// The fields of a form that a page of this session sent.
    async fn admit_form(&self, reader: &Reader<'_>) -> Result<Form, EdgeError> {
        authorization::require_own_site(self.request)?;
        let session = reader.session.as_ref().ok_or(EdgeError::ForeignForm)?;
        let form = self.form().await?;
        session.admit_form(field(&form, "form_token"))?;
        Ok(form)
    }

    async fn form(&self) -> Result<Form, EdgeError> {
        let form = self.desk.short_body(self.request).await?;
        let form = form.ok_or(EdgeError::ForeignForm)?;
        Ok(form_urlencoded::parse(form.as_bytes())
            .into_owned()
            .collect())
    }

    /// The page to show after signing in. For an action, it is the page that has the action's
    /// button.
    fn destination(&self, inner: &Inner) -> Option<Destination> {
        match inner {
            Inner::RefreshAll => Ok(Destination::default()),
            Inner::Refresh(id) | Inner::Trust(id) | Inner::Accept(id) => {
                format!("/dashboard/issuers/{id}").parse()
            }
            _ => url::path_and_query(self.request.url()).parse(),
        }
        .ok()
    }

    fn require_tokens(&self) -> Result<(), EdgeError> {
        if self.has_readers() {
            return Ok(());
        }
        match authorization::refusal(&self.desk.settings) {
            // Identities of Access open what tokens cannot.
            EdgeError::Unauthorized => Err(EdgeError::OperatorTokenNotSet),
            closed => Err(closed),
        }
    }

    fn has_readers(&self) -> bool {
        let mut holders = authorization::holders(&self.desk.settings);
        holders.any(|(_, caller)| caller.role != Role::Hook)
    }

    /// An error as a page for a browser, as problem details for a program.
    async fn refusal(&self, error: &EdgeError) -> Answer {
        if !self.wants_page() {
            return error.answer();
        }
        let page = match error {
            // Who reads the page is what failed.
            EdgeError::AccessRefused { .. } | EdgeError::AccessUnavailable { .. } => {
                ErrorPage::new(error, None).with_sign_in(self.has_readers())
            }
            _ => {
                let reader = self.reader().await.ok();
                ErrorPage::new(error, reader.and_then(|reader| reader.signed_in()))
            }
        };
        failed(error, &page)
    }

    fn wants_page(&self) -> bool {
        media::wants_page(self.request.header("accept").as_deref())
    }

    fn is_secure(&self) -> bool {
        self.request.url().starts_with("https:")
    }

    fn query(&self) -> Vec<(String, String)> {
        url::query(self.request.url())
    }

    fn render(&self, template: &impl askama::Template) -> Result<Answer, EdgeError> {
        let html = template.render();
        html.map(|html| page(200, html))
            .map_err(|error| self.desk.internal(&error))
    }
}

/// Redirects to the issuer's page, which shows the action's events.
fn done(id: &IssuerId, events: &[Event]) -> Answer {
    let ids: Vec<_> = events.iter().map(|event| event.id.to_string()).collect();
    see_other(
        format!("/dashboard/issuers/{id}?done=~{}", ids.join("~")),
        None,
    )
}

/// An error's page, with the status and header of the error.
fn failed(error: &EdgeError, error_page: &ErrorPage) -> Answer {
    let Ok(html) = error_page.render() else {
        return error.answer();
    };
    let mut answer = page(error.status_and_code().0, html);
    answer.headers.extend(error.own_header());
    answer
}

fn field<'a>(form: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let mut fields = form.iter();
    fields.find_map(|(known, value)| (known == name).then_some(value.as_str()))
}
