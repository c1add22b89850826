//! The handlers of the dashboard: requests from browsers, answered with pages.

use askama::Template as _;
use origin_api::IssuerId;

use super::super::authorization::{self, Caller, caller};
use super::super::desk::Desk;
use super::super::event_page::{self, EventPage};
use super::super::event_query::{Cursor, EventFilter};
use super::super::media;
use super::super::parameters::read_sha256;
use super::super::ports::{Ports, Request};
use super::pages::{ErrorPage, EventsPage, HomePage, IssuerPage, SignInPage};
use super::place::{self, Destination, HomeFilter, Inner, Place};
use super::session::{self, Session};
use super::{asset, page, see_other};
use crate::answer::Answer;
use crate::config::Secret;
use crate::events::{Event, Outcome, Trigger};
use crate::problem::EdgeError;
use crate::registry::Index;
use crate::tables::Query;
use crate::url;

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
        place: Result<Place, EdgeError>,
    ) -> Answer {
        let visit = Visit {
            desk: self,
            request,
        };
        let answered = match place {
            Ok(place) => visit.answer(place).await,
            Err(error) => Err(error),
        };
        answered.unwrap_or_else(|error| visit.refusal(&error))
    }
}

/// A form's fields.
type Form = Vec<(String, String)>;

/// One request to the dashboard.
struct Visit<'a, P, R> {
    desk: &'a Desk<P>,
    request: &'a R,
}

