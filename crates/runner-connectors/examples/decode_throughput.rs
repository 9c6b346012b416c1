//! How fast pages are decoded, beside Arrow's own readers on the same bytes.
//!
//! `cargo run --release -p runner-connectors --example decode_throughput [ROWS]` makes rows like those of the flights data (19 columns),
//! as a JSON document, JSON lines and CSV, and prints megabytes and rows per second of one thread: the best of five rounds.

#![expect(
    clippy::print_stdout,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "it is a program that prints a table of measures of its own rows"
)]

use std::error::Error;
use std::fmt::Write as _;
use std::io::Cursor;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use bytes::Bytes;
use runner_connectors::decode::{DecodeOptions, PageDecoder};
use runner_connectors::schema::{SchemaVersion, StreamSchema};
use runner_plan::model::{DataFormat, RowPath, RowPathStep};

const ROWS: usize = 336_776;
const ROUNDS: usize = 5;
/// What a response or a file hands over at once.
const PUSH: usize = 64 << 10;

fn main() -> Result<(), Box<dyn Error>> {
    let rows = std::env::args()
        .nth(1)
        .and_then(|rows| rows.parse().ok())
        .unwrap_or(ROWS);
    let flights: Vec<Vec<Cell>> = (0..rows as u64).map(flight).collect();
    let lines = json_lines(&flights);
    let document = document(&lines);
    let csv = csv(&flights);
    let path = RowPath::Steps(vec![RowPathStep::Name("rows".to_owned())]);
    let root = RowPath::Steps(Vec::new());

    println!("{:<34} {:>8} {:>8} {:>12}", "", "MB", "MB/s", "rows/s");
    let schema = decode(DataFormat::Json, &path, &document)?.0;
    report("JSON document", &document, rows, || {
        Ok(decode(DataFormat::Json, &path, &document)?.1)
    })?;
    report("JSON lines", &lines, rows, || {
        Ok(decode(DataFormat::JsonLines, &root, &lines)?.1)
    })?;
    report("JSON lines, arrow-json", &lines, rows, || {
        arrow_json(&schema, &lines)
    })?;
    let schema = decode(DataFormat::Csv, &root, &csv)?.0;
    report("CSV", &csv, rows, || {
        Ok(decode(DataFormat::Csv, &root, &csv)?.1)
    })?;
    report("CSV, arrow-csv", &csv, rows, || arrow_csv(&schema, &csv))
}

fn report(
    name: &str,
    bytes: &Bytes,
    rows: usize,
    round: impl Fn() -> Result<usize, Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    let mut best = Duration::MAX;
    for _ in 0..ROUNDS {
        let (decoded, time) = timed(&round);
        let decoded = decoded?;
        if decoded != rows {
            return Err(format!("{name} has {decoded} rows of {rows}").into());
        }
        best = best.min(time);
    }
    let best = best.as_secs_f64();
    let megabytes = bytes.len() as f64 / 1e6;
    println!(
        "{name:<34} {megabytes:>8.1} {:>8.0} {:>12.0}",
        megabytes / best,
        rows as f64 / best
    );
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "it measures time itself")]
fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let done = work();
    (done, start.elapsed())
}

fn decode(
    format: DataFormat,
    path: &RowPath,
    page: &Bytes,
) -> Result<(SchemaRef, usize), Box<dyn Error>> {
    let schema = StreamSchema::new(SchemaVersion {
        is_open: true,
        ..SchemaVersion::default()
    });
    let mut decoder = PageDecoder::new(format, path, schema.clone(), DecodeOptions::default())?;
    let mut count = 0;
    let mut drain = |decoder: &mut PageDecoder| -> Result<(), Box<dyn Error>> {
        while let Some(rows) = decoder.next_rows()? {
            if !rows.invalid.is_empty() {
                return Err(format!("{} rows can't be decoded", rows.invalid.len()).into());
            }
            count += rows.batch.num_rows();
        }
        Ok(())
    };
    for start in (0..page.len()).step_by(PUSH) {
        decoder.push(page.slice(start..page.len().min(start + PUSH)))?;
        drain(&mut decoder)?;
    }
    decoder.end()?;
    drain(&mut decoder)?;
    Ok((schema.current().decoded(), count))
}

fn arrow_json(schema: &SchemaRef, lines: &Bytes) -> Result<usize, Box<dyn Error>> {
    let batches = arrow::json::ReaderBuilder::new(Arc::clone(schema))
        .with_batch_size(8192)
        .build(Cursor::new(lines))?;
    rows_of(batches)
}

