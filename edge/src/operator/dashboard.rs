//! The dashboard: pages for people, sessions, and the forms that act.

pub(crate) mod address;
pub(crate) mod alerts;
mod bar;
mod changes;
pub(crate) mod pages;
pub(crate) mod plot;
mod retirement;
pub(crate) mod session;
pub(crate) mod view;
mod visit;

use crate::http::{Answer, Body, Headers};

/// Allows this edge's own style sheet and images and forms to itself; no scripts.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

#[must_use]
pub(crate) fn page(status: u16, html: String) -> Answer {
    Answer {
        status,
        headers: headers("text/html; charset=utf-8", "no-store"),
        body: Body::Text(html),
    }
}

#[must_use]
pub(crate) fn see_other(location: String, set_cookie: Option<String>) -> Answer {
    let mut headers = headers("text/plain; charset=utf-8", "no-store");
    headers.push(("Location", location.into()));
    headers.extend(set_cookie.map(|cookie| ("Set-Cookie", cookie.into())));
    Answer {
        status: 303,
        headers,
        body: Body::Text(String::new()),
    }
}

#[must_use]
pub(crate) fn asset(asset: address::Asset) -> Answer {
    let (media_type, text) = match asset {
        address::Asset::Style => (
            "text/css; charset=utf-8",
            include_str!("../../templates/style.css"),
        ),
        address::Asset::Icon => ("image/svg+xml", include_str!("../../templates/icon.svg")),
    };
    Answer {
        status: 200,
        headers: headers(media_type, "public, max-age=300"),
        body: Body::Text(text.to_owned()),
    }
}

fn headers(media_type: &'static str, cache_control: &'static str) -> Headers {
    vec![
        ("Content-Type", media_type.into()),
        ("Cache-Control", cache_control.into()),
        ("Content-Security-Policy", CONTENT_SECURITY_POLICY.into()),
        ("X-Content-Type-Options", "nosniff".into()),
        // With `no-referrer`, browsers would send forms with `Origin: null`.
        ("Referrer-Policy", "same-origin".into()),
        ("Cross-Origin-Opener-Policy", "same-origin".into()),
    ]
}
