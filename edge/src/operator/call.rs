//! The calls of the operators' API: which tokens open each, and its parameters.

use crl::CrlNumber;
use origin_api::{CrlName, IssuerId};

use super::authorization::Role;
use super::crl_status::State;
use super::event_query::{Cursor, EventFilter};
use super::media::EventFormat;
use super::parameters::Parameters;
use crate::events::{EventId, Trigger};
use crate::problem::EdgeError;

/// The most issuers on one page.
pub(crate) const MOST_ISSUERS: u32 = 1000;
/// The most events on one page of JSON.
pub(crate) const MOST_EVENTS: u32 = 1000;
/// How many events such a page has by default.
pub(crate) const USUAL_EVENTS: u32 = 100;
/// The most events in one stream: a query reads a thousand, and the platform allows a thousand
/// queries in one request.
pub(crate) const MOST_STREAMED_EVENTS: u32 = 900_000;
/// The most CRLs with series of their own.
pub(crate) const MOST_SERIES: u32 = 2000;
/// How many have them by default.
pub(crate) const USUAL_SERIES: u32 = 250;

const NUMBER_EXPECTED: &str = "must be a CRLNumber in decimal: that of the CRL that you know";

/// A call's path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// `/v1/issuers`
    Issuers,
    /// `/v1/issuers/{id}`
    Issuer(IssuerId),
    /// `/v1/issuers/{id}/crls/{name}`
    Crl(IssuerId, CrlName),
    /// `/v1/issuers/{id}/refresh`
    Refresh(IssuerId),
    /// `/v1/issuers/{id}/trust`
    Trust(IssuerId),
    /// `/v1/issuers/{id}/crls/{name}/accept`
    Accept(IssuerId, CrlName),
    /// `/v1/issuers/{id}/crls/{name}/changes`
    Changes(IssuerId, CrlName),
    /// `/v1/refresh`
    RefreshAll,
    /// `/v1/registry/confirm`
    ConfirmRegistry,
    /// `/v1/events`
    Events,
    /// `/v1/actions`
    Actions,
    /// `/metrics`
    Metrics,
    /// `/v1/openapi.json`
    OpenApi,
}

/// A call with its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// Every issuer, with the state of its CRLs.
    Issuers {
        /// Only those with a CRL in this state.
        state: Option<State>,
        /// Only those with ids after this one.
        after: Option<IssuerId>,
        limit: u32,
    },
    /// One issuer.
    Issuer(IssuerId),
    /// Refreshes one CRL of an issuer, or all.
    Refresh {
        issuer: IssuerId,
        name: Option<CrlName>,
        trigger: Trigger,
    },
    /// The CRL that is held.
    Held { issuer: IssuerId, name: CrlName },
    /// Removes one CRL of an issuer, or all, that the origin no longer lists.
    Retire {
        issuer: IssuerId,
        name: Option<CrlName>,
    },
    /// Lets the issuers go that vanished from the registry.
    ConfirmRegistry,
    /// Refreshes everything, as a job.
    RefreshAll,
    /// How far that job is.
    RefreshJob,
    /// Pins a changed certificate.
    Trust(IssuerId),
    /// Accepts a refused CRL.
    Accept(IssuerId, CrlName),
    /// What the CRLs of a name added and removed.
    Changes {
        issuer: IssuerId,
        name: CrlName,
        /// By those after this one.
        since: CrlNumber,
        format: EventFormat,
    },
    /// Events of refreshes.
    Events {
        filter: EventFilter,
        /// Only those after this one.
        after: Option<Cursor>,
        limit: u32,
        format: EventFormat,
    },
    /// What operators did.
    Actions {
        /// Only those before the one with this id.
        before: Option<EventId>,
        limit: u32,
    },
    /// Metrics for Prometheus.
    Metrics {
        /// If present, only this issuer's CRLs have series of their own.
        issuer: Option<IssuerId>,
        /// How many CRLs have series of their own, the most urgent first.
        limit: u32,
    },
    /// The OpenAPI document.
    OpenApi,
}

impl Endpoint {
    /// Whether a token with this role opens the call.
    ///
    /// # Errors
    /// [`EdgeError::TokenNotAllowed`] if it does not.
    pub(crate) fn admit(&self, role: Role, method: &str) -> Result<(), EdgeError> {
        let acts = !matches!(method, "GET" | "HEAD");
        match (role, self) {
            (Role::Operator, _) | (Role::Hook, Self::Refresh(_)) => Ok(()),
            (Role::Viewer, _) if !acts => Ok(()),
            (Role::Hook | Role::Viewer, _) => Err(EdgeError::TokenNotAllowed),
        }
    }

