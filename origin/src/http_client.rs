//! The HTTP client of `push` and the connectors: an argument, so that a simulator
//! can answer in its place.
//!
//! It follows no redirect: a request carries a token, a secret or a promise to an operator about
//! the host that is asked, and all of them are for the host and scheme that were configured.

use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{BoxStream, StreamExt};
use http::{HeaderMap, Request, StatusCode};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Sends requests.
pub trait HttpClient: Send + Sync {
    /// Sends a request; returns when the head of the response is there. `limits.timeout` covers the
    /// body, too.
    fn send(
        &self,
        request: Request<Bytes>,
        limits: Limits,
    ) -> BoxFuture<'_, Result<Response, HttpError>>;
}

/// What a request is limited to.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How long the whole exchange may take.
    pub timeout: Duration,
    /// Which hosts may answer.
    pub reach: Reach,
}

/// Which hosts may answer a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Any.
    Anywhere,
    /// Any but this machine and its link: loopback, link-local and unspecified addresses, by number
    /// or by name. A URL that someone else supplied must not reach a service that trusts local
    /// callers, such as a cloud's metadata service.
    NotLocal,
}

/// A response; the body has yet to arrive.
pub struct Response {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, in pieces.
    pub body: BoxStream<'static, Result<Bytes, HttpError>>,
}

impl Response {
    /// The whole body.
    ///
    /// # Errors
    /// [`HttpError`]; [`HttpError::TooLarge`] above `limit` bytes.
    pub(crate) async fn read(mut self, limit: usize) -> Result<Vec<u8>, HttpError> {
        let mut body = Vec::new();
        while let Some(piece) = self.body.next().await {
            let piece = piece?;
            if body.len().saturating_add(piece.len()) > limit {
                return Err(HttpError::TooLarge(limit));
            }
            body.extend_from_slice(&piece);
        }
        Ok(body)
    }
}

/// Why there is no response, or only a part of one.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    /// Not a URL that can be asked.
    #[error("not an http or https URL: {0}")]
    Url(String),
    /// The host is this machine or on its link, which [`Reach::NotLocal`] rules out.
    #[error("{0} is a loopback or link-local address, which is reached only with --allow-local")]
    Local(String),
    /// No connection: the name does not resolve, nobody listens, or TLS failed.
    #[error("no connection: {0}")]
    Connect(String),
    /// The time limit passed.
    #[error("no complete answer in time")]
    Timeout,
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Broken(String),
    /// The body is larger than its caller reads.
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
}

/// Requests over the network.
#[derive(Clone)]
pub(crate) struct NetworkClient {
    anywhere: reqwest::Client,
    not_local: reqwest::Client,
}

impl NetworkClient {
    /// A client that relies on this machine's trusted certificates.
    ///
    /// # Errors
    /// [`HttpError::Connect`] if this machine has none.
    pub(crate) fn new() -> Result<Self, HttpError> {
        // An error means that one is installed already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let builder = || {
            reqwest::Client::builder()
                .connect_timeout(Duration::from_secs(5))
                .redirect(reqwest::redirect::Policy::none())
                .user_agent(concat!("crl-origin/", env!("CARGO_PKG_VERSION")))
        };
        let failed = |error: reqwest::Error| HttpError::Connect(causes(&error));
        Ok(Self {
            anywhere: builder().build().map_err(failed)?,
            not_local: builder()
                .dns_resolver(Arc::new(NotLocalResolver))
                .build()
                .map_err(failed)?,
        })
    }
}

impl HttpClient for NetworkClient {
    fn send(
        &self,
        request: Request<Bytes>,
        limits: Limits,
    ) -> BoxFuture<'_, Result<Response, HttpError>> {
        Box::pin(async move {
            let mut request = reqwest::Request::try_from(request)
                .map_err(|error| HttpError::Url(causes(&error)))?;
            *request.timeout_mut() = Some(limits.timeout);
            let client = match limits.reach {
                Reach::Anywhere => &self.anywhere,
                Reach::NotLocal => {
                    refuse_local_address(request.url())?;
                    &self.not_local
                }
            };
            let response = client.execute(request).await.map_err(HttpError::from)?;
            Ok(Response {
                status: response.status(),
                headers: response.headers().clone(),
                body: response
                    .bytes_stream()
                    .map(|piece| piece.map_err(HttpError::from))
                    .boxed(),
            })
        })
    }
}

