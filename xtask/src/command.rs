//! Running other programs.

use std::{
    env, fmt,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};

/// The cargo that runs this task, in the repository's root.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(runner_e2e::repository());
    command
}

/// What a command prints on its standard output; when it fails, the error has all that it printed.
pub(crate) fn captured(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("failed to start {}", Shown(command)))?;
    if !output.status.success() {
        let printed = [output.stdout, output.stderr].concat();
        bail!(
            "{} ended with {}\n{}",
            Shown(command),
            output.status,
            String::from_utf8_lossy(&printed).trim_end()
        );
    }
    String::from_utf8(output.stdout).with_context(|| format!("{} printed no UTF-8", Shown(command)))
}

/// Runs a command on this terminal.
pub(crate) fn inherited(command: &mut Command) -> Result<()> {
    let status = command
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("failed to start {}", Shown(command)))?;
    if !status.success() {
        bail!("{} ended with {status}", Shown(command));
    }
    Ok(())
}

/// A command as one would type it.
pub(crate) struct Shown<'a>(pub &'a Command);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What was built here is run by its path, and installed programs by their names.
        let program = Path::new(self.0.get_program());
        let built = program.strip_prefix(runner_e2e::repository());
        let name = program.file_name().unwrap_or(program.as_os_str());
        let typed = built.map_or(name, Path::as_os_str);
        write!(formatter, "`{}", typed.display())?;
        for argument in self.0.get_args() {
            let path = Path::new(argument);
            let path = path.strip_prefix(runner_e2e::repository()).unwrap_or(path);
            write!(formatter, " {}", path.display())?;
        }
        formatter.write_str("`")
    }
}
