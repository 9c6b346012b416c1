//! What the program prints: results on standard output, everything else on standard error.

use std::io::{IsTerminal as _, Write as _};

use runner_core::{Error, ErrorKind, Result};
use serde::Serialize;
use serde_json::{Value, json};

use crate::arguments::{Color, Global};

/// Columns that plain text is written for where nobody's terminal says otherwise.
const WIDTH: usize = 100;

/// An error as JSON, for a command that has nothing else to print.
pub(crate) fn failure(error: &Error) -> Value {
    json!({
        "success": false,
        "error": { "kind": error.kind(), "message": error.chain(), "help": error.help() },
    })
}

/// `1 row`, `2 rows`.
pub(crate) fn counted(number: u64, what: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{number} {what}{ending}")
}

/// How to print.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terminal {
    pub(crate) json: bool,
    pub(crate) colour: bool,
    /// Somebody looks: a progress bar makes sense.
    pub(crate) is_interactive: bool,
}

impl Terminal {
    pub(crate) fn new(global: &Global) -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        let colour = match global.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => is_terminal && std::env::var_os("NO_COLOR").is_none(),
        };
        Self {
            json: global.json,
            colour,
            is_interactive: is_terminal && !global.json,
        }
    }

    pub(crate) fn render_options(self) -> runner_spec::RenderOptions {
        runner_spec::RenderOptions {
            width: WIDTH,
            colour: self.colour,
        }
    }

    /// A result, for people or for a pipe.
    #[expect(
        clippy::unused_self,
        reason = "whoever prints does so through the terminal that was set up"
    )]
    pub(crate) fn print(self, text: &str) -> Result<()> {
        let mut out = std::io::stdout().lock();
        let written = out.write_all(text.as_bytes()).and_then(|()| {
            if text.ends_with('\n') {
                Ok(())
            } else {
                out.write_all(b"\n")
            }
        });
        Self::ended(written.and_then(|()| out.flush()))
    }

    pub(crate) fn print_json(self, value: &impl Serialize) -> Result<()> {
        let text = serde_json::to_string_pretty(value).map_err(|error| {
            Error::new(ErrorKind::Internal, "failed to write JSON").with_source(error)
        })?;
        self.print(&text)
    }

    /// A remark: never on standard output.
    #[expect(
        clippy::unused_self,
        reason = "whoever prints does so through the terminal that was set up"
    )]
    pub(crate) fn note(self, text: &str) {
        // Nobody can be told that standard error is closed.
        let _ = writeln!(std::io::stderr().lock(), "{text}");
    }

    /// An error with its causes and what to do.
    pub(crate) fn error(self, error: &Error) {
        if self.json {
            // The exit code tells what a closed standard output can't.
            let _ = self.print_json(&failure(error));
            return;
        }
        let (red, bold, plain) = if self.colour {
            ("\x1b[31;1m", "\x1b[1m", "\x1b[0m")
        } else {
            ("", "", "")
        };
        self.note(&format!(
            "{red}error{plain}{bold}[{}]{plain}: {}",
            error.kind(),
            error.chain()
        ));
        if let Some(help) = error.help() {
            self.note(&format!("  {bold}help{plain}: {help}"));
        }
    }

    /// A reader that has seen enough (`| head`) is no failure.
    fn ended(written: std::io::Result<()>) -> Result<()> {
        match written {
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(Error::new(
                ErrorKind::Internal,
                "failed to write to standard output",
            )
            .with_source(error)),
            _ => Ok(()),
        }
    }
}
