//! `cargo xtask`: everything that a person or CI runs. The commands are here; each module does one
//! thing for them.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, CommandFactory as _, Parser, Subcommand};

use crate::build::Profile;
use crate::workspace::Workspace;

mod apt;
mod bench;
mod build;
mod dev;
mod edge;
mod fingerprint;
mod fuzz;
mod lint;
mod mutants;
mod optional;
mod process;
mod progress;
mod simulate;
mod summary;
mod test;
mod toolchain;
mod tools;
mod workspace;

/// Everything that a person or CI runs.
///
/// Each command first installs what is missing: the wasm32 target, and wrangler with workerd and a
/// Node that fits it. All but the target goes under target/tools.
#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    disable_help_subcommand = true
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Install what is missing, and do nothing else
    Setup {
        /// Also the programs that only some tests need: OpenBao, Chromium, nginx and others. Debian
        /// packages install on Linux as root; elsewhere this prints what to install
        #[arg(long)]
        all: bool,
    },
    /// Run the demo: an origin with issuers on 8788, the edge on 8787; Ctrl-C stops both
    ///
    /// While it runs, a change of the Worker's sources rebuilds and reloads the edge.
    Dev(dev::Options),
    /// Run every test, unit to end-to-end; ends with a summary
    Test(test::Options),
    /// Run the edge alone in workerd, against any origin
    Edge(EdgeArgs),
    /// Build the Worker into build/, where wrangler expects it
    Build {
        /// Build fast instead of small, as `dev` and `test` do
        #[arg(long)]
        dev: bool,
    },
    /// Check what must hold before a commit, beside the tests
    Lint(lint::Options),
    /// Run the benchmarks, all or one
    Bench {
        /// One of those that `cargo xtask bench` lists
        name: Option<String>,
    },
    /// Change code of the edge or crl, one change at a time, and name what no native test notices
    Mutants {
        /// Files of edge/ or crl/; those of the edge with conditions, freshness, singleflight and
        /// back-off by default
        files: Vec<PathBuf>,
    },
    /// Run origin and edge together on virtual time, with everything failing; --help shows more
    #[command(disable_help_flag = true)]
    Simulate {
        /// `--seeds N`, `--seed S`, `--days D` and others
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Run the pinned wrangler, e.g. `cargo xtask wrangler deploy`
    #[command(disable_help_flag = true)]
    Wrangler {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
}

#[derive(Args)]
struct EdgeArgs {
    /// Where the origin CA API is, e.g. `http://127.0.0.1:8788`
    #[arg(long, value_name = "URL")]
    origin_url: String,
    /// Port on 127.0.0.1
    #[arg(long)]
    port: u16,
    /// Folder for KV, D1 and the Durable Objects; created if it is missing, and kept
    #[arg(long, value_name = "DIR")]
    state: PathBuf,
    /// A setting or token, e.g. `ORIGIN_TOKEN=secret`; may be repeated
    #[arg(long = "var", value_name = "KEY=VALUE")]
    vars: Vec<edge::Var>,
    /// Also fire the cron trigger on GET /__scheduled
    #[arg(long)]
    test_scheduled: bool,
    /// Run the Worker as it is deployed; without it, one that builds fast
    #[arg(long)]
    release: bool,
    /// A script that wraps the Worker, for tests
    #[arg(long, value_name = "FILE", hide = true)]
    script: Option<PathBuf>,
    /// End when standard input does, so that the test harness leaves nothing behind
    #[arg(long, hide = true)]
    until_stdin_closes: bool,
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<()> {
    let workspace = Workspace::find()?;
    match command {
        Command::Setup { all } => {
            tools::Tools::ensure(&workspace)?;
            toolchain::ensure(&workspace)?;
            if all {
                optional::install(&workspace)?;
            }
            println!("everything is installed");
            Ok(())
        }
        Command::Dev(options) => dev::run(&workspace, &options),
        Command::Test(options) => test::run(&workspace, &options),
        Command::Edge(args) => {
            let settings = edge::Settings {
                origin_url: args.origin_url,
                port: args.port,
                state: args.state,
                vars: args.vars,
                test_scheduled: args.test_scheduled,
                script: args.script,
            };
            let profile = Profile::chosen(args.release);
            edge::run(&workspace, &settings, profile, args.until_stdin_closes)
        }
        Command::Build { dev } => build::run(&workspace, Profile::chosen(!dev)),
        Command::Lint(options) => lint::run(&workspace, &options, &Cli::command()),
        Command::Bench { name } => bench::run(&workspace, name.as_deref()),
        Command::Mutants { files } => mutants::run(&workspace, &files),
        Command::Simulate { args } => simulate::run(&workspace, &args),
        Command::Wrangler { args } => {
            let status = tools::Tools::ensure(&workspace)?
                .wrangler()
                .args(args)
                .status()?;
            std::process::exit(status.code().unwrap_or(1));
        }
    }
}
