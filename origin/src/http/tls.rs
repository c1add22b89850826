//! TLS in front of the service, where a certificate is given. Handshakes run side by side: a slow client holds up nobody.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::serve::Listener;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// How long a client may take for its handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Connections that may wait, their handshake done, to be served.
const BACKLOG: usize = 64;

/// Why a certificate or a key cannot be used for TLS.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read as PEM.
    #[error("cannot read the TLS certificate or key: {0}")]
    Pem(#[from] rustls::pki_types::pem::Error),
    /// The certificate and the key do not work together.
    #[error("cannot use the TLS certificate and key: {0}")]
    Rejected(#[from] rustls::Error),
}

/// Reads a certificate chain and its key, in PEM.
///
/// # Errors
/// [`TlsError`].
pub fn configuration(chain: &Path, key: &Path) -> Result<Arc<ServerConfig>, TlsError> {
    let chain = CertificateDer::pem_file_iter(chain)?.collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_file(key)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(Arc::new(
        builder.with_no_client_auth().with_single_cert(chain, key)?,
    ))
}

/// A listener whose connections are encrypted.
pub struct TlsListener {
    local: SocketAddr,
    ready: mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>,
}

impl TlsListener {
    /// Accepts connections on `listener` from now on.
    ///
    /// # Errors
    /// If the listener has no address.
    pub fn new(mut listener: TcpListener, configuration: Arc<ServerConfig>) -> io::Result<Self> {
        let local = TcpListener::local_addr(&listener)?;
        let acceptor = TlsAcceptor::from(configuration);
        let (done, ready) = mpsc::channel(BACKLOG);
        tokio::spawn(async move {
            while !done.is_closed() {
                let (stream, client) = Listener::accept(&mut listener).await;
                let (acceptor, done) = (acceptor.clone(), done.clone());
                tokio::spawn(async move {
                    match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
                        // If nobody receives, the service has ended.
                        Ok(Ok(stream)) => drop(done.send((stream, client)).await),
                        Ok(Err(error)) => {
                            tracing::debug!(%client, %error, "a TLS handshake failed");
                        }
                        Err(_) => tracing::debug!(%client, "a TLS handshake took too long"),
                    }
                });
            }
        });
        Ok(Self { local, ready })
    }
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        match self.ready.recv().await {
            Some(connection) => connection,
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.local)
    }
}
