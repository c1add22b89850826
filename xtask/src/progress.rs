//! Long steps: one line for each, ticking on a terminal. What a child prints is shown only if it fails.

use std::{
    io::{BufRead, BufReader, IsTerminal, Read},
    process::{Command, ExitStatus, Stdio},
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// Shows the steps that are under way; several may run at once.
#[derive(Default)]
pub(crate) struct Progress {
    bars: MultiProgress,
}

impl Progress {
    /// Runs `command` to its end. `what` is shown meanwhile, the child's output only if it fails.
    pub(crate) fn run(&self, what: &str, command: &mut Command) -> Result<()> {
        let step = self.begin(what);
        let (status, output) = run_quietly(command, |line| step.detail(line))?;
        if !status.success() {
            step.end("failed");
            bail!(
                "{what}: {} ended with {status}\n\n{output}",
                command.get_program().display()
            );
        }
        step.end("done");
        Ok(())
    }

    fn begin(&self, what: &str) -> Step {
        let started = Instant::now();
        let bar = if std::io::stderr().is_terminal() {
            let bar = self
                .bars
                .add(ProgressBar::new_spinner().with_message(what.to_owned()));
            if let Ok(style) =
                ProgressStyle::with_template("{spinner} {msg} {elapsed} {prefix:.dim}")
            {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(200));
            Some(bar)
        } else {
            eprintln!("{what} …");
            None
        };
        Step {
            what: what.to_owned(),
            started,
            bar,
        }
    }
}

struct Step {
    what: String,
    started: Instant,
    /// None where nobody watches a terminal.
    bar: Option<ProgressBar>,
}

impl Step {
    fn detail(&self, line: &str) {
        if let Some(bar) = &self.bar {
            bar.set_prefix(line.trim().chars().take(60).collect::<String>());
        }
    }

    fn end(&self, how: &str) {
        let line = format!(
            "{}: {how} after {:.0} s",
            self.what,
            self.started.elapsed().as_secs_f64()
        );
        match &self.bar {
            Some(bar) => {
                bar.finish_and_clear();
                bar.println(line);
            }
            None => eprintln!("{line}"),
        }
    }
}

/// Runs `command` without a terminal; returns how it ended and all that it printed.
fn run_quietly(command: &mut Command, line: impl Fn(&str) + Sync) -> Result<(ExitStatus, String)> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run {}", command.get_program().display()))?;
    let output = Mutex::new(String::new());
    let collect = |stream: &mut dyn Read| {
        for text in BufReader::new(stream).lines().map_while(Result::ok) {
            line(&text);
            let mut output = output
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            output.push_str(&text);
            output.push('\n');
        }
    };
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    thread::scope(|scope| {
        let collect = &collect;
        scope.spawn(move || stdout.map(|mut stream| collect(&mut stream)));
        scope.spawn(move || stderr.map(|mut stream| collect(&mut stream)));
    });
    let status = child.wait()?;
    Ok((
        status,
        output
            .into_inner()
            .unwrap_or_else(std::sync::PoisonError::into_inner),
    ))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::Progress;

    #[test]
    fn a_failed_step_shows_what_the_child_printed() {
        let error = Progress::default()
            .run(
                "trying",
                Command::new("sh").args(["-c", "echo out; echo err >&2; exit 3"]),
            )
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("trying") && error.contains("exit status: 3"),
            "{error}"
        );
        assert!(
            error.contains("out\n") && error.contains("err\n"),
            "{error}"
        );
    }
}
