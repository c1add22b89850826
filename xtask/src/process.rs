//! Children that run beside xtask, each in a process group of its own: whatever a child started
//! ends with xtask, also if xtask is killed.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use std::{io, thread};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, WaitOptions, kill_process_group, waitpgid};

/// How long a child may take to end by itself before it is killed.
const GRACE: Duration = Duration::from_secs(5);

/// A child and everything that it starts. Dropping it ends them all, also when xtask panics.
pub(crate) struct Group {
    name: &'static str,
    child: Child,
    /// Ends the group if xtask is killed, when the pipe to its standard input closes.
    #[cfg_attr(not(test), expect(dead_code, reason = "held for its pipe"))]
    watchdog: Child,
    log: PathBuf,
}

/// Waits until its standard input closes, which is when xtask ends in whatever way, and then ends
/// its process group. While xtask lives, xtask ends the group.
const WATCHDOG: &str = "read _; trap '' TERM; kill -TERM 0; sleep 5; kill -KILL 0";

impl Group {
    /// Starts `command` with its output going to the file `log`.
    pub(crate) fn spawn(name: &'static str, command: &mut Command, log: &Path) -> Result<Self> {
        adopt_orphans();
        let output =
            File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let watchdog = watchdog(Pid::from_child(&child))?;
        Ok(Self {
            name,
            child,
            watchdog,
            log: log.to_owned(),
        })
    }

    /// The process group's id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// An error with the end of its log, if the child has ended.
    pub(crate) fn check(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => Err(self.ended(status)),
        }
    }

    fn ended(&self, status: ExitStatus) -> anyhow::Error {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines = log.lines().collect::<Vec<_>>();
        let tail = lines
            .get(lines.len().saturating_sub(40)..)
            .unwrap_or_default()
            .join("\n");
        anyhow::anyhow!(
            "{} ended with {status}; its log, {}, ends with\n\n{tail}",
            self.name,
            self.log.display()
        )
    }

    fn stop(&mut self, grace: Duration) {
        end(Pid::from_child(&self.child), grace);
    }
}

/// Runs `command` and returns what it printed, as [`supervise`] does.
pub(crate) fn output(command: &mut Command) -> Result<Output> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    supervise(command, Child::wait_with_output)
}

/// Runs `command` with the output of xtask, as [`supervise`] does.
pub(crate) fn status(command: &mut Command) -> Result<ExitStatus> {
    supervise(command, |mut child| child.wait())
}

/// Starts `command` in a process group of its own, and lets `wait` wait for it. Whatever it started
/// and left ends with it, and all of it with xtask.
pub(crate) fn supervise<T>(
    command: &mut Command,
    wait: impl FnOnce(Child) -> io::Result<T>,
) -> Result<T> {
    adopt_orphans();
    let child = command
        .process_group(0)
        .spawn()
        .with_context(|| format!("cannot run {}", command.get_program().display()))?;
    let group = Pid::from_child(&child);
    let _watchdog = watchdog(group)?;
    let waited = wait(child);
    end(group, GRACE);
    Ok(waited?)
}

/// Starts the watchdog of a process group, in that group.
fn watchdog(group: Pid) -> Result<Child> {
    Command::new("sh")
        .args(["-c", WATCHDOG])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(group.as_raw_nonzero().get())
        .spawn()
        .context("cannot start sh")
}

