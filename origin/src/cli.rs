//! The command line: arguments in, tables or JSON out. The rules are in [`crate::origin`].

mod backup;
mod certificate;
mod common;
mod connect;
mod crl;
mod error;
mod import;
mod issuer;
mod issuer_view;
mod output;
mod recover;
mod revocation;
mod revocations;
mod serve;
mod setup;
mod token;
mod undo;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, CommandFactory, Parser, Subcommand};
use zeroize::Zeroizing;

use crate::clock::Clock;
use crate::origin::Origin;
use crate::random::RandomSource;
use crate::vault::Vault;
use common::{Session, read_text};
use error::CliError;
use output::Output;

/// The origin CA API: makes CRLs with local keys, and passes on the CRLs of other CAs.
///
/// Exit codes: 0 done, 1 failed, 2 wrong arguments, 3 not found, 4 conflict (already exists,
/// already revoked).
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
    /// The SQLite file; created if it is missing. Commands work while `serve` runs on the same file
    #[arg(
        long,
        global = true,
        help_heading = "Global options",
        env = "ORIGIN_DATABASE",
        default_value = "crl-origin.db",
        value_name = "FILE"
    )]
    database: PathBuf,
    /// A file; its first line is the passphrase that encrypts private keys. `ORIGIN_PASSPHRASE` may
    /// hold the passphrase itself
    #[arg(
        long,
        global = true,
        help_heading = "Global options",
        value_name = "FILE"
    )]
    passphrase_file: Option<PathBuf>,
    /// Print JSON instead of tables
    #[arg(long, global = true, help_heading = "Global options")]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Create, import, change, list and show issuers
    #[command(subcommand)]
    Issuer(issuer::Command),
    /// Issue, list and show certificates
    #[command(subcommand)]
    Cert(certificate::Command),
    /// Revoke a certificate, or put it on hold with --reason certificateHold
    Revoke(revocation::Revoke),
    /// End a certificate's hold
    Release(revocation::Release),
    /// List what an issuer has revoked
    Revocations(revocations::Revocations),
    /// Import revocations from OpenSSL's index.txt, a CSV file or a CRL
    Import(import::Import),
    /// List the imports of an issuer
    Imports(undo::Imports),
    /// Undo an import
    Undo(undo::Undo),
    /// Copy the database to a file, also while `serve` runs
    Backup(backup::Backup),
    /// Put a copy of the database in its place, while `serve` does not run
    Restore(backup::Restore),
    /// After a restore: take over what the edge serves
    Recover(recover::Recover),
    /// Make, show, verify and compare CRLs
    #[command(subcommand)]
    Crl(crl::Command),
    /// Create, list and end bearer tokens of the API
    #[command(subcommand)]
    Token(token::Command),
    /// Serve the API
    Serve(serve::Serve),
    /// Print the completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// Runs the command in the process's arguments.
#[must_use]
pub fn run(clock: &Arc<dyn Clock>, random: Arc<dyn RandomSource>) -> ExitCode {
    let arguments = Arguments::parse();
    let json = arguments.global.json;
    match arguments.run(clock, random) {
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
    fn run(self, clock: &Arc<dyn Clock>, random: Arc<dyn RandomSource>) -> Result<(), CliError> {
        let Self { global, command } = self;
        let output = Output { json: global.json };
        // Commands on files alone open no database.
        let session = || {
            Ok::<_, CliError>(Session {
                origin: Arc::new(global.open(random)?),
                clock: Arc::clone(clock),
                output,
            })
        };
        match command {
            Command::Issuer(command) => command.run(&session()?),
            Command::Cert(command) => command.run(&session()?),
            Command::Revoke(command) => command.run(&session()?),
            Command::Release(command) => command.run(&session()?),
            Command::Revocations(command) => command.run(&session()?),
            Command::Import(command) => command.run(&session()?),
            Command::Imports(command) => command.run(&session()?),
            Command::Undo(command) => command.run(&session()?),
            Command::Backup(command) => command.run(&global.database, output),
            Command::Restore(command) => command.run(&global.database, output),
            Command::Recover(command) => command.run(&session()?),
            Command::Crl(crl::Command::Make(make)) => make.run(&session()?),
            Command::Crl(crl::Command::File(command)) => command.run(clock.now(), output),
            Command::Token(command) => command.run(&session()?),
            Command::Serve(command) => command.run(session()?),
            Command::Completions { shell } => {
                let mut script = Vec::new();
                clap_complete::generate(shell, &mut Self::command(), "crl-origin", &mut script);
                output::print_bytes(&script)
            }
        }
    }
}

impl Global {
    fn open(&self, random: Arc<dyn RandomSource>) -> Result<Origin, CliError> {
        let passphrase = match &self.passphrase_file {
            Some(path) => {
                let text = Zeroizing::new(read_text(path)?);
                let line = text.lines().next().filter(|line| !line.is_empty());
                let empty = || CliError::Usage(format!("{}: no passphrase in it", path.display()));
                Some(Zeroizing::new(line.ok_or_else(empty)?.to_owned()))
            }
            // An empty variable counts as absent.
            None => std::env::var("ORIGIN_PASSPHRASE")
                .ok()
                .filter(|passphrase| !passphrase.is_empty())
                .map(Zeroizing::new),
        };
        Ok(Origin::open(
            &self.database,
            Vault::new(passphrase),
            random,
        )?)
    }
}
