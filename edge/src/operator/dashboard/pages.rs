//! The pages, each rendered from a template in `templates/`. Templates escape every value.

use askama::Template;
use askama::filters::HtmlSafe;
use origin_api::IssuerId;

use super::super::crl_status::State;
use super::super::event_query::{Cursor, EventFilter};
use super::super::issuers::{IssuerStatus, most_urgent_first};
use super::address::HomeFilter;
use super::alerts::Alert;
use super::plot::{Mark, Plot, marks, plot};
use super::view::{
    ActionView, CrlView, EventView, Health, JobView, Moment, ServedView, bytes, grouped,
    milliseconds,
};
use crate::actions::Action;
use crate::config::WrongSetting;
use crate::events::{Event, EventId, Outcome, Trigger};
use crate::problem::EdgeError;
use crate::registry::{RefreshJob, Shrink};
use crate::time::{Rfc3339, Timestamp};

/// How many CRLs the first page shows.
const ISSUERS_ON_A_PAGE: usize = 50;
/// How many issuers it links to if the state of their CRLs cannot be read.
const MOST_LINKS: usize = 200;

#[derive(Debug, Template)]
#[template(path = "sign_in.html")]
pub(crate) struct SignInPage {
    /// Always none; the base template expects it.
    pub(crate) signed_in: Option<SignedIn>,
    /// Whether the previous attempt had a wrong token.
    pub(crate) refused: bool,
    /// The page to show after signing in; empty for the first page.
    pub(crate) to: String,
}

#[derive(Debug, Template)]
#[template(path = "error.html")]
pub(crate) struct ErrorPage {
    signed_in: Option<SignedIn>,
    title: String,
    detail: String,
    code: &'static str,
    may_sign_in: bool,
    /// The issuers whose own pages still work, and the filter on their ids.
    issuers: Option<(Vec<String>, String)>,
}

impl ErrorPage {
    #[must_use]
    pub(crate) fn new(error: &EdgeError, signed_in: Option<SignedIn>) -> Self {
        Self {
            signed_in,
            title: error.problem().title.into_owned(),
            detail: error.to_string(),
            code: error.status_and_code().1,
            may_sign_in: false,
            issuers: None,
        }
    }

    /// Links to the form to sign in if tokens open the dashboard.
    #[must_use]
    pub(crate) fn with_sign_in(self, may_sign_in: bool) -> Self {
        Self {
            may_sign_in,
            ..self
        }
    }

    /// Adds links to the pages of the issuers that match `filter`.
    #[must_use]
    pub(crate) fn with_issuers<'a>(
        mut self,
        ids: impl Iterator<Item = &'a str>,
        filter: &HomeFilter,
    ) -> Self {
        let found = ids
            .filter(|id| id.contains(&filter.id))
            .take(MOST_LINKS)
            .map(str::to_owned);
        self.issuers = Some((found.collect(), filter.id.clone()));
        self
    }
}

/// Who a page is rendered for, if a person is signed in.
#[derive(Clone, Debug)]
pub(crate) struct SignedIn {
    /// The field of each form that proves that a page of this session sent it.
    pub(crate) form_token: String,
    /// Whether the page has buttons that act.
    pub(crate) may_act: bool,
}

/// The table of events of several pages.
#[derive(Debug, Template)]
#[template(path = "event_table.html")]
struct EventTable<'a> {
    caption: &'a str,
    events: &'a [EventView],
}

impl HtmlSafe for EventTable<'_> {}

fn event_table<'a>(events: &'a [EventView], caption: &'a str) -> EventTable<'a> {
    EventTable { caption, events }
}

/// The first page: overall health, CRLs by urgency, recent events.
#[derive(Debug, Template)]
#[template(path = "home.html")]
pub(crate) struct HomePage {
    signed_in: Option<SignedIn>,
    as_of: Moment,
    health: Health,
    job: Option<JobView>,
    wrong_settings: Vec<String>,
    /// How many issuers vanished from the registry, if so many did that they are still listed.
    vanished: Option<u64>,
    filter: HomeFilter,
    states: &'static [State],
    crls: Vec<CrlView>,
    found: usize,
    earlier: Option<u32>,
    later: Option<u32>,
    troubles: Vec<EventView>,
    events: Vec<EventView>,
}

