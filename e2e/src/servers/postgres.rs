//! PostgreSQL in a data folder of its own, never as root.

use std::{
    env, fs,
    os::unix::{
        fs::{MetadataExt as _, chown},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;

use crate::{
    free_port,
    process::{Process, Signal},
    provision::{Cache, READERS},
    repository,
};

const SUPERUSER: &str = "postgres";

/// A running PostgreSQL with an empty database `postgres`, whose superuser `postgres` needs no password.
#[derive(Debug)]
pub struct Postgres {
    process: Process,
    port: u16,
    programs: PathBuf,
}

/// The user that the server runs as where we are root, which it refuses.
#[derive(Clone, Copy, Debug)]
struct Account {
    uid: u32,
    gid: u32,
}

impl Postgres {
    /// Starts a server with the settings given as `name=value` on top of ones that are quick and safe for a test.
    pub fn start(component: &Path, settings: &[&str]) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let account = unprivileged_account(folder.path())?;
        let programs = reachable_programs(component, &folder, account)?;
        let data = folder.path().join("data");
        let sockets = folder.path().join("sockets");
        fs::create_dir(&sockets)?;
        if let Some(Account { uid, gid }) = account {
            for path in [folder.path(), &sockets] {
                chown(path, Some(uid), Some(gid))?;
            }
        }
        let mut initialise = as_account(&programs.join("bin/initdb"), account);
        initialise.args([
            "--username",
            SUPERUSER,
            "--auth",
            "trust",
            "--encoding",
            "UTF8",
            "--locale",
            "C.UTF-8",
            "--no-sync",
        ]);
        checked(
            initialise
                .arg("--pgdata")
                .arg(&data)
                .current_dir(folder.path()),
        )?;

        let port = free_port()?;
        let mut command = as_account(&programs.join("bin/postgres"), account);
        command
            .arg("-D")
            .arg(&data)
            .args(["-p", &port.to_string(), "-h", "127.0.0.1", "-k"])
            .arg(&sockets);
        for setting in ["fsync=off", "max_connections=200"].iter().chain(settings) {
            command.args(["-c", setting]);
        }
        command.current_dir(folder.path());
        let mut process = Process::start("postgres", &mut command, folder, Signal::Interrupt)?;
        process.wait_until(|process| {
            process
                .log()
                .contains("database system is ready to accept connections")
        })?;
        Ok(Self {
            process,
            port,
            programs,
        })
    }

    /// A URL of the superuser, as libpq and the runner take it.
    pub fn url(&self) -> String {
        format!("postgres://{SUPERUSER}@127.0.0.1:{}/postgres", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Runs SQL and gives its output as psql prints it, unaligned and without headers.
    pub fn psql(&self, sql: &str) -> Result<String> {
        let mut command = match self.psql_program() {
            Some(_) => {
                let mut command = self.psql_command();
                command.args(["--command", sql]);
                command
            }
            // The build from Maven Central brings no client.
            None => self.psycopg_command(sql)?,
        };
        let output = checked(&mut command)?;
        Ok(String::from_utf8_lossy(&output.stdout)
            .trim_end()
            .to_owned())
    }

    /// psql, connected to this server, stopping at the first error.
    pub fn psql_command(&self) -> Command {
        let program = self.psql_program().unwrap_or_else(|| PathBuf::from("psql"));
        let mut command = Command::new(program);
        command.args([
            "--no-psqlrc",
            "--quiet",
            "--tuples-only",
            "--no-align",
            "--set",
            "ON_ERROR_STOP=1",
        ]);
        command.arg(self.url());
        command
    }

    fn psql_program(&self) -> Option<PathBuf> {
        let path = env::var_os("PATH").unwrap_or_default();
        let folders = std::iter::once(self.programs.join("bin"))
            .chain(env::split_paths(&path).collect::<Vec<_>>());
        folders
            .map(|folder| folder.join("psql"))
            .find(|program| program.is_file())
    }

    fn psycopg_command(&self, sql: &str) -> Result<Command> {
        let readers = Cache::open()?
            .find(&READERS)
            .context("neither psql nor the readers are installed")?;
        let mut command = Command::new(readers.join("bin/python"));
        command
            .arg(repository().join("e2e/readers/sql.py"))
            .args([&self.url(), sql]);
        Ok(command)
    }

    pub fn process(&self) -> &Process {
        &self.process
    }
}

fn unprivileged_account(ours: &Path) -> Result<Option<Account>> {
    if fs::metadata(ours)?.uid() != 0 {
        return Ok(None);
    }
    let accounts = fs::read_to_string("/etc/passwd").context("failed to read `/etc/passwd`")?;
    let account_of = |wanted: &str| {
        let mut fields = accounts
            .lines()
            .find(|line| line.split(':').next() == Some(wanted))?
            .split(':')
            .skip(2);
        Some(Account {
            uid: fields.next()?.parse().ok()?,
            gid: fields.next()?.parse().ok()?,
        })
    };
    let account = account_of("postgres").or_else(|| account_of("nobody"));
    account
        .map(Some)
        .context("PostgreSQL refuses root, and there is neither a user `postgres` nor `nobody`")
}

/// The programs, copied beside the data where another user can't reach them (a cache below root's home).
fn reachable_programs(
    component: &Path,
    folder: &TempDir,
    account: Option<Account>,
) -> Result<PathBuf> {
    let Some(account) = account else {
        return Ok(component.to_owned());
    };
    chown(folder.path(), Some(account.uid), Some(account.gid))?;
    let probe = as_account(&component.join("bin/postgres"), Some(account))
        .arg("--version")
        .stdout(Stdio::null())
        .status();
    if probe.is_ok_and(|status| status.success()) {
        return Ok(component.to_owned());
    }
    let copy = folder.path().join("programs");
    checked(Command::new("cp").arg("-a").arg(component).arg(&copy))?;
    checked(
        Command::new("chown")
            .args(["-R", &format!("{}:{}", account.uid, account.gid)])
            .arg(&copy),
    )?;
    Ok(copy)
}

fn as_account(program: &Path, account: Option<Account>) -> Command {
    let mut command = Command::new(program);
    if let Some(Account { uid, gid }) = account {
        command.uid(uid).gid(gid);
    }
    command
}

fn checked(command: &mut Command) -> Result<Output> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("failed to start {command:?}"))?;
    if !output.status.success() {
        bail!(
            "{command:?} ended with {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(output)
}
