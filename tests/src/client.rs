//! The test runner's HTTP client.

/// A client as relying parties have them: on no proxy, and never following a redirect.
pub fn client() -> reqwest::ClientBuilder {
    // Built together with crl-origin, reqwest has TLS and leaves its cryptography to the program; says no if there is one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
}
