//! Comments end by column 100, which is where rustfmt breaks code but not comments.

use std::fs;

use anyhow::Result;

use crate::lint::sources::Sources;

const COLUMNS: usize = 100;

/// How a file's comments begin.
const SLASHES: &[&str] = &["rs", "js", "mjs", "cjs", "java"];
const HASH: &[&str] = &["toml", "py", "yml"];

pub(crate) fn check(sources: &Sources) -> Result<Vec<String>> {
    let mut findings = Vec::new();
    for (extensions, opening) in [(SLASHES, "//"), (HASH, "#")] {
        for file in sources.with_extension(extensions) {
            let text = sources.read(file)?;
            findings.extend(long_comments(&text, opening).map(|(line, columns)| {
                format!("{file}:{line}: the comment ends at column {columns}, not by {COLUMNS}")
            }));
        }
    }
    Ok(findings)
}

/// Moves words beyond the last column to the next line of their comment. A comment that follows
/// code is left to a person, and so are tables and code blocks.
pub(crate) fn fix(sources: &Sources) -> Result<()> {
    for (extensions, opening) in [(SLASHES, "//"), (HASH, "#")] {
        for file in sources.with_extension(extensions) {
            let text = sources.read(file)?;
            let wrapped = wrapped(&text, opening);
            if wrapped != text {
                fs::write(sources.root().join(file), wrapped)?;
            }
        }
    }
    Ok(())
}

fn wrapped(text: &str, opening: &str) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let mut in_block = false;
    let mut at = 0;
    while at < lines.len() {
        let line = lines[at].clone();
        let Some((prefix, words)) = comment(&line, opening) else {
            in_block = false;
            at += 1;
            continue;
        };
        in_block ^= words.starts_with("```");
        if !in_block && !words.starts_with('|') && line.chars().count() > COLUMNS {
            // Items of a list hang.
            let hang = if words.starts_with("- ") { "  " } else { "" };
            if let Some((kept, moved)) = split(words, COLUMNS - prefix.chars().count()) {
                lines[at] = format!("{prefix}{kept}");
                let next_prefix = format!("{prefix}{hang}");
                match lines.get(at + 1).and_then(|next| comment(next, opening)) {
                    Some((next, rest)) if next == next_prefix && is_prose(rest) => {
                        lines[at + 1] = format!("{next_prefix}{moved} {rest}");
                    }
                    _ => lines.insert(at + 1, format!("{next_prefix}{moved}")),
                }
            }
        }
        at += 1;
    }
    let end = if text.ends_with('\n') { "\n" } else { "" };
    lines.join("\n") + end
}

/// The indentation and marker of a line that is a comment, and its words.
fn comment<'l>(line: &'l str, opening: &str) -> Option<(&'l str, &'l str)> {
    let text = line
        .trim_start()
        .strip_prefix(opening)?
        .trim_start_matches(['/', '!', '#'])
        .trim_start();
    Some(line.split_at(line.len() - text.len()))
}

/// Whether words continue a paragraph.
fn is_prose(words: &str) -> bool {
    !words.is_empty() && !words.starts_with(['-', '*', '|', '#', '`'])
}

/// Words that fit into so many columns, and the others.
fn split(words: &str, columns: usize) -> Option<(&str, &str)> {
    let end = words
        .match_indices(' ')
        .map(|(at, _)| at)
        .take_while(|at| words[..*at].chars().count() <= columns)
        .last()?;
    Some((&words[..end], words[end..].trim_start()))
}

/// Lines, from 1, that a comment carries beyond the last column, and where it ends.
fn long_comments(text: &str, opening: &str) -> impl Iterator<Item = (usize, usize)> {
    text.lines().enumerate().filter_map(move |(index, line)| {
        let columns = line.chars().count();
        let start = comment_start(line, opening)?;
        let is_alone = line.get(..start)?.trim().is_empty();
        let mut words = line.get(start..)?.split_whitespace();
        // A URL on a line of its own cannot be broken.
        let is_breakable = !is_alone || words.nth(2).is_some();
        (columns > COLUMNS && is_breakable).then_some((index + 1, columns))
    })
}

/// Where the comment of a line begins: the first opening that is in no string literal.
fn comment_start(line: &str, opening: &str) -> Option<usize> {
    line.match_indices(opening)
        .map(|(at, _)| at)
        .find(|at| line.get(..*at).is_some_and(is_outside_strings))
}

/// Whether quotes are balanced in what precedes, and it ends where a comment can begin.
fn is_outside_strings(before: &str) -> bool {
    let mut open = false;
    let mut escaped = false;
    for character in before.chars() {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => open = !open,
            _ => {}
        }
    }
    !open && before.chars().next_back().is_none_or(char::is_whitespace)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str, opening: &str) -> Vec<(usize, usize)> {
        long_comments(text, opening).collect()
    }

    fn words(columns: usize) -> String {
        "word ".repeat(columns)[..columns].replace("  ", " ")
    }

    #[test]
    fn a_comment_may_end_at_the_last_column_and_no_further() {
        let fits = format!("// {}w", words(96));
        assert_eq!(fits.len(), COLUMNS);
        assert_eq!(found(&fits, "//"), []);
        assert_eq!(found(&format!("x\n{fits}w"), "//"), [(2, 101)]);
    }

    #[test]
    fn repair_moves_words_to_the_next_line_of_the_paragraph() {
        let long = "word ".repeat(20);
        let text =
            format!("    /// {long}last\n    /// line.\n    ///\n    /// Next.\nfn f() {{}}\n");
        let repaired = wrapped(&text, "//");
        let first = "word ".repeat(18);
        assert_eq!(
            repaired,
            format!(
                "    /// {}\n    /// word word last line.\n    ///\n    /// Next.\nfn f() {{}}\n",
                first.trim_end()
            )
        );
        assert_eq!(wrapped(&repaired, "//"), repaired);
    }

    #[test]
    fn repair_leaves_code_and_tables_alone() {
        let long = "word ".repeat(30);
        for text in [
            format!("let x = 1; // {long}\n"),
            format!("/// ```\n/// {long}\n/// ```\n"),
            format!("/// | {long} |\n"),
        ] {
            assert_eq!(wrapped(&text, "//"), text);
        }
    }

    #[test]
    fn columns_are_characters_not_bytes() {
        let fits = format!("// {} …", "é".repeat(95));
        assert_eq!(found(&fits, "//"), []);
    }

    #[test]
    fn a_comment_after_code_counts_but_code_alone_does_not() {
        let code = format!("let x = \"{}\";", "y ".repeat(60));
        assert_eq!(found(&code, "//"), []);
        assert_eq!(found(&format!("{code} // why"), "//").len(), 1);
        let toml = format!("key = [{}] # why", "1, ".repeat(40));
        assert_eq!(found(&toml, "#").len(), 1);
    }

    #[test]
    fn a_url_in_a_string_opens_no_comment_and_one_alone_may_be_long() {
        let text = format!("let url = \"http://{} x\";", "a".repeat(100));
        assert_eq!(found(&text, "//"), []);
        let alone = format!("/// https://example.com/{}", "a".repeat(100));
        assert_eq!(found(&alone, "//"), []);
    }
}
