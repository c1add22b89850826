//! The parts of a request's URL. The platform has already removed dot segments and encoded the
//! host in ASCII; a full parser would cost the hot path more than the rest of its work.

use std::net::IpAddr;

/// The scheme and authority, as an `Origin` header writes them.
#[must_use]
pub fn origin(url: &str) -> &str {
    url.get(..end_of_origin(url)).unwrap_or(url)
}

/// Whether what is sent to this URL crosses no network in the clear: its scheme is https, or its
/// host is this machine.
#[must_use]
pub(crate) fn is_confidential(url: &str) -> bool {
    let Some(authority) = origin(url).strip_prefix("http://") else {
        return url.starts_with("https://");
    };
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => host,
        _ => authority,
    };
    let address = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    host.eq_ignore_ascii_case("localhost")
        || address
            .parse()
            .is_ok_and(|address: IpAddr| address.is_loopback())
}

/// The path, still percent-encoded; `/` if it is empty.
#[must_use]
pub fn path(url: &str) -> &str {
    let rest = url.get(end_of_origin(url)..).unwrap_or_default();
    match up_to(rest, b"?#") {
        "" => "/",
        path => path,
    }
}

/// The path and, if present, the `?` and the query after it.
#[must_use]
pub fn path_and_query(url: &str) -> &str {
    up_to(url.get(end_of_origin(url)..).unwrap_or_default(), b"#")
}

/// The query's parameters, decoded as `application/x-www-form-urlencoded`.
#[must_use]
pub fn query(url: &str) -> Vec<(String, String)> {
    let query = up_to(url, b"#")
        .split_once('?')
        .map_or("", |(_, query)| query);
    form_urlencoded::parse(query.as_bytes())
        .into_owned()
        .collect()
}

fn end_of_origin(url: &str) -> usize {
    let host = up_to(url, b"/").len().saturating_add(2);
    let rest = url.get(host..).unwrap_or_default();
    host.saturating_add(up_to(rest, b"/?#").len())
}

/// The text before the first of these ASCII characters. Byte by byte: the standard library's search
/// is built for longer texts.
fn up_to<'t>(text: &'t str, ends: &[u8]) -> &'t str {
    let end = text.bytes().position(|byte| ends.contains(&byte));
    end.and_then(|end| text.get(..end)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_cut_where_its_parts_end() {
        for (url, of_origin, of_path) in [
            (
                "http://a.example/crl/x.crl",
                "http://a.example",
                "/crl/x.crl",
            ),
            (
                "https://a.example:8787/crl/x.crl?a=/b#c",
                "https://a.example:8787",
                "/crl/x.crl",
            ),
            ("http://a.example", "http://a.example", "/"),
            ("http://[::1]:1/%2e?x", "http://[::1]:1", "/%2e"),
        ] {
            assert_eq!((origin(url), path(url)), (of_origin, of_path), "{url}");
        }
    }

    #[test]
    fn what_crosses_a_network_over_http_is_not_confidential() {
        for ours in [
            "https://edge.example/v1/issuers",
            "http://localhost:8787/metrics",
            "http://LOCALHOST/metrics",
            "http://127.0.0.1:8787/",
            "http://127.9.9.9/",
            "http://[::1]:8787/",
            "http://[::1]",
            "http://[0:0:0:0:0:0:0:1]:8787/",
        ] {
            assert!(is_confidential(ours), "{ours}");
        }
        for open in [
            "http://edge.example/v1/issuers",
            "http://128.0.0.1/",
            "http://127.0.0.1.evil.example/",
            "http://localhost.evil.example:80/",
            "http://[::2]:8787/",
            "http://[::ffff:10.0.0.1]/",
            "http://0.0.0.0/",
            "ftp://127.0.0.1/",
        ] {
            assert!(!is_confidential(open), "{open}");
        }
    }

    #[test]
    fn parameters_are_decoded() {
        assert_eq!(query("http://a.example/x"), []);
        let expected = [("a", "b c"), ("d", ""), ("a", "ü?")];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(query("http://a.example/x?a=b+c&d&a=%c3%bc?#e=f"), expected);
    }
}
