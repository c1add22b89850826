//! `cargo xtask`: everything that a person or CI runs. Here are the commands; what they do is in the modules, one idea each.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::{Args, CommandFactory as _, Parser, Subcommand};

use crate::workspace::Workspace;

mod apt;
mod bench;
mod build;
mod dev;
mod edge;
mod fingerprint;
mod fuzz;
mod lint;
mod optional;
mod process;
mod progress;
mod summary;
mod test;
mod toolchain;
mod tools;
mod workspace;

/// Everything that a person or CI runs.
///
/// Each command first brings what is missing: the wasm32 target, worker-build and wasm-bindgen (compiled once, some minutes),
/// wrangler with workerd and a Node that fits it. All of it goes under target/tools, but for the target itself.
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
    /// Bring what is missing, and do nothing else
    Setup,
    /// Run the demo: an origin with three issuers on 8788, the edge on 8787; Ctrl-C stops both
    Dev(dev::Ports),
    /// Run every test, unit to end-to-end; ends with a summary
    Test,
    /// Run the edge alone in workerd, against any origin
    Edge(EdgeArgs),
    /// Build the Worker into build/, where wrangler expects it
    Build {
        /// Compile faster, without optimisation
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
    /// Folder for KV, D1 and the Durable Objects; made where missing, kept
    #[arg(long, value_name = "DIR")]
    state: PathBuf,
    /// A setting or token, e.g. `ORIGIN_TOKEN=secret`; may be repeated
    #[arg(long = "var", value_name = "KEY=VALUE")]
    vars: Vec<edge::Var>,
    /// Also fire the cron trigger on GET /__scheduled
    #[arg(long)]
    test_scheduled: bool,
    /// A script that wraps the Worker, for benchmarks
    #[arg(long, value_name = "FILE", hide = true)]
    script: Option<PathBuf>,
    /// End when standard input does: the test harness's way to leave nothing behind
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
        Command::Setup => {
            tools::Tools::ensure(&workspace)?;
            toolchain::ensure(&workspace)?;
            println!("everything is there");
            Ok(())
        }
        Command::Dev(ports) => dev::run(&workspace, &ports),
        Command::Test => test::run(&workspace),
        Command::Edge(args) => {
            let settings = edge::Settings {
                origin_url: args.origin_url,
                port: args.port,
                state: args.state,
                vars: args.vars,
                test_scheduled: args.test_scheduled,
                script: args.script,
            };
            edge::run(&workspace, &settings, args.until_stdin_closes)
        }
        Command::Build { dev } => {
            let profile = if dev {
                build::Profile::Dev
            } else {
                build::Profile::Release
            };
            build::run(&workspace, profile)
        }
        Command::Lint(options) => lint::run(&workspace, &options, &Cli::command()),
        Command::Bench { name } => bench::run(&workspace, name.as_deref()),
        Command::Wrangler { args } => {
            let status = tools::Tools::ensure(&workspace)?
                .wrangler()
                .args(args)
                .status()?;
            std::process::exit(status.code().unwrap_or(1));
        }
    }
}
