//! `cargo xtask lint`: what must hold before a commit, beside the tests.
//!
//! Each check is a file under `lint/`, or one command of cargo. A check returns its findings, one
//! line each, ready for a person to read; an `Err` means that the check itself could not run.

use std::fmt::Write as _;
use std::process::Command;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};

use crate::lint::command::{passes, silently};
use crate::lint::sources::Sources;
use crate::toolchain::{self, TARGET, Toolchain};
use crate::tools::Tools;
use crate::workspace::Workspace;

mod citations;
mod command;
mod comments;
mod commits;
mod dependencies;
mod imports;
mod javascript;
mod modules;
mod npm;
mod rust;
mod rust_version;
mod sources;
mod workflows;

/// Which checks to run, and whether to repair.
#[derive(Args)]
pub(crate) struct Options {
    /// Checks to run; all of them if none is given, `advisories` aside
    #[arg(value_enum)]
    checks: Vec<Check>,
    /// Repair what can be repaired: formatting, imports, long comments, JavaScript
    #[arg(long)]
    fix: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Check {
    /// Cargo.lock is up to date
    Lock,
    /// rustfmt's layout
    Format,
    /// Imports are in three blocks, one item for each module
    Imports,
    /// No comment line is longer than 100 columns
    Comments,
    /// No modules of a crate depend on each other in a circle, and every file belongs to a crate
    Modules,
    /// Packages depend only on those that ARCHITECTURE.md allows; edge on none of the platform's
    Dependencies,
    /// Nothing that crl depends on needs a newer Rust than crl promises
    RustVersion,
    /// JavaScript is formatted and passes its linter
    Javascript,
    /// GitHub's workflows pass actionlint
    Workflows,
    /// The files, tests, links and commands that the documents name exist
    Citations,
    /// Subjects of commits have the form that CONTRIBUTING.md gives
    Commits,
    /// clippy, with warnings as errors, natively and for wasm32
    Clippy,
    /// rustdoc, with warnings as errors
    Docs,
    /// Licences, sources and banned packages, by deny.toml
    Policy,
    /// Security advisories for what Cargo.lock names; needs the network, so it runs only by name
    Advisories,
}

/// `xtask` is the whole command line, against which documents are checked.
pub(crate) fn run(workspace: &Workspace, options: &Options, xtask: &clap::Command) -> Result<()> {
    let checks = selected(&options.checks);
    let mut sources = Sources::find(workspace)?;
    if options.fix {
        fix(workspace, &checks, &sources)?;
        sources = Sources::find(workspace)?;
    }
    let mut failed = Vec::new();
    for check in checks {
        let name = name(check);
        eprintln!("lint: {name}");
        let findings = check.run(workspace, &sources, xtask)?;
        if !findings.is_empty() {
            eprint!("{}", report(&findings));
            failed.push(name);
        }
    }
    if failed.is_empty() {
        eprintln!("lint: passed");
        return Ok(());
    }
    bail!("lint failed: {}", failed.join(", "))
}

/// Advisories change without a commit, and a commit must not fail for what it did not touch.
fn selected(named: &[Check]) -> Vec<Check> {
    if named.is_empty() {
        let all = Check::value_variants().iter().copied();
        return all.filter(|check| *check != Check::Advisories).collect();
    }
    named.to_vec()
}

fn fix(workspace: &Workspace, checks: &[Check], sources: &Sources) -> Result<()> {
    if checks.contains(&Check::Imports) {
        imports::fix(sources)?;
    }
    if checks.contains(&Check::Comments) {
        comments::fix(sources)?;
    }
    // After the imports, because rustfmt sorts them.
    if checks.contains(&Check::Format) || checks.contains(&Check::Imports) {
        workspace.cargo().args(["fmt", "--all"]).status()?;
    }
    if checks.contains(&Check::Javascript) {
        javascript::fix(workspace)?;
    }
    Ok(())
}

impl Check {
    fn run(
        self,
        workspace: &Workspace,
        sources: &Sources,
        xtask: &clap::Command,
    ) -> Result<Vec<String>> {
        let cargo = |line: &str| {
            let mut cargo = workspace.cargo();
            cargo.args(line.split(' '));
            cargo
        };
        match self {
            Self::Lock => silently(&mut cargo("metadata --locked --format-version 1")),
            Self::Format => passes(&mut cargo("fmt --all --check")),
            Self::Imports => imports::check(sources),
            Self::Comments => comments::check(sources),
            Self::Modules => modules::check(sources),
            Self::Dependencies => dependencies::check(workspace),
            Self::RustVersion => rust_version::check(workspace),
            Self::Javascript => javascript::check(workspace),
            Self::Workflows => workflows::check(workspace),
            Self::Citations => citations::check(sources, xtask),
            Self::Commits => commits::check(workspace),
            Self::Clippy => clippy(workspace, cargo),
            Self::Docs => passes(
                cargo("doc --workspace --no-deps --document-private-items")
                    .env("RUSTDOCFLAGS", "-D warnings"),
            ),
            Self::Policy => deny(workspace, "bans licenses sources"),
            Self::Advisories => deny(workspace, "advisories"),
        }
    }
}

fn clippy(workspace: &Workspace, cargo: impl Fn(&str) -> Command) -> Result<Vec<String>> {
    let mut findings = passes(&mut cargo(
        "clippy --workspace --all-targets -- -D warnings",
    ))?;
    // Debian's toolchain has no clippy; the native run sees all but the bindings.
    if matches!(toolchain::ensure(workspace)?, Toolchain::Default) {
        findings.extend(passes(
            cargo(&format!(
                "clippy --package crl-edge --target {TARGET} -- -D warnings"
            ))
            .env("CARGO_TARGET_DIR", workspace.join("target/wasm")),
        )?);
    }
    Ok(findings)
}

fn deny(workspace: &Workspace, what: &str) -> Result<Vec<String>> {
    let mut deny = Tools::ensure(workspace)?.cargo_deny()?;
    deny.args(["--workspace", "--log-level", "error", "check"])
        .args(what.split(' '));
    passes(&mut deny)
}

fn name(check: Check) -> String {
    check
        .to_possible_value()
        .map_or_else(|| format!("{check:?}"), |value| value.get_name().to_owned())
}

fn report(findings: &[String]) -> String {
    findings.iter().fold(String::new(), |mut report, finding| {
        let _ = writeln!(report, "  {finding}");
        report
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advisories_run_only_by_name() {
        assert!(!selected(&[]).contains(&Check::Advisories));
        assert!(selected(&[]).contains(&Check::Commits));
        assert_eq!(selected(&[Check::Advisories]), [Check::Advisories]);
    }
}
