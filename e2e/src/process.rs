//! A started process that ends with its handle, and whose log is shown when the test fails.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use tempfile::TempDir;

/// The longest that a server may take to become ready: the machine may be loaded many times over.
const READY_DEADLINE: Duration = Duration::from_mins(3);
const STOP_DEADLINE: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(50);
const LOG_LINES_SHOWN: usize = 60;

/// How a process is asked to stop, before it is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    Interrupt,
    Terminate,
    Kill,
    /// Goes on after a stop.
    Continue,
}

impl Signal {
    fn name(self) -> &'static str {
        match self {
            Self::Interrupt => "INT",
            Self::Terminate => "TERM",
            Self::Kill => "KILL",
            Self::Continue => "CONT",
        }
    }

    /// Sends this signal to one process.
    pub fn send(self, pid: u32) -> Result<()> {
        // The shell's own `kill` is everywhere; a system call would need `unsafe` or one more dependency.
        let status = Command::new("sh")
            .arg("-c")
            .arg(format!("kill -{} {pid} 2>/dev/null", self.name()))
            .status()?;
        if !status.success() {
            bail!("failed to send {} to process {pid}: {status}", self.name());
        }
        Ok(())
    }
}

/// A running process with a folder of its own for its data and its log.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    folder: TempDir,
    log: PathBuf,
    stop: Signal,
}

impl Process {
    /// Starts `command`; both its outputs go to a log in `folder`, which is removed when the process is dropped.
    pub fn start(name: &str, command: &mut Command, folder: TempDir, stop: Signal) -> Result<Self> {
        let log = folder.path().join("server.log");
        let output =
            File::create(&log).with_context(|| format!("failed to create `{}`", log.display()))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("failed to start `{name}` with {command:?}"))?;
        Ok(Self {
            name: name.to_owned(),
            child,
            folder,
            log,
            stop,
        })
    }

    /// Waits until `ready` says so; fails with the log when the process ends before, or takes too long.
    pub fn wait_until(&mut self, mut ready: impl FnMut(&Self) -> bool) -> Result<()> {
        let started = Instant::now();
        while !ready(self) {
            if let Some(status) = self.child.try_wait()? {
                bail!(
                    "`{}` ended with {status} before it was ready:\n{}",
                    self.name,
                    self.log_tail()
                );
            }
            if started.elapsed() > READY_DEADLINE {
                bail!(
                    "`{}` was not ready after {READY_DEADLINE:?}:\n{}",
                    self.name,
                    self.log_tail()
                );
            }
            thread::sleep(POLL);
        }
        Ok(())
    }

    /// The process id, for tests that pause or kill it.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The folder that belongs to this process.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Everything that the process has printed.
    pub fn log(&self) -> String {
        fs::read(&self.log).map_or_else(
            |_| String::new(),
            |log| String::from_utf8_lossy(&log).into_owned(),
        )
    }

    /// Stops the process, with `SIGKILL` when it doesn't obey.
    pub fn stop(&mut self) -> Result<()> {
        if self.child.try_wait()?.is_some() {
            return Ok(());
        }
        self.stop.send(self.child.id())?;
        let asked = Instant::now();
        while asked.elapsed() < STOP_DEADLINE {
            if self.child.try_wait()?.is_some() {
                return Ok(());
            }
            thread::sleep(POLL);
        }
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n")
    }
}

impl Drop for Process {
    #[expect(
        clippy::print_stderr,
        reason = "the log of a server explains why the test that used it failed"
    )]
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            eprintln!("failed to stop `{}`: {error:#}", self.name);
        }
        if thread::panicking() {
            eprintln!(
                "---- log of `{}` ----\n{}\n----",
                self.name,
                self.log_tail()
            );
        }
    }
}

/// Waits until something holds; the machine may be loaded many times over.
pub fn wait_until(what: &str, mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
    let started = Instant::now();
    while !holds()? {
        ensure!(
            started.elapsed() < READY_DEADLINE,
            "waited in vain for {what}"
        );
        thread::sleep(POLL);
    }
    Ok(())
}

/// Whether a fault point has put the process to sleep: the third field of its status, behind its name, is `T` then.
pub fn is_stopped(process: &mut Child) -> Result<bool> {
    if let Some(status) = process.try_wait()? {
        bail!("it ended with {status} instead of falling asleep");
    }
    let text = fs::read_to_string(format!("/proc/{}/stat", process.id()))?;
    let state = text.rsplit(") ").next().unwrap_or_default();
    Ok(state.starts_with('T'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, stop: Signal) -> Process {
        let folder = tempfile::tempdir().unwrap();
        Process::start(
            "shell",
            Command::new("sh").arg("-c").arg(script),
            folder,
            stop,
        )
        .unwrap()
    }

    #[test]
    fn a_process_that_ends_early_fails_with_its_log() {
        let error = shell("echo no such database; exit 3", Signal::Terminate)
            .wait_until(|_| false)
            .unwrap_err();
        let text = format!("{error:#}");
        assert!(
            text.contains("no such database") && text.contains('3'),
            "{text}"
        );
    }

    #[test]
    fn a_dropped_process_is_gone() {
        let process = shell("echo up; exec sleep 600", Signal::Terminate);
        let pid = process.pid();
        drop(process);
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
    }
}
