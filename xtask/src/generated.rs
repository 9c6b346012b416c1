//! Files that the binary writes about itself and that are kept in the repository: they are compared in every check.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use crate::{
    command::{captured, cargo, inherited},
    workspace::{BINARY, Workspace},
};

/// A file and what makes it.
struct Generated {
    path: &'static str,
    make: fn(&Path) -> Result<String>,
}

const GENERATED: [Generated; 4] = [
    Generated {
        path: "docs/reference/document.schema.json",
        make: |binary| printed_by(binary, &["schema"]),
    },
    Generated {
        path: "docs/reference/diagnostics.txt",
        make: |binary| printed_by(binary, &["explain"]),
    },
    Generated {
        path: "docs/reference/portable-sql.md",
        make: |binary| printed_by(binary, &["explain", "sql"]),
    },
    Generated {
        path: "docs/reference/command-line.md",
        make: command_line,
    },
];

/// Writes every generated file anew.
pub(crate) fn write() -> Result<()> {
    inherited(cargo().args(["build", "--workspace", "--bin", BINARY, "--locked"]))?;
    let binary = Workspace::load()?.binary("debug");
    for file in &GENERATED {
        let path = target(file);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(&path, (file.make)(&binary)?)
            .with_context(|| format!("failed to write `{}`", file.path))?;
        println!("wrote {}", file.path);
    }
    Ok(())
}

/// Fails with the names of those that differ from what the binary prints now; how many there are otherwise.
pub(crate) fn check(binary: &Path) -> Result<usize> {
    let mut stale = Vec::new();
    for file in &GENERATED {
        let kept = fs::read_to_string(target(file)).unwrap_or_default();
        if kept != (file.make)(binary)? {
            stale.push(file.path);
        }
    }
    if !stale.is_empty() {
        bail!(
            "not current, run `cargo xtask generate`: {}",
            stale.join(", ")
        );
    }
    Ok(GENERATED.len())
}

fn printed_by(binary: &Path, arguments: &[&str]) -> Result<String> {
    let mut command = Command::new(binary);
    // The help of an option shows what its variable holds.
    for (name, _) in
        std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("RUNNER_"))
    {
        command.env_remove(name);
    }
    captured(command.args(arguments))
}

/// The help of every command, the program's own first.
fn command_line(binary: &Path) -> Result<String> {
    let mut text = String::from("# Command line\n");
    describe(binary, &[], &mut text)?;
    Ok(text)
}

fn describe(binary: &Path, command: &[&str], text: &mut String) -> Result<()> {
    let arguments: Vec<&str> = command.iter().copied().chain(["--help"]).collect();
    let help = printed_by(binary, &arguments)?;
    let name = std::iter::once(BINARY)
        .chain(command.iter().copied())
        .collect::<Vec<_>>()
        .join(" ");
    let trimmed: Vec<&str> = help.lines().map(str::trim_end).collect();
    write!(
        text,
        "\n## {name}\n\n```text\n{}\n```\n",
        trimmed.join("\n").trim_end()
    )?;
    for subcommand in subcommands(&help) {
        let deeper: Vec<&str> = command.iter().copied().chain([subcommand]).collect();
        describe(binary, &deeper, text)?;
    }
    Ok(())
}

/// The names below `Commands:`, but for `help`.
fn subcommands(help: &str) -> Vec<&str> {
    help.lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        // A description that is wrapped stands further to the right.
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .collect()
}

fn target(file: &Generated) -> PathBuf {
    runner_e2e::repository().join(file.path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subcommands_are_found_in_the_help() {
        let help = "Does things\n\nUsage: x <COMMAND>\n\nCommands:\n  run   Run it\n        and wait\n  help  Print this\n\nOptions:\n  -h\n";
        assert_eq!(subcommands(help), ["run"]);
    }
}
