//! Long steps: on a terminal one bar each, with how long the step took last time; elsewhere a line.
//! A child's output is shown only if the child fails.

use std::io::{BufRead, BufReader, IsTerminal, Read};
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use std::{fmt, fs, thread};

use anyhow::{Result, bail};
use indicatif::{MultiProgress, ProgressBar, ProgressState, ProgressStyle};

use crate::process;

/// Shows the steps that are running; several may run at once.
pub(crate) struct Progress {
    bars: MultiProgress,
    /// One file per step, which holds how many seconds it took last time.
    times: PathBuf,
}

impl Progress {
    /// `times` is the folder that remembers how long each step took.
    pub(crate) fn new(times: PathBuf) -> Self {
        Self {
            bars: MultiProgress::new(),
            times,
        }
    }

    /// Runs `command` to its end and shows `what` meanwhile. If the command fails, the error has
    /// its output and `advice`: what a person can do about it.
    pub(crate) fn run(&self, what: &str, command: &mut Command, advice: &str) -> Result<()> {
        let step = self.begin(what);
        let (status, output) = run_quietly(command, |line| step.detail(line))?;
        if !status.success() {
            step.end("failed");
            bail!(
                "{what}: {} ended with {status}\n\n{output}\n{advice}",
                command.get_program().display()
            );
        }
        self.remember(what, step.started.elapsed());
        step.end("done");
        Ok(())
    }

    /// How long the step took last time, if it ran here before.
    pub(crate) fn last(&self, what: &str) -> Option<Duration> {
        let seconds = fs::read_to_string(self.file(what)).ok()?;
        Duration::try_from_secs_f64(seconds.parse().ok()?).ok()
    }

    /// Keeps how long a step took. Losing it costs only an estimate.
    pub(crate) fn remember(&self, what: &str, time: Duration) {
        let _ = fs::create_dir_all(&self.times);
        let _ = fs::write(self.file(what), time.as_secs_f64().to_string());
    }

    /// Prints a line above the bars.
    pub(crate) fn print(&self, line: &str) {
        if std::io::stderr().is_terminal() {
            let _ = self.bars.println(line);
        } else {
            eprintln!("{line}");
        }
    }

    pub(crate) fn begin(&self, what: &str) -> Step<'_> {
        let last = self.last(what);
        let bar = std::io::stderr()
            .is_terminal()
            .then(|| self.bars.add(bar(what, last)));
        if bar.is_none() {
            match last {
                Some(last) => eprintln!("{what} … ({:.0} s last time)", last.as_secs_f64()),
                None => eprintln!("{what} …"),
            }
        }
        Step {
            progress: self,
            what: what.to_owned(),
            started: Instant::now(),
            bar,
        }
    }

    fn file(&self, what: &str) -> PathBuf {
        self.times.join(what.replace('/', "-"))
    }
}

/// A bar that fills in the time that the step took last; without one, a spinner. Beside it stands
/// what the child printed last.
fn bar(what: &str, last: Option<Duration>) -> ProgressBar {
    const WIDTH: u128 = 20;
    let bar = ProgressBar::no_length().with_message(what.to_owned());
    let template = match last {
        Some(_) => "{spinner} {msg} {filled} {elapsed} {prefix:.dim}",
        None => "{spinner} {msg} {elapsed} {prefix:.dim}",
    };
    let last = last.unwrap_or_default();
    let filled = move |state: &ProgressState, out: &mut dyn fmt::Write| {
        let parts = state.elapsed().as_millis() * WIDTH / last.as_millis().max(1);
        let full = usize::try_from(parts.min(WIDTH)).unwrap_or_default();
        let rest = 20_usize.saturating_sub(full);
        let _ = write!(
            out,
            "[{}{}] of about {:.0} s, now",
            "=".repeat(full),
            " ".repeat(rest),
            last.as_secs_f64()
        );
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.with_key("filled", filled));
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// A step that is running.
pub(crate) struct Step<'p> {
    progress: &'p Progress,
    what: String,
    started: Instant,
    /// None if standard error is no terminal.
    bar: Option<ProgressBar>,
}

impl Step<'_> {
    fn detail(&self, line: &str) {
        if let Some(bar) = &self.bar {
            bar.set_prefix(line.trim().chars().take(60).collect::<String>());
        }
    }

    pub(crate) fn end(self, how: &str) {
        let line = format!(
            "{}: {how} after {:.0} s",
            self.what,
            self.started.elapsed().as_secs_f64()
        );
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        self.progress.print(&line);
    }
}

/// Runs `command` without a terminal; returns how it ended and all that it printed.
fn run_quietly(command: &mut Command, line: impl Fn(&str) + Sync) -> Result<(ExitStatus, String)> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let output = Mutex::new(String::new());
    let collect = |stream: &mut dyn Read| {
        for text in BufReader::new(stream).lines().map_while(Result::ok) {
            line(&text);
            let mut output = output.lock().unwrap_or_else(PoisonError::into_inner);
            output.push_str(&text);
            output.push('\n');
        }
    };
    let status = process::supervise(command, |mut child| {
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        thread::scope(|scope| {
            let collect = &collect;
            scope.spawn(move || stdout.map(|mut stream| collect(&mut stream)));
            scope.spawn(move || stderr.map(|mut stream| collect(&mut stream)));
        });
        child.wait()
    })?;
    Ok((
        status,
        output.into_inner().unwrap_or_else(PoisonError::into_inner),
    ))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::Progress;

    #[test]
    fn a_failed_step_shows_what_the_child_printed_and_what_to_do() {
        let folder = std::env::temp_dir().join(format!("times-{}", std::process::id()));
        let error = Progress::new(folder)
            .run(
                "trying",
                Command::new("sh").args(["-c", "echo out; echo err >&2; exit 3"]),
                "Try harder.",
            )
            .unwrap_err()
            .to_string();
        for part in ["trying", "exit status: 3", "out\n", "err\n", "Try harder."] {
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn how_long_a_step_took_is_known_the_next_time() {
        let folder = std::env::temp_dir().join(format!("times-kept-{}", std::process::id()));
        let progress = Progress::new(folder.clone());
        assert_eq!(progress.last("a/b"), None);
        progress.run("a/b", &mut Command::new("true"), "").unwrap();
        let last = Progress::new(folder.clone()).last("a/b");
        std::fs::remove_dir_all(folder).unwrap();
        assert!(last.is_some());
    }
}
