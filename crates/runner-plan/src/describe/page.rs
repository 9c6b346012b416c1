//! Lines of text: headings, labelled fields, tables, all within the width of a terminal.

use std::fmt::Write as _;

/// Columns of a line.
const WIDTH: usize = 100;
const INDENT: usize = 2;
/// Behind it stand the values.
const LABEL: usize = 12;

#[derive(Debug, Default)]
pub(super) struct Page {
    text: String,
}

impl Page {
    pub(super) fn into_text(self) -> String {
        self.text
    }

    pub(super) fn heading(&mut self, heading: &str) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        self.line(heading);
    }

    /// A labelled text, wrapped at words.
    pub(super) fn field(&mut self, label: &str, text: &str) {
        let start = INDENT + LABEL;
        for (index, line) in wrapped(text, WIDTH - start).into_iter().enumerate() {
            let label = if index == 0 { label } else { "" };
            self.line(&format!("{:INDENT$}{label:LABEL$}{line}", ""));
        }
    }

    /// Lines that are printed as they stand.
    pub(super) fn block(&mut self, label: &str, text: &str) {
        for (index, line) in text.trim_end().lines().enumerate() {
            let label = if index == 0 { label } else { "" };
            self.line(&format!("{:INDENT$}{label:LABEL$}{}", "", line.trim_end()));
        }
    }

    /// A labelled table; columns are as wide as their widest cell, and the last one is wrapped.
    pub(super) fn table(&mut self, label: &str, rows: impl IntoIterator<Item = Vec<String>>) {
        let rows: Vec<Vec<String>> = rows.into_iter().collect();
        let count = rows.iter().map(Vec::len).max().unwrap_or(0);
        let mut widths = vec![0; count];
        for row in &rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        for (index, row) in rows.iter().enumerate() {
            let label = if index == 0 { label } else { "" };
            self.row(label, row, &widths);
        }
    }

    fn row(&mut self, label: &str, row: &[String], widths: &[usize]) {
        let mut start = format!("{:INDENT$}{label:LABEL$}", "");
        let last = row.iter().rposition(|cell| !cell.is_empty()).unwrap_or(0);
        for (cell, width) in row.iter().take(last).zip(widths) {
            // Writing to a string can't fail.
            let _ = write!(start, "{cell:width$}  ");
        }
        let column = start.chars().count();
        let cell = row.get(last).map_or("", String::as_str);
        let room = WIDTH.saturating_sub(column).max(20);
        for (index, line) in wrapped(cell, room).into_iter().enumerate() {
            if index == 0 {
                self.line(&format!("{start}{line}"));
            } else {
                self.line(&format!("{:column$}{line}", ""));
            }
        }
    }

    fn line(&mut self, line: &str) {
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }
}

/// Breaks a text between words; a word that is longer than a line stands alone.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        let needed = line.chars().count() + 1 + word.chars().count();
        if !line.is_empty() && needed > width {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    lines
}
