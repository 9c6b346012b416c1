//! The floor: bytes that are already in memory, decoded to Arrow and written to one Parquet file by the bare libraries.
//!
//! `floor csv|jsonl FILE TARGET` or `floor pages FOLDER TARGET`. No checks, no network, one thread. Prints the rows and
//! what decoding and writing took as JSON; reading the input into memory isn't counted.

use std::{
    env,
    error::Error,
    fs::{self, File},
    io::Cursor,
    path::Path,
    process::ExitCode,
    sync::Arc,
    time::Instant,
};

use arrow_array::{RecordBatch, cast::AsArray};
use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use parquet::{
    arrow::ArrowWriter,
    basic::{Compression, ZstdLevel},
    file::properties::WriterProperties,
};

const BATCH_ROWS: usize = 8192;
const ROW_GROUP_ROWS: usize = 1 << 20;
const TEXT_COLUMNS: [&str; 4] = ["carrier", "tailnum", "origin", "dest"];
const COLUMNS: [&str; 19] = [
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

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Outcome<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [kind, source, target] = arguments.as_slice() else {
        return Err("usage: floor csv|jsonl|pages SOURCE TARGET".into());
    };
    let inputs = read(kind, Path::new(source))?;
    let (started, before) = (Instant::now(), cpu_seconds()?);
    let mut table = Table::create(Path::new(target))?;
    match kind.as_str() {
        "csv" => table.add_csv(&inputs[0])?,
        "jsonl" => table.add_json_lines(&inputs[0])?,
        "pages" => inputs.iter().try_for_each(|page| table.add_page(page))?,
        _ => return Err(format!("`{kind}` is none of csv, jsonl and pages").into()),
    }
    let rows = table.rows;
    table.writer.close()?;
    println!(
        "{{\"rows\": {rows}, \"wall_s\": {:.4}, \"cpu_s\": {:.4}}}",
        started.elapsed().as_secs_f64(),
        cpu_seconds()? - before
    );
    Ok(())
}

fn read(kind: &str, source: &Path) -> Outcome<Vec<Vec<u8>>> {
    if kind != "pages" {
        return Ok(vec![fs::read(source)?]);
    }
    let count = fs::read_dir(source)?.count();
    (1..=count)
        .map(|number| Ok(fs::read(source.join(format!("{number}.json")))?))
        .collect()
}

/// The Parquet file, and the schema of its rows.
struct Table {
    schema: SchemaRef,
    writer: ArrowWriter<File>,
    rows: usize,
}

impl Table {
    fn create(target: &Path) -> Outcome<Self> {
        let schema = Arc::new(Schema::new(fields()));
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
            .build();
        let writer = ArrowWriter::try_new(File::create(target)?, schema.clone(), Some(properties))?;
        Ok(Self {
            schema,
            writer,
            rows: 0,
        })
    }

    fn add(&mut self, batch: &RecordBatch) -> Outcome<()> {
        self.rows += batch.num_rows();
        Ok(self.writer.write(batch)?)
    }

    fn add_csv(&mut self, bytes: &[u8]) -> Outcome<()> {
        let reader = arrow_csv::ReaderBuilder::new(self.schema.clone())
            .with_header(true)
            .with_batch_size(BATCH_ROWS)
            .build(Cursor::new(bytes))?;
        for batch in reader {
            self.add(&batch?)?;
        }
        Ok(())
    }

    fn add_json_lines(&mut self, bytes: &[u8]) -> Outcome<()> {
        let reader = arrow_json::ReaderBuilder::new(self.schema.clone())
            .with_batch_size(BATCH_ROWS)
            .build(Cursor::new(bytes))?;
        for batch in reader {
            self.add(&batch?)?;
        }
        Ok(())
    }

    /// A page is one object whose list of rows is decoded as a list of structs.
    fn add_page(&mut self, bytes: &[u8]) -> Outcome<()> {
        let rows = Field::new_list(
            "rows",
            Field::new_list_field(DataType::Struct(fields()), true),
            true,
        );
        let reader = arrow_json::ReaderBuilder::new(Arc::new(Schema::new(vec![rows])))
            .build(Cursor::new(bytes))?;
        for page in reader {
            let page = page?;
            self.add(&RecordBatch::from(
                page.column(0).as_list::<i32>().values().as_struct(),
            ))?;
        }
        Ok(())
    }
}

fn fields() -> Fields {
    let field = |name: &&str| {
        let kind = match *name {
            "time_hour" => DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into())),
            name if TEXT_COLUMNS.contains(&name) => DataType::Utf8,
            _ => DataType::Int64,
        };
        Field::new(*name, kind, true)
    };
    COLUMNS.iter().map(field).collect()
}

/// What this process has used so far; its one thread is all there is.
fn cpu_seconds() -> Outcome<f64> {
    let statistics = fs::read_to_string("/proc/self/schedstat")?;
    let nanoseconds: f64 = statistics
        .split_whitespace()
        .next()
        .ok_or("no CPU time")?
        .parse()?;
    Ok(nanoseconds / 1e9)
}
