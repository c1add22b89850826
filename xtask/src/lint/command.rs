//! Checks that are one command: it prints what it found, and its status says whether there is any.

use std::io;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

/// Runs a command that prints its findings itself.
pub(crate) fn passes(command: &mut Command) -> Result<Vec<String>> {
    ended(command.stdout(io::stderr()))
}

/// Runs a command that prints its findings on standard error, and other things on standard output.
pub(crate) fn silently(command: &mut Command) -> Result<Vec<String>> {
    ended(command.stdout(Stdio::null()))
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
}
