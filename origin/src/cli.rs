//! The command line: arguments in, tables or JSON out. What a command does is decided in [`crate::origin`].

mod certificate;
mod connect;
mod crl;
mod import;
mod issuer;
mod output;
mod revocation;
mod serve;
mod setup;
mod token;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, CommandFactory, Parser, Subcommand};
use zeroize::Zeroizing;

use crate::ca::{CertificateError, KeyError};
use crate::connector::ConnectorError;
use crate::origin::{Fault, Origin, OriginError};
use crate::store::StoreError;
use crate::vault::Vault;
use output::Output;

/// The origin CA API: makes CRLs for its own keys and in front of other CAs.
///
/// Exit codes: 0 done, 1 failed, 2 wrong arguments, 3 not found, 4 in conflict with what exists (already exists, already
/// revoked).
#[derive(Debug, Parser)]
#[command(name = "crl-origin", version, max_term_width = 110)]
struct Arguments {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Args)]
struct Global {
    /// The SQLite file; made where it is missing. Commands work while `serve` runs on the same file.
    #[arg(
        long,
        global = true,
        help_heading = "Global options",
        env = "ORIGIN_DATABASE",
        default_value = "crl-origin.db",
        value_name = "FILE"
    )]
    database: PathBuf,
    /// A file whose first line is the passphrase that private keys are encrypted under; `ORIGIN_PASSPHRASE`
    /// may hold the passphrase itself.
    #[arg(
        long,
        global = true,
        help_heading = "Global options",
        value_name = "FILE"
    )]
    passphrase_file: Option<PathBuf>,
    /// Print JSON for programs instead of tables for people.
    #[arg(long, global = true, help_heading = "Global options")]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make, import, list and show issuers.
    #[command(subcommand)]
    Issuer(issuer::Command),
    /// Issue certificates.
    #[command(subcommand)]
    Cert(certificate::Command),
    /// Revoke a certificate, or put it on hold with --reason certificateHold.
    Revoke(revocation::Revoke),
    /// End a certificate's hold.
    Release(revocation::Release),
    /// Take over revocations from OpenSSL's index.txt, a CSV file or a CRL.
    Import(import::Import),
    /// Make and examine CRLs.
    #[command(subcommand)]
    Crl(crl::Command),
    /// Make, list and end the bearer tokens of the API.
    #[command(subcommand)]
    Token(token::Command),
    /// Serve the API.
    Serve(serve::Serve),
    /// Print the completions of a shell.
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
}

/// Runs the command that the process was started with.
#[must_use]
pub fn run() -> ExitCode {
    let arguments = Arguments::parse();
    let json = arguments.global.json;
    match arguments.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if json {
                let problem =
                    serde_json::json!({ "code": error.code(), "detail": error.to_string() });
                eprintln!("{problem}");
            } else {
                eprintln!("crl-origin: {error}");
            }
            error.exit_code()
        }
    }
}

impl Arguments {
    fn run(self) -> Result<(), CliError> {
        let Self { global, command } = self;
        let output = Output { json: global.json };
        match command {
            Command::Issuer(command) => command.run(&global.open()?, output),
            Command::Cert(command) => command.run(&global.open()?, output),
            Command::Revoke(command) => command.run(&global.open()?, output),
            Command::Release(command) => command.run(&global.open()?, output),
            Command::Import(command) => command.run(&global.open()?, output),
            Command::Crl(command) => command.run(&global, output),
            Command::Token(command) => command.run(&global.open()?, output),
            Command::Serve(command) => command.run(global.open()?),
            Command::Completions { shell } => {
                let mut script = Vec::new();
                clap_complete::generate(shell, &mut Self::command(), "crl-origin", &mut script);
                output::print_bytes(&script)
            }
        }
    }
}

