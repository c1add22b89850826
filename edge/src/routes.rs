//! The table of routes: every path that the edge answers, with its methods and its handler.
//!
//! A path has one spelling: it is matched as the client sent it, percent-encoded, without its
//! query.

use origin_api::{CrlName, IssuerId};

use crate::http::Method;
use crate::operator::call::Endpoint;
use crate::operator::dashboard::address::{Address, Asset, Inner};
use crate::operator::dashboard::alerts;
use crate::operator::{OperatorRoute, Target};
use crate::problem::EdgeError;
use crate::public::Encoding;

/// What answers a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Handler {
    /// Serves a CRL.
    Crl {
        /// The issuer that signed it.
        issuer: IssuerId,
        /// Which of the issuer's CRLs.
        name: CrlName,
        /// As DER or PEM.
        encoding: Encoding,
    },
    /// Says that the edge answers.
    Health,
    /// Answers an operator.
    Operator(OperatorRoute),
}

/// One line of the table: a path, in which `{…}` is a parameter; the methods that it takes, as
/// `Allow` lists them; its handler, from the parameters. A parameter that does not parse names
/// nothing.
type Route = (
    &'static str,
    &'static str,
    fn(&Parameters<'_>) -> Option<Handler>,
);

const READ: &str = "GET, HEAD";
/// An operator may retire it.
const REMOVABLE: &str = "GET, HEAD, DELETE";
const JOB: &str = "GET, HEAD, POST";
/// A page with a form that is sent to the page's own path.
const FORM: &str = "GET, HEAD, POST";
/// For scripts of other origins too.
const PUBLIC: &str = "GET, HEAD, OPTIONS";

#[rustfmt::skip]
const ROUTES: &[Route] = &[
    ("/crl/{file}",                      PUBLIC, |path| crl_file(path.first()?, None)),
    ("/crl/{issuer}/{file}",             PUBLIC, |path| crl_file(path.second()?, Some(path.first()?))),
    ("/.well-known/pki/crl/{issuer}",    PUBLIC, |path| Some(crl(path.id()?, CrlName::Full, Encoding::Der))),
    ("/healthz",                         PUBLIC, |_| Some(Handler::Health)),

    ("/v1/issuers",                      READ,   |_| Some(call(Endpoint::Issuers))),
    ("/v1/issuers/{id}",                 REMOVABLE, |path| Some(call(Endpoint::Issuer(path.id()?)))),
    ("/v1/issuers/{id}/crls/{name}",     REMOVABLE, |path| Some(call(Endpoint::Crl(path.id()?, path.name()?)))),
    ("/v1/issuers/{id}/refresh",         "POST", |path| Some(call(Endpoint::Refresh(path.id()?)))),
    ("/v1/issuers/{id}/trust",           "POST", |path| Some(call(Endpoint::Trust(path.id()?)))),
    ("/v1/issuers/{id}/crls/{name}/accept", "POST", |path| Some(call(Endpoint::Accept(path.id()?, path.name()?)))),
    ("/v1/issuers/{id}/crls/{name}/changes", READ, |path| Some(call(Endpoint::Changes(path.id()?, path.name()?)))),
    ("/v1/refresh",                      JOB,    |_| Some(call(Endpoint::RefreshAll))),
    ("/v1/registry/confirm",             "POST", |_| Some(call(Endpoint::ConfirmRegistry))),
    ("/v1/events",                       READ,   |_| Some(call(Endpoint::Events))),
    ("/v1/actions",                      READ,   |_| Some(call(Endpoint::Actions))),
    ("/v1/openapi.json",                 READ,   |_| Some(call(Endpoint::OpenApi))),
    ("/metrics",                         READ,   |_| Some(call(Endpoint::Metrics))),

    ("/dashboard",                       READ,   |_| Some(page(Inner::Home))),
    ("/dashboard/",                      READ,   |_| Some(page(Inner::Home))),
    ("/dashboard/events",                READ,   |_| Some(page(Inner::Events))),
    ("/dashboard/actions",               READ,   |_| Some(page(Inner::Actions))),
    ("/dashboard/alerts/{alert}",        READ,   |path| Some(page(Inner::Alert(alerts::find(path.first()?)?)))),
    ("/dashboard/refresh",               "POST", |_| Some(page(Inner::RefreshAll))),
    ("/dashboard/issuers/{id}",          READ,   |path| Some(page(Inner::Issuer(path.id()?)))),
    ("/dashboard/issuers/{id}/refresh",  "POST", |path| Some(page(Inner::Refresh(path.id()?)))),
    ("/dashboard/issuers/{id}/trust",    "POST", |path| Some(page(Inner::Trust(path.id()?)))),
    ("/dashboard/issuers/{id}/accept",   "POST", |path| Some(page(Inner::Accept(path.id()?)))),
    ("/dashboard/issuers/{id}/retire",   FORM,   |path| Some(page(Inner::Retire(path.id()?, None)))),
    ("/dashboard/issuers/{id}/crls/{name}/retire", FORM, |path| Some(page(Inner::Retire(path.id()?, Some(path.name()?))))),
    ("/dashboard/issuers/{id}/crls/{name}/changes", READ, |path| Some(page(Inner::Changes(path.id()?, path.name()?)))),
    ("/dashboard/sign-in",               FORM,   |_| Some(dashboard(Address::SignIn))),
    ("/dashboard/sign-out",              "POST", |_| Some(page(Inner::SignOut))),
    ("/dashboard/style.css",             READ,   |_| Some(dashboard(Address::Asset(Asset::Style)))),
    ("/dashboard/icon.svg",              READ,   |_| Some(dashboard(Address::Asset(Asset::Icon)))),
];

/// Finds the handler of a request.
///
/// # Errors
/// [`EdgeError::NotFound`] if no route has this path, [`EdgeError::MethodNotAllowed`] if its route
/// does not take the method.
pub fn route(method: &str, path: &str) -> Result<(Method, Handler), EdgeError> {
    let found = ROUTES.iter().find_map(|(pattern, allow, handler)| {
        let parameters = Parameters::of(pattern, path)?;
        Some((*allow, handler(&parameters)?))
    });
    let (allow, handler) = found.ok_or(EdgeError::NotFound)?;
    Method::parse(method)
        .filter(|_| allow.split(", ").any(|allowed| allowed == method))
        .map(|method| (method, handler))
        .ok_or(EdgeError::MethodNotAllowed { allow })
}

/// The segments of a path that stand for the `{…}` of its pattern: two at most.
struct Parameters<'p>([Option<&'p str>; 2]);