impl HomePage {
    /// Of `issuers`, the page lists those that match `filter`.
    #[must_use]
    pub(crate) fn new(
        signed_in: Option<SignedIn>,
        wrong_settings: &[WrongSetting],
        issuers: &[IssuerStatus],
        filter: HomeFilter,
        troubles: &[Event],
        events: &[Event],
        now: Timestamp,
    ) -> Self {
        let found = most_urgent_first(issuers, |issuer, crl| {
            let is_in_state = |state| state == crl.state && crl.is_expected();
            issuer.id.as_str().contains(&filter.id) && filter.state.is_none_or(is_in_state)
        });
        let skipped = usize::try_from(filter.page)
            .unwrap_or(usize::MAX)
            .saturating_mul(ISSUERS_ON_A_PAGE);
        let shown = found.iter().skip(skipped).take(ISSUERS_ON_A_PAGE);
        Self {
            signed_in,
            as_of: Moment::new(now, now),
            health: Health::of(issuers, now),
            job: None,
            wrong_settings: wrong_settings.iter().map(ToString::to_string).collect(),
            vanished: None,
            states: &State::ALL,
            crls: shown
                .map(|(issuer, crl)| CrlView::new(issuer, crl, now))
                .collect(),
            // In URLs, pages count from 1.
            earlier: (filter.page > 0).then_some(filter.page),
            later: (found.len() > skipped.saturating_add(ISSUERS_ON_A_PAGE))
                .then(|| filter.page.saturating_add(2)),
            found: found.len(),
            filter,
            troubles: views(troubles, &[], now),
            events: views(events, &[], now),
        }
    }

    /// Adds what the registry's gate holds.
    #[must_use]
    pub(crate) fn with_shrink(mut self, shrink: Option<Shrink>) -> Self {
        self.vanished = shrink.map(|shrink| shrink.vanished);
        self.health.is_well &= shrink.is_none();
        self
    }

    /// Shows the last refresh of all issuers, if there was one.
    #[must_use]
    pub(crate) fn with_job(mut self, job: Option<&RefreshJob>, now: Timestamp) -> Self {
        self.job = job.map(|job| JobView::new(job, now));
        self
    }

    fn is_refreshing(&self) -> bool {
        self.job.as_ref().is_some_and(JobView::is_under_way)
    }
}

/// What an alert is about.
#[derive(Debug, Template)]
#[template(path = "alert.html")]
pub(crate) struct AlertPage {
    signed_in: Option<SignedIn>,
    alert: &'static Alert,
    is_whole: bool,
    /// The CRLs concerned, each with the time since when.
    crls: Vec<(CrlView, Option<Moment>)>,
    found: usize,
    /// How many issuers vanished from the registry, and when.
    pub(crate) shrink: Option<(u64, Moment)>,
    pub(crate) served: Option<ServedView>,
    /// How many events D1 has yet to take, and from when the newest is that it has.
    pub(crate) pending: Option<(u64, Option<Moment>)>,
}

impl AlertPage {
    /// `issuers` are absent if D1 could not be read. If the alert names one, the page shows all of
    /// its CRLs.
    #[must_use]
    pub(crate) fn new(
        signed_in: Option<SignedIn>,
        alert: &'static Alert,
        issuers: Option<&[IssuerStatus]>,
        named: Option<&IssuerId>,
        now: Timestamp,
    ) -> Self {
        let concern = alert.concern;
        let concerned = most_urgent_first(issuers.unwrap_or_default(), |issuer, crl| match named {
            Some(named) => issuer.id == *named,
            None => crl.is_expected() && concern.is_about(issuer, crl, now),
        });
        let shown = concerned.iter().take(ISSUERS_ON_A_PAGE);
        Self {
            signed_in,
            alert,
            is_whole: issuers.is_some(),
            crls: shown
                .map(|(issuer, crl)| {
                    let since = concern.since(crl);
                    let since = since.map(|Rfc3339(at)| Moment::new(at, now));
                    (CrlView::new(issuer, crl, now), since)
                })
                .collect(),
            found: concerned.len(),
            shrink: None,
            served: None,
            pending: None,
        }
    }
}

#[derive(Debug, Template)]
#[template(path = "events.html")]
pub(crate) struct EventsPage {
    signed_in: Option<SignedIn>,
    filter: Fields,
    outcomes: &'static [Outcome],
    triggers: &'static [Trigger],
    events: Vec<EventView>,
    older: Option<String>,
}

