//! Which path and method mean what to a relying party. By plain matching: a path has one spelling, nothing is decoded.

use origin_api::{CrlName, IssuerId};

use super::Encoding;

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// A CRL.
    Crl {
        /// With its body or without.
        method: Method,
        /// Whose.
        issuer: IssuerId,
        /// Which of the issuer's.
        name: CrlName,
        /// As DER or PEM.
        encoding: Encoding,
    },
    /// Whether the edge answers at all.
    Health {
        /// With its body or without.
        method: Method,
    },
    /// A path of the above, with another method. `OPTIONS` is among them: a script of another origin needs no
    /// preflight to read a CRL, as GET, HEAD and single ranges are safelisted (Fetch standard, section 2.2).
    MethodNotAllowed {
        /// The value of `Allow` (RFC 9110, section 10.2.1).
        allow: &'static str,
    },
    /// Nothing that relying parties use.
    Other,
}

/// A method that reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// The answer with its body.
    Get,
    /// The same answer without (RFC 9110, section 9.3.2).
    Head,
}

impl Route {
    /// Reads the method and the path: percent-encoded as it came, without the query.
    #[must_use]
    pub fn parse(method: &str, path: &str) -> Self {
        let Some(resource) = Resource::parse(path) else {
            return Self::Other;
        };
        match (Method::parse(method), resource) {
            (None, _) => Self::MethodNotAllowed { allow: "GET, HEAD" },
            (Some(method), Resource::Health) => Self::Health { method },
            (Some(method), Resource::Crl(issuer, name, encoding)) => Self::Crl {
                method,
                issuer,
                name,
                encoding,
            },
        }
    }
}

impl Method {
    /// Methods are case-sensitive (RFC 9110, section 9.1).
    fn parse(method: &str) -> Option<Self> {
        match method {
            "GET" => Some(Self::Get),
            "HEAD" => Some(Self::Head),
            _ => None,
        }
    }
}

enum Resource {
    Crl(IssuerId, CrlName, Encoding),
    Health,
}

impl Resource {
    fn parse(path: &str) -> Option<Self> {
        if path == "/healthz" {
            return Some(Self::Health);
        }
        if let Some(issuer) = path.strip_prefix("/.well-known/pki/crl/") {
            return Some(Self::Crl(
                issuer.parse().ok()?,
                CrlName::Full,
                Encoding::Der,
            ));
        }
        let file = path.strip_prefix("/crl/")?;
        // An issuer's id may hold dots: only the last ending counts.
        let (stem, encoding) = match file.rsplit_once('.')? {
            (stem, "crl") => (stem, Encoding::Der),
            (stem, "pem") => (stem, Encoding::Pem),
            _ => return None,
        };
        let (issuer, name) = match stem.split_once('/') {
            Some((issuer, name)) => (issuer, name.parse().ok()?),
            None => (stem, CrlName::Full),
        };
        Some(Self::Crl(issuer.parse().ok()?, name, encoding))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn get(path: &str) -> Route {
        Route::parse("GET", path)
    }

    fn crl(issuer: &str, name: CrlName, encoding: Encoding) -> Route {
        Route::Crl {
            method: Method::Get,
            issuer: issuer.parse().unwrap(),
            name,
            encoding,
        }
    }

    #[test]
    fn every_path_of_the_contract_is_known() {
        use CrlName::{Delta, Full, Shard};
        use Encoding::{Der, Pem};
        for (path, issuer, name, encoding) in [
            ("/crl/demo.crl", "demo", Full, Der),
            ("/crl/demo.pem", "demo", Full, Pem),
            ("/crl/demo/full.crl", "demo", Full, Der),
            ("/crl/demo/delta.crl", "demo", Delta, Der),
            ("/crl/demo/shard-12.pem", "demo", Shard(12), Pem),
            ("/.well-known/pki/crl/demo", "demo", Full, Der),
        ] {
            assert_eq!(get(path), crl(issuer, name, encoding), "{path}");
        }
        assert_eq!(
            get("/healthz"),
            Route::Health {
                method: Method::Get
            }
        );
    }

    #[test]
    fn an_issuer_may_have_dots_and_even_an_ending_in_its_id() {
        use Encoding::{Der, Pem};
        for (path, issuer, encoding) in [
            ("/crl/a.crl.crl", "a.crl", Der),
            ("/crl/a.crl.pem", "a.crl", Pem),
            ("/crl/a.pem/full.crl", "a.pem", Der),
            ("/crl/a..crl", "a.", Der),
            ("/.well-known/pki/crl/a.crl", "a.crl", Der),
        ] {
            assert_eq!(get(path), crl(issuer, CrlName::Full, encoding), "{path}");
        }
    }

    #[test]
    fn odd_spellings_match_nothing() {
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
            long.as_str(),
            longer.as_str(),
        ] {
            assert_eq!(get(path), Route::Other, "{path:?}");
        }
    }

    #[test]
    fn a_known_path_takes_get_and_head_alone() {
        for method in ["POST", "OPTIONS", "TRACE", "get", "", "GET "] {
            for path in ["/crl/demo.crl", "/healthz", "/.well-known/pki/crl/demo"] {
                assert_eq!(
                    Route::parse(method, path),
                    Route::MethodNotAllowed { allow: "GET, HEAD" }
                );
            }
            assert_eq!(Route::parse(method, "/v1/issuers"), Route::Other);
        }
        assert!(matches!(
            Route::parse("HEAD", "/crl/demo.crl"),
            Route::Crl {
                method: Method::Head,
                ..
            }
        ));
    }

    proptest! {
        #[test]
        fn a_path_that_matches_says_nothing_but_what_it_matched(path in "/(crl|\\.well-known/pki/crl)/[a-c./%-]{0,12}(full|\\.crl|\\.pem|)(\\.crl|\\.pem|)") {
            if let Route::Crl { issuer, name, encoding, .. } = get(&path) {
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