impl<'p> Parameters<'p> {
    /// None if the path does not match the pattern.
    fn of(pattern: &str, path: &'p str) -> Option<Self> {
        let mut segments = path.split('/');
        let mut parameters = [None; 2];
        let mut free = parameters.iter_mut();
        for expected in pattern.split('/') {
            let segment = segments.next()?;
            if expected.starts_with('{') {
                *free.next()? = Some(segment);
            } else if segment != expected {
                return None;
            }
        }
        segments.next().is_none().then_some(Self(parameters))
    }

    fn first(&self) -> Option<&'p str> {
        self.0[0]
    }

    fn name(&self) -> Option<CrlName> {
        self.second()?.parse().ok()
    }

    fn second(&self) -> Option<&'p str> {
        self.0[1]
    }

    fn id(&self) -> Option<IssuerId> {
        self.first()?.parse().ok()
    }
}

/// `{issuer}.crl` in `/crl`, or `{name}.crl` in the issuer's folder; `.pem` likewise.
fn crl_file(file: &str, folder: Option<&str>) -> Option<Handler> {
    // An issuer's id may contain dots: only the last ending counts.
    let (stem, encoding) = match file.rsplit_once('.')? {
        (stem, "crl") => (stem, Encoding::Der),
        (stem, "pem") => (stem, Encoding::Pem),
        _ => return None,
    };
    let (issuer, name) = match folder {
        Some(issuer) => (issuer, stem.parse().ok()?),
        None => (stem, CrlName::Full),
    };
    Some(crl(issuer.parse().ok()?, name, encoding))
}

fn crl(issuer: IssuerId, name: CrlName, encoding: Encoding) -> Handler {
    Handler::Crl {
        issuer,
        name,
        encoding,
    }
}

fn call(endpoint: Endpoint) -> Handler {
    Handler::Operator(OperatorRoute(Target::Api(endpoint)))
}

fn page(page: Inner) -> Handler {
    dashboard(Address::Inner(page))
}

fn dashboard(address: Address) -> Handler {
    Handler::Operator(OperatorRoute(Target::Dashboard(address)))
}

