//! Decodes in tests as an engine does: batches of narrower columns are widened at the end, and a stream starts over where it must.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch};
use bytes::Bytes;
use runner_core::Result;
use runner_plan::arrow::arrow_schema;
use runner_plan::model::{ColumnField, ColumnSource, ColumnType, DataFormat, RowPath, RowPathStep};

use super::{DecodeOptions, PageDecoder, PageSummary, Trace};
use crate::rows::{InvalidRow, Rows};
use crate::schema::{DecodedColumn, SchemaVersion, StreamSchema, TypeBinding};
use crate::table::json::Encoder;
use crate::table::widen::widen_batch;

/// What came of pages.
#[derive(Debug)]
pub(crate) struct Decoded {
    pub(crate) columns: Vec<ColumnField>,
    /// Rows as JSON, in the columns as they are at the end.
    pub(crate) rows: Vec<String>,
    pub(crate) invalid: Vec<InvalidRow>,
    pub(crate) summaries: Vec<PageSummary>,
    /// Raw text of each row, in the order of `rows`.
    pub(crate) raw: Vec<String>,
    pub(crate) starts: usize,
}

/// How pages are decoded.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) format: DataFormat,
    pub(crate) path: RowPath,
    pub(crate) schema: SchemaVersion,
    pub(crate) options: DecodeOptions,
    /// Bytes of a push; 0 pushes the page whole.
    pub(crate) push: usize,
}

impl Case {
    pub(crate) fn new(format: DataFormat) -> Self {
        Self {
            format,
            path: RowPath::Steps(Vec::new()),
            schema: SchemaVersion {
                version: 0,
                columns: Vec::new(),
                is_open: true,
            },
            options: DecodeOptions {
                origin: Arc::from("GET https://example.test/rows"),
                ..DecodeOptions::default()
            },
            push: 0,
        }
    }

    pub(crate) fn at(mut self, names: &[&str]) -> Self {
        self.path = steps(names);
        self
    }

    /// Adds a column with a type of the contract, from the field of the same name.
    pub(crate) fn fixed(mut self, name: &str, column_type: ColumnType) -> Self {
        self.schema
            .columns
            .push(column(name, column_type, TypeBinding::Fixed));
        self.schema.is_open = false;
        self
    }

    pub(crate) fn pushes(mut self, bytes: usize) -> Self {
        self.push = bytes;
        self
    }

    pub(crate) fn batches(mut self, rows: usize) -> Self {
        self.options.batch_rows = rows;
        self
    }

    pub(crate) fn decode(&self, page: &[u8]) -> Result<Decoded> {
        self.decode_pages(&[page])
    }

    pub(crate) fn decode_pages(&self, pages: &[&[u8]]) -> Result<Decoded> {
        let mut schema = StreamSchema::new(self.schema.clone());
        let mut starts = 1;
        loop {
            match self.read(&schema, pages) {
                Err(_) if schema.start_over().is_some() && starts < 50 => {
                    schema = StreamSchema::new(SchemaVersion::clone(&schema.current()));
                    starts += 1;
                }
                Err(error) => return Err(error),
                Ok((delivered, summaries)) => {
                    return Ok(collect(&schema, &delivered, summaries, starts));
                }
            }
        }
    }

    fn read(
        &self,
        schema: &StreamSchema,
        pages: &[&[u8]],
    ) -> Result<(Vec<Rows>, Vec<PageSummary>)> {
        let mut delivered = Vec::new();
        let mut summaries = Vec::new();
        for page in pages {
            let mut decoder = PageDecoder::new(
                self.format,
                &self.path,
                schema.clone(),
                self.options.clone(),
            )?;
            let size = if self.push == 0 {
                page.len().max(1)
            } else {
                self.push
            };
            for piece in page.chunks(size) {
                decoder.push(Bytes::copy_from_slice(piece))?;
                while let Some(rows) = decoder.next_rows()? {
                    delivered.push(rows);
                }
            }
            decoder.end()?;
            while let Some(rows) = decoder.next_rows()? {
                delivered.push(rows);
            }
            summaries.push(decoder.finish()?);
        }
        Ok((delivered, summaries))
    }
}

