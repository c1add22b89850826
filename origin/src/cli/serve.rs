//! `crl-origin serve`: the service, from its settings to its end.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;
use zeroize::Zeroizing;

use super::output;
use super::{CliError, duration, read_text, web_url};
use crate::connector::{self, Connectors};
use crate::http::{self, Service, StaticToken, Tls};
use crate::origin::Origin;
use crate::push::Push;

#[derive(Debug, Args)]
pub(super) struct Serve {
    /// The address to listen on; port 0 takes a free one. The first line printed names it
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8788")]
    listen: SocketAddr,
    /// A bearer token that is good for every call; may be repeated. Those of `crl-origin token` are good as well.
    #[arg(
        long = "token",
        env = "ORIGIN_TOKEN",
        hide_env_values = true,
        value_name = "TOKEN"
    )]
    tokens: Vec<String>,
    /// A file with one such token in each line.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Tell the edge at this URL of revocations, so that they show within seconds.
    #[arg(long, value_name = "URL", value_parser = web_url, requires = "hook_token")]
    edge: Option<String>,
    /// The edge's `HOOK_TOKEN`.
    #[arg(long, env = "HOOK_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    hook_token: Option<String>,
    /// Serve https with this certificate chain, in PEM.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_certificate: Option<PathBuf>,
    /// The key of --tls-certificate, in PEM.
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    tls_key: Option<PathBuf>,
    /// How long calls under way may take to finish once the service is told to stop.
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "10s")]
    grace: Duration,
}

impl Serve {
    pub(super) fn run(self, origin: Origin) -> Result<(), CliError> {
        start_log();
        let tokens = self.static_tokens()?;
        if tokens.is_empty() && origin.tokens()?.is_empty() {
            let missing = "no token: give --token or ORIGIN_TOKEN, or make one with `crl-origin token create`";
            return Err(CliError::Usage(missing.to_owned()));
        }
        let tls = match (&self.tls_certificate, &self.tls_key) {
            (Some(chain), Some(key)) => {
                Some(Tls::read(chain, key).map_err(|error| CliError::Serve(error.to_string()))?)
            }
            _ => None,
        };
        let runtime =
            tokio::runtime::Runtime::new().map_err(|error| CliError::Serve(error.to_string()))?;
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
            let origin = Arc::new(origin);
            let connectors = Connectors::new(Arc::clone(&origin))
                .map_err(|error| CliError::Serve(error.to_string()))?;
            let pushing = self
                .push(&origin, &connectors)?
                .map(|push| tokio::spawn(push.run()));
            let service = Service::new(origin, connectors, tokens);
            let scheme = if tls.is_some() { "https" } else { "http" };
            output::print(&format!("ready {scheme}://{address}"))?;
            http::serve(listener, tls, service.router(), stop, self.grace).await;
            if let Some(pushing) = pushing {
                pushing.abort();
            }
            Ok(())
        })
    }

    fn push(
        &self,
        origin: &Arc<Origin>,
        connectors: &Connectors,
    ) -> Result<Option<Push>, CliError> {
        let (Some(edge), Some(token)) = (&self.edge, &self.hook_token) else {
            return Ok(None);
        };
        let client = connector::client().map_err(|error| CliError::Serve(error.to_string()))?;
        let token = Zeroizing::new(token.clone());
        Ok(Some(Push::new(
            Arc::clone(origin),
            connectors.clone(),
            client,
            edge,
            token,
        )))
    }

    fn static_tokens(&self) -> Result<Vec<StaticToken>, CliError> {
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
            .map(StaticToken::new)
            .collect())
    }
}

/// One JSON object a line, on standard error. `RUST_LOG` says how much, as tracing-subscriber has it.
fn start_log() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
}
