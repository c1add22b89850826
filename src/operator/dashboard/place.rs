//! Where the parts of the dashboard live. Pure.

use origin_api::IssuerId;

use super::super::crl_status::State;
use super::super::event_query::{Cursor, EventFilter};
use super::super::parameters::Parameters;
use crate::events::EventId;
use crate::problem::EdgeError;

/// A place under `/dashboard`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A file, for everyone.
    Asset(Asset),
    /// The form to sign in, for everyone.
    SignIn,
    /// What is for operators only.
    Inner(Inner),
}

/// A file that belongs to the pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asset {
    /// The style sheet.
    Style,
    /// The icon.
    Icon,
}

/// What is shown to operators, or done for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inner {
    /// The health of all.
    Home,
    /// Events by filter.
    Events,
    /// One issuer.
    Issuer(IssuerId),
    /// Refreshes an issuer: a form.
    Refresh(IssuerId),
    /// Trusts a changed certificate: a form.
    Trust(IssuerId),
    /// Ends the session: a form.
    SignOut,
}

impl Place {
    /// What lives at `path`, if `method` is one that it takes. None where nothing of the dashboard does.
    #[must_use]
    pub fn parse(method: &str, path: &str) -> Option<Result<Self, EdgeError>> {
        let rest = path.strip_prefix("/dashboard")?;
        if rest.is_empty() || rest == "/" {
            return Some(take(method, "GET, HEAD", Self::Inner(Inner::Home)));
        }
        let segments: Vec<_> = rest.strip_prefix('/')?.split('/').collect();
        let (allow, place) = match segments.as_slice() {
            ["style.css"] => ("GET, HEAD", Self::Asset(Asset::Style)),
            ["icon.svg"] => ("GET, HEAD", Self::Asset(Asset::Icon)),
            ["sign-in"] => ("GET, HEAD, POST", Self::SignIn),
            ["sign-out"] => ("POST", Self::Inner(Inner::SignOut)),
            ["events"] => ("GET, HEAD", Self::Inner(Inner::Events)),
            ["issuers", id] => ("GET, HEAD", Self::Inner(Inner::Issuer(id.parse().ok()?))),
            ["issuers", id, "refresh"] => ("POST", Self::Inner(Inner::Refresh(id.parse().ok()?))),
            ["issuers", id, "trust"] => ("POST", Self::Inner(Inner::Trust(id.parse().ok()?))),
            _ => return None,
        };
        Some(take(method, allow, place))
    }
}

fn take(method: &str, allow: &'static str, place: Place) -> Result<Place, EdgeError> {
    if allow.split(", ").any(|allowed| allowed == method) {
        Ok(place)
    } else {
        Err(EdgeError::MethodNotAllowed { allow })
    }
}

/// Which issuers the first page shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HomeFilter {
    /// Only those in this state.
    pub state: Option<State>,
    /// Only those whose ids contain this.
    pub id: String,
    /// How many pages were shown before.
    pub page: u32,
}

impl HomeFilter {
    /// Reads the query string.
    ///
    /// # Errors
    /// Names the parameter that is unknown or wrong.
    pub fn parse(query: &[(String, String)]) -> Result<Self, EdgeError> {
        let parameters = Parameters::parse(query, &["state", "id", "page"])?;
        let id: Option<String> = parameters.value("id", "must be a part of an issuer's id")?;
        Ok(Self {
            state: parameters.value(
                "state",
                "must be one of expired, absent, failing, due, fresh",
            )?,
            id: id
                .unwrap_or_default()
                .chars()
                .take(IssuerId::MAX_LEN)
                .collect(),
            page: parameters
                .count("page", 1_000_000)?
                .map_or(0, |page| page.saturating_sub(1)),
        })
    }
}

/// Which events their page shows.
///
/// # Errors
/// Names the parameter that is unknown or wrong.
pub fn event_filter(
    query: &[(String, String)],
) -> Result<(EventFilter, Option<Cursor>), EdgeError> {
    let known = [&EventFilter::PARAMETERS[..], &["cursor"]].concat();
    let parameters = Parameters::parse(query, &known)?;
    let cursor = parameters.value("cursor", "must be what the link to older events said")?;
    Ok((EventFilter::parse(&parameters)?, cursor))
}

/// The events that an action led to, as the address of an issuer's page names them: `?done=ID~ID`.
///
/// # Errors
/// Names the parameter that is unknown or wrong.
pub fn done(query: &[(String, String)]) -> Result<Option<Vec<EventId>>, EdgeError> {
    let parameters = Parameters::parse(query, &["done"])?;
    let Some(ids) = parameters.value::<String>("done", "")? else {
        return Ok(None);
    };
    let ids: Result<Vec<_>, _> = ids
        .split('~')
        .filter(|id| !id.is_empty())
        .map(str::parse)
        .collect();
    ids.map(Some).map_err(|_| EdgeError::BadParameter {
        name: "done".into(),
        problem: "must be ids of events".into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_takes_its_methods_and_no_other() {
        let ok = |method, path| Place::parse(method, path).is_some_and(|place| place.is_ok());
        for path in [
            "/dashboard",
            "/dashboard/",
            "/dashboard/events",
            "/dashboard/issuers/a",
            "/dashboard/style.css",
            "/dashboard/icon.svg",
        ] {
            assert!(
                ok("GET", path) && ok("HEAD", path) && !ok("POST", path),
                "{path}"
            );
        }
        for path in [
            "/dashboard/sign-out",
            "/dashboard/issuers/a/refresh",
            "/dashboard/issuers/a/trust",
        ] {
            assert!(ok("POST", path) && !ok("GET", path), "{path}");
        }
        assert!(ok("GET", "/dashboard/sign-in") && ok("POST", "/dashboard/sign-in"));
        for nothing in [
            "/dashboards",
            "/dashboard/x",
            "/dashboard/issuers/",
            "/dashboard/issuers/a/b",
            "/",
        ] {
            assert_eq!(Place::parse("GET", nothing), None, "{nothing}");
        }
    }

    #[test]
    fn only_files_and_the_form_to_sign_in_are_for_everyone() {
        let open: Vec<_> = [
            "",
            "/events",
            "/issuers/a",
            "/sign-in",
            "/style.css",
            "/icon.svg",
        ]
        .into_iter()
        .filter(|path| {
            let place = Place::parse("GET", &format!("/dashboard{path}"));
            !matches!(place, Some(Ok(Place::Inner(_))))
        })
        .collect();
        assert_eq!(open, ["/sign-in", "/style.css", "/icon.svg"]);
    }
}