fn arrow_csv(schema: &SchemaRef, csv: &Bytes) -> Result<usize, Box<dyn Error>> {
    let batches = arrow::csv::ReaderBuilder::new(Arc::clone(schema))
        .with_batch_size(8192)
        .with_header(true)
        .build(Cursor::new(csv))?;
    rows_of(batches)
}

fn rows_of(
    batches: impl Iterator<Item = Result<RecordBatch, ArrowError>>,
) -> Result<usize, Box<dyn Error>> {
    let mut rows = 0;
    for batch in batches {
        rows += batch?.num_rows();
    }
    Ok(rows)
}

enum Cell {
    Null,
    Integer(u64),
    /// As pandas writes columns of integers that have nulls.
    Number(i64),
    Text(String),
}

const NAMES: [&str; 19] = [
    "year",
    "month",
    "day",
    "dep_time",
    "sched_dep_time",
    "dep_delay",
    "arr_time",
    "sched_arr_time",
    "arr_delay",
    "carrier",
    "flight",
    "tailnum",
    "origin",
    "dest",
    "air_time",
    "distance",
    "hour",
    "minute",
    "time_hour",
];

/// A row that follows from its number.
fn flight(number: u64) -> Vec<Cell> {
    let mut state = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut below = |limit: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % limit
    };
    let (month, day, hour, minute) = (below(12) + 1, below(28) + 1, below(19) + 5, below(60));
    let is_cancelled = below(40) == 0;
    let measured = |value: i64| {
        if is_cancelled {
            Cell::Null
        } else {
            Cell::Number(value)
        }
    };
    let delay = below(300).cast_signed() - 40;
    let distance = below(4000) + 80;
    vec![
        Cell::Integer(2013),
        Cell::Integer(month),
        Cell::Integer(day),
        measured((hour * 100 + minute).cast_signed()),
        Cell::Integer(hour * 100 + minute),
        measured(delay),
        measured((hour * 100 + minute).cast_signed() + 130),
        Cell::Integer(hour * 100 + minute + 120),
        measured(delay - 7),
        Cell::Text(["UA", "AA", "B6", "DL", "EV"][below(5) as usize].to_owned()),
        Cell::Integer(below(6000) + 1),
        Cell::Text(format!("N{}{}A", below(900) + 100, below(10))),
        Cell::Text(["EWR", "LGA", "JFK"][below(3) as usize].to_owned()),
        Cell::Text(["IAH", "MIA", "BQN", "ATL", "ORD", "FLL", "IAD"][below(7) as usize].to_owned()),
        if is_cancelled {
            Cell::Null
        } else {
            Cell::Number((distance / 8).cast_signed())
        },
        Cell::Integer(distance),
        Cell::Integer(hour),
        Cell::Integer(minute),
        Cell::Text(format!("2013-{month:02}-{day:02}T{hour:02}:00:00Z")),
    ]
}

fn json_lines(flights: &[Vec<Cell>]) -> Bytes {
    let mut text = String::new();
    for flight in flights {
        text.push('{');
        for (index, (name, cell)) in NAMES.iter().zip(flight).enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            let _ = write!(text, "{separator}\"{name}\": ");
            let _ = match cell {
                Cell::Null => write!(text, "null"),
                Cell::Integer(value) => write!(text, "{value}"),
                Cell::Number(value) => write!(text, "{value}.0"),
                Cell::Text(value) => write!(text, "\"{value}\""),
            };
        }
        text.push_str("}\n");
    }
    text.into()
}

/// As datasette answers.
fn document(lines: &Bytes) -> Bytes {
    let rows = String::from_utf8_lossy(lines);
    let rows = rows.trim_end().replace('\n', ", ");
    format!("{{\"ok\": true, \"next\": \"100\", \"rows\": [{rows}], \"truncated\": false}}").into()
}

fn csv(flights: &[Vec<Cell>]) -> Bytes {
    let mut text = NAMES.join(",");
    text.push('\n');
    for flight in flights {
        for (index, cell) in flight.iter().enumerate() {
            if index > 0 {
                text.push(',');
            }
            let _ = match cell {
                Cell::Null => Ok(()),
                Cell::Integer(value) => write!(text, "{value}"),
                Cell::Number(value) => write!(text, "{value}.0"),
                Cell::Text(value) => write!(text, "{value}"),
            };
        }
        text.push('\n');
    }
    text.into()
}
