//! `completions`: the script that makes a shell complete this program's commands.

use clap::CommandFactory as _;
use clap_complete::Shell;
use runner_core::Result;

use crate::arguments::Arguments;
use crate::exit_code;
use crate::terminal::Terminal;

pub(crate) fn print(shell: Shell, terminal: Terminal) -> Result<u8> {
    let mut script = Vec::new();
    clap_complete::generate(
        shell,
        &mut Arguments::command(),
        "ingestion-runner",
        &mut script,
    );
    terminal.print(&String::from_utf8_lossy(&script))?;
    Ok(exit_code::SUCCESS)
}
