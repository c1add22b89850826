//! What the documents name exists: linked files and headings, cited files and tests, and the
//! commands of xtask.
//!
//! A file is cited in backticks by its path from the root, a test as `path/to/file.rs::name`.

use std::path::{Component, Path, PathBuf};

use anyhow::Result;
use clap::Command;
use clap::error::ErrorKind;

use crate::lint::sources::Sources;

/// `xtask` is its command line, as clap knows it.
pub(crate) fn check(sources: &Sources, xtask: &Command) -> Result<Vec<String>> {
    let mut findings = Vec::new();
    for file in sources.with_extension(&["md"]) {
        let text = sources.read(file)?;
        for (line, part) in parts(&text) {
            let wrong = match part {
                Part::Link(target) => broken_link(sources, file, target)?,
                Part::Code(code) if code.starts_with("cargo xtask") => wrong_command(xtask, code),
                Part::Code(code) => missing_citation(sources, code)?,
                Part::Command(command) => wrong_command(xtask, &command),
            };
            findings.extend(wrong.map(|wrong| format!("{file}:{line}: {wrong}")));
        }
    }
    Ok(findings)
}

/// What a document says that can be checked.
#[derive(Debug, PartialEq)]
enum Part<'a> {
    Link(&'a str),
    /// Between backticks.
    Code(&'a str),
    /// A line of a code block that calls xtask, with the lines that continue it.
    Command(String),
}

/// The parts of a document, each with its line from 1.
fn parts(text: &str) -> Vec<(usize, Part<'_>)> {
    let mut parts = Vec::new();
    let mut in_block = false;
    let mut lines = text.lines().enumerate();
    while let Some((index, line)) = lines.next() {
        let number = index + 1;
        if line.trim_start().starts_with("```") {
            in_block = !in_block;
        } else if in_block {
            let mut command = line.trim().trim_start_matches("$ ").to_owned();
            if !command.starts_with("cargo xtask") {
                continue;
            }
            while command.ends_with('\\') {
                command.pop();
                command.push_str(lines.next().map_or("", |(_, line)| line));
            }
            parts.push((number, Part::Command(command)));
        } else {
            let (mut code, mut prose) = (line.split('`').skip(1).step_by(2), line);
            parts.extend(code.by_ref().map(|code| (number, Part::Code(code))));
            while let Some((_, after)) = prose.split_once("](") {
                let (target, rest) = after.split_once(')').unwrap_or((after, ""));
                parts.push((number, Part::Link(target)));
                prose = rest;
            }
        }
    }
    parts
}

fn broken_link(sources: &Sources, from: &str, target: &str) -> Result<Option<String>> {
    if target.contains("://") || target.starts_with("mailto:") {
        return Ok(None);
    }
    let (path, heading) = target.split_once('#').unwrap_or((target, ""));
    let file = if path.is_empty() {
        from.to_owned()
    } else {
        let folder = Path::new(from).parent().unwrap_or(Path::new(""));
        normal(&folder.join(path))
    };
    if !exists(sources, &file) {
        return Ok(Some(format!(
            "the link leads to {file}, which does not exist"
        )));
    }
    if heading.is_empty() || headings(&sources.read(&file)?).any(|found| found == heading) {
        return Ok(None);
    }
    Ok(Some(format!("{file} has no heading #{heading}")))
}

/// Headings as GitHub's anchors: lower case, hyphens for spaces, without punctuation.
fn headings(text: &str) -> impl Iterator<Item = String> {
    text.lines()
        .filter(|line| line.starts_with('#'))
        .map(|line| {
            line.trim_start_matches('#')
                .trim()
                .chars()
                .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
                .map(|c| if c == ' ' { '-' } else { c })
                .flat_map(char::to_lowercase)
                .collect()
        })
}

/// For a path of this tree or a test in it; other code is not judged.
fn missing_citation(sources: &Sources, code: &str) -> Result<Option<String>> {
    let (path, test) = match code.split_once("::") {
        Some((path, test)) => (path, Some(test)),
        None => (code, None),
    };
    let is_path = path
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '-' | '_'));
    let (first, rest) = path.split_once('/').unwrap_or((path, ""));
    let is_ours = sources.all().any(|file| {
        file.split_once('/')
            .is_some_and(|(folder, _)| folder == first)
    });
    if !is_path || rest.is_empty() || !is_ours {
        return Ok(None);
    }
    if !exists(sources, path.trim_end_matches('/')) {
        return Ok(Some(format!("{path} does not exist")));
    }
    match test {
        Some(test) if !declares(&sources.read(path)?, test) => {
            Ok(Some(format!("{path} has no function {test}")))
        }
        _ => Ok(None),
    }
}