    /// The call, with its parameters.
    ///
    /// # Errors
    /// Names the parameter that is unknown or wrong.
    pub(crate) fn call(
        self,
        method: &str,
        role: Role,
        query: &[(String, String)],
        accept: Option<&str>,
    ) -> Result<Call, EdgeError> {
        let none = || Parameters::parse(query, &[]).map(drop);
        match self {
            Self::Issuers => {
                let parameters = Parameters::parse(query, &["state", "limit", "cursor"])?;
                Ok(Call::Issuers {
                    state: parameters.value(
                        "state",
                        "must be one of expired, absent, failing, due, fresh",
                    )?,
                    after: parameters.value("cursor", "must be what next_cursor said")?,
                    limit: parameters
                        .count("limit", MOST_ISSUERS)?
                        .unwrap_or(MOST_ISSUERS),
                })
            }
            Self::Issuer(issuer) if method == "DELETE" => {
                none().map(|()| Call::Retire { issuer, name: None })
            }
            Self::Issuer(issuer) => none().map(|()| Call::Issuer(issuer)),
            Self::Crl(issuer, name) if method == "DELETE" => none().map(|()| Call::Retire {
                issuer,
                name: Some(name),
            }),
            Self::Crl(issuer, name) => none().map(|()| Call::Held { issuer, name }),
            Self::ConfirmRegistry => none().map(|()| Call::ConfirmRegistry),
            Self::Refresh(issuer) => {
                let parameters = Parameters::parse(query, &["name"])?;
                Ok(Call::Refresh {
                    issuer,
                    name: parameters.value(
                        "name",
                        "must be a CRL's name: full, delta, shard-0, shard-1, …",
                    )?,
                    trigger: match role {
                        Role::Operator | Role::Viewer => Trigger::Operator,
                        Role::Hook => Trigger::Hook,
                    },
                })
            }
            Self::Trust(issuer) => none().map(|()| Call::Trust(issuer)),
            Self::Accept(issuer, name) => none().map(|()| Call::Accept(issuer, name)),
            Self::Changes(issuer, name) => {
                let parameters = Parameters::parse(query, &["since"])?;
                let since = parameters.value("since", NUMBER_EXPECTED)?;
                Ok(Call::Changes {
                    issuer,
                    name,
                    since: since.ok_or(EdgeError::BadParameter {
                        name: "since".into(),
                        problem: NUMBER_EXPECTED.into(),
                    })?,
                    format: EventFormat::negotiate(accept)?,
                })
            }
            Self::RefreshAll if method == "POST" => none().map(|()| Call::RefreshAll),
            Self::RefreshAll => none().map(|()| Call::RefreshJob),
            Self::OpenApi => none().map(|()| Call::OpenApi),
            Self::Events => events(query, accept),
            Self::Actions => {
                let parameters = Parameters::parse(query, &["limit", "cursor"])?;
                Ok(Call::Actions {
                    before: parameters.value("cursor", "must be what next_cursor said")?,
                    limit: parameters
                        .count("limit", MOST_EVENTS)?
                        .unwrap_or(USUAL_EVENTS),
                })
            }
            Self::Metrics => {
                let parameters = Parameters::parse(query, &["issuer", "limit"])?;
                Ok(Call::Metrics {
                    issuer: parameters.value(
                        "issuer",
                        "must be an issuer's id: 1 to 64 of A-Z a-z 0-9 . _ -",
                    )?,
                    limit: parameters
                        .count("limit", MOST_SERIES)?
                        .unwrap_or(USUAL_SERIES),
                })
            }
        }
    }
}

