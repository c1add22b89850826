//! The HTTP client of the tests.

/// An HTTP client that behaves as a relying party: no proxy, no redirects.
pub fn client() -> reqwest::ClientBuilder {
    // If crl-origin is built in the same run, reqwest has TLS but no crypto provider, so the
    // program must install one. It returns an error if one is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
}