pub(crate) fn steps(names: &[&str]) -> RowPath {
    RowPath::Steps(
        names
            .iter()
            .map(|name| match (*name, name.parse()) {
                ("*", _) => RowPathStep::Each,
                (_, Ok(index)) => RowPathStep::Index(index),
                (name, Err(_)) => RowPathStep::Name(name.to_owned()),
            })
            .collect(),
    )
}

pub(crate) fn column(name: &str, column_type: ColumnType, binding: TypeBinding) -> DecodedColumn {
    DecodedColumn {
        name: name.to_owned(),
        source: ColumnSource::Field(steps(&[name])),
        column_type,
        nullable: true,
        binding,
        trace: Trace::default(),
    }
}

pub(crate) fn field(name: &str, column_type: ColumnType) -> ColumnField {
    ColumnField {
        name: name.to_owned(),
        column_type,
        nullable: true,
    }
}

fn collect(
    schema: &StreamSchema,
    delivered: &[Rows],
    summaries: Vec<PageSummary>,
    starts: usize,
) -> Decoded {
    let nullable = |fields: Vec<ColumnField>| -> Vec<ColumnField> {
        fields.iter().map(crate::schema::nullable).collect()
    };
    let columns = nullable(schema.current().fields());
    let mut rows = Vec::new();
    let mut raw = Vec::new();
    let mut invalid = Vec::new();
    for delivery in delivered {
        let version = schema
            .version(delivery.schema_version)
            .expect("a version of the schema");
        assert_eq!(
            delivery.batch.schema(),
            version.decoded(),
            "batches have their version's columns"
        );
        assert_eq!(delivery.batch.num_rows(), delivery.raw.len());
        assert_eq!(delivery.batch.num_rows(), delivery.numbers.len());
        let batch = widen_batch(&delivery.batch, &nullable(version.fields()), &columns)
            .expect("delivered rows follow every widening");
        rows.extend((0..batch.num_rows()).map(|row| json(&batch, row)));
        raw.extend((0..batch.num_rows()).map(|row| delivery.raw.text(row)));
        invalid.extend(delivery.invalid.iter().cloned());
    }
    Decoded {
        columns,
        rows,
        invalid,
        summaries,
        raw,
        starts,
    }
}

fn json(batch: &RecordBatch, row: usize) -> String {
    let mut text = String::from("{");
    for (field, array) in batch.schema().fields().iter().zip(batch.columns()) {
        if array.is_null(row) {
            continue;
        }
        if text.len() > 1 {
            text.push_str(", ");
        }
        text.push_str(field.name());
        text.push_str(": ");
        let array: &ArrayRef = array;
        let encoder = Encoder::new(array.as_ref(), field).expect("a type that is JSON");
        encoder.write(row, &mut text);
    }
    text.push('}');
    text
}

impl Decoded {
    pub(crate) fn types(&self) -> String {
        let schema = arrow_schema(&self.columns);
        assert_eq!(schema.fields().len(), self.columns.len());
        self.columns
            .iter()
            .map(|column| format!("{}: {}", column.name, column.column_type))
            .collect::<Vec<_>>()
            .join(", ")
    }

    pub(crate) fn summary(&self) -> &PageSummary {
        self.summaries.last().expect("a page")
    }

    /// Codes and columns of every reason.
    pub(crate) fn reasons(&self) -> Vec<String> {
        self.invalid
            .iter()
            .flat_map(|row| &row.reasons)
            .map(|reason| {
                let column = reason.column.as_deref().unwrap_or("-");
                format!("{} {column}: {}", reason.code, reason.message)
            })
            .collect()
    }
}
