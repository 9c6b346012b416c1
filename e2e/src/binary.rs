//! The built binary, driven as a person drives it.

use std::{
    env,
    ffi::OsStr,
    fmt::Write as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

/// Names the binary under test; set by `cargo xtask test`, which builds it.
const BINARY_VARIABLE: &str = "INGESTION_RUNNER_BINARY";
const BINARY: &str = "ingestion-runner";

/// The binary with a data folder of its own.
#[derive(Clone, Debug)]
pub struct Runner {
    program: PathBuf,
    data_folder: PathBuf,
}

impl Runner {
    pub fn new(data_folder: &Path) -> Result<Self> {
        Ok(Self::with_program(&Self::program()?, data_folder))
    }

    /// The binary beside the running tests. It is built, not skipped: it is what is tested.
    pub fn program() -> Result<PathBuf> {
        let program = env::var_os(BINARY_VARIABLE)
            .map(PathBuf::from)
            .map_or_else(beside_the_tests, Ok)?;
        if !program.is_file() {
            bail!(
                "there is no `{}`: build it with `cargo build --workspace --bin {BINARY}`",
                program.display()
            );
        }
        Ok(program)
    }

    /// A binary of one's own choice.
    pub fn with_program(program: &Path, data_folder: &Path) -> Self {
        Self {
            program: program.to_owned(),
            data_folder: data_folder.to_owned(),
        }
    }

    /// Where this runner keeps its jobs, and its tables where the document names no other place.
    pub fn data_folder(&self) -> &Path {
        &self.data_folder
    }

    /// A command of the binary, its data folder given.
    pub fn command(&self, arguments: &[&str]) -> Invocation {
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            .arg("--data-dir")
            .arg(&self.data_folder)
            .stdin(Stdio::null());
        // What the machine's own settings say must not reach a test.
        for (name, _) in env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("RUNNER_") || text.starts_with("AWS_") || text.starts_with("PG") {
                command.env_remove(&name);
            }
        }
        Invocation { command }
    }

    /// `sample FILE --json`.
    pub fn sample(&self, document: &Path) -> Invocation {
        self.command(&["sample", &document.to_string_lossy(), "--json"])
    }
}

/// One call of the binary.
#[derive(Debug)]
pub struct Invocation {
    command: Command,
}

impl Invocation {
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    #[must_use]
    pub fn option(self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.arg(name).arg(value)
    }

    #[must_use]
    pub fn param(self, name: &str, value: &str) -> Self {
        self.option("--param", format!("{name}={value}"))
    }

    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Runs it there: a document may name files beside it.
    #[must_use]
    pub fn in_folder(mut self, folder: &Path) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// The command, to be run in another way.
    pub fn into_command(self) -> Command {
        self.command
    }

    /// The command itself, for whoever runs it below another program.
    pub fn command(&self) -> &Command {
        &self.command
    }

    /// Runs it to its end.
    pub fn run(mut self) -> Result<Outcome> {
        let output = self
            .command
            .output()
            .with_context(|| format!("failed to start {:?}", self.command))?;
        Ok(Outcome {
            command: format!("{:?}", self.command),
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Runs it and fails unless it ended well.
    pub fn succeed(self) -> Result<Outcome> {
        let outcome = self.run()?;
        if outcome.code != Some(0) {
            bail!("{}", outcome.describe());
        }
        Ok(outcome)
    }

    /// Starts it and leaves it running, its outputs thrown away.
    pub fn spawn_silent(mut self) -> Result<Child> {
        self.command.stdout(Stdio::null()).stderr(Stdio::null());
        self.command
            .spawn()
            .with_context(|| format!("failed to start {:?}", self.command))
    }

    /// Starts it and leaves it running, both outputs piped.
    pub fn spawn(mut self) -> Result<Child> {
        self.command.stdout(Stdio::piped()).stderr(Stdio::piped());
        self.command
            .spawn()
            .with_context(|| format!("failed to start {:?}", self.command))
    }
}

/// How a call of the binary ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub command: String,
    /// The exit code; `None` where a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Outcome {
    /// What it printed under `--json`.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.stdout)
            .with_context(|| format!("printed no JSON object:\n{}", self.describe()))
    }

    /// Everything a person needs to see of a call that went wrong.
    pub fn describe(&self) -> String {
        let mut text = format!("{} ended with code {:?}\n", self.command, self.code);
        for (name, output) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            let _ = writeln!(text, "---- {name} ----\n{output}");
        }
        text
    }
}

/// `target/PROFILE/ingestion-runner`, seen from `target/PROFILE/deps/TEST`.
fn beside_the_tests() -> Result<PathBuf> {
    let test = env::current_exe().context("failed to find the running test")?;
    let profile = test
        .parent()
        .and_then(Path::parent)
        .context("the running test lies in no target folder")?;
    Ok(profile.join(BINARY))
}