impl Global {
    fn open(&self) -> Result<Origin, CliError> {
        let passphrase = match &self.passphrase_file {
            Some(path) => {
                let text = Zeroizing::new(read_text(path)?);
                let line = text.lines().next().filter(|line| !line.is_empty());
                let empty = || CliError::Usage(format!("{}: no passphrase in it", path.display()));
                Some(Zeroizing::new(line.ok_or_else(empty)?.to_owned()))
            }
            // Set to nothing, it is not set.
            None => std::env::var("ORIGIN_PASSPHRASE")
                .ok()
                .filter(|passphrase| !passphrase.is_empty())
                .map(Zeroizing::new),
        };
        Ok(Origin::open(&self.database, Vault::new(passphrase))?)
    }
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
enum CliError {
    /// The origin would not.
    #[error(transparent)]
    Origin(#[from] OriginError),
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The terminal, or what stands for it, cannot be written to.
    #[error("cannot print: {0}")]
    Print(std::io::Error),
    /// The network.
    #[error("{0}")]
    Serve(String),
    /// Some lines of an import were not taken over; each was named.
    #[error("{0} lines were not taken over")]
    BadLines(u64),
    /// A file that is no CRL.
    #[error("{path}: {source}")]
    NotCrl {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: ::crl::ReadError,
    },
    /// A CRL or a certificate that does not pass.
    #[error("refused: {0}")]
    Refused(String),
    /// The CA behind an issuer.
    #[error(transparent)]
    Connector(ConnectorError),
    /// Arguments that do not fit each other.
    #[error("{0}")]
    Usage(String),
}

impl CliError {
    /// The stable name of the error, for programs.
    fn code(&self) -> &'static str {
        match self {
            Self::Origin(error) => error.code(),
            Self::Connector(ConnectorError::Upstream { fault, .. }) => fault.code(),
            Self::Connector(_) | Self::Print(_) => "internal",
            Self::File { .. } => "file_failed",
            Self::Serve(_) => "service_failed",
            Self::BadLines(_) => "lines_left_out",
            Self::NotCrl { source, .. } => source.code(),
            Self::Refused(_) => "refused",
            Self::Usage(_) => "wrong_arguments",
        }
    }

    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Usage(_) => ExitCode::from(2),
            Self::Origin(error) => match error.fault() {
                Fault::NotFound => ExitCode::from(3),
                Fault::Conflict => ExitCode::from(4),
                Fault::Request | Fault::Origin => ExitCode::FAILURE,
            },
            _ => ExitCode::FAILURE,
        }
    }
}

impl From<ConnectorError> for CliError {
    fn from(error: ConnectorError) -> Self {
        match error {
            ConnectorError::Origin(error) => Self::Origin(error),
            error => Self::Connector(error),
        }
    }
}

impl From<StoreError> for CliError {
    fn from(error: StoreError) -> Self {
        Self::Origin(error.into())
    }
}

impl From<CertificateError> for CliError {
    fn from(error: CertificateError) -> Self {
        Self::Origin(error.into())
    }
}

impl From<KeyError> for CliError {
    fn from(error: KeyError) -> Self {
        Self::Origin(error.into())
    }
}

fn read(path: &Path) -> Result<Vec<u8>, CliError> {
    std::fs::read(path).map_err(|source| CliError::File {
        path: path.to_owned(),
        source,
    })
}

fn read_text(path: &Path) -> Result<String, CliError> {
    std::fs::read_to_string(path).map_err(|source| CliError::File {
        path: path.to_owned(),
        source,
    })
}

/// Takes a URL that can be asked.
fn web_url(text: &str) -> Result<String, &'static str> {
    let url = reqwest::Url::parse(text).ok();
    let is_web = |url: &reqwest::Url| matches!(url.scheme(), "http" | "https") && url.has_host();
    match url.filter(is_web) {
        Some(_) => Ok(text.to_owned()),
        None => Err("not an http:// or https:// URL"),
    }
}

/// Reads `7d`, `12h`, `90 days`.
fn duration(text: &str) -> Result<Duration, humantime::DurationError> {
    humantime::parse_duration(text)
}