fn declares(text: &str, function: &str) -> bool {
    let declaration = format!("fn {function}");
    text.match_indices(&declaration)
        .any(|(at, found)| text[at + found.len()..].starts_with(['(', '<']))
}

/// A file, or a folder that has files.
fn exists(sources: &Sources, path: &str) -> bool {
    let folder = format!("{}/", path.trim_end_matches('/'));
    sources.contains(path) || sources.all().any(|file| file.starts_with(&folder))
}

fn normal(path: &Path) -> String {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                normal.pop();
            }
            Component::CurDir => {}
            part => normal.push(part),
        }
    }
    normal.to_string_lossy().into_owned()
}

/// Commands that xtask's own parser refuses. One with an ellipsis stands for several.
fn wrong_command(xtask: &Command, command: &str) -> Option<String> {
    let words = words(command);
    if words.len() < 3 || words.iter().any(|word| word.contains('…')) {
        return None;
    }
    match xtask.clone().try_get_matches_from(&words[1..]) {
        Ok(_) => None,
        Err(error) if error.kind() == ErrorKind::DisplayHelp => None,
        Err(error) => {
            let reason = error.to_string();
            let reason = reason.lines().next().unwrap_or_default().to_owned();
            Some(format!("`{}` does not run: {reason}", command.trim()))
        }
    }
}

/// The words of a shell command up to a comment, pipe or another command.
fn words(command: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut quote = None;
    let mut in_word = false;
    for character in command.chars() {
        match (character, quote) {
            (_, Some(open)) if open == character => quote = None,
            ('"' | '\'', None) => {
                quote = Some(character);
                if !in_word {
                    words.push(String::new());
                    in_word = true;
                }
            }
            ('#', None) if !in_word => break,
            ('|' | ';' | '&' | '>', None) => break,
            (' ', None) => in_word = false,
            _ => {
                if !in_word {
                    words.push(String::new());
                    in_word = true;
                }
                if let Some(word) = words.last_mut() {
                    word.push(character);
                }
            }
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use clap::{Arg, ArgAction};

    use super::*;
    use crate::lint::sources::Scratch;

    fn xtask() -> Command {
        let any = Arg::new("any")
            .action(ArgAction::Append)
            .allow_hyphen_values(true)
            .trailing_var_arg(true);
        let dev = Arg::new("dev").long("dev").action(ArgAction::SetTrue);
        Command::new("xtask").subcommands([
            Command::new("build").arg(dev),
            Command::new("lint"),
            Command::new("wrangler").arg(any),
        ])
    }

    fn findings(name: &str, document: &str) -> Vec<String> {
        let scratch = Scratch::new(name);
        let files = [
            ("docs/page.md", document),
            ("docs/other.md", "# Other page: of 2\n"),
            ("README.md", ""),
            ("edge/src/a.rs", "#[test]\nfn it_holds() {}\n"),
        ];
        check(&Sources::in_folder(scratch.path(), &files), &xtask()).unwrap()
    }

    #[test]
    fn what_exists_passes() {
        let document = "\
# Page
[a](other.md), [b](../README.md), [c](#page), [d](other.md#other-page-of-2), [e](https://a.example/b)
`edge/src/a.rs` `edge/src/a.rs::it_holds` `edge/src/` `application/pkix-crl` `/crl/{issuer}.crl`
Run `cargo xtask lint` or `cargo xtask bench …`.
```sh
cargo xtask build --dev   # quickly
cargo xtask wrangler secret put TOKEN \\
  --env production
cargo xtask lint --help
```
";
        assert_eq!(findings("exists", document), Vec::<String>::new());
    }

    #[test]
    fn what_does_not_exist_is_found() {
        for (document, reason) in [
            ("[a](gone.md)", "docs/gone.md, which does not exist"),
            ("[a](other.md#gone)", "docs/other.md has no heading #gone"),
            ("`edge/src/gone.rs`", "edge/src/gone.rs does not exist"),
            (
                "`edge/src/a.rs::it_hold`",
                "edge/src/a.rs has no function it_hold",
            ),
            ("`cargo xtask bild`", "`cargo xtask bild` does not run"),
            (
                "```\ncargo xtask build --fast\n```",
                "unexpected argument '--fast'",
            ),
        ] {
            let found = findings("missing", document);
            assert_eq!(found.len(), 1, "{document}: {found:?}");
            assert!(found[0].contains(reason), "{document}: {found:?}");
        }
    }
}