/// The filter as the form's fields show it.
#[derive(Debug)]
struct Fields {
    issuer: String,
    name: String,
    outcome: Option<Outcome>,
    trigger: Option<Trigger>,
    since: String,
    until: String,
}

impl EventsPage {
    /// `events` match `filter`; `next` is the cursor of the page with older ones.
    #[must_use]
    pub(crate) fn new(
        signed_in: Option<SignedIn>,
        filter: &EventFilter,
        events: &[Event],
        next: Option<&Cursor>,
        now: Timestamp,
    ) -> Self {
        let text = |value: Option<String>| value.unwrap_or_default();
        Self {
            signed_in,
            filter: Fields {
                issuer: text(filter.issuer.as_ref().map(ToString::to_string)),
                name: text(filter.name.map(|name| name.to_string())),
                outcome: filter.outcome,
                trigger: filter.trigger,
                since: text(filter.since.map(|since| since.to_string())),
                until: text(filter.until.map(|until| until.to_string())),
            },
            outcomes: Outcome::ALL,
            triggers: Trigger::ALL,
            events: views(events, &[], now),
            older: next.map(ToString::to_string),
        }
    }
}

/// The page of one issuer: its CRLs, certificates and history.
#[derive(Debug, Template)]
#[template(path = "actions.html")]
pub(crate) struct ActionsPage {
    signed_in: Option<SignedIn>,
    actions: Vec<ActionView>,
    older: Option<EventId>,
}

impl ActionsPage {
    /// `older` is the cursor of the page with older actions.
    #[must_use]
    pub(crate) fn new(
        signed_in: Option<SignedIn>,
        actions: &[Action],
        older: Option<EventId>,
        now: Timestamp,
    ) -> Self {
        let views = actions.iter().map(|action| ActionView::new(action, now));
        Self {
            signed_in,
            actions: views.collect(),
            older,
        }
    }
}

#[derive(Debug, Template)]
#[template(path = "issuer.html")]
pub(crate) struct IssuerPage {
    signed_in: Option<SignedIn>,
    as_of: Moment,
    id: String,
    is_whole: bool,
    gone: bool,
    pinned: Option<String>,
    waiting: Option<String>,
    events_owed: u64,
    crls: Vec<CrlView>,
    histories: Vec<History>,
    events: Vec<EventView>,
    done: Option<Vec<EventView>>,
}

/// The history of one CRL.
#[derive(Debug)]
struct History {
    name: String,
    plots: Vec<Plot>,
    marks: Vec<Mark>,
    oldest: Option<Moment>,
    newest: Option<Moment>,
}

impl IssuerPage {
    /// The history is complete, `is_whole`, if D1 could be read. `done` are the events of the
    /// action that the operator has just taken.
    #[must_use]
    pub(crate) fn new(
        signed_in: Option<SignedIn>,
        issuer: &IssuerStatus,
        is_whole: bool,
        done: Option<&[EventId]>,
        now: Timestamp,
    ) -> Self {
        let events = &issuer.recent_events;
        let new = done.unwrap_or_default();
        let began = |event: Option<&Event>| {
            let at = event?.started_at.parse().ok()?;
            Some(Moment::new(at, now))
        };
        let histories = issuer.crls.iter().map(|crl| {
            let of_crl: Vec<_> = events
                .iter()
                .filter(|event| event.crl_name == crl.name)
                .cloned()
                .collect();
            let published: Vec<_> = of_crl
                .iter()
                .filter(|event| event.succeeded == 1)
                .cloned()
                .collect();
            History {
                name: crl.name.to_string(),
                plots: [
                    plot("Entries", &published, |event| event.revoked_count, grouped),
                    plot("Size", &published, |event| event.size_bytes, bytes),
                    plot(
                        "Duration",
                        &of_crl,
                        |event| Some(event.duration_ms),
                        milliseconds,
                    ),
                ]
                .into_iter()
                .flatten()
                .collect(),
                marks: marks(&of_crl),
                oldest: began(of_crl.last()),
                newest: began(of_crl.first()),
            }
        });
        let events = views(events, new, now);
        Self {
            signed_in,
            as_of: Moment::new(now, now),
            id: issuer.id.to_string(),
            is_whole,
            gone: issuer.gone_since.is_some(),
            pinned: issuer.pinned_certificate_sha256.clone(),
            waiting: issuer.waiting_certificate_sha256.clone(),
            events_owed: issuer.events_owed,
            crls: issuer
                .crls
                .iter()
                .map(|crl| CrlView::new(issuer, crl, now))
                .collect(),
            histories: histories
                .filter(|history| !history.marks.is_empty())
                .collect(),
            done: done.map(|_| {
                events
                    .iter()
                    .filter(|event| event.is_new)
                    .cloned()
                    .collect()
            }),
            events: events.into_iter().take(50).collect(),
        }
    }
}