impl<P: Ports, R: Request> Visit<'_, P, R> {
    async fn answer(&self, place: Place) -> Result<Answer, EdgeError> {
        match place {
            Place::Asset(file) => Ok(asset(file)),
            Place::SignIn if self.request.method() == "POST" => self.sign_in().await,
            Place::SignIn => {
                self.token()?;
                let (refused, to) = place::sign_in(&self.query())?;
                self.render(&SignInPage {
                    form_token: None,
                    refused,
                    to: to.map(|to| to.to_string()).unwrap_or_default(),
                })
            }
            Place::Inner(inner) => match self.session() {
                Err(EdgeError::Unauthorized) if self.wants_page() => {
                    let to = self.destination(&inner);
                    Ok(see_other(place::sign_in_address(false, to.as_ref()), None))
                }
                Err(error) => Err(error),
                Ok(session) => self.inner(inner, session).await,
            },
        }
    }

    async fn inner(&self, inner: Inner, session: Option<Session>) -> Result<Answer, EdgeError> {
        let form_token = session
            .as_ref()
            .map(|session| session.form_token().to_owned());
        match inner {
            Inner::Home => self.home(form_token).await,
            Inner::Events => self.events(form_token).await,
            Inner::Issuer(id) => self.issuer(id, form_token).await,
            Inner::Refresh(id) => {
                self.admit_form(session).await?;
                let events = self.desk.refresh(&id, None, Trigger::Operator).await?;
                Ok(done(&id, &events))
            }
            Inner::Trust(id) => {
                let form = self.admit_form(session).await?;
                let sha256 = field(&form, "sha256").and_then(read_sha256);
                let sha256 = sha256.ok_or(EdgeError::ForeignForm)?;
                let events = self.desk.trust(id.clone(), sha256).await?;
                Ok(done(&id, &events))
            }
            Inner::SignOut => {
                self.admit_form(session).await?;
                let end = session::end_cookie(self.is_secure());
                Ok(see_other(place::sign_in_address(false, None), Some(end)))
            }
        }
    }

    async fn home(&self, form_token: Option<String>) -> Result<Answer, EdgeError> {
        let filter = HomeFilter::parse(&self.query())?;
        let index = self.desk.index().await?;
        match self
            .overview(&index, filter.clone(), form_token.clone())
            .await
        {
            // The state of all CRLs is known to D1 alone; each issuer's object knows its own.
            Err(error @ EdgeError::EventsUnavailable { .. }) if self.wants_page() => {
                let ids = index.issuers.keys().map(IssuerId::as_str);
                let page = ErrorPage::new(&error, form_token).with_issuers(ids, &filter);
                Ok(failed(&error, &page))
            }
            answered => answered,
        }
    }

    async fn overview(
        &self,
        index: &Index,
        filter: HomeFilter,
        form_token: Option<String>,
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
        self.render(&HomePage::new(
            form_token,
            &issuers,
            filter,
            &troubles,
            &events,
            self.desk.now(),
        ))
    }

    async fn events(&self, form_token: Option<String>) -> Result<Answer, EdgeError> {
        let (filter, after) = place::event_filter(&self.query())?;
        let query = Query::events(&filter, after.as_ref(), EVENTS.saturating_add(1));
        let page = EventPage::of(self.desk.rows(&query).await?, EVENTS);
        let next = page
            .events
            .last()
            .filter(|_| page.next_cursor.is_some())
            .map(Cursor::of);
        self.render(&EventsPage::new(
            form_token,
            &filter,
            &page.events,
            next.as_ref(),
            self.desk.now(),
        ))
    }

    async fn issuer(&self, id: IssuerId, form_token: Option<String>) -> Result<Answer, EdgeError> {
        let done = place::done(&self.query())?;
        let (issuer, is_whole) = self.desk.issuer(id, HISTORY).await?;
        self.render(&IssuerPage::new(
            form_token,
            &issuer,
            is_whole,
            done.as_deref(),
            self.desk.now(),
        ))
    }

    async fn sign_in(&self) -> Result<Answer, EdgeError> {
        let token = self.token()?;
        self.admit_origin()?;
        let form = self.form().await?;
        let to: Option<Destination> = field(&form, "to").and_then(|to| to.parse().ok());
        let shown = field(&form, "token").unwrap_or_default();
        if authorization::is(shown.trim(), Some(token)) {
            let nonce = self.desk.ports.random();
            let nonce = nonce.map_err(|error| self.desk.internal(&error))?;
            let session = Session::begin(token, self.desk.now(), nonce);
            let cookie = session.set_cookie(self.is_secure());
            Ok(see_other(to.unwrap_or_default().to_string(), Some(cookie)))
        } else if self.wants_page() {
            Ok(see_other(place::sign_in_address(true, to.as_ref()), None))
        } else {
            Err(EdgeError::Unauthorized)
        }
    }

    /// The session; none for a program that shows the operator's token in `Authorization`, which
    /// may read pages but send no form.
    fn session(&self) -> Result<Option<Session>, EdgeError> {
        let cookies = self.request.header("cookie");
        let now = self.desk.now();
        if let Some(session) = Session::resume(cookies.as_deref(), self.token()?, now) {
            return Ok(Some(session));
        }
        let authorization = self.request.header("authorization");
        match caller(authorization.as_deref(), &self.desk.settings)? {
            Caller::Operator => Ok(None),
            Caller::Hook => Err(EdgeError::TokenNotAllowed),
        }
    }

    /// The fields of a form that this session's page sent.
    async fn admit_form(&self, session: Option<Session>) -> Result<Form, EdgeError> {
        self.admit_origin()?;
        let session = session.ok_or(EdgeError::ForeignForm)?;
        let form = self.form().await?;
        session.admit_form(field(&form, "form_token"))?;
        Ok(form)
    }

    fn admit_origin(&self) -> Result<(), EdgeError> {
        let origin = self.request.header("origin");
        session::admit_origin(origin.as_deref(), url::origin(self.request.url()))
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
            Inner::Refresh(id) | Inner::Trust(id) => format!("/dashboard/issuers/{id}").parse(),
            _ => url::path_and_query(self.request.url()).parse(),
        }
        .ok()
    }

    fn token(&self) -> Result<&Secret, EdgeError> {
        let token = self.desk.settings.operator_token.as_ref();
        token.ok_or(EdgeError::OperatorTokenNotSet)
    }

    /// An error as a page for a browser, as problem details for a program.
    fn refusal(&self, error: &EdgeError) -> Answer {
        if !self.wants_page() {
            return error.answer();
        }
        let session = self.session().ok().flatten();
        let form_token = session.map(|session| session.form_token().to_owned());
        failed(error, &ErrorPage::new(error, form_token))
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
