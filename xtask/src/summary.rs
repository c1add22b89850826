//! What the test programs said, added up.

use std::fmt;

/// The tests that ran, over all test programs.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    /// As the programs count: with those that were skipped by a printed line.
    ok: u64,
    failed: u64,
    /// How many of `ok` were skipped.
    skipped_ok: u64,
    /// Name and reason of each test that could not run here.
    skipped: Vec<String>,
    /// The passed test whose output is being read, until it says that it was skipped.
    showing: Option<String>,
    /// Whether what is read belongs to failed tests.
    in_failures: bool,
    failures: Vec<Failure>,
}

/// A test that failed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) test: String,
    /// The first lines that it printed.
    output: String,
    passed_alone: bool,
}

/// How much of what a failed test printed is repeated in the summary.
const LINES_OF_A_FAILURE: usize = 30;
const CHARACTERS_OF_A_LINE: usize = 500;

impl Summary {
    /// Takes in one line that a test program printed.
    ///
    /// Programs end with libtest's `test result:` line. A test that lacks an outside tool either
    /// prints `skipped: WHAT: why` and passes, or is reported as `test NAME ... ignored, why` (or
    /// `(why)`).
    pub(crate) fn read(&mut self, line: &str) {
        if let Some(result) = line.strip_prefix("test result: ") {
            self.ok += count(result, " passed");
            self.failed += count(result, " failed");
            self.showing = None;
            self.in_failures = false;
        } else if line == "failures:" {
            // First what the failed tests printed, then their names alone.
            self.in_failures = true;
            self.showing = None;
        } else if let Some(name) = shown_name(line) {
            self.showing = Some(name.to_owned());
            if self.in_failures {
                self.failures.push(Failure {
                    test: name.to_owned(),
                    output: String::new(),
                    passed_alone: false,
                });
            }
        } else if self.in_failures {
            if self.showing.is_some()
                && let Some(Failure { output, .. }) = self.failures.last_mut()
                && !line.is_empty()
                && output.lines().count() < LINES_OF_A_FAILURE
            {
                output.push_str("    ");
                output.extend(line.chars().take(CHARACTERS_OF_A_LINE));
                output.push('\n');
            }
        } else if let Some(why) = line.strip_prefix("skipped: ") {
            // However often it says so, it is one test.
            if let Some(name) = self.showing.take() {
                self.skipped.push(format!("{name}: {why}"));
                self.skipped_ok += 1;
            }
        } else if let Some((name, why)) = line
            .strip_prefix("test ")
            .and_then(|rest| rest.split_once(" ... ignored"))
        {
            let why = why.trim_matches([',', ' ', '(', ')']);
            self.skipped.push(format!("{}: {why}", name.trim_end()));
        }
    }

    /// Counts a check that is no test program.
    pub(crate) fn count(&mut self, name: &str, outcome: Outcome) {
        match outcome {
            Outcome::Passed => self.ok += 1,
            Outcome::Failed => self.failed += 1,
            Outcome::Skipped(why) => self.skipped.push(format!("{name}: {why}")),
        }
    }

    /// Adds what another program said.
    pub(crate) fn add(&mut self, other: Self) {
        self.ok += other.ok;
        self.failed += other.failed;
        self.skipped_ok += other.skipped_ok;
        self.skipped.extend(other.skipped);
        self.failures.extend(other.failures);
    }

    pub(crate) fn failures(&self) -> &[Failure] {
        &self.failures
    }

    /// Counts a failed test that passed when it ran alone; what it had printed is still shown.
    pub(crate) fn passed_alone(&mut self, test: &str) {
        let failed = self
            .failures
            .iter_mut()
            .find(|failure| failure.test == test);
        if let Some(failure) = failed.filter(|failure| !failure.passed_alone) {
            failure.passed_alone = true;
            self.ok += 1;
            self.failed = self.failed.saturating_sub(1);
        }
    }

    pub(crate) fn has_failures(&self) -> bool {
        self.failed > 0
    }

    pub(crate) fn skipped(&self) -> &[String] {
        &self.skipped
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Failure {
            test,
            output,
            passed_alone,
        } in &self.failures
        {
            let how = if *passed_alone {
                "failed beside others, passed alone"
            } else {
                "failed"
            };
            write!(f, "{how}: {test}\n{output}")?;
        }
        for skipped in &self.skipped {
            writeln!(f, "skipped: {skipped}")?;
        }
        let passed = self.ok.saturating_sub(self.skipped_ok);
        write!(
            f,
            "{passed} passed, {} failed, {} skipped",
            self.failed,
            self.skipped.len()
        )
    }
}

/// How one check ended.
pub(crate) enum Outcome {
    Passed,
    Failed,
    /// And why.
    Skipped(String),
}

/// The test that `---- NAME stdout ----` or `---- NAME ----` shows the output of.
fn shown_name(line: &str) -> Option<&str> {
    let shown = line.strip_prefix("---- ")?.strip_suffix(" ----")?;
    Some(shown.strip_suffix(" stdout").unwrap_or(shown))
}

/// The number before `label` in `ok. 3 passed; 1 failed; 0 ignored; …`.
fn count(result: &str, label: &str) -> u64 {
    result
        .split([';', '.'])
        .find_map(|part| part.strip_suffix(label)?.trim().parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::Summary;

    #[test]
    fn results_add_up_failures_are_repeated_and_skips_are_not_passes() {
        let mut summary = Summary::default();
        for line in [
            "test reader::reads ... ok",
            "test java_accepts ... ignored, no java in PATH",
            "test curl_resumes  ... ignored (no curl in PATH)",
            "successes:",
            "---- openssl_agrees stdout ----",
            "skipped: openssl: No such file or directory",
            "skipped: openssl: No such file or directory",
            "failures:",
            "---- openssl_refuses stdout ----",
            "skipped: openssl: No such file or directory",
            "",
            "thread panicked",
            "---- curl_accepts ----",
            "test panicked",
            "failures:",
            "    openssl_refuses",
            "    curl_accepts",
            "test result: FAILED. 12 passed; 2 failed; 2 ignored; 0 measured; 0 filtered out; finished in 0.10s",
            "test result: ok. 5 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.10s",
        ] {
            summary.read(line);
        }
        assert!(summary.has_failures());
        summary.passed_alone("curl_accepts");
        assert!(summary.has_failures());
        assert_eq!(
            summary.to_string(),
            "failed: openssl_refuses\n    \
             skipped: openssl: No such file or directory\n    \
             thread panicked\n\
             failed beside others, passed alone: curl_accepts\n    \
             test panicked\n\
             skipped: java_accepts: no java in PATH\n\
             skipped: curl_resumes: no curl in PATH\n\
             skipped: openssl_agrees: openssl: No such file or directory\n\
             17 passed, 1 failed, 3 skipped"
        );
        summary.passed_alone("openssl_refuses");
        assert!(!summary.has_failures());
    }
}
