//! A folder with files, and a stream that reads some of them.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use chrono::DateTime;
use flate2::Compression as Level;
use runner_core::checkpoint::Warning;
use runner_core::progress::NoProgress;
use runner_core::secret::SecretVersion;
use runner_core::{
    Cancel, ChainEnd, ChainKey, Error, ErrorKind, JobId, Position, Result, Secret, SecretRef,
    SecretStore, SystemClock,
};
use runner_plan::model::{
    self, ColumnField, Columns, DataFormat, RowPath, SourcePlan, StreamPlan, TextFormat,
};
use runner_spec::model::Settings;
use tempfile::TempDir;

use crate::context::SourceContext;
use crate::files::FileSource;
use crate::files::source::Sizes;
use crate::http::HttpRegistry;
use crate::lines::RowLines;
use crate::meter::StreamMeter;
use crate::schema::{SchemaVersion, StreamSchema};
use crate::secrets::RunSecrets;
use crate::source::{ChainRequest, Fetched, PageEnd, Source};

/// A store without secrets.
#[derive(Debug)]
struct NoSecrets;

/// A stream over a folder of its own.
pub(super) struct Fixture {
    pub(super) folder: TempDir,
    pub(super) files: model::FileSource,
    pub(super) parallelism: u32,
    pub(super) sizes: Sizes,
    pub(super) schema: SchemaVersion,
    pub(super) max_ratio: u64,
}

/// What a chain gave since it was opened last.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// JSON texts.
    pub(super) rows: Vec<String>,
    pub(super) invalid: Vec<String>,
    pub(super) pages: Vec<PageEnd>,
    pub(super) restarts: Vec<String>,
    placed: Vec<PlacedRow>,
}

/// A row, and who knows its line.
#[derive(Clone, Debug)]
struct PlacedRow {
    number: u64,
    raw: String,
    lines: Arc<RowLines>,
}

#[async_trait]
impl SecretStore for NoSecrets {
    async fn get(&self, reference: &SecretRef) -> Result<(Secret, SecretVersion)> {
        let message = format!("there is no secret `{reference}`");
        Err(Error::new(ErrorKind::Secret, message))
    }

    async fn keys(&self, _: &str) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    async fn put(&self, _: &SecretRef, _: Secret, _: &SecretVersion) -> Result<SecretVersion> {
        Err(Error::new(ErrorKind::Secret, "the store is read-only"))
    }

    fn is_writable(&self) -> bool {
        false
    }

    async fn probe(&self) -> Result<()> {
        Ok(())
    }
}

impl Fixture {
    /// Reads this location below the folder.
    pub(super) fn new(location: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let location = folder.path().join(location);
        Self {
            files: model::FileSource {
                location: location.to_str().unwrap().into(),
                connection: None,
                storage: Settings::new(),
                format: None,
                rows: RowPath::Steps(Vec::new()),
                text: TextFormat::default(),
                variables: Vec::new(),
            },
            folder,
            parallelism: 1,
            sizes: Sizes::default(),
            schema: SchemaVersion {
                is_open: true,
                ..SchemaVersion::default()
            },
            max_ratio: 100,
        }
    }

    pub(super) fn with(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        self.write(name, content);
        self
    }

