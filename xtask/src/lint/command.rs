//! Checks that are one command: it prints what it found, and its status says whether there is any.

use std::ffi::OsStr;
use std::io;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// Runs a command that prints its findings itself.
pub(crate) fn passes(command: &mut Command) -> Result<Vec<String>> {
    ended(command.stdout(io::stderr()))
}

/// Runs a command that prints its findings on standard error, and other things on standard output.
pub(crate) fn silently(command: &mut Command) -> Result<Vec<String>> {
    ended(command.stdout(Stdio::null()))
}

/// What a command prints on standard output.
///
/// # Errors
/// It cannot run, or it fails: with what it printed on standard error.
pub(crate) fn printed(command: &mut Command) -> Result<String> {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.map(OsStr::to_string_lossy).collect();
    let words = words.join(" ");
    let output = command
        .output()
        .with_context(|| format!("cannot run {words}"))?;
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr);
        bail!("{words} failed: {}", why.trim());
    }
    String::from_utf8(output.stdout).with_context(|| format!("{words} printed what is not UTF-8"))
}

fn ended(command: &mut Command) -> Result<Vec<String>> {
    let program = command.get_program().display().to_string();
    let status = command
        .status()
        .with_context(|| format!("cannot run {program}"))?;
    if status.success() {
        return Ok(Vec::new());
    }
    Ok(vec![format!("{program} ended with {status}")])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_fails_is_a_finding() {
        assert_eq!(
            passes(&mut Command::new("true")).unwrap(),
            Vec::<String>::new()
        );
        let findings = passes(&mut Command::new("false")).unwrap();
        assert_eq!(findings.len(), 1);
        assert!(findings[0].starts_with("false ended with"), "{findings:?}");
    }

    #[test]
    fn what_a_command_printed_or_why_it_failed_is_returned() {
        let shell = |script: &str| printed(Command::new("sh").args(["-c", script]));
        assert_eq!(shell("echo out; echo err >&2").unwrap(), "out\n");
        let failed = shell("echo err >&2; exit 3").unwrap_err().to_string();
        assert_eq!(failed, "sh -c echo err >&2; exit 3 failed: err");
    }
}