fn events(query: &[(String, String)], accept: Option<&str>) -> Result<Call, EdgeError> {
    let known = [&EventFilter::PARAMETERS[..], &["limit", "cursor"]].concat();
    let parameters = Parameters::parse(query, &known)?;
    let format = EventFormat::negotiate(accept)?;
    let (most, usual) = match format {
        EventFormat::Json => (MOST_EVENTS, USUAL_EVENTS),
        EventFormat::Ndjson | EventFormat::Csv => (MOST_STREAMED_EVENTS, MOST_STREAMED_EVENTS),
    };
    Ok(Call::Events {
        filter: EventFilter::parse(&parameters)?,
        after: parameters.value(
            "cursor",
            "must be what next_cursor said, or {started_at}~{id} of an event",
        )?,
        limit: parameters.count("limit", most)?.unwrap_or(usual),
        format,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operator::{OperatorRoute, Target};
    use crate::routes::{Handler, route};

    fn endpoint(method: &str, path: &str) -> Endpoint {
        match route(method, path) {
            Ok((_, Handler::Operator(OperatorRoute(Target::Api(endpoint))))) => endpoint,
            other => panic!("{method} {path}: {other:?}"),
        }
    }

    fn call(path: &str, query: &[(&str, &str)], accept: Option<&str>) -> Result<Call, EdgeError> {
        let query: Vec<_> = query
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        endpoint("GET", path).call("GET", Role::Operator, &query, accept)
    }

    const READS: [&str; 9] = [
        "/v1/refresh",
        "/v1/issuers",
        "/v1/issuers/a",
        "/v1/issuers/a/crls/full",
        "/v1/issuers/a/crls/full/changes",
        "/v1/events",
        "/v1/actions",
        "/metrics",
        "/v1/openapi.json",
    ];
    const ACTIONS: [(&str, &str); 7] = [
        ("POST", "/v1/issuers/a/refresh"),
        ("POST", "/v1/issuers/a/trust"),
        ("POST", "/v1/refresh"),
        ("DELETE", "/v1/issuers/a"),
        ("DELETE", "/v1/issuers/a/crls/full"),
        ("POST", "/v1/registry/confirm"),
        ("POST", "/v1/issuers/a/crls/full/accept"),
    ];

    #[test]
    fn each_role_opens_its_own_calls() {
        for path in READS {
            let endpoint = endpoint("GET", path);
            let refused = Err(EdgeError::TokenNotAllowed);
            assert_eq!(endpoint.admit(Role::Hook, "GET"), refused);
            assert_eq!(endpoint.admit(Role::Viewer, "GET"), Ok(()), "{path}");
        }
        for (method, path) in ACTIONS {
            let endpoint = endpoint(method, path);
            let admitted = endpoint.admit(Role::Hook, method).is_ok();
            assert_eq!(admitted, path.ends_with("/a/refresh"), "{path}");
            assert!(endpoint.admit(Role::Viewer, method).is_err(), "{path}");
            assert_eq!(endpoint.admit(Role::Operator, method), Ok(()));
        }
    }

    #[test]
    fn a_refresh_says_who_asked_for_it() {
        let trigger = |role| {
            let endpoint = endpoint("POST", "/v1/issuers/a/refresh");
            match endpoint.call("POST", role, &[], None) {
                Ok(Call::Refresh {
                    trigger,
                    name: None,
                    ..
                }) => trigger,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(trigger(Role::Operator), Trigger::Operator);
        assert_eq!(trigger(Role::Hook), Trigger::Hook);
    }

    #[test]
    fn a_page_of_json_is_short_and_a_stream_is_long() {
        let limit = |query: &[(&str, &str)], accept| match call("/v1/events", query, accept) {
            Ok(Call::Events { limit, .. }) => Ok(limit),
            Ok(other) => panic!("{other:?}"),
            Err(error) => Err(error.status_and_code().1),
        };
        assert_eq!(limit(&[], None), Ok(USUAL_EVENTS));
        assert_eq!(limit(&[], Some("text/csv")), Ok(MOST_STREAMED_EVENTS));
        assert_eq!(limit(&[("limit", "2000")], Some("text/csv")), Ok(2000));
        assert_eq!(limit(&[("limit", "2000")], None), Err("bad_parameter"));
    }

    #[test]
    fn every_call_refuses_what_it_does_not_know() {
        for path in READS {
            let error = call(path, &[("colour", "red")], None).unwrap_err();
            assert_eq!(error.status_and_code(), (400, "bad_parameter"), "{path}");
        }
        for (path, name, value) in [
            ("/v1/issuers", "state", "well"),
            ("/v1/issuers", "cursor", "a b"),
            ("/v1/issuers", "limit", "1001"),
            ("/v1/events", "cursor", "7"),
            ("/v1/issuers/a/crls/full/changes", "since", "-1"),
            ("/v1/issuers/a/crls/full/changes", "since", ""),
            ("/metrics", "limit", "0"),
            ("/metrics", "issuer", "*"),
        ] {
            let error = call(path, &[(name, value)], None).unwrap_err();
            assert!(error.to_string().contains(name), "{path} {error}");
        }
    }
}