    pub(super) fn format(mut self, format: DataFormat) -> Self {
        self.files.format = Some(format);
        self
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    pub(super) fn source(&self) -> FileSource {
        let mut plan = runner_testkit::plans::plan(&["rows"]);
        plan.limits.max_decompression_ratio = self.max_ratio;
        let stream = StreamPlan {
            name: "rows".to_owned(),
            path: "provider.endpoints[0]".to_owned(),
            source: SourcePlan::Files(self.files.clone()),
            columns: Columns {
                known: Vec::new(),
                pass_through: true,
            },
            checks: Vec::new(),
            masking: Vec::new(),
            primary_key: Vec::new(),
            incremental: None,
            sample_size: 100,
            parallelism: self.parallelism,
        };
        let context = SourceContext {
            secrets: Arc::new(RunSecrets::new(Arc::new(NoSecrets), &plan).unwrap()),
            plan: Arc::new(plan),
            job: JobId::new("job-1"),
            nominal_time: DateTime::from_timestamp(1_700_000_000, 0).unwrap(),
            clock: Arc::new(SystemClock::new()),
            cancel: Cancel::new(),
            deadline: None,
            schema: StreamSchema::new(self.schema.clone()),
            meter: StreamMeter::new("rows", Arc::new(NoProgress)),
            http: HttpRegistry::default(),
        };
        FileSource::build(&stream, &self.files, context)
            .unwrap()
            .with_sizes(self.sizes)
    }

    /// Reads everything, one chain after the other.
    pub(super) async fn read(&self) -> Result<Taken> {
        let source = self.source();
        let mut all = Taken::default();
        for key in source.take_up(&source.list().await?).await? {
            all.add(read(&source, key, None).await?);
        }
        Ok(all)
    }

    pub(super) async fn rows(&self) -> Vec<String> {
        let taken = self.read().await.unwrap();
        assert_eq!(taken.invalid, Vec::<String>::new());
        taken.rows
    }

    pub(super) async fn fails(&self) -> Error {
        match self.read().await {
            Ok(taken) => panic!("it read {taken:?} and did not fail"),
            Err(error) => error,
        }
    }

    /// An error's text without the folder's name, which is another each time.
    pub(super) fn shown(&self, error: &Error) -> String {
        let folder = self.folder.path().to_str().unwrap();
        error.to_string().replace(folder, "FOLDER")
    }
}

/// Reads a chain to its end; one that starts over is read anew, and what it gave before is forgotten.
pub(super) async fn read(
    source: &FileSource,
    key: ChainKey,
    from: Option<Position>,
) -> Result<Taken> {
    let mut taken = Taken::default();
    let mut generation = from.as_ref().map_or(0, |position| position.generation);
    let request = |generation| ChainRequest {
        key: key.clone(),
        generation,
        variables: std::collections::BTreeMap::new(),
        window: None,
    };
    let mut chain = source.open(request(generation), from).await?;
    while let Some(step) = chain.next().await? {
        match step {
            Fetched::Rows(rows) => taken.take(&rows),
            Fetched::PageEnd(page) => taken.pages.push(*page),
            Fetched::Replayed(_) => panic!("nothing is replayed here"),
            Fetched::Restart { reason } => {
                let mut restarts = std::mem::take(&mut taken.restarts);
                restarts.push(reason);
                taken = Taken {
                    restarts,
                    ..Taken::default()
                };
                generation += 1;
                chain = source.open(request(generation), None).await?;
            }
        }
    }
    Ok(taken)
}

impl Taken {
    pub(super) fn take(&mut self, rows: &crate::rows::Rows) {
        assert_eq!(rows.batch.num_rows(), rows.raw.len());
        self.rows
            .extend((0..rows.raw.len()).map(|row| rows.raw.text(row)));
        self.invalid.extend(rows.invalid.iter().map(|row| {
            let reason = &row.reasons[0];
            format!("{} {}: {}", row.number, reason.code, reason.message)
        }));
        let Some(lines) = rows.raw.lines() else {
            return;
        };
        let valid = rows.numbers.iter().enumerate();
        let valid = valid.map(|(index, number)| (*number, rows.raw.text(index)));
        let invalid = rows.invalid.iter().map(|row| (row.number, row.raw.clone()));
        self.placed
            .extend(valid.chain(invalid).map(|(number, raw)| PlacedRow {
                number,
                raw,
                lines: Arc::clone(lines),
            }));
    }

    /// Texts of all rows that come from a file with lines, the bad ones too, and their lines.
    pub(super) async fn lines(&self) -> Vec<(String, Option<u64>)> {
        let placed = self.placed.clone();
        let counted = tokio::task::spawn_blocking(move || {
            let line = |row: PlacedRow| {
                row.lines.count();
                (row.raw, row.lines.line(row.number))
            };
            placed.into_iter().map(line).collect()
        });
        counted.await.unwrap()
    }

    fn add(&mut self, other: Self) {
        self.rows.extend(other.rows);
        self.invalid.extend(other.invalid);
        self.pages.extend(other.pages);
        self.restarts.extend(other.restarts);
        self.placed.extend(other.placed);
    }

    pub(super) fn end(&self) -> Option<ChainEnd> {
        self.pages.last().and_then(|page| page.position.end)
    }

    pub(super) fn warnings(&self) -> Vec<&str> {
        let warnings = self.pages.iter().flat_map(|page| &page.warnings);
        warnings
            .map(|warning: &Warning| warning.code.as_str())
            .collect()
    }
}

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Level::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(super) fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), Level::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(super) fn brotli(bytes: &[u8]) -> Vec<u8> {
    let mut packed = Vec::new();
    brotli::CompressorWriter::new(&mut packed, 4096, 1, 20)
        .write_all(bytes)
        .unwrap();
    packed
}

pub(super) fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

/// Columns `id` and `name` as a Parquet file.
pub(super) fn parquet(path: &Path, rows: std::ops::Range<i64>, group: usize) {
    use arrow::array::{Int64Array, RecordBatch, StringArray};
    use parquet::arrow::ArrowWriter;
    use parquet::file::properties::WriterProperties;

    let fields = [
        ("id", model::ColumnType::Integer),
        ("name", model::ColumnType::String),
    ];
    let fields: Vec<ColumnField> = fields
        .into_iter()
        .map(|(name, column_type)| ColumnField {
            name: name.to_owned(),
            column_type,
            nullable: true,
        })
        .collect();
    let schema = runner_plan::arrow::arrow_schema(&fields);
    let ids: Int64Array = rows.clone().collect::<Vec<_>>().into();
    let names: StringArray = rows.map(|row| Some(format!("n{row}"))).collect();
    let batch =
        RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(ids), Arc::new(names)]).unwrap();
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(group))
        .build();
    let file = std::fs::File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, schema, Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}