/// The paths of the table and their methods, for tests that hold documents against it.
#[cfg(test)]
pub(crate) fn paths() -> impl Iterator<Item = (&'static str, &'static str)> {
    ROUTES.iter().map(|(path, allow, _)| (*path, *allow))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn get(path: &str) -> Result<Handler, EdgeError> {
        route("GET", path).map(|(method, handler)| {
            assert_eq!(method, Method::Get);
            handler
        })
    }

    #[test]
    fn every_row_matches_its_own_path_with_its_own_methods() {
        for (pattern, allow) in paths() {
            let path = pattern
                .replace("{file}", "delta.crl")
                .replace("{issuer}", "a")
                .replace("{name}", "full")
                .replace("{alert}", "CrlExpired")
                .replace("{id}", "a");
            for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "get", ""] {
                let routed = route(method, &path);
                if allow.split(", ").any(|allowed| allowed == method) {
                    assert!(routed.is_ok(), "{method} {path}");
                } else {
                    let refused = Err(EdgeError::MethodNotAllowed { allow });
                    assert_eq!(routed, refused, "{method} {path}");
                }
            }
        }
    }

    #[test]
    fn every_path_of_a_crl_is_known() {
        use CrlName::{Delta, Full, Shard};
        use Encoding::{Der, Pem};
        for (path, issuer, name, encoding) in [
            ("/crl/demo.crl", "demo", Full, Der),
            ("/crl/demo.pem", "demo", Full, Pem),
            ("/crl/demo/full.crl", "demo", Full, Der),
            ("/crl/demo/delta.crl", "demo", Delta, Der),
            ("/crl/demo/shard-12.pem", "demo", Shard(12), Pem),
            ("/.well-known/pki/crl/demo", "demo", Full, Der),
            // An id may have dots, and even an ending.
            ("/crl/a.crl.crl", "a.crl", Full, Der),
            ("/crl/a.crl.pem", "a.crl", Full, Pem),
            ("/crl/a.pem/full.crl", "a.pem", Full, Der),
            ("/crl/a..crl", "a.", Full, Der),
            ("/.well-known/pki/crl/a.crl", "a.crl", Full, Der),
        ] {
            let issuer = issuer.parse().unwrap();
            let handler = Handler::Crl {
                issuer,
                name,
                encoding,
            };
            assert_eq!(get(path), Ok(handler), "{path}");
        }
    }

    #[test]
    fn other_spellings_match_nothing() {
        let long = format!("/crl/{}.crl", "a".repeat(65));
        let longer = format!("/crl/{}", "a/".repeat(50_000));
        for path in [
            "",
            "/",
            "/crl",
            "/crl/",
            "/crl/demo",
            "/crl/.crl",
            "/crl/demo.CRL",
            "/crl/demo.crl/",
            "/crl//demo.crl",
            "//crl/demo.crl",
            "/crl/demo//full.crl",
            "/crl/demo/full/full.crl",
            "/crl/demo/.crl",
            "/crl/demo/Full.crl",
            "/crl/demo/shard-01.crl",
            "/crl/../crl/demo.crl",
            "/crl/%2e%2e.crl",
            "/crl/d%65mo.crl",
            "/crl/demo%2Ecrl",
            "/crl/demo%00.crl",
            "/crl/demo .crl",
            "/crl/d\u{e9}mo.crl",
            "/crl/demo.crl?x",
            "/.well-known/pki/crl/",
            "/.well-known/pki/crl/demo/full",
            "/healthz/",
            "/v1",
            "/v1/",
            "/v1/issuers/",
            "/v1/issuers/a/b",
            "/v1/issuers/%00",
            "/v1/events/",
            "/metrics/",
            "/dashboards",
            "/dashboard/x",
            "/dashboard/issuers/",
            "/dashboard/issuers/a/b",
            long.as_str(),
            longer.as_str(),
        ] {
            for method in ["GET", "POST"] {
                assert_eq!(route(method, path), Err(EdgeError::NotFound), "{path:?}");
            }
        }
    }

    #[test]
    fn only_files_and_the_form_to_sign_in_are_for_everyone() {
        let open: Vec<_> = paths()
            .filter(|(path, allow)| path.starts_with("/dashboard") && allow.contains("GET"))
            .map(|(path, _)| path.replace("{id}", "a"))
            .filter(|path| get(path).is_ok_and(|handler| !is_inner(&handler)))
            .collect();
        let expected = [
            "/dashboard/sign-in",
            "/dashboard/style.css",
            "/dashboard/icon.svg",
        ];
        assert_eq!(open, expected);
    }

    fn is_inner(handler: &Handler) -> bool {
        let Handler::Operator(OperatorRoute(target)) = handler else {
            return false;
        };
        matches!(target, Target::Dashboard(Address::Inner(_)))
    }

    proptest! {
        #[test]
        fn a_path_that_matches_says_nothing_but_what_it_matched(path in "/(crl|\\.well-known/pki/crl)/[a-c./%-]{0,12}(full|\\.crl|\\.pem|)(\\.crl|\\.pem|)") {
            if let Ok(Handler::Crl { issuer, name, encoding }) = get(&path) {
                let ending = match encoding { Encoding::Der => "crl", Encoding::Pem => "pem" };
                let spellings = [
                    format!("/crl/{issuer}/{name}.{ending}"),
                    format!("/crl/{issuer}.{ending}"),
                    format!("/.well-known/pki/crl/{issuer}"),
                ];
                prop_assert!(spellings.contains(&path));
            }
        }
    }
}
