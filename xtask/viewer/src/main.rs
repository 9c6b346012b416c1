//! `table-viewer ROWS FOLDER`: how many rows the Parquet files below a folder hold, and the first of them.
//!
//! It is a program of its own, so that `cargo xtask` itself is compiled in seconds, and it uses no code of the runner,
//! so that what it shows is what any other reader would see.
#![expect(clippy::print_stdout, reason = "a program for a terminal")]

use std::{
    env,
    fs::{self, File},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use arrow::{
    array::RecordBatch,
    util::display::{ArrayFormatter, FormatOptions},
};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

/// Wider cells are cut: a row must fit a terminal.
const MAX_CELL_WIDTH: usize = 24;

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [wanted, folder] = arguments.as_slice() else {
        anyhow::bail!("usage: table-viewer ROWS FOLDER");
    };
    let wanted: usize = wanted
        .parse()
        .with_context(|| format!("`{wanted}` is no number of rows"))?;
    let files = parquet_files(Path::new(folder))?;
    let mut total = 0;
    let mut lines: Vec<Vec<String>> = Vec::new();
    for file in &files {
        let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(file)?)
            .with_context(|| format!("failed to read `{}`", file.display()))?;
        total += reader.metadata().file_metadata().num_rows();
        let missing = (wanted + 1).saturating_sub(lines.len().max(1));
        for batch in reader.with_limit(missing).build()? {
            append(&mut lines, &batch?)?;
        }
    }
    println!("{total} rows in {} files below {folder}", files.len());
    print_table(&lines);
    Ok(())
}

fn parquet_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder)
            .with_context(|| format!("failed to list `{}`", folder.display()))?;
        for entry in entries {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path
                .extension()
                .is_some_and(|extension| extension == "parquet")
            {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Adds a batch's rows as text, below the names of its columns.
fn append(lines: &mut Vec<Vec<String>>, batch: &RecordBatch) -> Result<()> {
    let options = FormatOptions::default().with_null("null");
    let columns: Vec<ArrayFormatter<'_>> = batch
        .columns()
        .iter()
        .map(|column| ArrayFormatter::try_new(column, &options))
        .collect::<Result<_, _>>()?;
    if lines.is_empty() {
        lines.push(
            batch
                .schema()
                .fields()
                .iter()
                .map(|field| cut(field.name()))
                .collect(),
        );
    }
    for row in 0..batch.num_rows() {
        lines.push(
            columns
                .iter()
                .map(|column| cut(&column.value(row).to_string()))
                .collect(),
        );
    }
    Ok(())
}

fn cut(text: &str) -> String {
    if text.chars().count() <= MAX_CELL_WIDTH {
        return text.to_owned();
    }
    let kept: String = text.chars().take(MAX_CELL_WIDTH - 1).collect();
    format!("{kept}…")
}

fn print_table(lines: &[Vec<String>]) {
    let columns = lines.first().map_or(0, Vec::len);
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            lines
                .iter()
                .filter_map(|line| line.get(column))
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    for line in lines {
        let cells: Vec<String> = line
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        println!("  {}", cells.join("  ").trim_end());
    }
}
