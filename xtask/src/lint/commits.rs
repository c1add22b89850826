//! Subjects of commits: `area: imperative`, at most 72 characters.

use anyhow::Result;

use super::command;
use crate::workspace::Workspace;

const LONGEST: usize = 72;

/// The form holds from the commit that added this file: subjects before it were written without
/// the check.
const SINCE: &str = "ARCHITECTURE.md";

pub(crate) fn check(workspace: &Workspace) -> Result<Vec<String>> {
    let Some(base) = base(workspace)? else {
        return Ok(Vec::new());
    };
    let log = git(
        workspace,
        &[
            "log",
            "--no-merges",
            "--format=%h %s",
            &format!("{base}..HEAD"),
        ],
    )?;
    Ok(log
        .lines()
        .filter_map(|line| line.split_once(' '))
        .filter_map(|(commit, subject)| {
            let wrong = what_is_wrong(subject)?;
            Some(format!("{commit} \"{subject}\": {wrong}"))
        })
        .collect())
}

/// The last release, or the commit that introduced the form if that is later or nothing was
/// released yet. `None` before the form is committed.
fn base(workspace: &Workspace) -> Result<Option<String>> {
    let introduced = git(
        workspace,
        &["log", "--diff-filter=A", "--format=%H", "--", SINCE],
    )?;
    let Some(introduced) = introduced.lines().last() else {
        return Ok(None);
    };
    let releases = git(
        workspace,
        &[
            "tag",
            "--contains",
            introduced,
            "--merged",
            "HEAD",
            "--sort=-creatordate",
        ],
    )?;
    Ok(Some(
        releases.lines().next().unwrap_or(introduced).to_owned(),
    ))
}

fn what_is_wrong(subject: &str) -> Option<String> {
    let length = subject.chars().count();
    if length > LONGEST {
        return Some(format!("{length} characters, more than {LONGEST}"));
    }
    let Some((area, summary)) = subject.split_once(": ") else {
        return Some("no `area: ` before the summary".to_owned());
    };
    if area.is_empty() || area.chars().any(char::is_uppercase) {
        return Some(format!("the area `{area}` is not in lower case"));
    }
    let mut letters = summary.chars();
    match (letters.next(), letters.next()) {
        (None, _) => Some("no summary after the area".to_owned()),
        // A name such as KV, CRLNumber or README keeps its capitals.
        (Some(first), Some(second)) if first.is_uppercase() && second.is_lowercase() => {
            Some("the summary begins with a capital".to_owned())
        }
        _ if summary.ends_with('.') => Some("the summary ends with a full stop".to_owned()),
        _ => None,
    }
}

fn git(workspace: &Workspace, arguments: &[&str]) -> Result<String> {
    command::printed(workspace.command("git").args(arguments))
}

#[cfg(test)]
mod tests {
    use super::what_is_wrong;

    #[test]
    fn good_subjects_pass() {
        for subject in [
            "push: back off per edge while it is unreachable",
            "response cache: build replay state only for cacheable answers",
            "crl: a quarter of the time for an entry",
            "docs: README names every command",
            "admission: KV keeps the old CRL when a new one is refused",
        ] {
            assert_eq!(what_is_wrong(subject), None, "{subject}");
        }
    }

    #[test]
    fn bad_subjects_are_refused_with_the_reason() {
        for (subject, reason) in [
            ("What lint says of the docs", "no `area: `"),
            ("Docs: fix rustdoc warnings", "not in lower case"),
            ("docs: Fix rustdoc warnings", "begins with a capital"),
            ("docs: fix rustdoc warnings.", "full stop"),
            ("docs: ", "no summary"),
            (
                "push: an edge that is back is tried within seconds, as a whole, and often enough",
                "80 characters, more than 72",
            ),
        ] {
            let wrong = what_is_wrong(subject).unwrap_or_default();
            assert!(wrong.contains(reason), "{subject}: {wrong:?}");
        }
    }
}