/// Asks all of a group to end, then ends it.
fn end(group: Pid, grace: Duration) {
    for (signal, patience) in [(Signal::TERM, grace), (Signal::KILL, GRACE)] {
        // Fails only if nothing is left to signal.
        let _ = kill_process_group(group, signal);
        let started = Instant::now();
        while started.elapsed() < patience {
            if has_ended(group) {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Reaps what has ended of a group; whether that was all of it.
fn has_ended(group: Pid) -> bool {
    loop {
        match waitpgid(group, WaitOptions::NOHANG) {
            Ok(Some(_)) => {}
            Ok(None) => return false,
            Err(_) => return true,
        }
    }
}

/// Makes this process the parent of its descendants' orphans, so that it can wait for them.
/// Elsewhere than on Linux they are init's, and end without being waited for.
fn adopt_orphans() {
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
}

impl Drop for Group {
    fn drop(&mut self) {
        self.stop(GRACE);
    }
}

/// Set once someone wants xtask to end: Ctrl-C, SIGTERM, SIGHUP, or the end of standard input.
#[derive(Clone)]
pub(crate) struct Stop(Arc<AtomicBool>);

impl Stop {
    pub(crate) fn on_signals() -> Result<Self> {
        let flag = Arc::new(AtomicBool::new(false));
        for signal in [
            signal_hook::consts::SIGINT,
            signal_hook::consts::SIGTERM,
            signal_hook::consts::SIGHUP,
        ] {
            signal_hook::flag::register(signal, Arc::clone(&flag))?;
        }
        Ok(Self(flag))
    }

    pub(crate) fn also_when_stdin_closes(&self) {
        let flag = Arc::clone(&self.0);
        thread::spawn(move || {
            let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
            flag.store(true, Ordering::Relaxed);
        });
    }

    pub(crate) fn is_wanted(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Waits until `is_ready`. Fails early if a child ends, someone wants to stop, or it takes longer
/// than `limit`.
pub(crate) fn wait_until(
    limit: Duration,
    stop: &Stop,
    groups: &mut [&mut Group],
    mut is_ready: impl FnMut() -> bool,
) -> Result<()> {
    let started = Instant::now();
    while !is_ready() {
        if stop.is_wanted() {
            bail!("stopped");
        }
        for group in groups.iter_mut() {
            group.check()?;
            if started.elapsed() > limit {
                bail!(
                    "{} is not ready after {limit:?}; its log is {}",
                    group.name,
                    group.log.display()
                );
            }
        }
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// Runs `meanwhile` every 100 ms until someone wants to stop. Fails if a child ends before.
pub(crate) fn run_until_stopped(
    stop: &Stop,
    groups: &mut [&mut Group],
    mut meanwhile: impl FnMut(),
) -> Result<()> {
    while !stop.is_wanted() {
        for group in groups.iter_mut() {
            group.check()?;
        }
        meanwhile();
        thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::time::{Duration, Instant};
    use std::{fs, thread};

    use rustix::process::{Pid, test_kill_process};

    use super::Group;

    #[test]
    fn stopping_a_group_ends_its_grandchildren_also_the_stubborn() {
        let log = std::env::temp_dir().join(format!("group-{}.log", std::process::id()));
        let script = "sh -c 'trap \"\" TERM; echo $$; while :; do sleep 0.05; done' & wait";
        let mut group = Group::spawn(
            "a stubborn child",
            Command::new("sh").args(["-c", script]),
            &log,
        )
        .unwrap();
        let grandchild = first_line_as_pid(&log);
        assert!(test_kill_process(grandchild).is_ok());
        group.stop(Duration::from_millis(100));
        let _ = fs::remove_file(&log);
        assert!(test_kill_process(grandchild).is_err());
    }

    #[test]
    fn what_a_command_left_ends_with_it() {
        let left = "sleep 60 > /dev/null 2>&1 & echo $!";
        let output = super::output(Command::new("sh").args(["-c", left])).unwrap();
        let left = String::from_utf8(output.stdout).unwrap();
        let left = Pid::from_raw(left.trim().parse().unwrap()).unwrap();
        assert!(test_kill_process(left).is_err());
    }

    /// As the system ends xtask by SIGKILL: nothing is dropped, and its pipes close.
    #[test]
    fn a_group_ends_when_the_watchdogs_pipe_closes() {
        let log = std::env::temp_dir().join(format!("watchdog-{}.log", std::process::id()));
        let script = "sh -c 'echo $$; while :; do sleep 0.05; done' & wait";
        let mut group = Group::spawn(
            "a child of a killed parent",
            Command::new("sh").args(["-c", script]),
            &log,
        )
        .unwrap();
        let grandchild = first_line_as_pid(&log);
        drop(group.watchdog.stdin.take());
        let started = Instant::now();
        // The test is the parent of orphans and reaps them, as init would.
        let pid = Pid::from_raw(i32::try_from(group.child.id()).unwrap()).unwrap();
        while !super::has_ended(pid) && started.elapsed() < Duration::from_secs(20) {
            thread::sleep(Duration::from_millis(10));
        }
        let _ = fs::remove_file(&log);
        assert!(test_kill_process(grandchild).is_err());
    }

    fn first_line_as_pid(log: &std::path::Path) -> Pid {
        let started = Instant::now();
        loop {
            let text = fs::read_to_string(log).unwrap();
            if let Some(line) = text.lines().next() {
                return Pid::from_raw(line.parse().unwrap()).unwrap();
            }
            assert!(
                started.elapsed() < Duration::from_secs(10),
                "the child printed nothing"
            );
            thread::sleep(Duration::from_millis(10));
        }
    }
}
