//! The addresses of the dashboard, and their queries. Pure.

use std::fmt;
use std::str::FromStr;

use origin_api::{CrlName, IssuerId};

use super::super::crl_status::State;
use super::super::event_query::{Cursor, EventFilter};
use super::super::parameters::Parameters;
use super::alerts::{self, Alert};
use crate::events::EventId;
use crate::problem::EdgeError;

/// An address under `/dashboard`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    /// A file, for everyone.
    Asset(Asset),
    /// The form to sign in, for everyone.
    SignIn,
    /// What is for operators only.
    Inner(Inner),
}

/// A file that belongs to the pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asset {
    /// The style sheet.
    Style,
    /// The icon.
    Icon,
}

/// What is shown to operators, or done for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Inner {
    /// The health of all.
    Home,
    /// Events by filter.
    Events,
    /// What operators did.
    Actions,
    /// What an alert is about.
    Alert(&'static Alert),
    /// One issuer.
    Issuer(IssuerId),
    /// Refreshes all issuers: a form.
    RefreshAll,
    /// Refreshes an issuer: a form.
    Refresh(IssuerId),
    /// Trusts a changed certificate: a form.
    Trust(IssuerId),
    /// Accepts a refused CRL: a form.
    Accept(IssuerId),
    /// What retiring one CRL of an issuer, or all, removes; and the form that does it.
    Retire(IssuerId, Option<CrlName>),
    /// What the CRLs of a name added and removed.
    Changes(IssuerId, CrlName),
    /// Ends the session: a form.
    SignOut,
}

/// Where somebody goes after signing in: a page of the dashboard, with its query. The first one by
/// default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Destination(String);

/// The text is no address of a page here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no page of the dashboard")]
pub(crate) struct DestinationError;

impl Default for Destination {
    fn default() -> Self {
        Self("/dashboard".to_owned())
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Destination {
    type Err = DestinationError;

    /// Whatever this takes is a path of this host: nobody can be sent elsewhere by a link.
    fn from_str(text: &str) -> Result<Self, DestinationError> {
        let path = text.split('?').next().unwrap_or_default();
        let segments: Vec<_> = path.split('/').skip(1).collect();
        let is_page = match segments.as_slice() {
            ["dashboard"] | ["dashboard", "" | "events" | "actions"] => true,
            ["dashboard", "alerts", name] => alerts::find(name).is_some(),
            ["dashboard", "issuers", id] | ["dashboard", "issuers", id, "retire"] => {
                id.parse::<IssuerId>().is_ok()
            }
            [
                "dashboard",
                "issuers",
                id,
                "crls",
                name,
                "retire" | "changes",
            ] => id.parse::<IssuerId>().is_ok() && name.parse::<CrlName>().is_ok(),
            _ => false,
        };
        let fits_a_header = text.bytes().all(|byte| byte.is_ascii_graphic());
        (is_page && fits_a_header)
            .then(|| Self(text.to_owned()))
            .ok_or(DestinationError)
    }
}

/// The address of the form to sign in, which leads on to `to`.
#[must_use]
pub(crate) fn sign_in_address(refused: bool, to: Option<&Destination>) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    if refused {
        query.append_pair("refused", "1");
    }
    if let Some(to) = to.filter(|to| **to != Destination::default()) {
        query.append_pair("to", &to.0);
    }
    let query = query.finish();
    let mark = if query.is_empty() { "" } else { "?" };
    format!("/dashboard/sign-in{mark}{query}")
}

/// What that address says: whether a token was refused, and where to go on.
///
/// # Errors
/// Names the parameter that is unknown or wrong.
pub(crate) fn sign_in(
    query: &[(String, String)],
) -> Result<(bool, Option<Destination>), EdgeError> {
    let parameters = Parameters::parse(query, &["refused", "to"])?;
    let refused: Option<u8> = parameters.value("refused", "must be 1")?;
    let to = parameters.value("to", "must be a page of the dashboard")?;
    Ok((refused.is_some(), to))
}

/// Which issuers the first page shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct HomeFilter {
    /// Only those in this state.
    pub(crate) state: Option<State>,
    /// Only those whose ids contain this.
    pub(crate) id: String,
    /// How many pages were shown before.
    pub(crate) page: u32,
}

impl HomeFilter {
    /// Reads the query string.
    ///
    /// # Errors
    /// Names the parameter that is unknown or wrong.
    pub(crate) fn parse(query: &[(String, String)]) -> Result<Self, EdgeError> {
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
pub(crate) fn event_filter(
    query: &[(String, String)],
) -> Result<(EventFilter, Option<Cursor>), EdgeError> {
    let known = [&EventFilter::PARAMETERS[..], &["cursor"]].concat();
    let parameters = Parameters::parse(query, &known)?;
    let cursor = parameters.value("cursor", "must be what the link to older events said")?;
    Ok((EventFilter::parse(&parameters)?, cursor))
}

/// From which action on the page of actions shows them: those before the one with this id.
///
/// # Errors
/// Names the parameter that is unknown or wrong.
pub(crate) fn actions(query: &[(String, String)]) -> Result<Option<EventId>, EdgeError> {
    let parameters = Parameters::parse(query, &["cursor"])?;
    parameters.value("cursor", "must be what the link to older actions said")
}

/// The issuer that an alert names, in the address of its page.
///
/// # Errors
/// Names the parameter that is unknown or wrong.
pub(crate) fn alert(query: &[(String, String)]) -> Result<Option<IssuerId>, EdgeError> {
    let parameters = Parameters::parse(query, &["issuer"])?;
    parameters.value("issuer", "must be an issuer's id")
}

/// The events that an action led to, as the address of an issuer's page names them: `?done=ID~ID`.
///
/// # Errors
/// Names the parameter that is unknown or wrong.
pub(crate) fn done(query: &[(String, String)]) -> Result<Option<Vec<EventId>>, EdgeError> {
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
    fn signing_in_leads_to_pages_of_the_dashboard_and_nowhere_else() {
        for page in [
            "/dashboard",
            "/dashboard/issuers/a?done=~",
            "/dashboard/issuers/a/retire",
            "/dashboard/issuers/a/crls/shard-1/retire",
            "/dashboard/issuers/a/crls/full/changes?since=7",
            "/dashboard/events?issuer=a&since=2026-01-01T00%3A00%3A00Z",
        ] {
            let address = sign_in_address(false, page.parse().ok().as_ref());
            let query = address.split_once('?').map_or("", |(_, query)| query);
            let query: Vec<_> = form_urlencoded::parse(query.as_bytes())
                .into_owned()
                .collect();
            let (refused, to) = sign_in(&query).unwrap();
            assert_eq!(
                (refused, to.unwrap_or_default().to_string().as_str()),
                (false, page)
            );
        }
        assert_eq!(sign_in_address(true, None), "/dashboard/sign-in?refused=1");
        for elsewhere in [
            "",
            "https://b.example/dashboard",
            "//b.example/dashboard",
            "/dashboard/../v1/events",
            "/dashboard/sign-out",
            "/dashboard/style.css",
            "/dashboard?a=\r\nSet-Cookie:b",
            "/dashboard/issuers/a/refresh",
            "/dashboard/issuers/a/crls/b/changes",
        ] {
            assert_eq!(
                elsewhere.parse::<Destination>(),
                Err(DestinationError),
                "{elsewhere}"
            );
        }
    }
}
