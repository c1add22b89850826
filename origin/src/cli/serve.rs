//! `crl-origin serve`: runs the service until it is asked to stop.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;
use tracing_subscriber::EnvFilter;

use super::common::{Session, duration, read_text, web_url};
use super::error::CliError;
use super::output;
use crate::bearer_token::TokenHash;
use crate::http::{self, Tls};
use crate::http_client::NetworkClient;
use crate::running::RunningService;
use crate::runtime::TokioRuntime;

/// How many threads may wait for HSMs, directories and the database. Hundreds of issuers may have a
/// full lane because their HSM hangs, and the others still get threads. A thread exists only while
/// it is needed.
const BLOCKING_THREADS: usize = 4096;

#[derive(Debug, Args)]
pub(super) struct Serve {
    /// The address to listen on; port 0 picks a free port, which the first line printed shows
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8788")]
    listen: SocketAddr,
    /// A bearer token for every call; may be repeated. Tokens of `crl-origin token` are valid as
    /// well
    #[arg(
        long = "token",
        env = "ORIGIN_TOKEN",
        hide_env_values = true,
        value_name = "TOKEN"
    )]
    tokens: Vec<String>,
    /// A file with one such token per line
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Have the edge at this URL refresh after a revocation, so that it shows within seconds
    #[arg(long, value_name = "URL", value_parser = web_url, requires = "hook_token")]
    edge: Option<String>,
    /// The edge's `HOOK_TOKEN`
    #[arg(long, env = "HOOK_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    hook_token: Option<String>,
    /// Serve https with this certificate chain, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_certificate: Option<PathBuf>,
    /// The key of --tls-certificate, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    tls_key: Option<PathBuf>,
    /// How long calls in progress may take to finish when the service stops
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "10s")]
    grace: Duration,
}

impl Serve {
    pub(super) fn run(self, session: Session) -> Result<(), CliError> {
        let Session { origin, clock, .. } = session;
        start_log();
        let tokens = self.static_tokens()?;
        if tokens.is_empty() && origin.tokens()?.is_empty() {
            let missing = "no token: give --token or ORIGIN_TOKEN, or create one with `crl-origin token create`";
            return Err(CliError::Usage(missing.to_owned()));
        }
        let tls = match (&self.tls_certificate, &self.tls_key) {
            (Some(chain), Some(key)) => {
                Some(Tls::read(chain, key).map_err(|error| CliError::Serve(error.to_string()))?)
            }
            _ => None,
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .max_blocking_threads(BLOCKING_THREADS)
            .build()
            .map_err(|error| CliError::Serve(error.to_string()))?;
        runtime.block_on(async {
            let failed =
                |error: std::io::Error| CliError::Serve(format!("{}: {error}", self.listen));
            let listener = TcpListener::bind(self.listen).await.map_err(failed)?;
            let address = listener.local_addr().map_err(failed)?;
            let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
            let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
            let stop = async move {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
            };
            let client =
                NetworkClient::new().map_err(|error| CliError::Serve(error.to_string()))?;
            let service =
                RunningService::new(origin, Arc::new(TokioRuntime::new(clock)), Arc::new(client));
            let pushing = self.start_pushing(&service);
            let observing = tokio::spawn(service.observe_clock());
            let router = service.router(tokens);
            let scheme = if tls.is_some() { "https" } else { "http" };
            output::print(&format!("ready {scheme}://{address}"))?;
            http::serve(listener, tls, router, stop, self.grace).await;
            for task in pushing {
                task.abort();
            }
            observing.abort();
            Ok(())
        })
    }

    /// Pushes to the edge, and follows the directories of `openssl ca` so that their revocations
    /// are pushed, too.
    fn start_pushing(&self, service: &RunningService) -> Vec<JoinHandle<()>> {
        let (Some(edge), Some(token)) = (&self.edge, &self.hook_token) else {
            return Vec::new();
        };
        vec![
            tokio::spawn(service.push(edge, token)),
            tokio::spawn(service.follow_directories()),
        ]
    }

    fn static_tokens(&self) -> Result<Vec<TokenHash>, CliError> {
        let file = self
            .token_file
            .as_ref()
            .map(|path| read_text(path))
            .transpose()?
            .unwrap_or_default();
        let given = self.tokens.iter().map(String::as_str).chain(file.lines());
        Ok(given
            .map(str::trim)
            .filter(|token| !token.is_empty())
            .map(TokenHash::of)
            .collect())
    }
}

/// Logs to standard error, one JSON object per line. `RUST_LOG` sets the level, in the syntax of
/// tracing-subscriber.
fn start_log() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
}