impl From<reqwest::Error> for HttpError {
    fn from(error: reqwest::Error) -> Self {
        let error = error.without_url();
        let mut cause: Option<&dyn Error> = Some(&error);
        while let Some(one) = cause {
            if let Some(LocalName(name)) = one.downcast_ref() {
                return Self::Local(name.clone());
            }
            cause = one.source();
        }
        if error.is_timeout() && !error.is_connect() {
            Self::Timeout
        } else if error.is_connect() {
            Self::Connect(causes(&error))
        } else {
            Self::Broken(causes(&error))
        }
    }
}

/// The innermost causes are what an operator needs: "connection refused", "certificate expired".
fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(one) = cause {
        text = format!("{text}: {one}");
        cause = one.source();
    }
    text
}

/// A URL with an address in place of a name is not resolved, so it is checked by itself. The URL
/// parser has turned every way to write an IPv4 address (octal, hexadecimal, one number) into the
/// usual one.
fn refuse_local_address(url: &reqwest::Url) -> Result<(), HttpError> {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse();
    match address {
        Ok(address) if is_local(address) => Err(HttpError::Local(host.to_owned())),
        _ => Ok(()),
    }
}

/// Resolves names, and leaves out local addresses. What is left is what the connection uses, so
/// that a name cannot resolve to something else after the check.
struct NotLocalResolver;

/// A name that resolves to nothing but local addresses.
#[derive(Debug, thiserror::Error)]
#[error("{0} resolves to a local address")]
struct LocalName(String);

impl Resolve for NotLocalResolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found: Vec<SocketAddr> =
                tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let distant: Vec<SocketAddr> = found
                .iter()
                .copied()
                .filter(|address| !is_local(address.ip()))
                .collect();
            if distant.is_empty() && !found.is_empty() {
                return Err(LocalName(name.as_str().to_owned()).into());
            }
            let addresses: Addrs = Box::new(distant.into_iter());
            Ok(addresses)
        })
    }
}

/// Whether the address is on this machine or on its link, also in the forms of IPv6 that carry an
/// IPv4 address.
fn is_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            v4.is_loopback()
                || v4.is_link_local()
                || v4.is_broadcast()
                || v4.is_multicast()
                // 0.0.0.0/8 is "this host on this network" (RFC 1122, section 3.2.1.3).
                || v4.octets().first() == Some(&0)
        }
        IpAddr::V6(v6) => {
            v6.is_loopback()
                || v6.is_unspecified()
                || v6.is_unicast_link_local()
                || v6.is_multicast()
                || embedded_v4(v6).is_some_and(|v4| is_local(IpAddr::V4(v4)))
        }
    }
}

/// The IPv4 address in a mapped one (`::ffff:0:0/96`) or in one of NAT64 (`64:ff9b::/96`, RFC
/// 6052).
fn embedded_v4(v6: Ipv6Addr) -> Option<Ipv4Addr> {
    match v6.octets() {
        [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, v4 @ ..] => Some(Ipv4Addr::from(v4)),
        _ => v6.to_ipv4_mapped(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_this_machine_and_its_link_are_local() {
        let local = [
            "127.0.0.1",
            "127.8.9.10",
            "0.0.0.0",
            "169.254.169.254",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::7f00:1",
        ];
        for address in local {
            assert!(is_local(address.parse().unwrap()), "{address}");
        }
        for address in [
            "10.0.0.1",
            "192.168.1.1",
            "192.0.2.1",
            "fd00::1",
            "2001:db8::1",
        ] {
            assert!(!is_local(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn a_local_address_is_found_however_it_is_written() {
        for url in [
            "http://127.0.0.1/a.crl",
            "http://127.1/a.crl",
            "http://2130706433/a.crl",
            "http://0x7f.0.0.1/a.crl",
            "http://0177.0.0.1/a.crl",
            "http://[::1]:80/a.crl",
            "http://[::ffff:169.254.169.254]/a.crl",
        ] {
            let checked = refuse_local_address(&url.parse().unwrap());
            assert!(matches!(checked, Err(HttpError::Local(_))), "{url}");
        }
        assert!(refuse_local_address(&"http://192.0.2.1/a.crl".parse().unwrap()).is_ok());
    }
}