fn views(events: &[Event], new: &[EventId], now: Timestamp) -> Vec<EventView> {
    events
        .iter()
        .map(|event| EventView::new(event, new, now))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::alerts::ALERTS;
    use super::*;
    use crate::config::Settings;
    use crate::operator::issuers::join;
    use crate::registry::{JobState, Listed, Summary};
    use crate::tables::testing::{NOW, event, status_row};

    const HOSTILE: &str = "<script>alert('\"&x')</script>";

    fn issuers() -> Vec<IssuerStatus> {
        let listed = Listed {
            crls: vec![origin_api::CrlName::Full],
            ..Listed::default()
        };
        let ids = ["a", "b"].map(|id| id.parse().unwrap());
        let mut failing = status_row("b");
        failing.consecutive_failures = 2;
        failing.last_error_code = Some("wrong_issuer".to_owned());
        failing.last_error = Some(HOSTILE.to_owned());
        failing.waiting_certificate_sha256 = Some("beef".to_owned());
        let mut issuers = join(
            ids.iter().map(|id| (id, &listed)),
            vec![status_row("a"), failing],
            NOW,
        );
        issuers[1].recent_events = events();
        issuers
    }

    fn events() -> Vec<Event> {
        let mut hostile = event(3);
        hostile.error = Some(HOSTILE.to_owned());
        hostile.outcome = Outcome::Rejected;
        vec![hostile, event(2), event(1)]
    }

    fn signed_in(may_act: bool) -> SignedIn {
        SignedIn {
            form_token: "form-token".to_owned(),
            may_act,
        }
    }

    fn hostile_action() -> Action {
        Action {
            id: event(1).id,
            at: NOW.to_string(),
            action: crate::actions::Act::Trust,
            role: Some("operator".to_owned()),
            token_name: Some(HOSTILE.to_owned()),
            address: Some("203.0.113.0/24".to_owned()),
            issuer_id: Some("a".parse().unwrap()),
            crl_name: None,
            sha256: Some("beef".to_owned()),
        }
    }

    fn job() -> RefreshJob {
        RefreshJob {
            id: event(1).id,
            state: JobState::Running,
            requested_at: Rfc3339(NOW),
            started_at: Some(Rfc3339(NOW)),
            finished_at: None,
            summary: Summary {
                issuers: 3,
                not_reached: 7,
                ..Summary::default()
            },
        }
    }

    fn every_page() -> Vec<String> {
        let issuers = issuers();
        let token = || Some(signed_in(true));
        let wrong = Settings::read(|name| match name {
            "ORIGIN_URL" => Some("http://127.0.0.1".to_owned()),
            "REFRESH_AT" => Some(HOSTILE.to_owned()),
            _ => None,
        });
        let filter = EventFilter::default();
        let hostile = HomeFilter {
            id: HOSTILE.to_owned(),
            ..HomeFilter::default()
        };
        vec![
            SignInPage {
                signed_in: None,
                refused: true,
                to: "/dashboard/events?issuer=%22%3E".to_owned(),
            }
            .render()
            .unwrap(),
            ErrorPage::new(&EdgeError::NotFound, None)
                .with_issuers(["a", "b"].into_iter(), &hostile)
                .render()
                .unwrap(),
            HomePage::new(
                token(),
                &wrong.wrong,
                &issuers,
                HomeFilter::default(),
                &events(),
                &events(),
                NOW,
            )
            .with_job(Some(&job()), NOW)
            .render()
            .unwrap(),
            HomePage::new(token(), &[], &issuers, hostile, &[], &[], NOW)
                .render()
                .unwrap(),
            EventsPage::new(
                token(),
                &filter,
                &events(),
                Some(&Cursor::of(&event(1))),
                NOW,
            )
            .render()
            .unwrap(),
            IssuerPage::new(token(), &issuers[1], true, Some(&[event(3).id]), NOW)
                .render()
                .unwrap(),
            IssuerPage::new(None, &issuers[0], false, Some(&[]), NOW)
                .render()
                .unwrap(),
            AlertPage::new(token(), &ALERTS[3], Some(&issuers), None, NOW)
                .render()
                .unwrap(),
            ActionsPage::new(token(), &[hostile_action()], Some(event(1).id), NOW)
                .render()
                .unwrap(),
        ]
    }

    #[test]
    fn nothing_that_comes_from_outside_is_markup() {
        for page in every_page() {
            assert!(!page.contains("<script"), "{page}");
        }
        assert!(every_page()[5].contains("&#60;script&#62;"));
    }

    #[test]
    fn every_page_keeps_to_its_content_security_policy() {
        for page in every_page() {
            for forbidden in [
                "style=",
                "<style",
                "onclick",
                "javascript:",
                "http://",
                "https://",
            ] {
                assert!(!page.contains(forbidden), "{forbidden}: {page}");
            }
        }
    }

    #[test]
    fn every_form_that_acts_carries_the_sessions_token() {
        for page in every_page() {
            for form in page.split("<form").skip(1) {
                let form = form.split("</form>").next().unwrap();
                let acts =
                    form.contains(r#"method="post""#) && !form.contains("/dashboard/sign-in");
                assert_eq!(
                    acts,
                    form.contains(r#"name="form_token" value="form-token""#),
                    "{form}"
                );
            }
        }
    }

    #[test]
    fn a_viewer_sees_no_button_but_the_one_to_sign_out() {
        let page = IssuerPage::new(Some(signed_in(false)), &issuers()[1], true, None, NOW);
        let page = page.render().unwrap();
        let forms: Vec<_> = page.split("<form").skip(1).collect();
        assert_eq!(forms.len(), 1, "{page}");
        assert!(forms[0].contains("/dashboard/sign-out"));
        assert!(page.contains("A changed certificate waits for trust"));
    }

    #[test]
    fn the_button_to_trust_names_the_certificate_that_was_shown() {
        let page = &every_page()[5];
        let form = page.split("/trust\">").nth(1).unwrap();
        let form = form.split("</form>").next().unwrap();
        assert!(form.contains(r#"name="sha256" value="beef""#), "{form}");
    }

    #[test]
    fn the_first_page_shows_the_most_urgent_first_and_what_waits() {
        let page = &every_page()[2];
        let (b, a) = (
            page.find("/dashboard/issuers/b"),
            page.rfind("/dashboard/issuers/a"),
        );
        assert!(b.unwrap() < a.unwrap());
        assert!(page.contains("1 failing"), "{page}");
        assert!(page.contains("REFRESH_AT is wrong: set it to"), "{page}");
        assert!(page.contains("waits for trust"), "{page}");
    }

    #[test]
    fn the_issuers_page_tells_what_the_refresh_did() {
        let pages = every_page();
        assert!(pages[5].contains(r#"role="status""#) && pages[5].contains("rejected"));
        assert!(pages[6].contains("cannot be read yet"), "{}", pages[6]);
    }

    #[test]
    fn many_issuers_are_shown_in_pages() {
        let listed = Listed {
            crls: vec![origin_api::CrlName::Full],
            ..Listed::default()
        };
        let ids: Vec<_> = (0..120)
            .map(|id| format!("i{id:03}").parse().unwrap())
            .collect();
        let rows = ids
            .iter()
            .map(|id: &origin_api::IssuerId| status_row(id.as_str()))
            .collect();
        let issuers = join(ids.iter().map(|id| (id, &listed)), rows, NOW);
        let page = |page| {
            let filter = HomeFilter {
                page,
                ..HomeFilter::default()
            };
            let page = HomePage::new(None, &[], &issuers, filter, &[], &[], NOW);
            (page.crls.len(), page.earlier, page.later)
        };
        assert_eq!(page(0), (50, None, Some(2)));
        assert_eq!(page(1), (50, Some(1), Some(3)));
        assert_eq!(page(2), (20, Some(2), None));
        assert_eq!(page(9), (0, Some(9), None));
    }
}
